"""Runs of the notebooks in the smoke profile on stand-in data, for the tests that look at them.

A record is what `training.fit` and `records.note` write down where ``COURSE_RECORD`` names a file.
"""

import functools
import json
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil
import pytest
from nbclient import NotebookClient

from course_utils import records
from tools import check_notebooks, pairing

MEASURED = {"read_back", "peak_memory_mib"}  # and what has seconds in its name
SET_UP = "dashboards.extension()"  # ends the cells that import
FIRST_TRAINING = re.compile(r"^\w+ = training\.fit\(", flags=re.MULTILINE)


@dataclass(frozen=True)
class Played:
    """What a run recorded, and the memory that it took beyond that of the libraries."""

    records: list[str]
    beyond_mib: int | None = None


@functools.cache
def alone(source, *, in_kernel):
    """Run a notebook by itself, once for all tests of this process."""
    with tempfile.TemporaryDirectory() as folder:
        return play(source, Path(folder), in_kernel=in_kernel)


def play(source, folder, *, in_kernel, runs=None, times=1):
    """Run each cell of a notebook so many times in a row, its solutions included.

    What it writes goes to `folder`; its trainings to `runs`, or else to `folder` as well. Without
    a kernel, only the cells up to the first training run, in this process.
    """
    cells = [
        cell.source
        for cell in pairing.generate(source, solutions=True).cells
        if cell.cell_type == "code"
        and "colab" not in cell.metadata.get("tags", [])
        and not cell.source.startswith("exercises.self_test")
    ]
    if not in_kernel:
        first = next(n for n, cell in enumerate(cells, start=1) if FIRST_TRAINING.search(cell))
        cells = cells[:first]
    folder.mkdir(exist_ok=True)
    lines = folder / "records.jsonl"
    pairing.write_data(source, folder / "exercise_data")
    changed = check_notebooks.environment(None, folder) | {"COURSE_RECORD": str(lines)}
    if runs is not None:
        changed["COURSE_RUNS_DIR"] = str(runs)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in changed.items():
            patch.setenv(name, value)
        run = run_in_kernel if in_kernel else run_here
        beyond_mib = run([cell for cell in cells for _ in range(times)])
    found = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    # A training that is run again is recorded again.
    return Played(list(dict.fromkeys(json.dumps(unmeasured(entry)) for entry in found)), beyond_mib)


def run_in_kernel(cells):
    """Run cells; return the peak of the kernel's memory beyond what it held after the imports."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(
        notebook, timeout=check_notebooks.CELL_SECONDS, extra_arguments=["--log-level=40"]
    )
    with client.setup_kernel(env=dict(os.environ)):
        process = client.km.provisioner.pid
        for place, cell in enumerate(notebook.cells):
            client.execute_cell(cell, place)
            if SET_UP in cell.source:
                held = psutil.Process(process).memory_info().rss >> 20
        return records.peak_memory(process) - held


def run_here(cells):
    names = {"__name__": "__main__"}
    for cell in cells:
        exec(cell, names)


def unmeasured(record):
    """Return a record without what differs from run to run by its nature."""
    kept = {
        key: value for key, value in record.items() if key not in MEASURED and "seconds" not in key
    }
    return {key: unmeasured(value) if key == "figures" else value for key, value in kept.items()}
