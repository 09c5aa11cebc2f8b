"""Recorded full runs: what the course's experiments gave on all images, to lay beside your own.

``make record NB=02`` runs a notebook in the full profile and writes ``results/02_baseline.json``.
A record that says it is stale, because the experiments have changed since, counts as none here.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from statistics import mean, variance
from typing import TYPE_CHECKING, Any

from course_utils import files

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    import pandas as pd

History = dict[str, list[float]]

LARGEST_JSON = 1 << 22  # bytes; the record of a notebook has less than a tenth
REMEDY = "put the course's own file there, measure it again, or remove it."

# What readers rely on, in the words of a complaint.
KINDS: dict[str, type | tuple[type, ...]] = {
    "a text": str,
    "a whole number": int,
    "a number": (int, float),
    "a number or null": (int, float, type(None)),  # JSON has no word for what is no number
    "a list": list,
    "an object": dict,
}


def results_folder() -> Path:
    """Return the folder of the records: ``$COURSE_RESULTS_DIR``, else the one beside the module.

    Returns
    -------
    pathlib.Path
        It need not exist: a course installed without its records has none.
    """
    beside = Path(__file__).resolve().parent.parent / "results"
    return Path(os.environ.get("COURSE_RESULTS_DIR") or beside)


def recorded_runs() -> Iterator[dict[str, Any]]:
    """Iterate over all recorded runs, in the order of notebooks.

    Yields
    ------
    dict
        ``name``, ``seed``, ``history``, ``seconds`` and the rest that ``make record`` writes of a
        run, with the ``hardware``, ``versions`` and date (``recorded``) of its notebook's record.

    Raises
    ------
    ValueError
        If a record cannot be read: the sentence names the file and what is wrong with it.
    """
    for record in _records():
        stamps = {key: record[key] for key in ("hardware", "versions", "recorded")}
        for run in record["runs"]:
            history = {
                key: [math.nan if value is None else value for value in values]
                for key, values in run["history"].items()
            }
            yield run | stamps | {"history": history}


def recorded(name: str) -> History | None:
    """Return the curves of a recorded full run.

    Parameters
    ----------
    name : str
        The name that was passed to ``training.fit``, such as ``"02_simple_cnn_0"``.

    Returns
    -------
    dict of str to list of float, or None
        One value for each epoch; None if no run of this name is on record.

    Raises
    ------
    ValueError
        If a record cannot be read: the sentence names the file and what is wrong with it.
    """
    return next((run["history"] for run in recorded_runs() if run["name"] == name), None)


def note(name: str, *, seed: int, **figures: float) -> None:
    """Note what was measured beside the curves, such as a final accuracy, if a record is kept.

    Parameters
    ----------
    name : str
        Names the measurement, beginning with the notebook's number.
    seed : int
        The seed that it belongs to.
    **figures : float
        What was measured, each by its own name.
    """
    plain = {key: float(value) for key, value in figures.items()}
    add_line({"name": name, "seed": int(seed), "figures": plain})


def noted(name: str) -> list[dict[str, float]]:
    """Return what full runs noted under a name.

    Parameters
    ----------
    name : str
        The name that was passed to `note`.

    Returns
    -------
    list of dict
        The figures of each seed, in the order of seeds; empty if none is on record.

    Raises
    ------
    ValueError
        If a record cannot be read: the sentence names the file and what is wrong with it.
    """
    found = [
        entry for record in _records() for entry in record.get("notes", []) if entry["name"] == name
    ]
    return [entry["figures"] for entry in sorted(found, key=lambda entry: entry["seed"])]


def note_test(name: str, *, seed: int, correct: int, images: int) -> None:
    """Note how many test images a model classified correctly, if a record is kept.

    Parameters
    ----------
    name : str
        The name of the training that the model comes from; where there is none, a name that
        begins with the notebook's number.
    seed : int
        The seed of the training.
    correct, images : int
        Test images classified correctly, and test images in all.

    Raises
    ------
    ValueError
        If ``correct`` is not between 0 and ``images``.
    """
    if not 0 <= correct <= images:
        raise ValueError(
            f"{correct} correct of {images} test images is impossible for {name!r}: pass how many "
            "are right, and how many there are."
        )
    add_line({"name": name, "seed": int(seed), "correct": int(correct), "images": int(images)})


def tested(name: str) -> list[dict[str, Any]]:
    """Return what the models of an experiment gave on the test images.

    Parameters
    ----------
    name : str
        The experiment: the name that was passed to `note_test`, without the seed at its end.

    Returns
    -------
    list of dict
        ``correct``, ``images``, ``accuracy`` and its 95 % ``interval`` for each seed, in the order
        of seeds; empty if none is on record.

    Raises
    ------
    ValueError
        If a record cannot be read: the sentence names the file and what is wrong with it.
    """
    found = [
        entry
        for record in _records()
        for entry in record.get("tests", [])
        if experiment(entry["name"]) == name
    ]
    return sorted(found, key=lambda entry: entry["seed"])


def add_line(content: Mapping[str, Any]) -> None:
    """Add a line of JSON to the file that ``COURSE_RECORD`` names, if it names one.

    Parameters
    ----------
    content : mapping
        Plain values. It is added in one step, so that a crash never leaves half a line.
    """
    name = os.environ.get("COURSE_RECORD")
    if name:
        path = Path(name)
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        with files.replacing(path) as temporary:
            temporary.write_text(f"{before}{json.dumps(content)}\n", encoding="utf-8")


def summary(experiments: Mapping[str, str]) -> str:
    """Say what the full runs on record gave, to read beside your own figures.

    Parameters
    ----------
    experiments : mapping of str to str
        What to call each experiment, and the name of its runs, test figures or notes without the
        seed at the end, such as ``{"simple network": "02_simple_cnn"}``.

    Returns
    -------
    str
        For each experiment the mean over its seeds of what is on record, with the lowest and the
        highest value. Where at least two have validation accuracies, a last line says which is
        highest and whether its range overlaps the next one's.

    Raises
    ------
    ValueError
        If a record cannot be read: the sentence names the file and what is wrong with it.
    """
    validation: dict[str, list[float]] = {}
    lines = []
    for label, name in experiments.items():
        runs = [run["history"] for run in recorded_runs() if experiment(run["name"]) == name]
        accuracies = [history["val_accuracy"][-1] for history in runs if "val_accuracy" in history]
        tests = [entry["accuracy"] for entry in tested(name)]
        parts = [
            f"{part} accuracy {spread(values, '.1%')}"
            for part, values in (("validation", accuracies), ("test", tests))
            if values
        ]
        notes = noted(name)
        parts += [
            f"{key.replace('_', ' ')} {spread([figures[key] for figures in notes], '.4g')}"
            for key in (notes[0] if notes else ())
        ]
        seeds = max(len(accuracies), len(tests), len(notes))
        if parts:
            lines.append(f"- {label}, {_counted(seeds, 'seed')}: {', '.join(parts)}")
        if accuracies:
            validation[label] = accuracies
    if not lines:
        return "No full run of these experiments is on record: `make record` makes them."
    missing = len(experiments) - len(lines)
    title = "On record, in the full profile; the mean over seeds (lowest to highest):"
    after = [f"- not on record: {_counted(missing, 'experiment')}"] if missing else []
    if len(validation) > 1:
        after.append(_comparison(validation))
    return "\n".join([title, *lines, *after])


def spread(values: Sequence[float], form: str) -> str:
    """Return the mean of some values, with the lowest and the highest where they differ in print.

    Parameters
    ----------
    values : sequence of float
        At least one.
    form : str
        How a value is printed, such as ``".2f"``.

    Returns
    -------
    str
        Such as ``"89.50 (89.00 to 90.00)"``, or ``"99.50"``.

    Raises
    ------
    statistics.StatisticsError
        If there are no values.
    """
    middle, low, high = (f"{value:{form}}" for value in (mean(values), min(values), max(values)))
    return middle if low == high else f"{middle} ({low} to {high})"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _comparison(accuracies: Mapping[str, Sequence[float]]) -> str:
    """Say which experiment is best on validation images, and whether its range stands alone."""
    first, second = sorted(accuracies, key=lambda label: -mean(accuracies[label]))[:2]
    lead = 100 * (mean(accuracies[first]) - mean(accuracies[second]))
    if min(len(accuracies[first]), len(accuracies[second])) == 1:
        verdict = "one seed cannot tell whether more than chance explains it"
    elif min(accuracies[first]) > max(accuracies[second]):
        verdict = "their ranges do not overlap"
    else:
        verdict = "their ranges overlap"
    return f"Highest on validation images: {first}, {lead:.1f} points above {second}; {verdict}."


def gain(rows: Sequence[Mapping[str, float]], rows_below: Sequence[Mapping[str, float]]) -> str:
    """Say what one experiment gained over another, in accuracy and in time.

    Parameters
    ----------
    rows, rows_below : sequence of mapping
        ``accuracy`` (between 0 and 1) and ``seconds`` for each seed of the two experiments.

    Returns
    -------
    str
        The difference of the mean accuracies in points, with its standard error where both have
        several seeds, and the ratio of the mean times.
    """
    accuracies, seconds = (
        [[row[key] for row in some] for some in (rows, rows_below)]
        for key in ("accuracy", "seconds")
    )
    points = 100 * (mean(accuracies[0]) - mean(accuracies[1]))
    error = ""
    if min(map(len, accuracies)) > 1:
        error = f" ± {100 * math.sqrt(sum(variance(a) / len(a) for a in accuracies)):.2f}"
    faster = mean(seconds[1]) / mean(seconds[0])
    return f"{points:+.2f}{error} points, {faster:.2f} times as fast"


def race() -> pd.DataFrame | None:
    """Return the table of the race: what ``python benchmarks/racing.py`` measured last.

    Returns
    -------
    pandas.DataFrame or None
        A row for each recipe, with means over its seeds; None if no race is on record.

    Raises
    ------
    ValueError
        If a record cannot be read: the sentence names the file and what is wrong with it.
    """
    import pandas as pd

    path = results_folder() / "race.json"
    if not path.is_file():
        return None
    table = read_json(path, "a race", REMEDY, check=_check_race)["table"]
    return pd.DataFrame(table).set_index("recipe") if table else None


def _records() -> Iterator[dict[str, Any]]:
    for path in sorted(results_folder().glob("[0-9][0-9]_*.json")):
        record = read_json(path, "a record", REMEDY, check=_check_record)
        if not record.get("stale"):
            yield record


def read_json(
    path: Path | Traversable,
    what: str,
    remedy: str,
    *,
    check: Callable[[Any], None] = lambda content: None,
) -> Any:
    """Read a JSON file that somebody else may have written, or broken.

    Parameters
    ----------
    path : path
        The file.
    what : str
        What it should be, such as ``"a record"``.
    remedy : str
        What to do if it is none.
    check : callable, optional
        Raises a ValueError if the content has another form.

    Returns
    -------
    object
        The content.

    Raises
    ------
    ValueError
        If the file cannot be read, is larger than `LARGEST_JSON`, is not JSON or fails the check:
        one sentence that names it.
    """
    try:
        if not path.is_file():
            raise ValueError("it is not a file")
        with path.open("rb") as file:
            text = file.read(LARGEST_JSON + 1)
        if len(text) > LARGEST_JSON:
            raise ValueError(f"it has more than {LARGEST_JSON:,} bytes")
        content = json.loads(text.decode("utf-8"))
        check(content)
    except (ValueError, RecursionError, OSError) as error:
        raise ValueError(f"{path} is not {what} in JSON ({error}): {remedy}") from error
    return content


def _check_record(record: Any) -> None:
    """Refuse what `make record` never writes, in the places that are read."""
    _check(record, recorded="a text", hardware="an object", versions="an object", runs="a list")
    _check(record["hardware"], processor="a text", cores="a whole number")
    _check(record["versions"], python="a text", keras="a text")
    for run in record["runs"]:
        _check(run, name="a text", seed="a whole number", seconds="a number", history="an object")
        history = run["history"]
        _check(history, **dict.fromkeys(history, "a list"))
        if not history or not all(history.values()):
            raise ValueError(f"{run['name']} has an empty history")
        for epoch in zip(*history.values(), strict=True):
            values = dict(zip(history, epoch, strict=True))
            _check(values, **dict.fromkeys(history, "a number or null"))
    optional = {key: record.get(key, []) for key in ("notes", "tests")}
    _check(optional, notes="a list", tests="a list")
    forms: dict[str, Set[str]] = {}
    for note in optional["notes"]:
        _check(note, name="a text", seed="a whole number", figures="an object")
        _check(note["figures"], **dict.fromkeys(note["figures"], "a number"))
        if forms.setdefault(note["name"], note["figures"].keys()) != note["figures"].keys():
            raise ValueError(f"the seeds of {note['name']} have different figures")
    for test in optional["tests"]:
        _check(test, name="a text", seed="a whole number", accuracy="a number")


def _check_race(race: Any) -> None:
    _check(race, table="a list")
    for row in race["table"]:
        _check(row, recipe="a text", goal="a text", seconds="a number")


def _check(content: Any, /, **kinds: str) -> None:
    """Refuse what is no object with values of these kinds; numbers have to be finite."""
    if not isinstance(content, dict):
        raise ValueError(f"{content!r:.60} stands in place of an object")
    for key, kind in kinds.items():
        value = content.get(key)
        right = isinstance(value, KINDS[kind]) and not isinstance(value, bool)
        if not right or (isinstance(value, int | float) and not abs(value) < 1e300):
            raise ValueError(f"{key} is {value!r:.60}, not {kind}")


def experiment(name: str) -> str:
    """Return the name of a run without the seed at its end.

    Parameters
    ----------
    name : str
        Such as ``"02_simple_cnn_0"`` or ``"03_deep_seed1"``.

    Returns
    -------
    str
        Equal for runs that differ only in their seed.
    """
    return re.sub(r"_(seed)?\d+$", "", name)


def experiments(runs: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Gather runs that differ only in their seed.

    Parameters
    ----------
    runs : iterable of dict
        Recorded runs, or test figures: what has a ``name``.

    Returns
    -------
    dict of str to list of dict
        The runs of each experiment, by its name without the seed.
    """
    gathered: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        gathered.setdefault(experiment(run["name"]), []).append(run)
    return gathered


def peak_memory(process: int | str = "self") -> int | None:
    """Return the peak resident memory of a process.

    Parameters
    ----------
    process : int or str
        Its number, or ``"self"`` for this one.

    Returns
    -------
    int or None
        MiB, where the system tells (Linux).
    """
    status = Path(f"/proc/{process}/status")
    if not status.is_file():
        return None
    for line in status.read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    return None
