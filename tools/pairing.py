"""Keep each notebook's ``.ipynb`` equal to its ``.py``: the ``.py`` always wins.

``python -m tools.pairing sync [NOTEBOOK ...]`` writes the ``.ipynb`` files, without outputs;
``python -m tools.pairing check`` regenerates them in memory and names each pair that differs.
Modification times are never looked at: a checkout makes them meaningless.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import sys
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"


def sources() -> list[Path]:
    """Return the ``NN_topic.py`` files of the course, in order."""
    return sorted(NOTEBOOKS.glob("[0-9][0-9]_*.py"))


def generate(source: Path) -> NotebookNode:
    """Build the notebook of a ``.py`` file, keeping the cell ids of the ``.ipynb`` beside it.

    A cell keeps its id as long as it can be matched with one of the present notebook: unchanged
    cells by their text, edited ones by their place between unchanged neighbors. New cells get an
    id derived from the text and its occurrence, so that generating twice gives the same file.
    """
    notebook = jupytext.read(source, fmt="py:percent")
    present = source.with_suffix(".ipynb")
    old = nbformat.read(present, as_version=4).cells if present.exists() else []
    ids: list[str | None] = [None] * len(notebook.cells)
    matcher = difflib.SequenceMatcher(
        a=[(cell.cell_type, cell.source) for cell in old],
        b=[(cell.cell_type, cell.source) for cell in notebook.cells],
        autojunk=False,
    )
    for tag, old_start, old_end, new_start, new_end in matcher.get_opcodes():
        same_length = old_end - old_start == new_end - new_start
        if tag == "equal" or (tag == "replace" and same_length):
            for offset in range(new_end - new_start):
                ids[new_start + offset] = old[old_start + offset].get("id")
    taken = {identifier for identifier in ids if identifier}
    for position, cell in enumerate(notebook.cells):
        cell.id = ids[position] or _fresh_id(cell, taken)
        taken.add(cell.id)
    notebook.metadata.pop("jupytext", None)
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.validate(notebook)
    return notebook


def _fresh_id(cell: NotebookNode, taken: set[str]) -> str:
    count = 0
    while True:
        text = f"{cell.cell_type}:{count}:{cell.source}"
        identifier = hashlib.sha256(text.encode()).hexdigest()[:8]
        if identifier not in taken:
            return identifier
        count += 1


def sync(paths: list[Path]) -> None:
    """Write the ``.ipynb`` of each ``.py``."""
    for source in paths:
        notebook = generate(source)
        source.with_suffix(".ipynb").write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
        print(f"{source.name} -> {source.with_suffix('.ipynb').name}")


def differences(paths: list[Path]) -> list[str]:
    """Return one sentence for each ``.ipynb`` that is not what its ``.py`` generates."""
    found = []
    for source in paths:
        target = source.with_suffix(".ipynb")
        if not target.exists():
            found.append(f"{target.name} is missing: run `make sync`.")
        elif target.read_text(encoding="utf-8") != nbformat.writes(generate(source)) + "\n":
            found.append(
                f"{target.name} differs from {source.name}: edit the .py file and run `make sync`."
            )
    named = {source.with_suffix(".ipynb") for source in paths}
    orphans = [path for path in sorted(NOTEBOOKS.glob("*.ipynb")) if path not in named]
    if paths == sources():
        found += [f"{path.name} has no .py source beside it." for path in orphans]
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["sync", "check"])
    parser.add_argument("notebooks", nargs="*", type=Path, help="NN_topic.py; default: all")
    options = parser.parse_args(arguments)
    paths = [path.resolve() for path in options.notebooks] or sources()
    if options.action == "sync":
        sync(paths)
        return 0
    found = differences(paths)
    print("\n".join(found) or f"{len(paths)} notebooks equal their .py sources.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
