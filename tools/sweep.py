"""Spread a training over settings and seeds on a Dask cluster, with the same records as notebooks.

``for path in sweep(train, [(0.1, 0), (0.1, 1)], name="05_rates", folder="rates",
cluster="local:2")`` calls ``train(0.1, 0)`` and ``train(0.1, 1)`` on two workers. What
`training.fit` finishes in them is in ``rates/05_rates_0.1_0.json`` and ``…_1.json``, with the
worker's hardware and versions.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from course_utils import profiles, records
from tools import record, run_notebooks
from tools.cluster import spread


def sweep(
    train: Callable[..., Any],
    jobs: Iterable[tuple[Any, ...]],
    *,
    name: str,
    folder: Path | str,
    cluster: str,
) -> Iterator[Path]:
    """Call a function that trains once for each job, and write a record of each.

    Parameters
    ----------
    train : callable
        Called with the values of a job on a worker; what it returns is dropped.
    jobs : iterable of tuple
        Settings and seeds, such as ``(0.1, 0)``.
    name : str
        Begins the records' names, with the number of the notebook that they belong to.
    folder : path-like
        Where the records go; with ``COURSE_RESULTS_DIR`` set to it, `records.recorded_runs` reads
        them.
    cluster : str
        As for `tools.cluster.spread`.

    Yields
    ------
    pathlib.Path
        Each record, once it is written.

    Raises
    ------
    JobsFailed
        At the end, if jobs failed; the records of the others are written.
    """
    work = functools.partial(_measure, train, name, profiles.active().name)
    for _, content in spread(work, jobs, cluster=cluster):
        yield record.write(content, Path(folder))


def _measure(train: Callable[..., Any], name: str, profile: str, *job: Any) -> dict[str, Any]:
    """Train on a worker and return the record."""

    def work() -> run_notebooks.Execution:
        os.environ["COURSE_PROFILE"] = profile
        started = time.monotonic()
        train(*job)
        seconds = time.monotonic() - started
        return run_notebooks.Execution("", seconds, records.peak_memory(os.getpid()))

    with record.as_worker():
        return record.stamped("_".join([name, *map(str, job)]), profile, "", work)
