"""Parts of pages that are made from records: put in their place, and compared with it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path


def between(text: str, start: str, end: str, block: str, *, page: str, what: str) -> str:
    """Return a page's text with a block in the place of what its two markers enclose.

    Parameters
    ----------
    text : str
        Holds each marker once, in order.
    start, end : str
        The markers, which stay.
    block : str
        What comes between them.
    page, what : str
        The name of the page and what belongs there, for the complaint.

    Returns
    -------
    str
        The text around the block is as it was.

    Raises
    ------
    ValueError
        If the text does not hold each marker once, in order.
    """
    before, *rest = text.split(start)
    _, *after = rest[0].split(end) if len(rest) == 1 else ["", ""]
    if len(rest) != 1 or len(after) != 1 or end in before:
        raise ValueError(
            f"{page} must hold {start} and behind it {end}, each once: put both where the {what} "
            "belong."
        )
    return f"{before}{start}\n{block}\n{end}{after[0]}"


def command(
    path: Path,
    renewed: Callable[[str], str],
    *,
    doc: str | None,
    remedy: str,
    arguments: list[str] | None,
) -> int:
    """Renew a page, or with ``--check`` say whether it agrees with the records.

    Parameters
    ----------
    path : pathlib.Path
        The page.
    renewed : callable
        Turns its text into what it should be.
    doc : str
        Its first line describes the command.
    remedy : str
        The command that renews the page.
    arguments : list of str or None
        Of the command line; None for those of the process.

    Returns
    -------
    int
        The exit status: 1 if the page is only checked and disagrees.
    """
    parser = argparse.ArgumentParser(description=str(doc).splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing, compare")
    options = parser.parse_args(arguments)
    present = path.read_text(encoding="utf-8")
    wanted = renewed(present)
    if not options.check:
        path.write_text(wanted, encoding="utf-8")
    elif present != wanted:
        print(f"{path.name} disagrees with results/: run `{remedy}`.")
        return 1
    else:
        print(f"{path.name} agrees with the records.")
    return 0
