"""What is often claimed about training, judged by the course's records.

Each claim is data: a statement, the notebook that tries it, and a function that reads the records
and says whether it holds, with the numbers. The book lists all of them with what came out.

A claim that one thing lies above another holds if the 95 % interval of the mean difference, seed by
seed (by Student's t), lies on the claimed side of zero as a whole. The others say their rule where
they are judged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from operator import itemgetter
from statistics import mean, stdev, variance
from typing import NamedTuple

from tools import results
from tools.results import Recorded

Values = Mapping[int, float]  # by seed
FOUR = ("RMSprop", "Adagrad", "Adadelta", "Adam")  # S1's, in its order
LINEAR = tuple(
    f"06_{loss}_{p}" for loss in ("hinge", "logistic") for p in ("L1", "L2", "elastic_net")
)
HOLDS, FAILS, OPEN = "Holds", "Does not hold here", "Not judged yet"
MARGIN = 0.1  # how far above the level of two random networks a correlation counts as down to it


class Verdict(NamedTuple):
    """Whether a claim holds on record, and the numbers that say so."""

    holds: bool
    numbers: str


Judge = Callable[[Recorded], Verdict | None]


@dataclass(frozen=True)
class Claim:
    """A claim, and how the records judge it.

    Attributes
    ----------
    name : str
        Names it in tests.
    notebook : str
        The number of the notebook that tries it, or ``"race"``.
    statement : str
        As people say it: a sentence.
    judge : callable
        Takes what is on record and returns the verdict, or None if too little is on record.
    expected : bool or None
        What the notebook's own words take for granted. Where a record says otherwise, a test fails
        until the words are changed, and this with them. None where its words wait for the record.
    """

    name: str
    notebook: str
    statement: str
    judge: Judge
    expected: bool | None = None


# --- Figures on record ----------------------------------------------------------------------------


def validation(found: Recorded, name: str) -> Values:
    """Return the accuracy on validation images after the last epoch."""
    return {run["seed"]: run["history"]["val_accuracy"][-1] for run in found.runs.get(name, [])}


def gap(found: Recorded, name: str) -> Values:
    """Return how far training images are ahead, measured in the same way as validation images."""
    measured = {run["seed"]: run["history"] for run in found.runs.get(name, [])}
    return {s: h["inference_accuracy"][-1] - h["val_accuracy"][-1] for s, h in measured.items()}


def tested(found: Recorded, name: str) -> Values:
    """Return the accuracy on the test images."""
    return {test["seed"]: test["accuracy"] for test in found.tests.get(name, [])}


def steps(found: Recorded, name: str) -> list[int]:
    """Return how many batches the runs of an experiment took; one number if they are alike."""
    runs = found.runs.get(name, [])
    batches = (run["epochs"] * math.ceil(run["train_images"] / run["batch_size"]) for run in runs)
    return sorted(set(batches))


@dataclass(frozen=True)
class Difference:
    """A mean difference between two experiments with its 95 % interval, in points."""

    mean: float
    low: float
    high: float
    seeds: int

    def __str__(self) -> str:
        """Write it with its interval."""
        return (
            f"{self.mean:+.2f} points (95 % interval {self.low:+.2f} to {self.high:+.2f}, "
            f"{self.seeds} seeds)"
        )


def paired(first: Values, second: Values) -> Difference | None:
    """Subtract two experiments seed by seed.

    Parameters
    ----------
    first, second : mapping of int to float
        Accuracies, between 0 and 1.

    Returns
    -------
    Difference or None
        None if they have fewer than two seeds in common.
    """
    from scipy.special import stdtrit

    points = [100 * (first[seed] - second[seed]) for seed in first.keys() & second.keys()]
    if len(points) < 2:
        return None
    half = float(stdtrit(len(points) - 1, 0.975)) * stdev(points) / math.sqrt(len(points))
    return Difference(mean(points), mean(points) - half, mean(points) + half, len(points))


# --- Judges ---------------------------------------------------------------------------------------


def higher(
    measure: Callable[[Recorded, str], Values],
    first: str,
    second: str,
    *,
    equal_steps: bool = False,
) -> Judge:
    """Return the judge of the claim that one experiment lies above another.

    Parameters
    ----------
    measure : callable
        Returns the figures of an experiment.
    first, second : str
        Names on record.
    equal_steps : bool
        Whether the claim is about runs of equal length: others are no evidence for it.

    Returns
    -------
    callable
        A claim's ``judge``.
    """

    def judge(found: Recorded) -> Verdict | None:
        values = measure(found, first), measure(found, second)
        difference = paired(*values)
        if difference is None:
            return None
        common = values[0].keys() & values[1].keys()
        one, other = (_average({seed: each[seed] for seed in common}) for each in values)
        taken = [steps(found, name) for name in (first, second)]
        alike = taken[0] == taken[1]
        numbers = f"{_label(first)} {one}, {_label(second)} {other}: {difference}"
        if equal_steps and not alike:
            numbers += f", but after {taken[0]} and {taken[1]} steps"
        return Verdict(difference.low > 0 and (alike or not equal_steps), numbers)

    return judge


def steadier(first: str, second: str) -> Judge:
    """Return the judge of the claim that one experiment varies less over its seeds than another.

    What varies is the validation accuracy. The claim holds if the ratio of the variances is below
    1 by an F test, one-sided at 2.5 % (Snedecor and Cochran, *Statistical Methods*, 1989).

    Parameters
    ----------
    first, second : str
        Names on record.

    Returns
    -------
    callable
        A claim's ``judge``.
    """

    def judge(found: Recorded) -> Verdict | None:
        from scipy.special import fdtr

        values = [list(validation(found, name).values()) for name in (first, second)]
        if min(map(len, values)) < 2:
            return None
        one, other = (variance(points) for points in values)
        chance = float(fdtr(len(values[0]) - 1, len(values[1]) - 1, one / other)) if other else 1.0
        ranges = (100 * (max(points) - min(points)) for points in values)
        numbers = ", ".join(
            f"{_label(name)} within {points:.2f} points"
            for name, points in zip((first, second), ranges, strict=True)
        )
        return Verdict(
            chance < 0.025,
            f"{numbers}; chance of such a ratio of variances if they were equal: {chance:.3f} "
            f"({len(values[0])} and {len(values[1])} seeds)",
        )

    return judge


def leak_flatters(found: Recorded) -> Verdict | None:
    """Judge whether validation on a leaky split lies above the test images."""
    leaky, honest = (
        paired(validation(found, f"01_{split}"), tested(found, f"01_{split}"))
        for split in ("leaky", "honest")
    )
    if leaky is None or honest is None:
        return None
    return Verdict(leaky.low > 0, f"validation minus test: {leaky}; with an honest split: {honest}")


def relay_reorders(study: str) -> Judge:
    """Return the judge of whether handing weights on swaps optimizers, by more than seeds differ.

    Parameters
    ----------
    study : str
        Which relay on record: ``"relay"``, or ``"reversed"``.

    Returns
    -------
    callable
        A claim's ``judge``.
    """

    def judge(found: Recorded) -> Verdict | None:
        relay = {name: validation(found, f"05_{study}_{name}") for name in FOUR}
        race = {name: validation(found, f"05_race_{name}") for name in FOUR}
        swapped = []
        for one, other in combinations(FOUR, 2):
            ahead = [_subtract(each[one], each[other]) for each in (relay, race)]
            change = paired(*ahead)
            if change is None:
                return None
            opposite = mean(ahead[0].values()) * mean(ahead[1].values()) < 0
            if opposite and not change.low <= 0 <= change.high:
                swapped.append(f"{one} and {other}")
        return Verdict(
            bool(swapped),
            f"handed on: {_ranking(relay)}; each from equal weights at its own rate: "
            f"{_ranking(race)}; swapped by more than the seeds differ (six pairs, each at 95 %): "
            f"{', '.join(swapped) or 'none'}",
        )

    return judge


def luck_inflates(found: Recorded) -> Verdict | None:
    """Judge whether repeating a random evaluation and reporting the best one inflates it."""
    noted = found.notes.get("06_lucky", [])
    highest, average, fixed = (
        {seed: figures[key] for seed, figures in enumerate(noted)}
        for key in ("highest", "mean", "inference")
    )
    inflation = paired(highest, average)
    if inflation is None:
        return None
    return Verdict(
        inflation.low > 0,
        f"best of {noted[0]['passes']:.0f} random evaluations {_average(highest)}, their mean "
        f"{_average(average)}: {inflation}; in inference mode {_average(fixed)} every time",
    )


def layers_rank(found: Recorded) -> Verdict | None:
    """Judge whether the best linear model lies below the dense net, and that below the CNN."""
    linear = {name: values for name in LINEAR if (values := tested(found, name))}
    if not linear:
        return None
    best = max(linear, key=lambda name: mean(linear[name].values()))
    dense, convolutional = tested(found, "06_dense"), tested(found, "06_CNN")
    rises = paired(dense, linear[best]), paired(convolutional, dense)
    if rises[0] is None or rises[1] is None:
        return None
    return Verdict(
        min(rise.low for rise in rises if rise) > 0,
        f"best linear model ({_label(best)}) {_average(linear[best])}, dense {_average(dense)}: "
        f"{rises[0]}; convolutional {_average(convolutional)}: {rises[1]}",
    )


def maps_change(found: Recorded) -> Verdict | None:
    """Judge whether SHAP maps of random networks agree with the trained one's only by chance."""
    random, level = (found.notes.get(f"07_random{kind}", []) for kind in ("ized", "_pair"))
    if len(random) < 2 or not level:
        return None
    sentences, down = [], []
    for kind, title in (("size", "size"), ("sign", "with sign")):
        left, floor = (mean(figures[kind] for figures in noted) for noted in (random, level))
        down.append(left <= floor + MARGIN)
        sentences.append(f"{title} {left:.2f}, of two random networks {floor:.2f}")
    return Verdict(
        all(down),
        "rank correlation of the maps of the trained network and of random ones: "
        f"{'; '.join(sentences)} ({len(random)} seeds)",
    )


def race_reaches(recipe: str) -> Judge:
    """Return the judge of the claim that a recipe of the race reaches its goal."""

    def judge(found: Recorded) -> Verdict | None:
        row = next((row for row in found.race if row["recipe"] == recipe), None)
        if row is None:
            return None
        figures = [f"{key} {row[key]}" for key in ("test accuracy", "six views") if row[key]]
        return Verdict(
            row["reached"] == "yes",
            f"goal {row['goal']}; {', '.join(figures)}, seeds: {row['seeds']}",
        )

    return judge


def faster_than_airbench94(number_format: str) -> Judge:
    """Return the judge of the claim that our race to 94 % takes less time than airbench94.

    Our recipe has to reach its goal, and to take less time than the faster one of airbench94's two.
    Both times are compared with S4's recipe at the same hour, since machines vary.

    Parameters
    ----------
    number_format : str
        In which airbench94 computes: ``"float32"`` or ``"bfloat16"``.

    Returns
    -------
    callable
        A claim's ``judge``.
    """

    def judge(found: Recorded) -> Verdict | None:
        factor = itemgetter("times less than S4")
        compared = [row for row in found.race if factor(row)]
        ours = next((row for row in compared if row["recipe"] == results.RACE["94"]), None)
        ends = f"PyTorch, {number_format}"
        theirs = [row for row in compared if row["recipe"].endswith(ends)]
        if ours is None or not theirs:
            return None
        best = max(theirs, key=factor)
        formats = {run["number_format"] for run in found.runs.get(f"{results.RACED}94", [])}
        ran = f"in {', '.join(sorted(formats))}", "by the time of its steps, not trained here"
        numbers = "; ".join(
            f"{row['recipe']} ({how}): {row['seconds']} s, {factor(row)} times less than S4's"
            for row, how in zip((ours, best), ran, strict=True)
        )
        return Verdict(ours["reached"] == "yes" and factor(ours) > factor(best), numbers)

    return judge


CLAIMS = (
    Claim(
        "leak", "01", "A split that repeats images flatters: its validation accuracy is above its "
        "test accuracy.", leak_flatters, expected=True,
    ),
    Claim(
        "gap", "03", "Dropout shrinks the gap between training and validation accuracy.",
        higher(gap, "03_simple", "03_simple_dropout"), expected=True,
    ),
    Claim(
        "dropout", "03", "Dropout raises validation accuracy at equal epochs.",
        higher(validation, "03_simple_dropout", "03_simple", equal_steps=True),
    ),
    Claim(
        "batch_norm", "03", "Batch normalization raises validation accuracy at equal epochs.",
        higher(validation, "03_study_batch_norm", "03_study_none", equal_steps=True),
    ),
    Claim(
        "one_cycle", "04", "One cycle beats S1's constant rate of 0.001 at equal steps.",
        higher(validation, "04_one_cycle", "04_constant_0.001", equal_steps=True), expected=True,
    ),
    Claim(
        "one_cycle_chosen", "04", "One cycle beats a well-chosen constant rate at equal steps.",
        higher(validation, "04_one_cycle", "04_constant_chosen", equal_steps=True), expected=False,
    ),
    Claim(
        "steadier", "04", "The seeds of one cycle lie closer together than those of a well-chosen "
        "constant rate.",
        steadier("04_one_cycle", "04_constant_chosen"), expected=True,
    ),
    Claim(
        "climbing", "04", "Climbing first is what helps: one cycle beats a rate that only descends "
        "from the same maximum.",
        higher(validation, "04_one_cycle", "04_descent_only", equal_steps=True),
    ),
    Claim(
        "relay", "05", "Four optimizers that hand their weights on, in S1's order, are ranked "
        "otherwise than in a fair race.", relay_reorders("relay"), expected=False,
    ),
    Claim(
        "relay_reversed", "05", "Four optimizers that hand their weights on, in the reverse of "
        "S1's order, are ranked otherwise than in a fair race.",
        relay_reorders("reversed"), expected=True,
    ),
    Claim(
        "ranking", "06", "A dense net beats linear models, and a convolutional one beats both.",
        layers_rank, expected=True,
    ),
    Claim(
        "dense_dropout", "06", "Dropout gives the better dense net (so S5 wrote).",
        higher(tested, "06_dense+dropout", "06_dense", equal_steps=True),
    ),
    Claim(
        "lucky", "06", "Evaluating until lucky inflates an accuracy.", luck_inflates, expected=True
    ),
    Claim(
        "maps", "07", "Random weights destroy SHAP maps: nothing is left but what two random "
        "networks have in common.", maps_change, expected=True,
    ),
    Claim(
        "augmentation", "08", "Augmentation raises validation accuracy at equal epochs.",
        higher(validation, "08_augmented", "08_plain", equal_steps=True),
    ),
    *(
        Claim(
            recipe.replace(" ", "_"), "race", f"The recipe of the {recipe} reaches its goal on the "
            "test images.", race_reaches(recipe), expected=True,
        )
        for recipe in results.RACE.values()
    ),
    *(
        Claim(
            f"airbench94_{number_format}", "race", "The race to 94 % takes less time than "
            f"airbench94 in {number_format}.", faster_than_airbench94(number_format),
            expected=number_format == "float32",
        )
        for number_format in ("float32", "bfloat16")
    ),
)  # fmt: skip


def why_open(claim: Claim) -> str:
    """Say why the records do not judge a claim, and which command makes them."""
    if claim.notebook == "race":
        return "the race has no row of it: `make race`"
    state = results.state(claim.notebook)
    return f"{state or 'the record holds too little of it'}: `make record NB={claim.notebook}`"


def claims_list(found: Recorded) -> str:
    """Return every claim under a heading that says what the records make of it.

    Parameters
    ----------
    found : Recorded
        What is on record.

    Returns
    -------
    str
        Markdown with headings of the third level.
    """
    judged: dict[str, list[str]] = {title: [] for title in (HOLDS, FAILS, OPEN)}
    for claim in CLAIMS:
        verdict = claim.judge(found)
        title, words = OPEN, why_open(claim)
        if verdict is not None:
            title, words = HOLDS if verdict.holds else FAILS, verdict.numbers
        number = "09" if claim.notebook == "race" else claim.notebook
        judged[title].append(f"- **{claim.statement}** Notebook {number}; {words}.")
    return "\n\n".join(
        f"### {title}\n\n" + "\n".join(lines) for title, lines in judged.items() if lines
    )


def _average(values: Values) -> str:
    return f"{100 * mean(values.values()):.2f} %"


def _subtract(first: Values, second: Values) -> Values:
    return {seed: first[seed] - second[seed] for seed in first.keys() & second.keys()}


def _ranking(study: Mapping[str, Values]) -> str:
    order = sorted(study, key=lambda name: -mean(study[name].values()))
    return ", ".join(f"{name} {_average(study[name])}" for name in order)


def _label(name: str) -> str:
    return name[3:].replace("_", " ")
