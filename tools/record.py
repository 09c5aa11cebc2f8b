"""Record a run of a notebook on the complete data: the work behind ``make record``.

``python -m tools.record 02`` runs notebook 02 in the full profile and writes
``results/02_baseline.json``: the curves of every training, with seconds, memory, hardware,
versions, checksums of the data and the git revision. ``--profile quick`` records what learners
see, for the instructor guide, in ``results/quick/``. Trainings that are finished are read back, so
an interrupted recording goes on where it stopped.

``--cluster local:2``, or the address of a Dask scheduler, runs several notebooks at the same time:
see `tools.cluster`. `tools.sweep` records any function that trains.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import functools
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from course_utils import datasets, profiles
from tools import pairing, run_notebooks
from tools.cluster import JobsFailed, spread

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
PACKAGES = ("keras", "tensorflow-cpu", "tensorflow", "numpy", "scikit-learn", "shap")


def hardware() -> dict[str, Any]:
    """Return what computes: processor, cores that this process may use, memory in GiB."""
    names = [
        line.split(":", 1)[1].strip()
        for line in _lines(Path("/proc/cpuinfo"))
        if line.startswith("model name")
    ]
    memory = [int(line.split()[1]) for line in _lines(Path("/proc/meminfo")) if "MemTotal" in line]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": (names or [platform.processor() or platform.machine()])[0],
        "cores": cores,
        "memory_gib": round(memory[0] / 2**20, 1) if memory else None,
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except ModuleNotFoundError:  # one of the two builds of TensorFlow is not there
            continue
    return found


def revision() -> str:
    """Return the git revision, with ``+changes`` if tracked files differ from it."""
    command = ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+changes"]
    return subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()


def stamp() -> dict[str, Any]:
    """Return when, from which revision, on what and with which versions something is measured."""
    return {
        "recorded": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "revision": revision(),
        "hardware": hardware(),
        "versions": versions(),
    }


def check_data() -> None:
    """Refuse to record anything but the complete CIFAR-10 and MNIST.

    Raises
    ------
    SystemExit
        If one of them is missing; the message says what to do.
    """
    for load in (datasets.load_cifar10, datasets.load_mnist):
        data = load()
        if data.stand_in:
            raise SystemExit(
                f"{data.name} is a stand-in here ({data.source}), and nothing from it is a "
                "result: set COURSE_DATA_DIR to a folder with cifar10.npz and mnist.npz."
            )


def record(source: Path, profile: str, remark: str = "") -> Path:
    """Run one notebook and write its record.

    Parameters
    ----------
    source : pathlib.Path
        The ``NN_topic.py``.
    profile : str
        ``full``, or ``quick`` for what learners see.
    remark : str
        What a reader of the seconds has to know, such as other work on the machine.

    Returns
    -------
    pathlib.Path
        The record.

    Raises
    ------
    CellExecutionError, CellTimeoutError, DeadKernelError
        If a cell fails; what was trained is kept.
    """
    return write(measure(source, profile, remark), _folder(profile))


def measure(source: Path, profile: str, remark: str = "") -> dict[str, Any]:
    """Run one notebook and return what goes into its record; the arguments are `record`'s."""
    return stamped(source.stem, profile, remark, lambda: run_notebooks.execute(source, profile)[1])


def record_on_cluster(
    sources: Iterable[Path], profile: str, remark: str = "", *, cluster: str
) -> bool:
    """Run notebooks on the workers of a cluster, and write their records here.

    Parameters
    ----------
    sources : iterable of pathlib.Path
        Files of this copy of the course; a worker elsewhere runs those of the same name in its own.
    profile, remark : str
        As for `record`.
    cluster : str
        As for `tools.cluster.spread`.

    Returns
    -------
    bool
        True if no notebook stopped; those that did are named on the way.
    """
    jobs = [(os.path.relpath(source, ROOT), profile, remark) for source in sources]
    try:
        for _, content in spread(_measure_as_worker, jobs, cluster=cluster):
            _announce(write(content, _folder(profile)))
    except JobsFailed as failed:
        for job, error in failed.errors:
            _say_what_stopped(Path(str(job[0])).stem, error)
        return False
    return True


def _measure_as_worker(source: str, profile: str, remark: str) -> dict[str, Any]:
    with as_worker():
        return measure(ROOT / source, profile, remark)


def stamped(
    name: str, profile: str, remark: str, work: Callable[[], run_notebooks.Execution]
) -> dict[str, Any]:
    """Return a record of all that `training.fit` finishes in some work, and where it was done."""
    os.environ.setdefault("COURSE_RUNS_DIR", str(run_notebooks.BUILD / profile / "runs"))
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "runs.jsonl"
        os.environ["COURSE_RECORD"] = str(lines)
        try:
            execution = work()
        finally:
            del os.environ["COURSE_RECORD"]
        written = [json.loads(line) for line in _lines(lines)]
    runs = [entry for entry in written if "history" in entry]
    return {
        "notebook": name,
        "profile": profile,
        **stamp(),
        "data": datasets.CHECKSUMS,
        "notebook_seconds": round(execution.seconds, 1),
        "training_seconds": round(sum(run["seconds"] for run in runs), 1),
        # Trainings that were done before take no time in this run of the notebook.
        "read_back_seconds": round(sum(run["seconds"] for run in runs if run["read_back"]), 1),
        "peak_memory_mib": execution.memory_mib,
        "remark": remark,
        "runs": [_rounded(run) for run in runs],
        "notes": [entry for entry in written if "figures" in entry],
    }


def write(content: dict[str, Any], folder: Path) -> Path:
    """Write what `measure` or `stamped` returned, and return the path of the record."""
    from course_utils import training  # needs Keras, which `hardware` and `versions` do not

    folder.mkdir(parents=True, exist_ok=True)
    return training.save_history(content, folder / f"{content['notebook']}.json")


@contextlib.contextmanager
def as_worker() -> Iterator[None]:
    """Say nothing, because several workers would speak at once, and refuse stand-in data.

    Raises
    ------
    ValueError
        If a data set is a stand-in where this runs: a worker outlives it, unlike a SystemExit.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            _check_data_once()
        except SystemExit as error:
            raise ValueError(str(error)) from None
        yield


@functools.cache
def _check_data_once() -> None:
    check_data()


def _folder(profile: str) -> Path:
    return RESULTS if profile == "full" else RESULTS / profile


def _rounded(run: dict[str, Any]) -> dict[str, Any]:
    """Keep six digits of what was measured: no more are meaningful, and files stay small."""
    history = {
        key: [float(f"{value:.6g}") for value in values] for key, values in run["history"].items()
    }
    return run | {"history": history, "seconds": round(run["seconds"], 2)}


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="full", choices=profiles.NAMES[1:])
    parser.add_argument("numbers", nargs="*", help="two-digit numbers; default: all notebooks")
    parser.add_argument("--remark", default="", help="what a reader of the seconds has to know")
    parser.add_argument("--cluster", help="local:N, or the address of a Dask scheduler")
    options = parser.parse_args(arguments)
    sources = pairing.chosen(options.numbers, parser)
    if options.cluster:
        try:
            done = record_on_cluster(
                sources, options.profile, options.remark, cluster=options.cluster
            )
        except (ValueError, OSError) as error:
            parser.error(str(error))
        return 0 if done else 1
    check_data()
    failed = []
    for source in sources:
        try:
            _announce(record(source, options.profile, options.remark))
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            _say_what_stopped(source.stem, error)
            failed.append(source.stem)
    return 1 if failed else 0


def _announce(target: Path) -> None:
    print(f"Wrote {os.path.relpath(target, ROOT)}", flush=True)


def _say_what_stopped(name: str, error: BaseException) -> None:
    print(f"\n{name} stopped, what was trained is kept:\n{error}")


if __name__ == "__main__":
    sys.exit(main())
