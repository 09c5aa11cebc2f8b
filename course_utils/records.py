"""Recorded full runs: what the course's experiments gave on all images, to lay beside your own.

``make record NB=02`` runs a notebook in the full profile and writes ``results/02_baseline.json``.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, variance
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

History = dict[str, list[float]]


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
    """
    for record in _records():
        stamps = {key: record[key] for key in ("hardware", "versions", "recorded")}
        yield from (run | stamps for run in record["runs"])


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
    """
    found = (run for record in _records() for run in record["runs"] if run["name"] == name)
    return next((run["history"] for run in found), None)


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
    lines = os.environ.get("COURSE_RECORD")
    if lines:
        with open(lines, "a", encoding="utf-8") as file:
            file.write(f"{json.dumps({'name': name, 'seed': seed, 'figures': figures})}\n")


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
    """
    found = [
        entry for record in _records() for entry in record.get("notes", []) if entry["name"] == name
    ]
    return [entry["figures"] for entry in sorted(found, key=lambda entry: entry["seed"])]


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
    """
    import pandas as pd

    path = results_folder() / "race.json"
    if not path.is_file():
        return None
    return pd.DataFrame(json.loads(path.read_text(encoding="utf-8"))["table"]).set_index("recipe")


def _records() -> Iterator[dict[str, Any]]:
    for path in sorted(results_folder().glob("[0-9][0-9]_*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))


def experiments(runs: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Gather runs that differ only in their seed.

    Parameters
    ----------
    runs : iterable of dict
        Recorded runs; a seed ends a name, as in ``"02_simple_cnn_0"`` or ``"03_deep_seed1"``.

    Returns
    -------
    dict of str to list of dict
        The runs of each experiment, by its name without the seed.
    """
    gathered: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        gathered.setdefault(re.sub(r"_(seed)?\d+$", "", run["name"]), []).append(run)
    return gathered
