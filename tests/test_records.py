import json
import os
from pathlib import Path

import pytest

from course_utils import records
from tools import guide, record, run_notebooks

RUN = {
    "name": "02_simple_cnn_0",
    "seed": 0,
    "epochs": 2,
    "history": {"loss": [1.5, 1.23456789], "accuracy": [0.4, 0.5], "val_accuracy": [0.4, 0.61]},
    "seconds": 3.14159,
    "read_back": True,
    "train_images": 900,
    "validation_images": 100,
}


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


def test_recorded_finds_a_run_by_its_name(results):
    stored(results, [RUN])
    assert records.recorded("02_simple_cnn_0") == RUN["history"]
    assert records.recorded("02_simple_cnn_7") is None


def test_a_copy_without_records_has_none(results):
    assert records.recorded("02_simple_cnn_0") is None
    assert list(records.recorded_runs()) == []


def test_experiments_gather_the_seeds_of_a_run():
    names = ["02_cnn_0", "02_cnn_1", "03_deep_seed0", "03_deep_seed12", "04_rate"]
    gathered = records.experiments([{"name": name} for name in names])
    assert {name: len(runs) for name, runs in gathered.items()} == {
        "02_cnn": 2,
        "03_deep": 2,
        "04_rate": 1,
    }


def test_a_record_holds_runs_and_stamps(monkeypatch, tmp_path):
    def execute(source, profile):
        Path(os.environ["COURSE_RECORD"]).write_text(json.dumps(RUN) + "\n", encoding="utf-8")
        return None, run_notebooks.Execution(key="k", seconds=12.34, memory_mib=1000)

    monkeypatch.setattr(run_notebooks, "execute", execute)
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    target = record.record(Path("02_baseline.py"), "full", "a remark")
    content = json.loads(target.read_text(encoding="utf-8"))
    assert target == tmp_path / "02_baseline.json"
    assert content["runs"][0]["history"]["loss"] == [1.5, 1.23457]
    assert content["notebook_seconds"] == 12.3 and content["peak_memory_mib"] == 1000
    assert content["read_back_seconds"] == 3.1 and content["remark"] == "a remark"
    assert content["versions"]["keras"] and content["hardware"]["cores"] >= 1
    assert content["data"]["mnist"]["x_test"] and content["revision"]
    assert "COURSE_RECORD" not in os.environ


def test_stand_in_data_is_never_recorded():
    with pytest.raises(SystemExit, match="is a stand-in here"):
        record.check_data()


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
