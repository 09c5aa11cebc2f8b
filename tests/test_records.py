import copy
import json
import math
import os
import subprocess
from pathlib import Path

import jsonschema
import made_up
import numpy as np
import pytest
from nbclient.exceptions import CellTimeoutError

from course_utils import records
from tools import experiments, guide, record, run_notebooks

SCHEMA = json.loads((record.RESULTS / "schema.json").read_text(encoding="utf-8"))
FILES = sorted(set(record.RESULTS.rglob("*.json")) - {record.RESULTS / "schema.json"})
RUN = {
    "name": "02_simple_cnn_0",
    "seed": 0,
    "epochs": 2,
    "history": {"loss": [1.5, 1.23456789], "accuracy": [0.4, 0.5], "val_accuracy": [0.4, 0.61]},
    "seconds": 3.14159,
    "seconds_before": 3.14159,
    "read_back": True,
    "train_images": 900,
    "validation_images": 100,
    "batch_size": 50,
    "model": "2 Dense",
    "parameters": 12,
    "optimizer": {"name": "SGD", "learning_rate": 0.01},
    "transforms": ["flip"],
    "callbacks": [],
    "settings": "0" * 64,
    "keras": "3.15.0",
    "backend": "tensorflow",
    "device": "cpu:0",
    "peak_memory_mib": 900,
}
TEST = {"name": "02_simple_cnn_0", "seed": 0, "correct": 60, "images": 100}
NOTE = {"name": "02_best", "seed": 0, "figures": {"accuracy": 0.123456789}}


def stored(folder, runs, **changed):
    """Write a record as `make record` does."""
    content = {
        "notebook": "02_baseline",
        "profile": "quick",
        "recorded": "2020-01-02",
        "hardware": {"processor": "A processor", "cores": 2, "memory_gib": 8.0},
        "versions": {"python": "3.11.0", "keras": "3.15.0"},
        "notebook_seconds": 60.0,
        "read_back_seconds": 30.0,
        "remark": "",
        "peak_memory_mib": 1234,
        "runs": runs,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "02_baseline.json").write_text(json.dumps(content | changed), encoding="utf-8")


@pytest.fixture
def results(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_RESULTS_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A notebook that is not run: it leaves the lines that `lines` holds."""
    lines = [RUN, TEST, NOTE]

    def execute(source, profile):
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        Path(os.environ["COURSE_RECORD"]).write_text(text, encoding="utf-8")
        return None, run_notebooks.Execution(key="k", seconds=12.34, memory_mib=1000)

    monkeypatch.setattr(run_notebooks, "execute", execute)
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    source = tmp_path / "02_baseline.py"
    source.write_text("# %%\nepochs = 2\ntraining.fit(epochs)\n", encoding="utf-8")
    return source, lines


# --- What notebooks read --------------------------------------------------------------------------


def test_recorded_finds_a_run_by_its_name(results):
    stored(results, [RUN])
    assert records.recorded("02_simple_cnn_0") == RUN["history"]
    assert records.recorded("02_simple_cnn_7") is None


def test_a_copy_without_records_has_none(results):
    assert records.recorded("02_simple_cnn_0") is None
    assert list(records.recorded_runs()) == records.tested("02_cnn") == records.noted("02") == []


def test_a_stale_record_counts_as_none(results):
    entries = [*made_up.runs("02_cnn", [0.5]), *made_up.judged("02_cnn", [0.4])]
    entries += made_up.notes("02_cnn", gap=[0.1])
    made_up.store(results, "02_baseline", entries)
    assert records.recorded("02_cnn_seed0") and records.tested("02_cnn") and records.noted("02_cnn")
    made_up.store(results, "02_baseline", entries, stale="The record is stale: it is old.")
    assert records.recorded("02_cnn_seed0") is None
    assert records.tested("02_cnn") == records.noted("02_cnn") == []
    assert records.summary({"a network": "02_cnn"}).startswith("No full run")


def test_what_was_no_number_is_read_as_none(results):
    stored(results, [RUN | {"history": {"loss": [2.0, None]}}])
    first, last = records.recorded("02_simple_cnn_0")["loss"]
    assert first == 2.0 and math.isnan(last)


def test_experiments_gather_the_seeds_of_a_run():
    names = ["02_cnn_0", "02_cnn_1", "03_deep_seed0", "03_deep_seed12", "04_rate"]
    gathered = records.experiments([{"name": name} for name in names])
    assert {name: len(runs) for name, runs in gathered.items()} == {
        "02_cnn": 2,
        "03_deep": 2,
        "04_rate": 1,
    }


def test_the_summary_says_what_is_on_record(results):
    entries = [
        *made_up.runs("02_cnn", [0.6, 0.7]),
        *made_up.judged("02_cnn", [0.58, 0.62]),
        *made_up.runs("02_deep", [0.75, 0.8]),
        *made_up.notes("02_lucky", highest_of_ten=[0.9]),
    ]
    made_up.store(results, "02_baseline", entries)
    wanted = {"small": "02_cnn", "deep": "02_deep", "lucky": "02_lucky", "lost": "02_lost"}
    assert records.summary(wanted).splitlines() == [
        "On record, in the full profile; the mean over seeds (lowest to highest):",
        "- small, 2 seeds: validation accuracy 65.0% (60.0% to 70.0%), "
        "test accuracy 60.0% (58.0% to 62.0%)",
        "- deep, 2 seeds: validation accuracy 77.5% (75.0% to 80.0%)",
        "- lucky, 1 seed: highest of ten 0.9",
        "- not on record: 1 experiment",
        "Highest on validation images: deep, 12.5 points above small; their ranges do not overlap.",
    ]
    assert records.summary({"lost": "02_lost"}).startswith("No full run of these experiments")


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        ([0.7, 0.5], [0.6, 0.55], "their ranges overlap."),
        ([0.7], [0.6, 0.5], "one seed cannot tell whether more than chance explains it."),
    ],
)
def test_the_summary_does_not_claim_more_than_the_seeds_show(results, first, second, verdict):
    entries = made_up.runs("02_first", first) + made_up.runs("02_second", second)
    made_up.store(results, "02_baseline", entries)
    said = records.summary({"one": "02_first", "other": "02_second"})
    assert said.endswith(verdict)


# --- What notebooks note --------------------------------------------------------------------------


def test_notes_and_test_figures_become_plain_numbers(monkeypatch, tmp_path):
    lines = tmp_path / "lines"
    monkeypatch.setenv("COURSE_RECORD", str(lines))
    records.note("02_gap", seed=np.int64(1), gap=np.float32(0.5))
    records.note_test("02_cnn", seed=0, correct=np.int64(7), images=10)
    assert [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()] == [
        {"name": "02_gap", "seed": 1, "figures": {"gap": 0.5}},
        {"name": "02_cnn", "seed": 0, "correct": 7, "images": 10},
    ]


@pytest.mark.parametrize("correct", [-1, 11])
def test_an_impossible_test_figure_is_told_even_without_a_record(correct):
    with pytest.raises(ValueError, match=f"^{correct} correct of 10 test images is impossible"):
        records.note_test("02_cnn", seed=0, correct=correct, images=10)


# --- Recording ------------------------------------------------------------------------------------


def test_a_record_holds_runs_and_stamps(small, tmp_path):
    source, _ = small
    target = record.record(source, "full", "a remark")
    content = json.loads(target.read_text(encoding="utf-8"))
    assert target == tmp_path / "02_baseline.json"
    (run,) = content["runs"]
    assert run["history"]["loss"] == [1.5, 1.23457]
    assert run["final"]["train_accuracy"] == 0.5
    assert run["final"]["validation_accuracy"] == 0.61
    assert run["final"]["validation_interval"] == pytest.approx([0.512, 0.700], abs=0.001)
    (test,) = content["tests"]
    assert test["accuracy"] == 0.6 and test["interval"] == pytest.approx([0.502, 0.691], abs=0.001)
    assert content["notes"] == [NOTE | {"figures": {"accuracy": 0.123457}}]
    assert [entry[13:] for entry in content["experiments"]] == [
        "epochs = 2",
        "training.fit(epochs)",
    ]
    assert content["notebook_seconds"] == 12.3 and content["peak_memory_mib"] == 1000
    assert content["read_back_seconds"] == 3.1 and content["remark"] == "a remark"
    assert content["versions"]["keras"] and content["hardware"]["cores"] >= 1
    assert content["data"]["mnist"]["x_test"] and content["revision"]
    assert "COURSE_RECORD" not in os.environ
    assert complaints(content) == []


def test_a_copy_without_a_revision_is_refused_before_anything_runs(small, monkeypatch, tmp_path):
    source, _ = small
    monkeypatch.setattr(record, "ROOT", tmp_path)
    monkeypatch.setattr(run_notebooks, "execute", lambda *_: pytest.fail("it was run"))
    with pytest.raises(ValueError, match="git cannot name the revision.*in a clone of the course"):
        record.record(source, "quick")


def test_epochs_of_an_earlier_start_count_in_the_time_of_a_notebook(small):
    source, lines = small
    lines[0] = RUN | {"seconds_before": 2.0, "read_back": False}
    content = record.measure(source, "quick")
    assert content["read_back_seconds"] == 2.0
    assert "seconds_before" not in content["runs"][0]


def test_a_run_that_was_read_back_in_the_same_notebook_is_kept_once(small):
    source, lines = small
    other = RUN | {"settings": "1" * 64}
    lines += [RUN, other]
    assert [run["settings"] for run in record.measure(source, "full")["runs"]] == [
        RUN["settings"],
        other["settings"],
    ]


def test_a_diverged_run_leaves_a_record_that_can_be_read(small, monkeypatch):
    source, lines = small
    lines[:] = [RUN | {"history": {"loss": [2.0, math.nan], "accuracy": [0.1, 0.1]}}]
    target = record.record(source, "full")
    content = json.loads(target.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert content["runs"][0]["history"]["loss"] == [2.0, None]
    monkeypatch.setenv("COURSE_RESULTS_DIR", str(target.parent))
    assert math.isnan(records.recorded(RUN["name"])["loss"][-1])


def test_runs_of_two_machines_are_never_mixed(small, monkeypatch):
    source, _ = small
    record.measure(source, "full")
    record.measure(source, "full")
    elsewhere = {"processor": "Another", "cores": 8, "memory_gib": 64.0, "gpus": ["A GPU"]}
    monkeypatch.setattr(record, "hardware", lambda: elsewhere)
    with pytest.raises(ValueError, match="this is Another with A GPU, and a record never mixes"):
        record.measure(source, "full")


def test_a_notebook_that_stops_keeps_the_next_from_nothing(small, monkeypatch, capsys):
    def stopped(source, *_):
        tried.append(source.stem[:2])
        raise CellTimeoutError("a cell took too long", 1, "cell")

    tried = []
    monkeypatch.setattr(record, "check_data", lambda: None)
    monkeypatch.setattr(record, "record", stopped)
    assert record.main(["02", "03"]) == 1
    assert tried == ["02", "03"]
    assert "what was trained is kept" in capsys.readouterr().out


@pytest.mark.parametrize(("status", "gpus"), [(0, ["One", "Two"]), (9, [])])
def test_gpus_are_those_that_the_driver_names(monkeypatch, status, gpus):
    done = subprocess.CompletedProcess([], status, "One\nTwo\n")
    monkeypatch.setattr(record.shutil, "which", lambda name: name)
    monkeypatch.setattr(record.subprocess, "run", lambda *_, **__: done)
    assert record.hardware().get("gpus", []) == gpus


def test_stand_in_data_is_never_recorded():
    with pytest.raises(SystemExit, match="is a stand-in here"):
        record.check_data()


# --- The schema -----------------------------------------------------------------------------------


def complaints(content, definition=None):
    """Return what the schema says against the content of a file in results/."""
    schema = SCHEMA
    if definition:
        schema = {"$ref": f"#/$defs/{definition}", "$defs": SCHEMA["$defs"]}
    found = jsonschema.Draft202012Validator(schema).iter_errors(content)
    return [f"{list(error.path)}: {error.message}" for error in found]


def definition_of(path):
    """Return the name of the definition that describes a file; None for a notebook's record."""
    if path.parent.name == "reliability":
        return "reliability"
    return None if path.name[:2].isdigit() else path.stem


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(record.RESULTS)))
def test_every_file_of_results_is_as_the_schema_says(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    assert complaints(content, definition_of(path)) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(record.RESULTS)))
def test_a_file_that_lacks_a_part_is_told(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    optional = {"stale", "airbench", "tests", "notes", "experiments"}
    for key in content.keys() - optional:
        broken = {name: value for name, value in content.items() if name != key}
        assert complaints(broken, definition_of(path)), f"{path.name} without {key} passes"


BREAKS = {
    "a number as a text": lambda content: content["runs"][0]["history"].update(loss=["1.5"]),
    "an accuracy in percent": lambda content: content["tests"][0].update(accuracy=60.0),
    "half an interval": lambda content: content["tests"][0].update(interval=[0.5]),
    "no interval": lambda content: content["runs"][0]["final"].pop("validation_interval"),
    "no optimizer": lambda content: content["runs"][0].pop("optimizer"),
    "no memory": lambda content: content["runs"][0].pop("peak_memory_mib"),
    "no checksums": lambda content: content["data"].pop("cifar10"),
    "no backend": lambda content: content["runs"][0].pop("backend"),
    "a name without a number": lambda content: content["notes"][0].update(name="best"),
    "a note of nothing": lambda content: content["notes"][0].update(figures={}),
    "an unknown key": lambda content: content.update(note="a slip"),
    "a branch as revision": lambda content: content.update(revision="main"),
    "no experiments": lambda content: content.pop("experiments"),
    "no tests": lambda content: content.pop("tests"),
    "no runs": lambda content: content.update(runs=[]),
}


@pytest.mark.parametrize("what", BREAKS)
def test_a_broken_record_is_told(small, what):
    source, _ = small
    content = record.measure(source, "full")
    assert complaints(content) == []
    broken = copy.deepcopy(content)
    BREAKS[what](broken)
    assert complaints(broken), f"a record with {what} passes"


# --- Where records are shown ----------------------------------------------------------------------


def test_every_stale_record_of_the_course_is_marked():
    assert experiments.main(["--check"]) == 0


def test_guide_announces_stale_records(results):
    stored(results / "quick", [RUN])
    assert "Stale" not in guide.times() + guide.expected()
    stored(results / "quick", [RUN], stale="It is old.")
    assert "Stale, quick, 02: recorded before a change." in guide.times()
    assert "Stale, quick, 02: recorded before a change." in guide.expected()


def test_guide_states_the_widest_interval_of_all_seeds(results):
    other = RUN | {"name": "02_simple_cnn_1", "history": {"loss": [1], "val_accuracy": [0.7]}}
    stored(results / "quick", [RUN, other])
    assert "| `02_simple_cnn` | 2 | 2 | 65.5 % | 51 to 78 % |" in guide.expected()


def test_guide_takes_minutes_from_records(results):
    stored(results / "quick", [RUN])
    table = guide.times()
    assert "| 02_baseline | 60 s | 1.5 min | not recorded |" in table
    assert "| 01_exploration | 60 s | not recorded |" in table
    assert "Remark" not in table
    stored(results / "quick", [RUN], remark="a busy machine.")
    assert "Remark, quick, 02: a busy machine." in guide.times()
    assert "Measured, quick: A processor, 2 core(s), Python 3.11.0, Keras 3.15.0" in table


def test_guide_names_what_did_not_hold_and_what_was_not_measured(results):
    stored(results / "quick", [RUN], peak_memory_mib=None)
    small = {"hardware": {"processor": "A", "cores": 1}, "versions": {"python": "3", "keras": "3"}}
    small |= {"recorded": "2026-01-01", "seconds": 60.0, "held": False}
    content = json.dumps({"notebooks": {"02_baseline": small}})
    (results / "small_machine.json").write_text(content, encoding="utf-8")
    (row,) = (line for line in guide.times().splitlines() if line.startswith("| 02_baseline "))
    assert "| did not hold |" in row and row.endswith("| not measured |")


def test_filling_the_guide_twice_changes_nothing(results):
    stored(results / "quick", [RUN])
    text = "before\n<!-- table:times -->\nold\n<!-- /table -->\nafter\n"
    once = guide.filled(text)
    assert "old" not in once and once.startswith("before\n") and once.endswith("after\n")
    assert guide.filled(once) == once


def test_guide_agrees_with_the_records_of_the_course():
    text = guide.GUIDE.read_text(encoding="utf-8")
    assert text.count("<!-- table:") == len(guide.TABLES)
    assert guide.filled(text) == text
