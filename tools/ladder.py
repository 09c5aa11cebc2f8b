"""Write the measured gain of each rung into the headings of notebook 09: part of ``make guide``.

``python -m tools.ladder`` reads what the full run of the notebook noted (``records.noted``) and
writes it behind each heading whose section calls ``gain("rung", over="rung below")``. ``--check``
tells whether the headings agree with the record.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence

from course_utils import records
from tools import pairing

NUMBER = "09"
HEADING = re.compile(r"^# ## (?P<title>.*?)(?P<gain>: [+-][\d.]+.* times as fast)?$")
CALL = re.compile(r'^gain\("(?P<rung>[^"]+)", over="(?P<below>[^"]+)"\)$')
Rows = Sequence[Mapping[str, float]]


def headed(source: str, noted: Callable[[str], Rows]) -> str:
    """Return the notebook with the gain on record behind the heading of each rung.

    Parameters
    ----------
    source : str
        The ``.py`` of the notebook.
    noted : callable
        Returns what is on record under a name, as `records.noted` does.

    Returns
    -------
    str
        A heading of a rung that is not on record carries no gain.
    """
    lines = source.split("\n")
    heading = None
    for index, line in enumerate(lines):
        if found := HEADING.match(line):
            heading = index
            lines[index] = f"# ## {found['title']}"
        elif (found := CALL.match(line)) and heading is not None:
            rows, below = (noted(f"{NUMBER} {found[name]}") for name in ("rung", "below"))
            if rows and below:
                lines[heading] += f": {records.gain(rows, below)}"
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--check", action="store_true", help="tell whether the headings agree")
    options = parser.parse_args(arguments)
    (source,) = pairing.chosen([NUMBER], parser)
    before = source.read_text(encoding="utf-8")
    after = headed(before, records.noted)
    if options.check and after != before:
        print(f"The headings of {source.name} disagree with the record: run `make guide`.")
        return 1
    if not options.check:
        source.write_text(after, encoding="utf-8")
        pairing.sync([source])
    return 0


if __name__ == "__main__":
    sys.exit(main())
