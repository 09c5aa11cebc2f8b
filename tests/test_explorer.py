"""The plot and table of all runs: what they hold, and what the frontier is."""

import json
import math
import re

import pytest
from made_up import judged, runs, store, store_race

from tools import explorer


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_RESULTS_DIR", str(tmp_path))
    return tmp_path


def point(experiment, seen, accuracy, profile="full"):
    return {"experiment": experiment, "seen": seen, "accuracy": accuracy, "profile": profile}


def test_full_runs_quick_runs_and_the_race_are_listed(folder):
    store(folder, "03_dropout", runs("03_simple", [0.6, 0.7]) + judged("03_simple", [0.58]))
    store(folder / "quick", "03_dropout", runs("03_simple", [0.4]), profile="quick")
    store_race(folder, _90=[0.89])
    listed = [(row["experiment"], row["profile"], row["accuracy"]) for row in explorer.rows()]
    assert listed == [
        ("03 simple", "full", 60.0),
        ("03 simple", "full", 70.0),
        ("09 race to 90 %", "full", 89.0),
        ("03 simple", "quick", 40.0),
    ]
    first, second, race, _ = explorer.rows()
    assert first["test"] == pytest.approx(58.0)
    assert math.isnan(second["test"])
    assert (first["seen"], race["seen"]) == (2 * 45_000, 6 * 50_000)


def test_a_stale_record_is_not_shown(folder):
    store(folder, "03_dropout", runs("03_simple", [0.6]), stale="changed")
    assert explorer.rows() == []


def test_a_run_without_validation_is_judged_on_test_images(folder):
    entries = runs("07_digits", [0.0], history={"loss": [1.0]})
    entries += runs("07_photos", [0.0], history={"loss": [None], "val_accuracy": [None]})
    store(folder, "07_shap_explanations", entries + judged("07_digits", [0.99]))
    tested, untested = explorer.rows()
    assert (tested["accuracy"], tested["on"], tested["data"]) == (99.0, "test", "MNIST")
    assert math.isnan(untested["accuracy"])
    assert explorer.frontier([untested]) == []


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        ({"name": "sgd", "learning_rate": 0.01}, "sgd at 0.01"),
        ({"name": "sgd", "learning_rate": {"class_name": "OneCycle"}}, "sgd, schedule OneCycle"),
        ({"name": "not recorded"}, "not recorded"),
    ],
)
def test_the_optimizer_is_named_with_its_rate(folder, optimizer, said):
    store(folder, "04_rates", runs("04_one_cycle", [0.6], optimizer=optimizer))
    (row,) = explorer.rows()
    assert (row["optimizer"], row["rate"]) == (optimizer["name"], said)


def test_settings_are_listed_as_far_as_they_are_recorded(folder):
    known = {"transforms": ["flip", "shift"], "callbacks": [], "model": "2 Dense"}
    (new,) = runs("03_new", [0.6], **known)
    store(folder, "03_dropout", [new, *runs("03_old", [0.6])])
    listed = [[row[key] for key in known] for row in explorer.rows()]
    assert listed == [["flip, shift", "none", "2 Dense"], ["not recorded"] * 3]


def test_the_frontier_goes_through_means_that_nothing_cheaper_beats():
    shown = [
        *[point("lucky", 100, accuracy) for accuracy in (95.0, 35.0)],
        point("cheap", 50, 60.0),
        point("as cheap", 50, 59.0),
        point("dear", 200, 70.0),
        point("dearer", 300, 70.0),
        point("dear", 20, 40.0, "quick"),
    ]
    ahead = [
        (each["experiment"], each["seen"], each["accuracy"]) for each in explorer.frontier(shown)
    ]
    assert ahead == [
        ("dear", 20, 40.0),
        ("cheap", 50, 60.0),
        ("lucky", 100, 65.0),
        ("dear", 200, 70),
    ]


def test_first_the_full_runs_on_cifar10_are_shown_and_told_in_words(folder):
    store(folder, "03_dropout", runs("03_simple", [0.6, 0.7]))
    store(folder / "quick", "03_dropout", runs("03_simple", [0.9]), profile="quick")
    store_race(folder, mnist=[0.99])
    assert len(explorer.at_first(explorer.rows())) == 2
    assert explorer.description().endswith("03 simple, 65.0 % after 90,000 images.")


def test_what_the_write_ups_reported_is_drawn_where_its_epochs_are_known():
    rows = {row["experiment"]: row for row in explorer.source_rows()}
    assert rows["S4, VGG-style network, augmentation"]["seen"] == 85 * 50_000
    assert rows["S2, simple network"]["accuracy"] == pytest.approx(68.88)
    assert not any("linear" in name for name in rows)


@pytest.mark.parametrize("entries", [[], runs("03_simple", [0.6, 0.7])])
def test_the_fragment_stands_alone_with_or_without_records(folder, entries):
    store(folder, "03_dropout", entries)
    fragment = explorer.fragment()
    assert "http" not in fragment
    (item,) = re.findall(r"embed_item\((.*)\);", fragment)
    models = json.dumps(json.loads(item.replace("<\\/", "</")))
    for needed in ("DataTable", "HoverTool", "CustomJS", "LogScale"):
        assert f'"name": "{needed}"' in models
    assert models.count('"name": "Select"') == len(explorer.FILTERS)
    assert ("No run is recorded yet" in fragment) == (not entries)
