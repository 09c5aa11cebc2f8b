"""Write the table of results: what five write-ups reported, and what the course measured.

``python -m tools.results`` writes it into ``README.md``, from ``results/`` and the numbers that the
write-ups reported; ``--check`` says whether README agrees. The book takes the same table. No number
in it is typed by hand, and running it twice changes nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

from course_utils import records
from tools import generated

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
START, END = "<!-- results -->", "<!-- /results -->"
COMPLETE = {"CIFAR-10": 50_000, "MNIST": 60_000}  # training images, those for validation included
NOT_RECORDED = "not recorded yet"
RACE = {  # rows with a goal
    "90": "race to 90 %",
    "94": "race to 94 %",
    "mnist": "race on MNIST",
    "own": "race with S4's network",
}
RACED = "09_race_"  # begins the names of its trainings
LONG_SCHEDULE, FACTOR = 30, 10  # a schedule of more epochs is to be beaten by this factor


@dataclass(frozen=True)
class Experiment:
    """An experiment of a write-up, and the one of the course that stands beside it.

    Attributes
    ----------
    source, title : str
        Such as ``"S2"`` and ``"simple network"``.
    data : str
        ``"CIFAR-10"`` or ``"MNIST"``.
    reported : float
        The accuracy that the write-up reported, between 0 and 1.
    measured_on : str
        On which images, and in which epoch.
    epochs : int or None
        What was trained until then; None where the write-up does not say.
    images : int
        Training images of one of its epochs.
    run : str
        The name of our training on record; empty if there is none.
    tests : str
        The name of our test figures, by default that of the training.
    remark : str
        What a reader has to know: about the epochs, or why there is no counterpart.
    """

    source: str
    title: str
    data: str
    reported: float
    measured_on: str
    epochs: int | None
    images: int
    run: str = ""
    tests: str = ""
    remark: str = ""

    @property
    def seen(self) -> int | None:
        """How many training images its network saw."""
        return None if self.epochs is None else self.epochs * self.images

    @property
    def raced(self) -> bool:
        """Whether our training is one of the race, each of which has its own stamp."""
        return self.run.startswith(RACED)


@dataclass(frozen=True)
class Measured:
    """What the course measured for an experiment.

    Attributes
    ----------
    accuracies : tuple of float
        On the test images, one for each seed.
    interval : tuple of float
        The 95 % interval of the first.
    epochs, images, seen : int or None
        The epochs of a run, the training images of one of them, and how many the network saw;
        None for what has no epochs.
    part : bool
        Whether the training and validation images are a part of the data only.
    seconds : float or None
        Of the fastest seed, because other work on a machine can only make a run slower.
    """

    accuracies: tuple[float, ...]
    interval: tuple[float, float]
    epochs: int | None
    images: int | None
    seen: int | None
    part: bool
    seconds: float | None


@dataclass(frozen=True)
class Recorded:
    """What is on record of full runs, gathered over the notebooks.

    Attributes
    ----------
    runs, tests : dict of str to list of dict
        Runs and test figures of each experiment, by its name without the seed.
    notes : dict of str to list of dict
        What was noted, by name, in the order of seeds.
    race : list of dict
        The rows of the race; empty if there was none.
    """

    runs: dict[str, list[dict[str, Any]]]
    tests: dict[str, list[dict[str, Any]]]
    notes: dict[str, list[dict[str, float]]]
    race: list[dict[str, Any]]


def on_record() -> Recorded:
    """Read what is on record of full runs, once for all that asks."""
    full, notes = stored(), dict[str, list[dict[str, float]]]()
    runs, tests, noted = (
        [entry for record in full for entry in record.get(kind, [])]
        for kind in ("runs", "tests", "notes")
    )
    for run, test in _raced():
        runs.append(run)
        tests.append(test)
    for entry in sorted(noted, key=lambda entry: entry["seed"]):
        notes.setdefault(entry["name"], []).append(entry["figures"])
    by_seed = sorted(tests, key=lambda entry: entry["seed"])
    return Recorded(
        records.experiments(runs), records.experiments(by_seed), notes, race().get("table", [])
    )


def _raced() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield what the race measured as a run and its test figures, as notebooks record them."""
    from course_utils import training  # loads Keras, which not everybody needs

    for measured in race().get("measurements", []):
        if "correct" in measured:
            correct, images = measured["correct"], measured["test_images"]
            seed = measured["seed"]
            named = {"name": f"{RACED}{measured['row']}_seed{seed}", "seed": seed}
            seen = {"train_images": COMPLETE[race_data(measured["row"])], "validation_images": 0}
            interval = training.accuracy_interval(correct, images)
            test = named | {"accuracy": correct / images, "interval": interval}
            yield measured | named | seen, test


def race_data(row: str) -> str:
    """Return on which data a row of the race trains."""
    return "MNIST" if row == "mnist" else "CIFAR-10"


def stored(folder: str = "") -> list[dict[str, Any]]:
    """Return the records in ``results/`` or in a folder of it, but for stale ones."""
    paths = sorted((records.results_folder() / folder).glob("[0-9][0-9]_*.json"))
    found = [records.read_json(path, "a record", records.REMEDY) for path in paths]
    return [record for record in found if not record.get("stale")]


def race() -> dict[str, Any]:
    """Return ``measurements`` and ``table`` of the race; nothing if there was none."""
    path = records.results_folder() / "race.json"
    return records.read_json(path, "a race", records.REMEDY) if path.is_file() else {}


@cache
def reported() -> dict[str, Any]:
    """Return what the write-ups reported, as `course_utils.training.reported` has it."""
    path = ROOT / "course_utils" / "sources.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def experiments() -> list[Experiment]:
    """Return every experiment of S1 to S5 that has a figure, in their order."""
    s1, s2, s3, s4, s5 = (reported()[source] for source in ("S1", "S2", "S3", "S4", "S5"))
    base, final, vgg, advanced = s1["base"], s1["final"], s4["vgg"], s5["advanced"]
    flips = "ours mirrors images at random, and its rate takes one cycle"

    def cifar(source: str, title: str, accuracy: float, on: str, **rest: Any) -> Experiment:
        return Experiment(source, title, "CIFAR-10", accuracy, on, **rest)

    def mnist(title: str, key: str, **rest: Any) -> Experiment:
        accuracy, epochs = s5[key]["test_accuracy"], s5[key].get("epochs")
        return Experiment(
            "S5", title, "MNIST", accuracy, "test", epochs=epochs, images=60_000, **rest
        )

    return [
        cifar(
            "S1", "base network, constant rate", base["validation_accuracy"], "leaky validation",
            epochs=base["epochs"], images=40_000, run="04_one_cycle",
            remark="more than half of its validation images were training images; ours has the "
            "same optimizer, with one cycle",
        ),
        cifar(
            "S1", "base network, cyclical rates, four optimizers", final["test_accuracy"],
            "test, flipped at random",
            epochs=final["epochs"], images=40_000, run="02_base_cnn",
            remark="ours has Adam alone",
        ),
        cifar(
            "S2", "simple network", s2["simple"]["val_accuracy"][-1], "test, last epoch",
            epochs=s2["simple"]["epochs"], images=50_000, run="03_to_the_end_simple",
            remark=flips,
        ),
        cifar(
            "S2", "with dropout", s2["dropout"]["val_accuracy"][-1], "test, last epoch",
            epochs=s2["dropout"]["epochs"], images=50_000, run="03_to_the_end_simple_dropout",
            remark=flips,
        ),
        cifar(
            "S2", "“more complex”", max(s2["complex"]["val_accuracy"]),
            "test, best epoch",
            epochs=s2["complex"]["epochs"], images=50_000, run="03_to_the_end_deeper_dropout",
            remark=flips,
        ),
        cifar(
            "S3", "predecessor", s3["predecessor"]["accuracy"], "test",
            epochs=None, images=50_000, remark="S3 does not show its model",
        ),
        cifar(
            "S3", "three blocks with dropout", s3["dropout"]["accuracy"], "not said, “about”",
            epochs=s3["dropout"]["epochs"], images=40_000,
            run="03_to_the_end_three_blocks_dropout", remark=flips,
        ),
        cifar(
            "S4", "VGG-style network, augmentation", vgg["best_test_accuracy"],
            "test, best epoch",
            epochs=vgg["best_epoch"], images=50_000, run="09_race_own",
            remark=f"it is counted up to its best epoch; {vgg['epochs']} were trained; ours has "
            "batch normalization while it trains, folded into the convolutions afterwards, no "
            "dropout, and the tricks of notebook 09; what S4's own recipe gives in as many "
            "epochs is recorded in notebook 08",
        ),
        cifar(
            "S4", "the same with another dense layer", s4["dense_head"]["test_accuracy"], "test",
            epochs=s4["dense_head"]["epochs"], images=50_000,
            remark="notebook 08 compares the two at a smaller width",
        ),
        mnist("linear, L1", "linear_l1", tests="06_hinge_L1"),
        mnist("linear, L2", "linear_l2", tests="06_hinge_L2"),
        mnist("linear, elastic net", "linear_elastic_net", tests="06_hinge_elastic_net"),
        mnist("dense", "dense", run="06_dense"),
        mnist("dense with dropout", "dense_dropout", run="06_dense+dropout"),
        mnist("convolutional", "cnn", run="06_CNN"),
        mnist("convolutional, augmentation", "cnn_augmented", run="06_CNN_augmentation"),
        Experiment(
            "S5", "the same, trained on until a target", "MNIST",
            # The highest figure is the last of these, with which a loop ended.
            advanced["repeated_test_accuracies"][1], "test, first evaluation",
            epochs=advanced["logged_epochs"], images=60_000,
            run="06_CNN_one_cycle",
            remark="ours has one cycle, planned beforehand; the reported epochs are its log's, "
            f"{advanced['visible_epochs']} of them visible",
        ),
    ]  # fmt: skip


def notebook(experiment: Experiment) -> str:
    """Return the number of the notebook that holds our counterpart, or nothing."""
    return (experiment.tests or experiment.run)[:2]


def state(number: str) -> str:
    """Say why nothing of a notebook's full run is on record; nothing where it is.

    Parameters
    ----------
    number : str
        Of the notebook, such as ``"02"``.

    Returns
    -------
    str
        A clause, or an empty text.
    """
    paths = list(records.results_folder().glob(f"{number}_*.json"))
    if not paths:
        return NOT_RECORDED
    stale = records.read_json(paths[0], "a record", records.REMEDY).get("stale")
    return "recorded before its experiments changed" if stale else ""


def measured(experiment: Experiment, found: Recorded) -> Measured | None:
    """Return what is on record beside an experiment of a write-up.

    Parameters
    ----------
    experiment : Experiment
        One of `experiments`.
    found : Recorded
        What is on record.

    Returns
    -------
    Measured or None
        None if the test figures are not on record.
    """
    name = experiment.tests or experiment.run
    tests, runs = found.tests.get(name, []), found.runs.get(experiment.run, [])
    if not tests or (experiment.run and not runs):
        return None
    accuracies = tuple(test["accuracy"] for test in tests)
    interval = tuple(tests[0]["interval"])
    if not runs:  # a linear model: what is known of its training is noted
        seconds = min(figures["seconds"] for figures in found.notes[name])
        return Measured(accuracies, interval, None, None, None, False, seconds)
    epochs = max(run["epochs"] for run in runs)
    images = runs[0]["train_images"]
    return Measured(
        accuracies,
        interval,
        epochs,
        images,
        seen=epochs * images,
        part=images + runs[0]["validation_images"] < COMPLETE[experiment.data],
        seconds=min(run["seconds"] for run in runs),
    )


def shortfalls(experiment: Experiment, ours: Measured) -> list[str]:
    """Say what keeps a measured experiment from its goal.

    The goal is the accuracy that the write-up reported, with complete data, and at most a tenth of
    its compute if it trained for more than 30 epochs, else at most its epochs.

    Parameters
    ----------
    experiment : Experiment
        What the write-up reported.
    ours : Measured
        What is on record beside it.

    Returns
    -------
    list of str
        Clauses; empty if the goal is met.
    """
    said = []
    if ours.part:
        said.append(f"trained on {ours.images:,} of {COMPLETE[experiment.data]:,} images")
    missing = experiment.reported - mean(ours.accuracies)
    if missing > 0:
        within = experiment.reported <= limits(ours.accuracies, ours.interval)[1]
        said.append(f"{100 * missing:.2f} points short{', within the spread' * within}")
    if experiment.epochs and ours.epochs and experiment.seen and ours.seen:
        ratio = experiment.seen / ours.seen
        if experiment.epochs > LONG_SCHEDULE and ratio < FACTOR:
            said.append(f"{ratio:.1f} times less compute, not {FACTOR}")
        elif experiment.epochs <= LONG_SCHEDULE and ours.epochs > experiment.epochs:
            said.append(f"{ours.epochs} epochs, not {experiment.epochs}")
    return said


def sources_table(found: Recorded) -> str:
    """Return the table of what the write-ups reported and what is on record beside it.

    Parameters
    ----------
    found : Recorded
        What is on record.

    Returns
    -------
    str
        Markdown.
    """
    lines = [
        "| | experiment | reported | on | epochs | ours, on test images | epochs | seconds "
        "| compute | goal |",
        "|---|---|--:|---|--:|---|--:|--:|--:|---|",
        *(_row(experiment, found) for experiment in experiments()),
        "",
        "S1 to S5 are older write-ups about training such networks. The columns up to the first "
        "*epochs* are what a write-up says, the others what the named notebook "
        "measured with the write-up's own network on test images that were opened once, after "
        "every choice: the mean over seeds, with the lowest and the highest, or a single seed with "
        "its 95 % interval. *Seconds* are those of the fastest seed. *Compute* is the training "
        "images that the write-up's network saw (its epochs times its training images), over those "
        "that ours saw: the network is the same, so an image costs about the same. The *goal*: on "
        "the complete data, at least the "
        f"reported accuracy, with at most 1/{FACTOR} of the compute where the write-up trained "
        f"for more than {LONG_SCHEDULE} epochs, else with at most its epochs. A shortfall is "
        "*within the spread* where the reported figure lies between the two in brackets.",
    ]
    remarked: dict[str, list[str]] = {}
    for experiment in experiments():
        remarked.setdefault(experiment.remark, []).append(
            f"{experiment.source}, {experiment.title}"
        )
    lines += ["", *(f"- {'; '.join(names)}: {text}." for text, names in remarked.items() if text)]
    shown = [experiment for experiment in experiments() if measured(experiment, found)]
    numbers = {notebook(experiment) for experiment in shown if not experiment.raced}
    stamped = [each for each in stored() if each["notebook"][:2] in numbers]
    stamped += [run for each in shown if each.raced for run in found.runs[each.run]]
    stamps = sorted({stamp(each) for each in stamped})
    return "\n".join([*lines, *(["", f"Measured on {'; '.join(stamps)}."] if stamps else [])])


def _row(experiment: Experiment, found: Recorded) -> str:
    ours, number = measured(experiment, found), notebook(experiment)
    cells = [experiment.source, experiment.title, _percent(experiment, experiment.reported)]
    cells += [experiment.measured_on, str(experiment.epochs or "not said")]
    if ours is None:
        waiting = NOT_RECORDED if experiment.raced else state(number) or NOT_RECORDED
        status = waiting if number else "no counterpart"
        return f"| {' | '.join([*cells, status, *[''] * 4])} |"
    ratio = experiment.seen / ours.seen if experiment.seen and ours.seen else None
    cells += [
        f"{number}: {spread(ours.accuracies, ours.interval, _digits(experiment))}",
        str(ours.epochs or ""),
        f"{ours.seconds:,.0f}",
        f"{ratio:.1f}" if ratio else "",
        "; ".join(shortfalls(experiment, ours)) or "met",
    ]
    return f"| {' | '.join(cells)} |"


def _digits(experiment: Experiment) -> int:
    return 2 if experiment.data == "MNIST" else 1


def _percent(experiment: Experiment, value: float) -> str:
    return f"{100 * value:.{_digits(experiment)}f} %"


def limits(values: Sequence[float], interval: Sequence[float]) -> tuple[float, float]:
    """Return the lowest and the highest of several seeds, or the 95 % interval of a single one."""
    low, high = (min(values), max(values)) if len(values) > 1 else interval
    return low, high


def spread(values: Sequence[float], interval: Sequence[float], digits: int) -> str:
    """Write accuracies in percent: mean, range and number, or a single one with its interval."""
    low, high = limits(values, interval)
    kind = f"{len(values)} seeds" if len(values) > 1 else "1 seed, 95 % interval"
    percent = [f"{100 * value:.{digits}f}" for value in (mean(values), low, high)]
    return f"{percent[0]} % ({percent[1]} to {percent[2]}; {kind})"


def race_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of the race of notebook 09, which says what a better recipe gives.

    Parameters
    ----------
    rows : sequence of mapping
        The rows of the race, as they stand in ``results/race.json``.

    Returns
    -------
    str
        Markdown; a sentence if there are none.
    """
    if not rows:
        return "No race is recorded in this copy of the course yet: `make race` measures it."
    return "\n".join(
        [
            "Recipes of notebook 09, trained on all training images and opened on the 10,000 test "
            "images once for each seed: mean test accuracy in percent (lowest to highest), without "
            "and with the answers to six views of an image averaged, and seconds of training. A "
            "goal is reached by the mean over the seeds, with six views where there are any. Rows "
            "without an accuracy were only timed: S4's recipe for one epoch, times its number of "
            "epochs; airbench94, in PyTorch, for some steps, times their number. *S4's seconds* "
            "are those of S4's recipe at the speed that the machine had: some of its steps were "
            "timed beside each training (where that is missing, S4's own row counts). Hardware, "
            "versions and date of each training are in `results/race.json`.",
            "",
            f"| {' | '.join(rows[0])} |",
            f"|{'---|' * len(rows[0])}",
            *(f"| {' | '.join(map(str, row.values()))} |" for row in rows),
        ]
    )


def stamp(run: Mapping[str, Any]) -> str:
    """Say on what a recorded run was measured, and when."""
    hardware, versions = run["hardware"], run["versions"]
    return (
        f"{hardware['cores']} cores of {hardware['processor']}, Python {versions['python']}, "
        f"Keras {versions['keras']}, {run['recorded']}"
    )


def renewed(readme: str) -> str:
    """Return README's text with the present tables between its two markers.

    Raises
    ------
    ValueError
        If the text does not hold each marker once, in order.
    """
    found = on_record()
    block = f"{sources_table(found)}\n\n{race_table(found.race)}"
    return generated.between(readme, START, END, block, page="README.md", what="results")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return generated.command(README, renewed, doc=__doc__, remedy="make guide", arguments=arguments)


if __name__ == "__main__":
    sys.exit(main())
