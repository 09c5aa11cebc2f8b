"""Same seed, same records: in each notebook, in any order of notebooks, and with cells run twice.

A record is what `training.fit` and `records.note` write down where ``COURSE_RECORD`` names a file.
Times and memory aside, records are compared to the last bit; the hash of a training's settings,
among them the initial weights and the images, is part of them. All notebooks run in kernels; the
quick check runs two of them, up to their first training, in this process.
"""

import json
import re
from itertools import count

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tools import check_notebooks, pairing

MEASURED = {"seconds", "read_back", "peak_memory_mib"}
FIRST_TRAINING = re.compile(r"^\w+ = training\.fit\(", flags=re.MULTILINE)


def cells_of(source):
    """Return the code cells of a notebook with solutions, without tests of the exercises' rules."""
    notebook = pairing.generate(source, solutions=True)
    return [
        cell.source
        for cell in notebook.cells
        if cell.cell_type == "code"
        and "colab" not in cell.metadata.get("tags", [])
        and not cell.source.startswith("exercises.self_test")
    ]


def until_a_training(source):
    """Return the cells up to the first training."""
    cells = cells_of(source)
    place = next(place for place, cell in enumerate(cells) if FIRST_TRAINING.search(cell))
    return cells[: place + 1]


@pytest.fixture(scope="module")
def first_records():
    """What each notebook recorded when it ran alone, by its name: filled by the tests."""
    return {}


class Course:
    """Runs notebooks, and finds where their records differ from those of the first time."""

    def __init__(self, folder, monkeypatch, in_kernels, first_records):
        self.folder = folder
        self.monkeypatch = monkeypatch
        self.in_kernels = in_kernels
        self.numbers = count()
        everything = pairing.sources()
        self.sources = everything if in_kernels else [everything[1], everything[6]]
        for source in self.sources:
            if source.stem not in first_records:
                first_records[source.stem] = self.play(source)
        self.first_records = first_records

    def play(self, source, *, runs=None, times=1):
        """Run each cell so many times in a row; return the records, each one once.

        The trainings are kept in `runs`, or else in a folder of their own.
        """
        folder = self.folder / str(next(self.numbers))
        folder.mkdir()
        lines = folder / "records.jsonl"
        environment = check_notebooks.environment(None, folder) | {"COURSE_RECORD": str(lines)}
        if runs is not None:
            environment["COURSE_RUNS_DIR"] = str(runs)
        pairing.write_data(source, folder / "exercise_data")
        cells = (cells_of if self.in_kernels else until_a_training)(source)
        cells = [cell for cell in cells for _ in range(times)]
        with self.monkeypatch.context() as patch:
            patch.chdir(folder)
            for name, value in environment.items():
                patch.setenv(name, value)
            if self.in_kernels:
                run_in_kernel(cells)
            else:
                run_here(cells)
        found = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
        return list(dict.fromkeys(json.dumps(unmeasured(record)) for record in found))

    def lost(self, source, **how):
        """Run a notebook as `play` does; say what differs from its first records, if anything."""
        try:
            found = self.play(source, **how)
        except CellExecutionError as error:
            return [f"{source.stem} stopped: {error.ename}: {error.evalue}"]
        first = self.first_records[source.stem]
        if found == first:
            return []
        odd = [json.loads(record)["name"] for record in {*found} ^ {*first}]
        return [f"{source.stem} recorded something else: {', '.join(sorted({*odd})) or 'in order'}"]


def run_in_kernel(cells):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(
        notebook, timeout=check_notebooks.CELL_SECONDS, extra_arguments=["--log-level=40"]
    ).execute()


def run_here(cells):
    names = {"__name__": "__main__"}
    for cell in cells:
        exec(cell, names)


def unmeasured(record):
    """Return a record without what differs from run to run by its nature."""
    kept = {key: value for key, value in record.items() if key not in MEASURED}
    return {key: unmeasured(value) if key == "figures" else value for key, value in kept.items()}


@pytest.fixture
def course(tmp_path, monkeypatch, trials, first_records):
    return Course(tmp_path, monkeypatch, trials(full=True, few=False), first_records)


def records_in(course):
    return sum(len(course.first_records[source.stem]) for source in course.sources)


def test_the_same_seed_gives_the_same_records(course, row):
    runs = course.folder / "runs"
    lost = [sentence for source in course.sources for sentence in course.lost(source, runs=runs)]
    row("determinism").conclude(
        "same_records",
        "a notebook run again, after all earlier ones and in their folder, records the same",
        tried=len(course.sources),
        lost=lost,
        records_compared=records_in(course),
    )


def test_any_order_of_notebooks_gives_the_same_records(course, row):
    runs = course.folder / "runs"
    backwards = course.sources[::-1]
    lost = [sentence for source in backwards for sentence in course.lost(source, runs=runs)]
    row("determinism").conclude(
        "any_order",
        "a notebook that runs after all later ones, in their folder, records the same as alone",
        tried=len(course.sources),
        lost=lost,
        records_compared=records_in(course),
    )


def test_cells_run_twice_give_the_same_records(course, row):
    lost = [sentence for source in course.sources for sentence in course.lost(source, times=2)]
    row("determinism").conclude(
        "cells_twice",
        "a notebook whose cells run twice in a row, solutions included, records the same",
        tried=len(course.sources),
        lost=lost,
        records_compared=records_in(course),
    )
