"""Keep each notebook's ``.ipynb`` equal to its ``.py``: the ``.py`` always wins.

``python -m tools.pairing sync [NOTEBOOK ...]`` writes the ``.ipynb`` files, without outputs;
``python -m tools.pairing check`` regenerates them in memory and names each pair that differs.
Modification times are never looked at: a checkout makes them meaningless.

Cells tagged ``solution``, ``check`` and ``quiz`` stay out of the ``.ipynb``: they go, encoded, to
``course_utils/exercise_data/NN.json``, where `course_utils.exercises` finds them. The ``.ipynb``
begins with a cell that installs the course on Colab.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import hashlib
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode

from course_utils import exercises

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
HIDDEN = {"solution", "check", "quiz"}
CALLS = {
    "exercise": r"exercises\.check\(\s*[\"'](.+?)[\"']",
    "solution": r"exercises\.check\(\s*[\"'](.+?)[\"']",
    "check": r"^rule = exercises\.Rule\(\s*[\"'](.+?)[\"']",
}
COLAB = """\
# On Colab, this installs what the notebook needs; anywhere else it does nothing.
import importlib.util
import sys

if "google.colab" in sys.modules and importlib.util.find_spec("course_utils") is None:
    %pip install --quiet "git+{address}"
"""


def sources() -> list[Path]:
    """Return the ``NN_topic.py`` files of the course, in order."""
    return sorted(NOTEBOOKS.glob("[0-9][0-9]_*.py"))


def chosen(numbers: list[str], parser: argparse.ArgumentParser) -> list[Path]:
    """Return the ``.py`` files of these two-digit numbers, or of all notebooks if there is none.

    A number that no notebook has ends the command line that `parser` reads, with a sentence.
    """
    known = {source.stem[:2]: source for source in sources()}
    unknown = [number for number in numbers if number not in known]
    if unknown:
        parser.error(f"there is no notebook {', '.join(unknown)}: choose from {', '.join(known)}")
    return [known[number] for number in numbers or known]


def generate(source: Path, *, solutions: bool = False) -> NotebookNode:
    """Build the notebook of a ``.py`` file, keeping the cell ids of the ``.ipynb`` beside it.

    A cell keeps its id as long as it can be matched with one of the present notebook: unchanged
    cells by their text, edited ones by their place between unchanged neighbors. New cells get an
    id derived from the text and its occurrence, so that generating twice gives the same file.

    Parameters
    ----------
    source : pathlib.Path
        The ``NN_topic.py``.
    solutions : bool
        Keep the solutions, each followed by a cell that tests the rule of its exercise: for CI.

    Returns
    -------
    NotebookNode
        The notebook, without outputs.
    """
    notebook = _read(source)
    first_code = next(
        (place for place, cell in enumerate(notebook.cells) if cell.cell_type == "code"),
        len(notebook.cells),
    )
    notebook.cells.insert(first_code, _colab_cell())
    _set_ids([cell for cell in notebook.cells if not _tags(cell) & HIDDEN], source)
    taken = {cell.id for cell in notebook.cells if not _tags(cell) & HIDDEN}
    cells = []
    for cell in notebook.cells:
        if not _tags(cell) & HIDDEN:
            cells.append(cell)
        elif solutions and "solution" in _tags(cell):
            test = f'exercises.self_test("{_name(cell, "solution", source)}")'
            for extra in (cell, nbformat.v4.new_code_cell(test)):
                extra.id = _fresh_id(extra, taken)
                taken.add(extra.id)
                cells.append(extra)
    notebook.cells = cells
    notebook.metadata.pop("jupytext", None)
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.validate(notebook)
    return notebook


def _read(source: Path) -> NotebookNode:
    return jupytext.read(source, fmt="py:percent")


def _tags(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


def _colab_cell() -> NotebookNode:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    code = COLAB.format(address=project["urls"]["Repository"])
    return nbformat.v4.new_code_cell(code.rstrip(), metadata={"tags": ["colab"]})


def _set_ids(cells: list[NotebookNode], source: Path) -> None:
    present = source.with_suffix(".ipynb")
    old = nbformat.read(present, as_version=4).cells if present.exists() else []
    ids: list[str | None] = [None] * len(cells)
    matcher = difflib.SequenceMatcher(
        a=[(cell.cell_type, cell.source) for cell in old],
        b=[(cell.cell_type, cell.source) for cell in cells],
        autojunk=False,
    )
    for tag, old_start, old_end, new_start, new_end in matcher.get_opcodes():
        same_length = old_end - old_start == new_end - new_start
        if tag == "equal" or (tag == "replace" and same_length):
            for offset in range(new_end - new_start):
                ids[new_start + offset] = old[old_start + offset].get("id")
    taken = {identifier for identifier in ids if identifier}
    for position, cell in enumerate(cells):
        cell.id = ids[position] or _fresh_id(cell, taken)
        taken.add(cell.id)


def _fresh_id(cell: NotebookNode, taken: set[str]) -> str:
    count = 0
    while True:
        text = f"{cell.cell_type}:{count}:{cell.source}"
        identifier = hashlib.sha256(text.encode()).hexdigest()[:8]
        if identifier not in taken:
            return identifier
        count += 1


def exercise_data(source: Path) -> dict[str, Any]:
    """Collect the exercises and the quiz of a ``.py`` file.

    Parameters
    ----------
    source : pathlib.Path
        The ``NN_topic.py``.

    Returns
    -------
    dict
        ``exercises``: name to ``{"rule": code, "solution": code}``; ``quiz``: questions as JSON.

    Raises
    ------
    ValueError
        If an exercise lacks a part, or a question is not as the quiz needs it.
    """
    cells = _read(source).cells
    names: dict[str, list[str]] = {tag: [] for tag in CALLS}
    texts: dict[str, dict[str, str]] = {tag: {} for tag in CALLS}
    for cell in cells:
        for tag in _tags(cell) & CALLS.keys():
            name = _name(cell, tag, source)
            names[tag].append(name)
            texts[tag][name] = cell.source
    number = source.stem[:2]
    wanted = [f"{number}.{count}" for count in range(1, len(names["exercise"]) + 1)]
    for tag, found in names.items():
        if found != wanted:
            raise ValueError(
                f"{source.stem}: the cells tagged {tag!r} belong to {', '.join(found) or 'nothing'}"
                f", but each exercise ({', '.join(wanted) or 'none'}) needs one, in this order."
            )
    questions = [cell.source for cell in cells if "quiz" in _tags(cell)]
    quiz = [
        dataclasses.asdict(question(text, f"{source.stem}, question {place}"))
        for place, text in enumerate(questions, start=1)
    ]
    return {
        "exercises": {
            name: {"rule": texts["check"][name], "solution": texts["solution"][name]}
            for name in wanted
        },
        "quiz": json.dumps(quiz, ensure_ascii=False),
    }


def _name(cell: NotebookNode, tag: str, source: Path) -> str:
    found = re.search(CALLS[tag], cell.source, flags=re.MULTILINE)
    if not found:
        call = "rule = exercises.Rule" if tag == "check" else "exercises.check"
        raise ValueError(f'{source.stem}: a cell tagged {tag!r} has no `{call}("NN.1", ...)`.')
    return found[1]


def question(text: str, where: str) -> exercises.Question:
    """Read a question: its text, options ``- [ ]`` or ``- [x]``, below each ``> feedback``.

    Parameters
    ----------
    text : str
        The Markdown of a cell tagged ``quiz``.
    where : str
        Named in errors.

    Returns
    -------
    exercises.Question
        The question.

    Raises
    ------
    ValueError
        If there are not at least two options, exactly one right one, and feedback for each.
    """
    asked, *parts = re.split(r"^- \[([ x])\] ", text, flags=re.MULTILINE)
    options = []
    for mark, part in zip(parts[::2], parts[1::2], strict=True):
        lines = [line.strip() for line in part.strip().splitlines()]
        feedback = [line[1:].strip() for line in lines if line.startswith(">")]
        answer = [line for line in lines if not line.startswith(">")]
        if not feedback:
            raise ValueError(f"{where}: the option {' '.join(answer)!r} has no feedback line.")
        options.append(exercises.Option(" ".join(answer), " ".join(feedback), mark == "x"))
    num_right = sum(option.right for option in options)
    if len(options) < 2 or num_right != 1:
        raise ValueError(
            f"{where}: {len(options)} options, {num_right} of them right, but at least two are "
            "needed, exactly one of them right, written as `- [x]`."
        )
    return exercises.Question(" ".join(asked.split()), options)


def write_data(source: Path, folder: Path) -> None:
    """Write the encoded exercises and quiz of a ``.py`` file as ``NN.json``."""
    content = exercise_data(source)
    packed = {
        "exercises": {
            name: {key: exercises.encode(code) for key, code in parts.items()}
            for name, parts in content["exercises"].items()
        },
        "quiz": exercises.encode(content["quiz"]),
    }
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{source.stem[:2]}.json"
    target.write_text(json.dumps(packed, indent=1) + "\n", encoding="utf-8")


def data_file(source: Path) -> Path:
    """Return the file with the encoded exercises of a ``.py`` file."""
    folder = source.parent.parent / "course_utils" / "exercise_data"
    return folder / f"{source.stem[:2]}.json"


def _has_same_data(source: Path) -> bool:
    """Compare what is encoded: the packed bytes depend on the version of zlib."""
    if not data_file(source).is_file():
        return False
    packed = json.loads(data_file(source).read_text(encoding="utf-8"))
    content = exercise_data(source)
    found = {
        name: {key: exercises.decode(code) for key, code in parts.items()}
        for name, parts in packed["exercises"].items()
    }
    return content == {"exercises": found, "quiz": exercises.decode(packed["quiz"])}


def sync(paths: list[Path]) -> None:
    """Write the ``.ipynb`` and the exercise data of each ``.py``."""
    for source in paths:
        notebook = generate(source)
        source.with_suffix(".ipynb").write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
        if not _has_same_data(source):
            write_data(source, data_file(source).parent)
        print(f"{source.name} -> {source.with_suffix('.ipynb').name}")


def differences(paths: list[Path]) -> list[str]:
    """Return one sentence for each file that is not what its ``.py`` generates."""
    found = []
    for source in paths:
        target = source.with_suffix(".ipynb")
        if not target.exists():
            found.append(f"{target.name} is missing: run `make sync`.")
        elif target.read_text(encoding="utf-8") != nbformat.writes(generate(source)) + "\n":
            found.append(
                f"{target.name} differs from {source.name}: edit the .py file and run `make sync`."
            )
        if not _has_same_data(source):
            found.append(
                f"exercise_data/{data_file(source).name} differs from {source.name}: "
                "run `make sync`."
            )
    if paths == sources():
        named = {
            path for source in paths for path in (source.with_suffix(".ipynb"), data_file(source))
        }
        folders = {NOTEBOOKS: "*.ipynb", NOTEBOOKS.parent / "course_utils/exercise_data": "*.json"}
        present = [path for folder, pattern in folders.items() for path in folder.glob(pattern)]
        orphans = sorted(set(present) - named)
        found += [f"{path.name} has no .py source." for path in orphans]
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
