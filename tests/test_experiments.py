"""Which changes of a notebook make its record stale, and how that is said."""

import ast
import json

import pytest

from tools import experiments, pairing

NOTEBOOK = '''
# %%
from course_utils import augmentation, dashboards, datasets, profiles, records, training

profile = profiles.start("02")

# %%
epochs = profile.pick(smoke=1, quick=2, full=3)
seeds = range(profile.pick(smoke=1, quick=1, full=3))
shown = 5
changes = []
changes.append(augmentation.flip())
data = datasets.load_mnist()


# %%
class Stop(training.Callback):
    """Stop."""

    patience = 4


def start(model, weights):
    for variable, value in zip(model.variables, weights, strict=True):
        variable.assign(value)


def train(model, seed):
    """Train once."""
    print("begins")
    run = training.fit(model, data, name=f"02_{seed}", epochs=epochs, callbacks=[Stop()])
    assert run.epochs == epochs, "too short"
    results[seed] = run
    return later(run)


def later(run):
    return run.history


# %%
def draw(curves):
    dashboards.line_plot(curves, title="Curves")


results = {}
model = data.model()
start(model, [1, 2])
histories = [train(model, seed) for seed in seeds]
draw(histories)

# %% [markdown]
# Prose.

# %%
best = max(history["accuracy"][-1] for history in histories)
records.note("02_best", seed=0, best=best)
print(f"best: {best}")

# %% tags=["exercise"]
answer = training.fit(...)
'''


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "02_small.py"
    path.write_text(NOTEBOOK, encoding="utf-8")
    return path


def changed(source, old, new):
    assert NOTEBOOK.count(old) == 1, old
    source.write_text(NOTEBOOK.replace(old, new), encoding="utf-8")
    return experiments.fingerprint(source, "full")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# Prose.", "# Other prose."),
        ("results = {}\n", "results = {}  # by seed\n"),
        ("range(profile.pick(", "range(\n    profile.pick("),
        ('"""Train once."""', '"""Train a network."""'),
        ('print("begins")', 'print("starts")'),
        ('"too short"', '"too few epochs"'),
        ('title="Curves"', 'title="Learning curves"'),
        ("draw(histories)\n", ""),
        ("shown = 5", "shown = 6"),
        ("epochs = profile.pick(smoke=1, quick=2", "epochs = profile.pick(smoke=2, quick=4"),
        ("epochs=epochs, callbacks", 'epochs=epochs, progress="line", callbacks'),
        ("answer = training.fit(...)", "answer = training.fit()"),
        ("import augmentation, dashboards", "import augmentation, callbacks, dashboards"),
    ],
)
def test_what_is_only_told_or_shown_leaves_a_record_fresh(source, old, new):
    before = experiments.fingerprint(source, "full")
    assert changed(source, old, new) == before


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("full=3)\nseeds", "full=4)\nseeds", "epochs = 4"),
        ("patience = 4", "patience = 5", "class Stop(training.Callback):"),
        ("flip()", "flip(0.1)", "changes.append(augmentation.flip(0.1))"),
        ("changes.append(augmentation.flip())\n", "", None),
        ("zip(model.variables, weights", "zip(model.variables, 2 * weights", "def start("),
        ("start(model, [1, 2])", "start(model, [1, 3])", "start(model, [1, 3])"),
        ("return run.history", "return dict(run.history)", "def later(run):"),
        ("results[seed] = run", "results[seed] = run.history", "def train(model, seed):"),
        ("best = max(", "best = min(", "best = min("),
        ('records.note("02_best"', 'records.note("02_worst"', "records.note('02_worst'"),
    ],
)
def test_a_change_of_an_experiment_is_told(source, old, new, told):
    notebook = NOTEBOOK.replace("data, name=", "data, changes, name=")
    source.write_text(notebook, encoding="utf-8")
    record = {"notebook": "02_small", "profile": "full"}
    record["experiments"] = experiments.fingerprint(source, "full")
    assert experiments.why_stale(record, source) is None
    source.write_text(notebook.replace(old, new), encoding="utf-8")
    reason = experiments.why_stale(record, source)
    assert reason.startswith("The full record of 02_small is stale: `")
    assert (told in reason) if told else reason.endswith("` is gone in this form.")


def test_each_profile_has_its_own_experiments(source):
    full = experiments.fingerprint(source, "full")
    assert len([entry for entry in full if entry.endswith(" epochs = 3")]) == 1
    assert experiments.fingerprint(source, "quick") != full
    assert changed(source, "quick=2", "quick=3") == full
    assert experiments.fingerprint(source, "quick")[0] == full[0], "the import is the same"


def test_a_record_without_a_fingerprint_or_a_notebook_is_stale(source):
    record = {"notebook": "02_small", "profile": "quick"}
    assert "made before records kept" in experiments.why_stale(record, source)
    assert "there is no such notebook" in experiments.why_stale(record, None)


def test_the_same_experiments_are_found_whatever_python_makes_of_quotes(source):
    entries = experiments.fingerprint(source, "full")
    other = [entry.replace('"', "'").replace("'", '"') for entry in entries]
    record = {"notebook": source.stem, "profile": "full", "experiments": other}
    assert experiments.why_stale(record, source) is None


def test_a_name_within_a_comprehension_is_not_the_one_outside():
    used, bound = experiments._names(
        ast.parse("many = [run + other for run in [run, rest] for other in run]").body[0]
    )
    assert used == {"run", "rest"}
    assert bound == {"many"}


def test_another_order_of_statements_is_told(source):
    record = {"notebook": "02_small", "profile": "full"}
    record["experiments"] = experiments.fingerprint(source, "full")
    changed(source, "epochs = profile.pick(smoke=1, quick=2, full=3)\n", "")
    source.write_text(
        source.read_text().replace("data = datasets", "epochs = 3\ndata = datasets"),
        encoding="utf-8",
    )
    assert experiments.why_stale(record, source).endswith("its statements come in another order.")


def test_records_are_marked_as_stale_and_the_mark_is_checked(source, monkeypatch, capsys):
    monkeypatch.setattr(pairing, "sources", lambda: [source])
    monkeypatch.setenv("COURSE_RESULTS_DIR", str(source.parent))
    record = {"notebook": "02_small", "profile": "full"}
    record["experiments"] = experiments.fingerprint(source, "full")
    path = source.with_suffix(".json")
    path.write_text(json.dumps(record), encoding="utf-8")
    assert experiments.main(["--check"]) == 0

    changed(source, "patience = 4", "patience = 5")
    assert experiments.main(["--check"]) == 1
    out = capsys.readouterr().out
    assert "was not recorded in this form. `make record NB=02` makes it anew." in out
    assert "The mark `stale` is wrong in 02_small.json" in out
    assert experiments.main([]) == 0 and experiments.main(["--check"]) == 0
    assert "class Stop" in json.loads(path.read_text())["stale"]

    source.write_text(NOTEBOOK, encoding="utf-8")
    assert experiments.main(["--check"]) == 1
    assert experiments.main([]) == 0
    assert json.loads(path.read_text()) == record


@pytest.mark.parametrize("path", pairing.sources(), ids=lambda path: path.stem)
def test_every_notebook_has_experiments_and_leaves_its_plots_out(path):
    lines = [entry[13:] for entry in experiments.fingerprint(path, "full")]
    assert any(line.startswith(("records.note", "for ")) for line in lines)
    shown = ("dashboards.compare_runs(", "dashboards.line_plot(", "exercises.quiz(")
    assert not [line for line in lines if line.startswith(shown)]
