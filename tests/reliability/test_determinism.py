"""Same seed, same records: in each notebook, in any order of notebooks, and with cells run twice.

Times and memory aside, records are compared to the last bit; the hash of a training's settings,
among them the initial weights and the images, is part of them. All notebooks run in kernels; the
quick check runs two of them, up to their first training, in this process.
"""

import json

import notebook_runs
import pytest
from nbclient.exceptions import CellExecutionError

from tools import pairing


class Course:
    """Runs notebooks, and finds where their records differ from those of a run by itself."""

    def __init__(self, folder, in_kernel):
        self.folder = folder
        self.in_kernel = in_kernel
        everything = pairing.sources()
        self.sources = everything if in_kernel else [everything[1], everything[6]]

    @property
    def count(self):
        """How many records there are."""
        return sum(len(self.alone(source)) for source in self.sources)

    def alone(self, source):
        return notebook_runs.alone(source, in_kernel=self.in_kernel).records

    def lost(self, source, **how):
        """Run a notebook as `notebook_runs.play` does; say what differs from it by itself."""
        alone = self.alone(source)
        try:
            folder = self.folder / source.stem
            found = notebook_runs.play(source, folder, in_kernel=self.in_kernel, **how).records
        except CellExecutionError as error:
            return [f"{source.stem} stopped: {error.ename}: {error.evalue}"]
        odd = sorted({json.loads(record)["name"] for record in {*found} ^ {*alone}})
        if found != alone:
            return [f"{source.stem} recorded something else: {', '.join(odd) or 'another order'}"]
        return []


@pytest.fixture
def course(tmp_path, trials):
    return Course(tmp_path, in_kernel=trials(full=True, few=False))


def test_the_same_seed_gives_the_same_records(course, row):
    runs = course.folder / "runs"
    lost = [sentence for source in course.sources for sentence in course.lost(source, runs=runs)]
    row("determinism").conclude(
        "same_records",
        "a notebook run again, after all earlier ones and in their folder, records the same",
        tried=len(course.sources),
        lost=lost,
        records_compared=course.count,
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
        records_compared=course.count,
    )


def test_cells_run_twice_give_the_same_records(course, row):
    lost = [sentence for source in course.sources for sentence in course.lost(source, times=2)]
    row("determinism").conclude(
        "cells_twice",
        "a notebook whose cells run twice in a row, solutions included, records the same",
        tried=len(course.sources),
        lost=lost,
        records_compared=course.count,
    )
