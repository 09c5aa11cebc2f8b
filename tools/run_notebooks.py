"""Execute the course's notebooks and build the book from them: the work behind ``make run``.

``python -m tools.run_notebooks --profile quick [02 05 ...]`` runs the notebooks in order, shows
which cell is at work, and writes ``build/<profile>/NN_topic.ipynb`` with outputs; then `tools.site`
builds ``build/<profile>/site`` from all that have run. A notebook that ran before, and on which
nothing has changed since (its source, ``course_utils``, Python, the pinned packages, profile,
settings, data and the records that notebooks show), is not run again. Without data files it is,
unless ``COURSE_OFFLINE`` asks for stand-ins: the network may be back. Two of these commands at the
same time share the notebooks between them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import nbformat
from filelock import BaseFileLock, FileLock, Timeout
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from course_utils import datasets, files, profiles, records
from tools import pairing, site

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
WRITABLE = "run the course in a folder that you may write"  # what to do if it is not


@dataclass(frozen=True)
class Execution:
    """How a notebook ran."""

    key: str
    seconds: float
    memory_mib: int | None
    data: list[str] = field(default_factory=list)
    records: str = ""


SETTINGS = ("COURSE_DATA_DIR", "COURSE_DEVICES", "COURSE_OFFLINE", "COURSE_PLOTS", "KERAS_BACKEND")


def key(source: Path, profile: str) -> str:
    """Hash what the outputs of a notebook depend on."""
    chosen = [platform.python_version(), *(os.environ.get(name, "") for name in SETTINGS)]
    digest = hashlib.sha256("\n".join([profile, *chosen]).encode())
    shared = sorted((ROOT / "course_utils").glob("*.*"))
    for path in [source, ROOT / "requirements.txt", *shared]:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def data_files() -> list[str]:
    """Describe the files of data that a notebook finds now: name, bytes and time of change."""
    found = []
    for path in map(datasets.location, datasets.DATASETS):
        if path.is_file():
            found.append(f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}")
    return found


def records_digest() -> str:
    """Hash the records of full runs, which notebooks show beside their own."""
    folder = records.results_folder()
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("[0-9][0-9]_*.json"), *folder.glob("race.json")]):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def execute(source: Path, profile: str) -> tuple[NotebookNode, Execution]:
    """Run a notebook in a fresh kernel, showing progress, and keep it in ``build/<profile>``.

    Raises
    ------
    CellExecutionError, CellTimeoutError, DeadKernelError
        If a cell fails; the exception tells which.
    OSError
        If the result cannot be kept: one sentence.
    """
    identity = key(source, profile)  # of what runs, whatever is edited meanwhile
    notebook = pairing.generate(source)
    cells = notebook.cells
    code_cells = [index for index, cell in enumerate(cells) if cell.cell_type == "code"]
    started = time.monotonic()

    folder = files.writable(BUILD / profile, WRITABLE)
    os.environ["COURSE_PROFILE"] = profile
    os.environ.setdefault("COURSE_RUNS_DIR", str(folder / "runs"))
    client = NotebookClient(
        notebook,
        timeout=profiles.BUDGETS[source.stem[:2]].full * 2,
        kernel_name="python3",
        extra_arguments=["--log-level=40"],  # no warning about the kernel's local ports
        resources={"metadata": {"path": str(folder)}},
    )
    print(f"{source.stem}: {len(code_cells)} cells …", end="", flush=True)
    with client.setup_kernel():
        for number, index in enumerate(code_cells, start=1):
            if sys.stdout.isatty():
                passed = time.monotonic() - started
                progress = f"cell {number} of {len(code_cells)}, {passed:.0f} s"
                print(f"\r\x1b[K{source.stem}: {progress}", end="", flush=True)
            client.execute_cell(cells[index], index)
        manager = client.km
        assert isinstance(manager, AsyncKernelManager)
        memory = records.peak_memory(getattr(manager.provisioner, "pid", 0))
    seconds = time.monotonic() - started
    start_of_line = f"\r\x1b[K{source.stem}:" if sys.stdout.isatty() else ""
    print(f"{start_of_line} {seconds:.0f} s" + (f", peak memory {memory:,} MiB" if memory else ""))
    execution = Execution(identity, seconds, memory, data_files(), records_digest())
    target = folder / f"{source.stem}.ipynb"
    record = target.with_suffix(".json")
    with files.replacing(record) as new_record, files.replacing(target) as new_target:
        new_record.write_text(json.dumps(asdict(execution)), encoding="utf-8")
        new_target.write_text(nbformat.writes(notebook), encoding="utf-8")
        # The notebook is replaced first: until its own record follows, it has none.
        record.unlink(missing_ok=True)
    return notebook, execution


def run(source: Path, profile: str) -> bool:
    """Run one notebook unless nothing has changed since it ran; tell whether it succeeded."""
    target = BUILD / profile / f"{source.stem}.ipynb"
    record = target.with_suffix(".json")
    if record.is_file() and target.is_file():
        done = json.loads(record.read_text(encoding="utf-8"))
        complete = len(data_files()) == len(datasets.DATASETS)
        known = complete or os.environ.get("COURSE_OFFLINE") == "1"
        seen = {"key": key(source, profile), "data": data_files(), "records": records_digest()}
        if known and done | seen == done:
            print(f"{source.stem}: unchanged since it ran ({done['seconds']:.0f} s)")
            return True
    try:
        execute(source, profile)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        print(
            f"\n{source.stem} stopped:\n{error}\nOpen notebooks/{source.stem}.ipynb to look at it."
        )
        return False
    return True


def lock(folder: Path, name: str, *, timeout: float = -1) -> BaseFileLock:
    """Return what keeps other processes off a notebook or the site, once they were waited for."""
    return FileLock(folder / f".{name}.lock", timeout=timeout)


def run_each(sources: list[Path], profile: str) -> list[str]:
    """Run notebooks, first those that no other process is running; name those that failed."""
    folder = files.writable(BUILD / profile, WRITABLE)
    failed, elsewhere = [], []
    for source in sources:
        try:
            with lock(folder, source.stem, timeout=0):
                if not run(source, profile):
                    failed.append(source.stem)
        except Timeout:
            elsewhere.append(source)
    for source in elsewhere:  # unchanged, once the other process is through with it
        print(f"{source.stem}: another process is running it …", flush=True)
        with lock(folder, source.stem):
            if not run(source, profile):
                failed.append(source.stem)
    return failed


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="quick", choices=profiles.NAMES)
    parser.add_argument("numbers", nargs="*", help="two-digit numbers; default: all notebooks")
    options = parser.parse_args(arguments)
    sources = pairing.chosen(options.numbers, parser)
    started = time.monotonic()
    try:
        failed = run_each(sources, options.profile)
        print(
            f"{len(sources)} notebooks in {time.monotonic() - started:.0f} s. Building the book …"
        )
        with lock(BUILD / options.profile, "site"):
            status = site.publish(BUILD / options.profile)
    except OSError as error:  # a full disk, or a folder that cannot be written
        print(f"\n{error}")
        return 1
    if failed:
        print(f"Failed: {', '.join(failed)}")
    return 1 if failed else status


if __name__ == "__main__":
    sys.exit(main())
