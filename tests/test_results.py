"""The table of what the write-ups reported beside what is on record, from made-up records."""

import importlib.util
import re
from dataclasses import replace

import pytest
from made_up import STAMPS, judged, notes, runs, store, store_race

from tools import results


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_RESULTS_DIR", str(tmp_path))
    return tmp_path


def table():
    return results.sources_table(results.on_record())


def row(title):
    """Return the cells of an experiment's row."""
    (line,) = (line for line in table().splitlines() if f"| {title} |" in line)
    return [cell.strip() for cell in line.strip("|").split("|")]


def experiment(title):
    (found,) = (each for each in results.experiments() if each.title == title)
    return found


def store_simple(folder, accuracies, **changes):
    entries = [*runs("03_to_the_end_simple", [0.7] * len(accuracies), **changes)]
    store(folder, "03_dropout", entries + judged("03_to_the_end_simple", accuracies))


# --- The table ------------------------------------------------------------------------------------


def test_every_experiment_that_a_write_up_reported_has_a_row():
    reported = {source: len(found) for source, found in results.reported().items()}
    listed = [each.source for each in results.experiments()]
    assert {source: listed.count(source) for source in reported} == reported
    assert table().count("\n| S") == len(listed)


def test_without_records_the_table_says_so_and_shows_no_figure_of_ours():
    for line in table().splitlines():
        if line.startswith("| S"):
            status, *rest = [cell.strip() for cell in line.strip("|").split("|")][5:]
            assert status in ("not recorded yet", "no counterpart")
            assert rest == [""] * 4
    assert "Measured on" not in table()


def test_several_seeds_are_a_mean_and_a_range(folder):
    store_simple(folder, [0.70, 0.71, 0.75])
    assert row("simple network") == [
        "S2", "simple network", "68.9 %", "test, last epoch", "8",
        "03: 72.0 % (70.0 to 75.0; 3 seeds)", "2", "60", "4.4", "met",
    ]  # fmt: skip
    stamp = "Measured on 2 cores of A processor, Python 3.11.0, Keras 3.15.0, 2020-01-02."
    assert table().endswith(stamp)


def test_a_single_seed_has_an_interval(folder):
    store_simple(folder, [0.70])
    assert row("simple network")[5] == "03: 70.0 % (69.0 to 71.0; 1 seed, 95 % interval)"


def test_runs_without_test_figures_are_not_shown(folder):
    store(folder, "03_dropout", runs("03_to_the_end_simple", [0.7]))
    assert row("simple network")[5] == "not recorded yet"


def test_a_stale_record_is_no_result(folder):
    store_simple(folder, [0.70])
    store(folder, "03_dropout", stale="its experiments have changed")
    assert row("simple network")[5] == "recorded before its experiments changed"


def test_compute_is_counted_in_images_that_the_networks_saw(folder):
    entries = [
        *runs("06_CNN_one_cycle", [0.99, 0.99], train_images=54_000, validation_images=6_000),
        *judged("06_CNN_one_cycle", [0.9956, 0.9960]),
    ]
    store(folder, "06_mnist_model_comparison", entries)
    cells = row("the same, trained on until a target")
    assert cells[5:] == ["06: 99.58 % (99.56 to 99.60; 2 seeds)", "2", "60", "178.3", "met"]


def test_a_linear_model_has_seconds_and_no_epochs(folder):
    noted = notes("06_hinge_L1", seconds=[9.0, 8.0])
    store(folder, "06_mnist_model_comparison", noted + judged("06_hinge_L1", [0.91, 0.90]))
    assert row("linear, L1")[6:] == ["", "8", "", "met"]


# --- The goal -------------------------------------------------------------------------------------

SHORT = results.Experiment("S2", "short", "CIFAR-10", 0.7, "test", epochs=8, images=50_000)
LONG = replace(SHORT, epochs=85)
OURS = results.Measured(
    (0.70, 0.72), (0.69, 0.71), epochs=8, images=45_000, seen=360_000, part=False, seconds=1.0
)


@pytest.mark.parametrize(
    ("theirs", "changes", "said"),
    [
        (SHORT, {}, []),
        (SHORT, {"accuracies": (0.7,)}, []),
        (SHORT, {"accuracies": (0.68, 0.69)}, ["1.50 points short"]),
        (SHORT, {"accuracies": (0.69, 0.70)}, ["0.50 points short, within the spread"]),
        (SHORT, {"accuracies": (0.695,)}, ["0.50 points short, within the spread"]),
        (SHORT, {"accuracies": (0.68,), "interval": (0.67, 0.69)}, ["2.00 points short"]),
        (SHORT, {"epochs": 9}, ["9 epochs, not 8"]),
        (SHORT, {"part": True, "images": 8_000}, ["trained on 8,000 of 50,000 images"]),
        (LONG, {"epochs": 9, "seen": 425_000}, []),
        (LONG, {"epochs": 10, "seen": 450_000}, ["9.4 times less compute, not 10"]),
        (replace(SHORT, epochs=30), {"epochs": 30, "seen": 1_350_000}, []),
        (replace(SHORT, epochs=None), {"epochs": None, "seen": None}, []),
    ],
)
def test_the_goal_is_computed_from_the_numbers(theirs, changes, said):
    assert results.shortfalls(theirs, replace(OURS, **changes)) == said


def test_a_part_of_the_data_is_no_complete_data(folder):
    store_simple(folder, [0.7], train_images=8_000)
    assert row("simple network")[-1] == "trained on 8,000 of 50,000 images"


def test_s4_is_judged_by_the_epochs_up_to_its_best():
    vgg = experiment("VGG-style network, augmentation")
    assert vgg.seen == 85 * 50_000
    assert results.shortfalls(vgg, replace(OURS, accuracies=(0.9,), seen=vgg.seen // 10)) == []


def test_s4s_network_is_the_one_that_raced(folder):
    title = "VGG-style network, augmentation"
    store(folder, "09_racing_to_94", stale="its experiments have changed")
    assert row(title)[5] == "not recorded yet"
    store_race(folder, own=[0.90, 0.91])
    assert row(title)[5:] == ["09: 90.5 % (90.0 to 91.0; 2 seeds)", "6", "100", "14.2", "met"]
    assert table().count("Measured on") == 1
    store_race(folder, own=[0.8964])
    assert row(title)[5] == "09: 89.6 % (89.0 to 90.2; 1 seed, 95 % interval)"
    assert row(title)[-1] == "0.36 points short, within the spread"


# --- The race -------------------------------------------------------------------------------------


def test_the_race_becomes_a_table_or_a_sentence():
    assert "make race" in results.race_table([])
    states = ("no", "yes", "not tested")
    rows = [{"recipe": "a", "goal": "90.0 %", "reached": reached} for reached in states]
    head, _, *rows = results.race_table(rows).splitlines()[-5:]
    assert head.endswith("| reached |")
    assert [line.split(" | ")[-1] for line in rows] == ["no |", "yes |", "not tested |"]


def test_the_race_is_named_as_the_benchmark_names_it():
    path = results.ROOT / "benchmarks" / "racing.py"
    spec = importlib.util.spec_from_file_location("racing", path)
    racing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(racing)
    titles = {key: row.title for key, row in racing.ROWS.items() if key != "s4"}
    assert results.RACE == titles


# --- README ---------------------------------------------------------------------------------------


def test_readme_agrees_with_the_records_of_the_course(monkeypatch):
    monkeypatch.delenv("COURSE_RESULTS_DIR")
    text = results.README.read_text(encoding="utf-8")
    assert results.renewed(text) == text, "run `make guide`"


def test_writing_twice_changes_nothing_and_the_check_sees_a_new_record(
    folder, tmp_path, monkeypatch, capsys
):
    readme = tmp_path / "README.md"
    readme.write_text(
        f"before\n{results.START}\nreplaced\n{results.END}\nafter\n", encoding="utf-8"
    )
    monkeypatch.setattr(results, "README", readme)
    assert results.main(["--check"]) == 1
    assert "make guide" in capsys.readouterr().out
    assert results.main([]) == 0
    once = readme.read_text(encoding="utf-8")
    assert results.main([]) == 0
    assert readme.read_text(encoding="utf-8") == once
    assert re.fullmatch("before\n<!-- results -->\n.*\n<!-- /results -->\nafter\n", once, re.DOTALL)
    assert "replaced" not in once
    assert results.main(["--check"]) == 0
    store_simple(folder, [0.7])
    assert results.main(["--check"]) == 1


@pytest.mark.parametrize(
    "text", ["", results.START, results.END + results.START, 2 * (results.START + results.END)]
)
def test_missing_markers_are_named(text):
    with pytest.raises(ValueError, match="each once"):
        results.renewed(text)


def test_a_stamp_names_hardware_versions_and_date():
    assert (
        results.stamp(STAMPS) == "2 cores of A processor, Python 3.11.0, Keras 3.15.0, 2020-01-02"
    )
