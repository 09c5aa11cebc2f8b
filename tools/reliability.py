"""What the course survived: the rows behind the page *Reliability* of the book.

The tests in ``tests/reliability`` each try many faults of one kind. ``make test`` tries a few of
them; ``make reliability`` tries all and keeps what came of it as one JSON file for each row in
``results/reliability``. ``python -m tools.reliability`` writes these rows into
``docs/reliability.md``; ``--check`` says whether the page differs from them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools import generated, record

FOLDER = record.RESULTS / "reliability"
PAGE = record.ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- begin: rows -->", "<!-- end: rows -->"
AREAS = {
    "interruptions": "Interruptions",
    "data": "Bad data",
    "trust": "Trust",
    "machines": "Small machines",
    "determinism": "Determinism",
    "versions": "Versions and backends",
    "mutations": "Broken notebooks are caught",
    "kernels": "Kernel hygiene",
}


def keep(
    name: str,
    *,
    area: str,
    what: str,
    tried: int,
    lost: Sequence[str],
    command: str,
    figures: Mapping[str, Any] | None = None,
) -> Path:
    """Keep what came of trying faults of one kind.

    Parameters
    ----------
    name : str
        Names the row and its file, such as ``"kill_training"``.
    area : str
        One of `AREAS`.
    what : str
        What was tried, as a table says it: a clause without a full stop.
    tried : int
        How many faults were tried, at least 1.
    lost : sequence of str
        A sentence for each fault that was not survived.
    command : str
        Tries them again.
    figures : mapping, optional
        What was measured on the way, by names that a reader understands, units included.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ValueError
        If the area is unknown, or more was lost than tried.
    """
    if area not in AREAS:
        raise ValueError(f"area is {area!r}: use one of {', '.join(AREAS)}.")
    if tried < 1 or len(lost) > tried:
        raise ValueError(f"{len(lost)} of {tried} faults lost is impossible: count them again.")
    FOLDER.mkdir(parents=True, exist_ok=True)
    row = {
        "name": name,
        "area": area,
        "what": what,
        "tried": tried,
        "survived": tried - len(lost),
        "lost": list(lost),
        "command": command,
        "figures": dict(figures or {}),
        **record.stamp(),
    }
    path = FOLDER / f"{name}.json"
    path.write_text(f"{json.dumps(row, indent=1)}\n", encoding="utf-8")
    return path


def rows() -> list[dict[str, Any]]:
    """Return all rows, in the order of areas and names."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.json")]
    return sorted(found, key=lambda row: (list(AREAS).index(row["area"]), row["name"]))


def tables() -> str:
    """Return the rows as Markdown: a table for each area, and what was lost."""
    parts = []
    for area, title in AREAS.items():
        own = [row for row in rows() if row["area"] == area]
        if not own:
            continue
        parts += [f"## {title}\n", "| what | tried | survived | lost | measured on |"]
        parts += ["|---|---:|---:|---:|---|"]
        parts += [_line(row) for row in own]
        parts.append("")
        for row in own:
            parts += [f"- {row['what']}: {lost}" for lost in row["lost"]]
            figures = "; ".join(f"{key} {value}" for key, value in row["figures"].items())
            parts += [f"- {row['what']}: {figures}"] if figures else []
        parts += ["", "```bash", *dict.fromkeys(row["command"] for row in own), "```", ""]
    return "\n".join(parts)


def _line(row: Mapping[str, Any]) -> str:
    machine = row["hardware"]
    where = f"{machine['processor']}, {machine['cores']} cores, Python {row['versions']['python']}"
    cells = [row["what"], row["tried"], row["survived"], len(row["lost"])]
    return f"| {' | '.join(map(str, cells))} | {row['recorded']}, {where} |"


def renewed(text: str) -> str:
    """Return the page's text with its present rows."""
    return generated.between(text, BEGIN, END, f"\n{tables()}", page=PAGE.name, what="rows")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    remedy = "python -m tools.reliability"
    return generated.command(PAGE, renewed, doc=__doc__, remedy=remedy, arguments=arguments)


if __name__ == "__main__":
    sys.exit(main())
