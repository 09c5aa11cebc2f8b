"""Record a run of a notebook on the complete data: the work behind ``make record``.

``python -m tools.record 02`` runs notebook 02 in the full profile and writes
``results/02_baseline.json``: the curves of every training and what the notebook noted beside them,
with seconds, memory, hardware, versions, checksums of the data, the git revision, and what
identifies the experiments (`tools.experiments`); ``results/schema.json`` describes it.
``--profile quick`` records what learners see, for the instructor guide, in ``results/quick/``.
Trainings that are finished are read back, so an interrupted recording goes on where it stopped.

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
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from course_utils import datasets, files, profiles
from tools import experiments, pairing, run_notebooks
from tools.cluster import JobsFailed, spread

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
MACHINE = "machine.json"
PACKAGES = ("keras", "tensorflow-cpu", "tensorflow", "numpy", "scikit-learn", "shap")


def hardware() -> dict[str, Any]:
    """Return what computes: processor, cores that this process may use, memory in GiB, GPUs."""
    names = [
        line.split(":", 1)[1].strip()
        for line in _lines(Path("/proc/cpuinfo"))
        if line.startswith("model name")
    ]
    memory = [int(line.split()[1]) for line in _lines(Path("/proc/meminfo")) if "MemTotal" in line]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = {
        "processor": (names or [platform.processor() or platform.machine()])[0],
        "cores": cores,
        "memory_gib": round(memory[0] / 2**20, 1) if memory else None,
    }
    return found | {"gpus": gpus} if (gpus := _gpus()) else found


def _gpus() -> list[str]:
    if not shutil.which("nvidia-smi"):
        return []
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.splitlines() if done.returncode == 0 else []  # no driver: none of use


def versions(*backends: str) -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for package in (*PACKAGES, *backends):
        try:
            found[package] = version(package)
        except ModuleNotFoundError:  # one of the two builds of TensorFlow is not there
            continue
    return found


def revision() -> str:
    """Return the git revision, with ``+changes`` if tracked files differ from it.

    Raises
    ------
    ValueError
        If git cannot name it.
    """
    command = ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+changes"]
    try:
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise ValueError(
            f"git cannot name the revision of {ROOT} ({said.strip().splitlines()[0]}), and a "
            "record needs it: record in a clone of the course."
        ) from error
    return done.stdout.strip()


def stamp() -> dict[str, Any]:
    """Return when, from which revision, on what and with which versions something is measured."""
    return {
        "recorded": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "revision": revision(),
        "hardware": hardware(),
        "versions": versions(),
    }


def check_machine(folder: Path) -> None:
    """Refuse to go on with trainings that were begun on another processor or GPU.

    Parameters
    ----------
    folder : pathlib.Path
        Where `training.fit` keeps its runs; the machine is noted there.

    Raises
    ------
    ValueError
        If the runs in the folder are those of another machine.
    OSError
        If the folder cannot be written.
    """
    here = {key: value for key, value in hardware().items() if key in ("processor", "gpus")}
    noted = folder / MACHINE
    if not noted.is_file():
        files.writable(folder, "set COURSE_RUNS_DIR to a folder that you may write")
        with files.replacing(noted) as temporary:
            temporary.write_text(json.dumps(here), encoding="utf-8")
    before = json.loads(noted.read_text(encoding="utf-8"))
    if before != here:
        raise ValueError(
            f"The runs in {folder} were trained on {_machine(before)}, this is {_machine(here)}, "
            "and a record never mixes two: set COURSE_RUNS_DIR to another folder."
        )


def _machine(parts: dict[str, Any]) -> str:
    return " with ".join([parts["processor"], *parts.get("gpus", [])])


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
    ValueError
        If trainings that would be read back were made on another machine.
    """
    return write(measure(source, profile, remark), _folder(profile))


def measure(source: Path, profile: str, remark: str = "") -> dict[str, Any]:
    """Run one notebook and return what goes into its record; the arguments are `record`'s."""
    identity = experiments.fingerprint(source, profile)  # of what runs, whatever is edited then
    content = stamped(
        source.stem, profile, remark, lambda: run_notebooks.execute(source, profile)[1]
    )
    return content | {"experiments": identity}


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
    check_machine(Path(os.environ["COURSE_RUNS_DIR"]))
    about = stamp()  # of what runs, whatever is edited then
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "runs.jsonl"
        os.environ["COURSE_RECORD"] = str(lines)
        try:
            execution = work()
        finally:
            del os.environ["COURSE_RECORD"]
        written = [json.loads(line) for line in _lines(lines)]
    runs = _once([entry for entry in written if "history" in entry])
    earlier = sum(run.pop("seconds_before") for run in runs)
    return {
        "notebook": name,
        "profile": profile,
        **about,
        "versions": versions(*sorted({run["backend"] for run in runs})),
        "data": datasets.CHECKSUMS,
        "notebook_seconds": round(execution.seconds, 1),
        "training_seconds": round(sum(run["seconds"] for run in runs), 1),
        # Epochs that were done before take no time in this run of the notebook.
        "read_back_seconds": round(earlier, 1),
        "peak_memory_mib": execution.memory_mib,
        "remark": remark,
        "runs": [_rounded(run) | {"final": final(run)} for run in runs],
        "tests": [_judged(entry) for entry in written if "correct" in entry],
        "notes": [_rounded_note(entry) for entry in written if "figures" in entry],
    }


def final(run: dict[str, Any]) -> dict[str, Any]:
    """Return what a run ended with.

    Parameters
    ----------
    run : dict
        A run with ``history`` and ``validation_images``.

    Returns
    -------
    dict
        ``train_accuracy`` as logged, ``validation_accuracy`` and its 95 % ``validation_interval``,
        as far as they were measured.
    """
    found: dict[str, Any] = {}
    history = run["history"]
    if "accuracy" in history:
        found["train_accuracy"] = _rounded_number(history["accuracy"][-1])
    if "val_accuracy" in history:
        images = run["validation_images"]
        found["validation_accuracy"] = _rounded_number(history["val_accuracy"][-1])
        found["validation_interval"] = _interval(
            round(found["validation_accuracy"] * images), images
        )
    return found


def _judged(entry: dict[str, Any]) -> dict[str, Any]:
    """Return a test figure with its accuracy and 95 % interval."""
    correct, images = entry["correct"], entry["images"]
    accuracy = _rounded_number(correct / images)
    return entry | {"accuracy": accuracy, "interval": _interval(correct, images)}


def _interval(correct: int, images: int) -> list[float]:
    from course_utils import training  # needs Keras, which `hardware` and `versions` do not

    return [_rounded_number(bound) for bound in training.accuracy_interval(correct, images)]


def _once(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out runs that the notebook read back after it had trained them itself."""
    kept: dict[tuple[str, str], dict[str, Any]] = {}
    for run in runs:
        kept.setdefault((run["name"], run["settings"]), run)
    return list(kept.values())


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
    history = {
        key: [_rounded_number(value) if math.isfinite(value) else None for value in values]
        for key, values in run["history"].items()
    }
    optimizer = {
        key: _rounded_number(value) if isinstance(value, float) else value
        for key, value in run["optimizer"].items()
    }
    seconds = round(run["seconds"], 2)
    return run | {"history": history, "optimizer": optimizer, "seconds": seconds}


def _rounded_note(entry: dict[str, Any]) -> dict[str, Any]:
    figures = {key: _rounded_number(value) for key, value in entry["figures"].items()}
    return entry | {"figures": figures}


def _rounded_number(value: float) -> float:
    """Keep six digits of what was measured: no more are meaningful, and files stay small."""
    return float(f"{value:.6g}")


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
    try:  # now, not after hours
        files.writable(_folder(options.profile), "record in a copy of the course that is yours")
    except OSError as error:
        parser.error(str(error))
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
        except (ValueError, OSError) as error:  # a CellTimeoutError is an OSError as well
            parser.error(str(error))
    return 1 if failed else 0


def _announce(target: Path) -> None:
    print(f"Wrote {os.path.relpath(target, ROOT)}", flush=True)


def _say_what_stopped(name: str, error: BaseException) -> None:
    print(f"\n{name} stopped, what was trained is kept:\n{error}")


if __name__ == "__main__":
    sys.exit(main())
