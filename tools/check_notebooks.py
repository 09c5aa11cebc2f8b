"""Execute every notebook in the smoke profile under nbval, and hold it to its memory budget.

``python -m tools.check_notebooks`` runs the series on real data where it is found
(``COURSE_DATA_DIR``, else ``../shared/data``), else on the stand-in data; ``--data stand-in`` takes
that in any case, as the tests in the browser do. nbval turns each cell into a test, so a failure
names the notebook and the cell; a `UserWarning`, which a learner would see, is one. The notebooks
that run hold the solutions of their exercises, and test each rule with its solution and its typical
wrong answers.

Notebooks hold no outputs. What cells marked ``# NBVAL_CHECK_OUTPUT`` must print is kept in
``tests/expected_outputs/NN_topic.json`` and put into the copies that nbval runs;
``--record`` writes these files anew from a run of the notebooks.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbval.plugin import coalesce_streams

from tools import pairing

ROOT = Path(__file__).resolve().parent.parent
EXPECTED = ROOT / "tests" / "expected_outputs"
MARK = "# NBVAL_CHECK_OUTPUT"
CELL_SECONDS = 300


def data_folders() -> dict[str, Path | None]:
    """Return the data to run on: the real folder where there is one, and None for stand-ins."""
    named = os.environ.get("COURSE_DATA_DIR", "").strip()
    folder = Path(named).resolve() if named else ROOT.parent / "shared" / "data"
    real: dict[str, Path | None] = {"real": folder} if named or folder.is_dir() else {}
    return real | {"stand-in": None}


def environment(data: Path | None, folder: Path) -> dict[str, str]:
    """Return the environment variables of a smoke run on this data, with its own folders."""
    changed = {
        "COURSE_PROFILE": "smoke",
        "COURSE_RUNS_DIR": str(folder / "runs"),
        "COURSE_EXERCISES_DIR": str(folder / "exercise_data"),
        "PYTHONWARNINGS": "error::UserWarning",  # a learner would see it below the cell
    }
    if data:
        changed["COURSE_DATA_DIR"] = str(data)
    else:  # where Keras has downloaded nothing before
        changed |= {"COURSE_OFFLINE": "1", "KERAS_HOME": str(folder / "keras")}
    kept = {key: value for key, value in os.environ.items() if key != "COURSE_DATA_DIR"}
    return kept | changed


def prepare(notebook: NotebookNode, expected: dict[str, list[dict[str, object]]]) -> NotebookNode:
    """Put the expected outputs into the marked cells.

    Raises
    ------
    KeyError
        If a marked cell has no expected output, or an expected output no cell.
    """
    marked = {cell.id: cell for cell in notebook.cells if _is_marked(cell)}
    if marked.keys() != expected.keys():
        raise KeyError(
            f"cells {sorted(marked.keys() ^ expected.keys())} are marked {MARK} or have an "
            "expected output, but not both: run `make expected`."
        )
    for identifier, outputs in expected.items():
        marked[identifier].outputs = [nbformat.from_dict(output) for output in outputs]
        marked[identifier].execution_count = 1  # nbval compares cells that were run
    return notebook


def record(source: Path) -> None:
    """Run a notebook on stand-in data and keep what its marked cells print."""
    notebook = pairing.generate(source)
    with tempfile.TemporaryDirectory() as folder:
        pairing.write_data(source, Path(folder) / "exercise_data")
        client = NotebookClient(
            notebook,
            timeout=CELL_SECONDS,
            extra_arguments=["--log-level=40"],
            resources={"metadata": {"path": folder}},
        )
        client.execute(env=environment(None, Path(folder)))
    # A kernel may send one text in several pieces; nbval joins them, and so does the record.
    outputs = {c.id: coalesce_streams(c.outputs) for c in notebook.cells if _is_marked(c)}
    for values in outputs.values():
        for output in values:
            output.pop("execution_count", None)
            if output["output_type"] == "execute_result":
                output["execution_count"] = None
    EXPECTED.mkdir(exist_ok=True)
    target = EXPECTED / f"{source.stem}.json"
    target.write_text(json.dumps(outputs, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{target.name}: {len(outputs)} cells")


def check(
    sources: list[Path], data: Path | None, workers: int, *, report: Path | None = None
) -> int:
    """Run notebooks under nbval, showing time and memory; return pytest's exit status.

    What became of each cell is written to `report`, as JUnit does, where one is named.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for source in sources:
            stored = EXPECTED / f"{source.stem}.json"
            expected = json.loads(stored.read_text(encoding="utf-8")) if stored.is_file() else {}
            notebook = prepare(pairing.generate(source, solutions=True), expected)
            pairing.write_data(source, folder / "exercise_data")
            nbformat.write(notebook, folder / f"{source.stem}.ipynb")
        command = [
            sys.executable, "-m", "pytest", "--nbval-lax", "-n", str(workers),
            "--dist", "loadscope", "--nbval-cell-timeout", str(CELL_SECONDS),
            "-p", "tools.nbval_budget", "-p", "no:cacheprovider", "--rootdir", name,
            "-c", os.devnull, "-q", name, *([f"--junitxml={report}"] if report else []),
        ]  # fmt: skip
        return subprocess.run(
            command, cwd=ROOT, env=environment(data, folder), check=False
        ).returncode


def _is_marked(cell: NotebookNode) -> bool:
    return cell.cell_type == "code" and MARK in cell.source


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    found = data_folders()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("numbers", nargs="*", help="two-digit numbers; default: all notebooks")
    parser.add_argument("--record", action="store_true", help="write the expected outputs")
    parser.add_argument("--data", choices=found, default=next(iter(found)))
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    options = parser.parse_args(arguments)
    sources = pairing.chosen(options.numbers, parser)
    if options.record:
        for source in sources:
            record(source)
        return 0
    print(f"=== {len(sources)} notebooks, smoke profile, {options.data} data ===", flush=True)
    status = check(sources, found[options.data], options.workers)
    if "real" not in found:
        print("Real data was not found, so the stand-ins were used: set COURSE_DATA_DIR.")
    if status != 0:
        print(f"Notebooks failed on {options.data} data.")
    return status


if __name__ == "__main__":
    sys.exit(main())
