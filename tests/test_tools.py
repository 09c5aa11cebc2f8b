"""The checks themselves can fail: each is shown a course with one fault."""

import ast
import json
import re
import subprocess
import sys
import textwrap
import threading
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from course_utils import datasets, profiles, records
from tools import check_notebooks, nbval_budget, pairing, pins, run_notebooks

ROOT = Path(__file__).resolve().parents[1]
HEADER = (ROOT / "notebooks" / "03_dropout.py").read_text(encoding="utf-8").split("# %%")[0]


def write_notebook(folder, *cells, name="02_small.py"):
    folder.mkdir(exist_ok=True)
    source = folder / name
    code = [f"# %%\n{textwrap.dedent(cell).strip()}" for cell in cells]
    text = "\n\n".join([HEADER + "# %% [markdown]\n# # A title", *code])
    source.write_text(text + "\n", encoding="utf-8")
    return source


@pytest.fixture
def course(tmp_path, monkeypatch):
    """An empty course that the tools look at in place of the real one."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.setattr(pairing, "NOTEBOOKS", folder)
    monkeypatch.setattr(check_notebooks, "EXPECTED", tmp_path / "expected")
    monkeypatch.setattr(run_notebooks, "BUILD", tmp_path / "build")
    monkeypatch.setattr(check_notebooks, "ROOT", ROOT)
    return folder


# --- pairing --------------------------------------------------------------------------------------


def test_a_synced_course_has_no_differences(course):
    write_notebook(course, "1 + 1", "# a comment\nprint('two')")
    pairing.sync(pairing.sources())
    assert pairing.differences(pairing.sources()) == []


def test_a_pair_out_of_sync_is_named(course):
    source = write_notebook(course, "1 + 1")
    pairing.sync([source])
    write_notebook(course, "1 + 2")
    assert pairing.differences(pairing.sources()) == [
        "02_small.ipynb differs from 02_small.py: edit the .py file and run `make sync`."
    ]
    assert pairing.main(["check"]) == 1


def test_a_notebook_with_outputs_is_named(course):
    source = write_notebook(course, "1 + 1")
    pairing.sync([source])
    path = source.with_suffix(".ipynb")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].outputs = [nbformat.v4.new_output("stream", text="2")]
    nbformat.write(notebook, path)
    assert len(pairing.differences(pairing.sources())) == 1


def test_a_missing_and_an_orphaned_notebook_are_named(course):
    write_notebook(course, "1 + 1")
    nbformat.write(nbformat.v4.new_notebook(), course / "09_orphan.ipynb")
    missing, data, orphan = pairing.differences(pairing.sources())
    assert "02_small.ipynb is missing" in missing
    assert "exercise_data/02.json" in data
    assert "09_orphan.ipynb has no .py source" in orphan


def test_cell_ids_survive_an_edit_and_an_insertion(course):
    source = write_notebook(course, "first = 1", "second = 2", "third = 3")
    pairing.sync([source])
    before = [cell.id for cell in pairing.generate(source).cells]
    write_notebook(course, "first = 1", "second = 20", "third = 3", "fourth = 4")
    after = [cell.id for cell in pairing.generate(source).cells]
    assert after[:-1] == before
    assert len(set(after)) == len(before) + 1


def test_the_course_itself_is_in_sync():
    assert pairing.differences(pairing.sources()) == []


# --- what all notebooks keep to -------------------------------------------------------------------


def code_cells(source):
    """Return what a reader sees of a notebook: each code cell, parsed, with its tags."""
    cells = [cell for cell in pairing.generate(source).cells if cell.cell_type == "code"]
    tagged = [(cell.source, cell.metadata.get("tags", [])) for cell in cells]
    return [(ast.parse(code), tags) for code, tags in tagged if "colab" not in tags]


def complete(source):
    """Return all code that a reader sees as one tree: what comes later has a larger line number."""
    return ast.parse("\n".join(ast.unparse(tree) for tree, _ in code_cells(source)))


def found(tree, kind):
    return [node for node in ast.walk(tree) if isinstance(node, kind)]


def calls(tree, *names):
    return [c for c in found(tree, ast.Call) if ast.unparse(c.func).split(".")[-1] in names]


every_notebook = pytest.mark.parametrize("source", pairing.sources(), ids=lambda path: path.stem)


@every_notebook
def test_test_images_are_seen_in_the_marked_cells_only(source):
    for tree, tags in code_cells(source):
        counted = [argument for call in calls(tree, "len") for argument in call.args]
        images = [node for node in found(tree, ast.Attribute) if node.attr == "x_test"]
        assert "test-set" in tags or all(node in counted for node in images), ast.unparse(tree)


@every_notebook
def test_once_the_training_images_are_divided_only_the_parts_are_used(source):
    tree, divided = complete(source), {}
    for call in calls(tree, "train_validation_split"):
        for argument in call.args:
            divided.setdefault(ast.unparse(argument), call.lineno)
    used = [(ast.unparse(node), node.lineno) for node in found(tree, ast.Attribute)]
    late = [name for name, line in used if line > divided.get(name, line)]
    assert divided and not late, f"validation images are in {late}, too"


@every_notebook
def test_nothing_has_a_fixed_seed_where_seeds_vary(source):
    def binds_seed(node):
        if isinstance(node, ast.FunctionDef):
            return "seed" in [argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)]
        loops = [node] if isinstance(node, ast.For) else getattr(node, "generators", [])
        return "seed" in [name.id for loop in loops for name in found(loop.target, ast.Name)]

    for node in filter(binds_seed, ast.walk(complete(source))):
        seeds = [keyword.value for keyword in found(node, ast.keyword) if keyword.arg == "seed"]
        fixed = [seed for seed in seeds if isinstance(seed, ast.Constant)]
        assert not fixed, ast.unparse(node)


@every_notebook
def test_training_images_never_choose_an_epoch_or_a_rate(source):
    for call in calls(complete(source), "EarlyStopping", "ReduceLROnPlateau", "ModelCheckpoint"):
        settings = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if settings.get("save_best_only") == "True" or "ModelCheckpoint" not in ast.unparse(call):
            monitor = settings.get("monitor") or ast.unparse(call.args[0])
            assert monitor not in ("'loss'", "'accuracy'"), ast.unparse(call)


# --- nbval ----------------------------------------------------------------------------------------


def run_nbval(course, *cells, expected=None):
    source = write_notebook(course, *cells)
    pairing.sync([source])
    if expected is not None:
        check_notebooks.EXPECTED.mkdir()
        identifier = next(c.id for c in pairing.generate(source).cells if "NBVAL" in c.source)
        output = {"output_type": "stream", "name": "stdout", "text": expected}
        target = check_notebooks.EXPECTED / f"{source.stem}.json"
        target.write_text(json.dumps({identifier: [output]}))
    return check_notebooks.check([source], None, workers=0)


def test_a_sound_notebook_passes_and_its_cost_is_printed(course, capfd):
    marked = "# NBVAL_CHECK_OUTPUT\nprint('same')"
    assert run_nbval(course, "1 + 1", marked, expected="same\n") == 0
    assert re.search(r"02_small +\d+\.\d s \(budget \d+ s\) +\d+ MiB", capfd.readouterr().out)


def test_a_notebook_that_raises_fails_and_names_the_cell(course, capfd):
    assert run_nbval(course, "1 + 1", "raise RuntimeError('broken on purpose')") == 1
    output = capfd.readouterr().out
    assert "Cell 2" in output  # after the one for Colab
    assert "broken on purpose" in output


def test_a_notebook_that_warns_fails(course, capfd):
    assert run_nbval(course, "import warnings", "warnings.warn('for nobody', stacklevel=2)") == 1
    assert "UserWarning" in capfd.readouterr().out


def test_an_output_that_changed_fails(course, capfd):
    assert run_nbval(course, "# NBVAL_CHECK_OUTPUT\nprint('new')", expected="old\n") == 1
    assert "old" in capfd.readouterr().out


def test_a_notebook_over_its_memory_budget_fails(course, monkeypatch, capfd):
    hungry = "block = bytearray(300 << 20)\nblock[::4096] = b'x' * len(block[::4096])"
    source = write_notebook(course, hungry, name="98_hungry.py")
    plugin = course.parent / "budget.py"
    plugin.write_text(
        "from course_utils import profiles\n"
        "profiles.BUDGETS['98'] = profiles.Budget(1, 1, 1, memory_mib=200)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(course.parent))
    monkeypatch.setenv("PYTEST_PLUGINS", "budget")
    assert check_notebooks.check([source], None, workers=1) == 1
    assert "98_hungry: peak memory" in capfd.readouterr().out


def test_a_marked_cell_without_an_expected_output_is_an_error(course):
    source = write_notebook(course, "# NBVAL_CHECK_OUTPUT\n1 + 1")
    with pytest.raises(KeyError, match="make expected"):
        check_notebooks.check([source], None, workers=0)


def test_recorded_outputs_pass_the_check(course):
    source = write_notebook(course, "# NBVAL_CHECK_OUTPUT\nprint(sum(range(10)))\n'last'")
    check_notebooks.record(source)
    assert check_notebooks.check([source], None, workers=0) == 0


def test_real_data_comes_first_and_stand_ins_know_nothing_of_it(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    assert list(check_notebooks.data_folders().items()) == [("real", tmp_path), ("stand-in", None)]
    variables = check_notebooks.environment(None, tmp_path)
    assert "COURSE_DATA_DIR" not in variables
    assert variables["COURSE_OFFLINE"] == "1"
    assert variables["KERAS_HOME"] == str(tmp_path / "keras")


def test_memory_of_this_process_is_measured():
    import os

    memory = records.peak_memory(os.getpid())
    assert memory is None or memory > 10
    assert nbval_budget.over_budget() == []


# --- make run -------------------------------------------------------------------------------------


def test_a_notebook_is_run_once_until_something_changes(course, capsys, monkeypatch):
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    write_notebook(course, "# a cell\nprint('hello')")
    assert run_notebooks.main(["--profile", "smoke", "02"]) == 0
    assert run_notebooks.main(["--profile", "smoke", "02"]) == 0
    assert "unchanged since it ran" in capsys.readouterr().out
    write_notebook(course, "print('hello again')")
    assert run_notebooks.main(["--profile", "smoke"]) == 0
    output = capsys.readouterr().out
    assert "unchanged" not in output
    assert "site/index.html" in output
    site = run_notebooks.BUILD / "smoke" / "site"
    assert ">hello again\n<" in (site / "02_small.html").read_text(encoding="utf-8")
    assert 'href="02_small.html"' in (site / "index.html").read_text(encoding="utf-8")


def test_a_notebook_runs_again_where_there_are_other_data_or_records(
    course, capsys, monkeypatch, tmp_path
):
    def runs_again():
        assert run_notebooks.run(*course_run)
        return "unchanged" not in capsys.readouterr().out

    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))  # an empty cache
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    course_run = write_notebook(course, "1"), "smoke"
    assert runs_again() and not runs_again()
    monkeypatch.delenv("COURSE_OFFLINE")
    assert runs_again() and runs_again()  # the network may be back
    files = [tmp_path / f"{name}.npz" for name in datasets.DATASETS]
    for file in files:
        file.write_bytes(b"one")
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    assert runs_again() and not runs_again()
    files[0].write_bytes(b"another")
    assert runs_again() and not runs_again()
    monkeypatch.setenv("COURSE_RESULTS_DIR", str(tmp_path))
    assert runs_again() and not runs_again()
    (tmp_path / "02_small.json").write_text("{}")
    assert runs_again() and not runs_again()  # it shows its record
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert runs_again()


def test_two_processes_share_the_notebooks(course, capsys, monkeypatch):
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    first = write_notebook(course, "print('ran by the other one')")
    second = write_notebook(course, "print('ran by this one')", name="03_small.py")
    folder = run_notebooks.BUILD / "smoke"
    folder.mkdir(parents=True)
    taken = threading.Event()

    def other():
        with run_notebooks.lock(folder, first.stem):
            taken.set()
            deadline = time.monotonic() + 60
            while not (folder / "03_small.json").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            return run_notebooks.run(first, "smoke")

    with ThreadPoolExecutor() as pool:
        succeeded = pool.submit(other)
        assert taken.wait(60)
        assert run_notebooks.run_each([first, second], "smoke") == []
        assert succeeded.result(60)
    lines = capsys.readouterr().out.splitlines()
    (waits,) = (n for n, line in enumerate(lines) if "02_small: another process" in line)
    assert any(line.startswith("02_small: unchanged") for line in lines[waits + 1 :])


def test_a_failing_notebook_is_reported_and_run_again(course, capsys):
    write_notebook(course, "raise RuntimeError('broken on purpose')")
    assert run_notebooks.main(["--profile", "smoke"]) == 1
    output = capsys.readouterr().out
    assert "broken on purpose" in output
    assert "Failed: 02_small" in output
    write_notebook(course, "print('mended')")
    assert run_notebooks.main(["--profile", "smoke"]) == 0


@pytest.mark.parametrize("tool", [run_notebooks, check_notebooks])
def test_an_unknown_number_names_the_notebooks(course, capsys, tool):
    write_notebook(course, "1")
    with pytest.raises(SystemExit):
        tool.main(["02", "77"])
    assert "there is no notebook 77: choose from 02" in capsys.readouterr().err


# --- dependencies ---------------------------------------------------------------------------------


def pinned():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if line and not line.lstrip().startswith("#")]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def direct():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    return [Requirement(text) for text in [*project["dependencies"], *extras["cpu"], *extras["lab"],
                                           *extras["test"]]]  # fmt: skip


def test_every_range_has_an_exact_pin_inside_it_and_a_reason():
    why = pins.reasons((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    for requirement in direct():
        pin = pinned()[canonicalize_name(requirement.name)]
        (specifier,) = pin.specifier
        assert specifier.operator == "=="
        assert requirement.specifier.contains(specifier.version), pin
        assert why[requirement.name] in text, f"run `make pins`: {requirement.name} has no reason"


def test_pins_name_no_package_index():
    assert "://" not in (ROOT / "requirements.txt").read_text(encoding="utf-8")


def test_every_notebook_has_a_budget_and_starts_with_its_number():
    assert [source.stem[:2] for source in pairing.sources()] == sorted(profiles.BUDGETS)
    for source in pairing.sources():
        text = source.read_text(encoding="utf-8")
        assert f'profiles.start("{source.stem[:2]}")' in text, source.name


needs_make = pytest.mark.skipif(sys.platform == "win32", reason="the Makefile needs .venv/bin")


@needs_make
def test_make_help_lists_the_documented_targets():
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for target in ("run", "lab", "site", "slides", "test", "test-browser", "sync", "lint", "clean"):
        assert re.search(rf"^make {target} +\w", done.stdout, flags=re.MULTILINE)


@needs_make
@pytest.mark.parametrize("given", ["environment", "command line"])
@pytest.mark.parametrize(
    ("folder", "found"),
    [
        ("some/data", ROOT / "some/data"),
        ("my own/data", ROOT / "my own/data"),
        ("/my own/data", "/my own/data"),
        ("", ""),
    ],
)
def test_a_relative_data_folder_reaches_the_notebooks_as_an_absolute_one(
    monkeypatch, given, folder, found
):
    command = ["make", "--silent", "--file=-", "show"]
    if given == "environment":
        monkeypatch.setenv("COURSE_DATA_DIR", folder)
    else:
        command.append(f"COURSE_DATA_DIR={folder}")
    # Read after the Makefile; the make of macOS is too old for --eval.
    added = "include Makefile\nshow: ; @echo $$COURSE_DATA_DIR\n"
    done = subprocess.run(
        command, cwd=ROOT, input=added, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(found)


@needs_make
def test_the_makefile_refuses_an_unsuitable_python(tmp_path):
    old = tmp_path / "python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.1\nexit 1\n')
    old.chmod(0o755)
    done = subprocess.run(
        ["make", "setup", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "Python 3.9.1, but 3.11 to 3.13 is needed" in done.stdout
