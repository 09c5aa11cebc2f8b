"""How many faults a test tries, and how it keeps what came of them.

``COURSE_RELIABILITY=full`` tries all of them and keeps the rows in ``results/reliability``: that is
what ``make reliability`` sets. Otherwise each test tries a few and keeps nothing.
"""

import os
from dataclasses import dataclass

import pytest

from tools import reliability

FULL = os.environ.get("COURSE_RELIABILITY") == "full"


@dataclass(frozen=True)
class Row:
    """A row of the page *Reliability*, for one test."""

    area: str
    nodeid: str

    def conclude(self, name, what, *, tried, lost, **figures):
        """Keep the row where everything was tried, then fail if anything was lost."""
        if FULL:
            command = f"make reliability ONLY={self.nodeid}"
            reliability.keep(
                name,
                area=self.area,
                what=what,
                tried=tried,
                lost=lost,
                command=command,
                figures={key.replace("_", " "): value for key, value in figures.items()},
            )
        assert tried > 0
        assert not lost, f"{len(lost)} of {tried} lost: " + "\n".join(lost)


@pytest.fixture
def trials():
    """Choose between all faults and the few of a quick check: ``trials(full=20, few=2)``."""
    return lambda *, full, few: full if FULL else few


@pytest.fixture
def row(request):
    """Keep a row: ``row("interruptions").conclude("kill_training", …)``."""
    return lambda area: Row(area, request.node.nodeid)
