"""Write the tables of the instructor guide from the records in ``results/``.

``python -m tools.guide`` fills the places between ``<!-- table:NAME -->`` and ``<!-- /table -->``;
``--check`` says whether the guide agrees with the records. No number in it is typed by hand.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from course_utils import profiles, records, training
from tools import generated, pairing

ROOT = Path(__file__).resolve().parent.parent
GUIDE = ROOT / "docs" / "instructor-guide.md"
PLACE = re.compile(r"(<!-- table:(\w+) -->\n).*?(<!-- /table -->)", flags=re.DOTALL)


def times() -> str:
    """Return the table of minutes and memory of each notebook."""
    quick, full, small = _records("quick/"), _records(""), _small()
    rows = [
        "| notebook | smoke, at most | quick | one CPU, 2 GB | full | peak memory |",
        "|---|---|---|---|---|---|",
    ]
    for source in pairing.sources():
        name, budget = source.stem, profiles.BUDGETS[source.stem[:2]]
        full_time = _whole(full, name)
        if name not in full:
            full_time += f"; at most {budget.full // 60} min"
        rows.append(
            f"| {name} | {budget.smoke} s | {_whole(quick, name)} | "
            f"{_held(small, name)} | {full_time} | "
            f"{_memory(quick, name)} |"
        )
    return "\n".join([*rows, "", *_stamps(quick, small, full)])


def expected() -> str:
    """Return the table of the validation accuracies that a class should see in quick."""
    rows = [
        "| training | epochs | runs | validation accuracy | expect it between |",
        "|---|---|---|---|---|",
    ]
    for record in _records("quick/").values():
        for name, runs in records.experiments(record["runs"]).items():
            runs = [run for run in runs if "val_accuracy" in run["history"]]
            if not runs:
                continue
            values = [run["history"]["val_accuracy"][-1] for run in runs]
            counts = [run["validation_images"] for run in runs]
            bounds = [
                training.accuracy_interval(round(value * count), count)
                for value, count in zip(values, counts, strict=True)
            ]
            low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
            rows.append(
                f"| `{name}` | {len(runs[0]['history']['loss'])} | {len(runs)} | "
                f"{100 * sum(values) / len(values):.1f} % | {100 * low:.0f} to {100 * high:.0f} % |"
            )
    if len(rows) == 2:
        return "No quick runs are on record: run `python -m tools.record --profile quick`."
    stale = _stale("quick", _records("quick/"))
    return "\n".join([*rows, *(["", *stale] if stale else [])])


TABLES: dict[str, Callable[[], str]] = {"times": times, "expected": expected}


def filled(text: str) -> str:
    """Return the guide's text with its tables made anew.

    Parameters
    ----------
    text : str
        Markdown with places for tables.

    Returns
    -------
    str
        The same text around the present tables.

    Raises
    ------
    KeyError
        If a place names an unknown table.
    """
    return PLACE.sub(lambda found: f"{found[1]}{TABLES[found[2]]()}\n{found[3]}", text)


def _records(folder: str) -> dict[str, dict[str, Any]]:
    paths = sorted((records.results_folder() / folder).glob("[0-9][0-9]_*.json"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def _small() -> dict[str, dict[str, Any]]:
    path = records.results_folder() / "small_machine.json"
    return json.loads(path.read_text(encoding="utf-8"))["notebooks"] if path.is_file() else {}


def _whole(found: dict[str, dict[str, Any]], name: str) -> str:
    """Return the time of a notebook, with that of trainings which were only read back."""
    if name not in found:
        return "not recorded"
    return _minutes(found[name]["notebook_seconds"] + found[name]["read_back_seconds"])


def _held(found: dict[str, dict[str, Any]], name: str) -> str:
    """Return the time of a notebook within the limit of memory."""
    if name not in found:
        return "not recorded"
    return _minutes(found[name]["seconds"]) if found[name]["held"] else "did not hold"


def _memory(found: dict[str, dict[str, Any]], name: str) -> str:
    if name not in found:
        return "not recorded"
    memory = found[name]["peak_memory_mib"]
    return "not measured" if memory is None else f"{memory:,} MiB"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds < 600 else f"{seconds / 60:.0f} min"


def _stale(title: str, found: dict[str, dict[str, Any]]) -> list[str]:
    """Say which records show what their notebooks did before an experiment in them changed."""
    numbers = [name[:2] for name, record in found.items() if record.get("stale")]
    return [f"Stale, {title}, {', '.join(numbers)}: recorded before a change."] if numbers else []


def _stamps(*kinds: dict[str, dict[str, Any]]) -> list[str]:
    """Say, for each kind of record, on what it was measured and when."""
    sentences = []
    for title, found in zip(("quick", "one CPU and 2 GB", "full"), kinds, strict=True):
        stamps = {
            f"{record['hardware']['processor']}, {record['hardware']['cores']} core(s), Python "
            f"{record['versions']['python']}, Keras {record['versions']['keras']}, "
            f"{record['recorded']}"
            for record in found.values()
        }
        if stamps:
            sentences.append(f"Measured, {title}: {'; '.join(sorted(stamps))}.")
        sentences += _stale(title, found)
        remarks: dict[str, list[str]] = {}
        for name, record in found.items():
            remarks.setdefault(record.get("remark", ""), []).append(name[:2])
        sentences += [
            f"Remark, {title}, {', '.join(numbers)}: {remark}"
            for remark, numbers in sorted(remarks.items())
            if remark
        ]
    return sentences


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return generated.command(GUIDE, filled, doc=__doc__, remedy="make guide", arguments=arguments)


if __name__ == "__main__":
    sys.exit(main())
