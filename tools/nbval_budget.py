"""A pytest plugin for nbval: time and peak memory of each notebook's kernel, and its budget.

Loaded with ``-p tools.nbval_budget``. Seconds are reported only; a kernel over its memory budget
fails the run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from course_utils import profiles
from course_utils.records import peak_memory

_seconds: dict[str, float] = defaultdict(float)
_memory: dict[str, int] = defaultdict(int)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, Any]:
    """Attach the cell's seconds and the kernel's peak memory to its report."""
    report = yield
    kernel = getattr(item.parent, "kernel", None)
    if kernel is not None and call.when == "call":
        memory = peak_memory(getattr(kernel.km.provisioner, "pid", 0) or 0)
        report.user_properties.append(("notebook", (item.path.stem, call.duration, memory or 0)))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up the cells of each notebook; under xdist this runs in the controller."""
    values: Any
    for name, values in report.user_properties:
        if name == "notebook":
            notebook, seconds, memory = values
            _seconds[notebook] += seconds
            _memory[notebook] = max(_memory[notebook], memory)


def over_budget() -> list[str]:
    """Return one sentence for each notebook whose kernel took more memory than declared."""
    sentences = []
    for notebook, memory in sorted(_memory.items()):
        budget = profiles.BUDGETS.get(Path(notebook).name[:2])
        if budget and memory > budget.memory_mib:
            sentences.append(
                f"{notebook}: peak memory {memory:,} MiB is over its budget of "
                f"{budget.memory_mib:,} MiB."
            )
    return sentences


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Turn a run over the memory budget into a failed one."""
    if over_budget() and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    terminalreporter.section("notebooks: seconds and peak memory of the kernel")
    for notebook in sorted(_seconds):
        budget = profiles.BUDGETS.get(Path(notebook).name[:2])
        limits = (f"{budget.smoke} s", f"{budget.memory_mib:,} MiB") if budget else ("none", "none")
        terminalreporter.write_line(
            f"{notebook:32} {_seconds[notebook]:6.1f} s (budget {limits[0]})  "
            f"{_memory[notebook]:6,} MiB (budget {limits[1]})"
        )
    for sentence in over_budget():
        terminalreporter.write_line(sentence, red=True)
