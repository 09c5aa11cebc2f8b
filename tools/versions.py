"""Run the course on other versions than those of the environment at hand.

``python -m tools.versions lowest`` makes an environment with the lowest versions of the direct
dependencies that ``pyproject.toml`` allows, and runs the unit tests and all notebooks (smoke
profile, stand-in data) in it; ``newest`` takes the newest allowed versions, pinned or not; ``3.12``
and ``3.13`` take the pinned ones on that Python. What came of it is kept as a row of the page
*Reliability*. Needs uv, which finds or fetches the Python.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from tools import pins

ROOT = Path(__file__).resolve().parent.parent
PINS = ("-r", "requirements.txt")
RANGES = ("-r", "pyproject.toml", *pins.EXTRAS)
COLOR = re.compile(r"#x1B\[[0-9;]*m")


@dataclass(frozen=True)
class Versions:
    """What an environment holds: a Python, and what uv installs; and the row that tells of it."""

    row: str
    what: str
    python: str
    install: tuple[str, ...]


SETS = {
    "lowest": Versions(
        "lowest_direct",
        "lowest allowed versions of the direct dependencies, Python 3.11",
        "3.11",
        (*RANGES, "--resolution", "lowest-direct"),
    ),
    "newest": Versions(
        "newest",
        "newest allowed versions of all dependencies, Python 3.13",
        "3.13",
        (*RANGES, "--upgrade"),
    ),
    "3.12": Versions("python_3_12", "pinned versions, Python 3.12", "3.12", PINS),
    "3.13": Versions("python_3_13", "pinned versions, Python 3.13", "3.13", PINS),
}


def make(versions: Versions, folder: Path) -> Path:
    """Make an environment with these versions; return its Python.

    Raises
    ------
    CalledProcessError
        If uv finds no such Python, or no versions that fit together.
    """
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    install = ["uv", "pip", "install", "--quiet", "--python", str(python)]
    for command in (
        ["uv", "venv", "--quiet", "--seed", "--clear", "--python", versions.python, str(folder)],
        [*install, *versions.install],
        [*install, "--no-deps", "-e", "."],
    ):
        subprocess.run(command, cwd=ROOT, check=True)
    return python


class Outcome(NamedTuple):
    """What became of a test of a file or a cell of a notebook; `wrong` is empty if it passed."""

    file: str
    name: str
    wrong: str


def outcomes(report: Path) -> list[Outcome]:
    """Read what ran, skipped tests left out, from pytest's JUnit report."""
    found = []
    for case in ElementTree.parse(report).iter("testcase"):
        if case.find("skipped") is None:
            wrong = "; ".join(map(_said, [*case.iter("failure"), *case.iter("error")]))
            found.append(Outcome(case.get("classname", ""), case.get("name", ""), wrong))
    return found


def _said(failure: ElementTree.Element) -> str:
    """Return the line that says what is wrong: for a cell the last one of its traceback."""
    message, text = (
        COLOR.sub("", part or "").strip() for part in (failure.get("message"), failure.text)
    )
    lines = text.splitlines()[::-1] if "cell execution failed" in message else message.splitlines()
    return lines[0] if lines else "failed"


def run_tests() -> tuple[int, list[str]]:
    """Run the unit tests in this environment; return how many ran, and a sentence for each lost."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [
            sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile",
            "-p", "no:cacheprovider", "--ignore", "tests/browser", "--ignore", "tests/reliability",
            f"--junitxml={report}", "tests",
        ]  # fmt: skip
        subprocess.run(command, cwd=ROOT, check=False)
        ran = outcomes(report)
    return len(ran), [f"{each.file}::{each.name}: {each.wrong}" for each in ran if each.wrong]


def run_notebooks(sources: list[Path]) -> tuple[int, list[str]]:
    """Run notebooks in the smoke profile on stand-in data, in this environment.

    Their budgets of memory hold for the pinned versions only, so they lose nothing here.

    Parameters
    ----------
    sources : list of pathlib.Path
        The ``NN_topic.py`` files.

    Returns
    -------
    tuple of int and list of str
        How many ran, and a sentence for each that was lost.
    """
    from tools import check_notebooks

    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        check_notebooks.check(sources, None, workers=2, report=report)
        ran = outcomes(report)
    broken: dict[str, list[str]] = {each.file: [] for each in ran}
    for each in ran:
        broken[each.file] += [f"{each.name}: {each.wrong}"] if each.wrong else []
    lost = [f"{notebook}, {'; '.join(cells)}" for notebook, cells in broken.items() if cells]
    return len(broken), lost


def run_here(name: str) -> int:
    """Run tests and notebooks in this environment, keep the row, and return the exit status."""
    from tools import pairing, reliability  # what these need is in the new environment

    tests, lost = run_tests()
    notebooks, lost_notebooks = run_notebooks(pairing.sources())
    lost += lost_notebooks
    kept = reliability.keep(
        SETS[name].row,
        area="versions",
        what=f"unit tests and smoke notebooks with the {SETS[name].what}",
        tried=tests + notebooks,
        lost=lost,
        command=f"python -m tools.versions {name}",
        figures={"tests": tests, "notebooks": notebooks},
    )
    print(f"{len(lost)} of {tests + notebooks} lost: see {kept.relative_to(ROOT)}")
    return 1 if lost else 0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("versions", choices=SETS)
    parser.add_argument("--here", action="store_true", help="this environment has them already")
    options = parser.parse_args(arguments)
    if options.here:
        return run_here(options.versions)
    if shutil.which("uv") is None:
        parser.error("uv is not here, which makes the environment: `pip install uv`")
    with tempfile.TemporaryDirectory() as folder:
        python = make(SETS[options.versions], Path(folder) / "environment")
        command = [str(python), "-m", "tools.versions", options.versions, "--here"]
        return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
