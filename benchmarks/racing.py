"""Measure the race of notebook 09 again: accuracy on the test images and seconds of training.

The recipes are those of the notebook: its cells tagged ``recipe`` are run here. Each row is trained
with each seed on all training images and opened on the test images once. S4's recipe counts 85
times its time for one epoch, the epoch at which S4 reported its best accuracy. With ``--torch
PYTHON``, a Python that has PyTorch, the steps of airbench94 are timed as well.

What is measured is written to ``results/race.json`` at once, and not measured again: call it again
after an interruption, or with more seeds. A change of a recipe or of a version starts its row anew.

Run ``python benchmarks/racing.py --seeds 0 1 2`` on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from course_utils import datasets, profiles, records  # noqa: E402 - found by the line above
from tools import cluster, pairing, record  # noqa: E402

NOTEBOOK = "09"
AIRBENCH = Path(__file__).with_name("airbench_torch.py")


class Row(NamedTuple):
    """A recipe of the notebook, and what it is for."""

    title: str
    recipe: str  # the function's name in the notebook
    data: Callable[[], datasets.Data]
    averaged: bool  # whether the answers to six views are averaged as well
    goal: str


ROWS = {
    "s4": Row("S4's recipe", "s4_recipe", datasets.load_cifar10, False, "90.0 %, as S4 reported"),
    "90": Row("race to 90 %", "race_to_90", datasets.load_cifar10, True, "90.0 %"),
    "94": Row("race to 94 %", "race_to_94", datasets.load_cifar10, True, "94.0 %"),
    "mnist": Row("race on MNIST", "race_on_mnist", datasets.load_mnist, False, "99.62 %"),
}


def recipe_cells() -> list[str]:
    """Return the cells of the notebook that are tagged ``recipe``, in order."""
    import jupytext

    (source,) = (path for path in pairing.sources() if path.stem.startswith(NOTEBOOK))
    notebook = jupytext.read(source)
    return [cell.source for cell in notebook.cells if "recipe" in cell.metadata.get("tags", [])]


def recipes() -> dict[str, Any]:
    """Run the cells of the notebook that are tagged ``recipe`` and return the names they define."""
    names: dict[str, Any] = {"__name__": __name__}
    text = "\n\n".join(recipe_cells())
    exec(compile(text, "recipe cells", "exec", dont_inherit=True), names)
    return names


def settings(key: str) -> str:
    """Return what identifies the settings of a row: its cells, the versions, the number format."""
    others = [row.recipe for name, row in ROWS.items() if name not in (key, "90")]
    cells = [text for text in recipe_cells() if not any(f"def {f}(" in text for f in others)]
    parts = [cells, record.versions(), profiles.has_fast_bfloat16()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def measure(key: str, seed: int) -> dict[str, Any]:
    """Train one row with one seed on all training images and evaluate it on the test images.

    Parameters
    ----------
    key : str
        One of `ROWS`. S4's recipe is trained for a single epoch.
    seed : int
        Fixes initial weights, order and augmentation.

    Returns
    -------
    dict
        What was measured, as it stands in ``results/race.json``.

    Raises
    ------
    SystemExit
        If the complete data is not there.
    """
    record.check_data()
    names, row = recipes(), ROWS[key]
    recipe, data = names[row.recipe](), row.data()
    planned = sum(epochs for _, epochs in recipe.stages)
    if key == "s4":
        recipe = names["replace"](recipe, stages=((data.x_train.shape[1], 1),))
    trained = names["train"](
        recipe, data.x_train, data.y_train, name=f"09_race_{key}", seed=seed, progress=None
    )
    measured = {
        "row": key,
        "seed": seed,
        "settings": settings(key),
        "epochs": planned,
        "trained_epochs": sum(epochs for _, epochs in recipe.stages),
        "batch_size": recipe.batch_size,
        "number_format": recipe.number_format,
        "parameters": trained.model.count_params(),
        "seconds": round(trained.seconds, 1),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        **record.stamp(),
        "data": datasets.CHECKSUMS[data.name],
    }
    if key != "s4":  # after one epoch of it there is nothing to be tested
        measured["test_images"] = len(data.y_test)
        measured["correct"] = _correct(names["plain_logits"], trained, data)
        if row.averaged:
            measured["correct_averaged"] = _correct(names["averaged_logits"], trained, data)
    return measured


def _correct(logits_of: Callable[..., Any], trained: Any, data: datasets.Data) -> int:
    return int((logits_of(trained, data.x_test).argmax(axis=1) == data.y_test).sum())


def airbench(python: str) -> dict[str, Any]:
    """Time the steps of airbench94 in a Python that has PyTorch.

    Raises
    ------
    SystemExit
        If that Python cannot run it; the message is its own.
    """
    done = subprocess.run([python, str(AIRBENCH)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(
            f"{python} cannot time airbench94 ({done.stderr.strip().splitlines()[-1]}): pass "
            "--torch a Python in which PyTorch is installed."
        )
    return json.loads(done.stdout) | {"hardware": record.hardware()}


def table(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the race: means over seeds, and the ratio of training time to S4's.

    Parameters
    ----------
    content : dict
        ``measurements``, and ``airbench`` if it was timed.

    Returns
    -------
    list of dict
        A row for each recipe; accuracies in percent, training in seconds.
    """
    rows = []
    s4_seconds = None
    for key, row in ROWS.items():
        found = [m for m in content["measurements"] if m["row"] == key]
        if not found:
            continue
        seconds = mean(m["seconds"] * m["epochs"] / m["trained_epochs"] for m in found)
        s4_seconds = seconds if key == "s4" else s4_seconds
        cells = {"recipe": row.title, "goal": row.goal, "seeds": len(found)}
        cells["epochs"] = found[0]["epochs"]
        for column, count in (("test accuracy", "correct"), ("six views", "correct_averaged")):
            values = [100 * m[count] / m["test_images"] for m in found if count in m]
            cells[column] = _range(values) if values else ""
        cells["seconds"] = round(seconds)
        same_task = s4_seconds is not None and row.data is ROWS["s4"].data
        cells["times less than S4"] = round(s4_seconds / seconds, 1) if same_task else ""
        rows.append(cells)
    for timed in content.get("airbench", {}).get("timed", []):
        cells = dict.fromkeys(rows[0], "") if rows else {}
        cells["recipe"] = f"airbench94, {timed['optimizer']}, PyTorch, {timed['number_format']}"
        cells["goal"] = "94.0 %, not trained here"
        cells["seconds"] = round(timed["seconds"])
        if s4_seconds is not None:
            cells["times less than S4"] = round(s4_seconds / timed["seconds"], 1)
        rows.append(cells)
    return rows


def _range(values: list[float]) -> str:
    return f"{mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW")
    parser.add_argument("--torch", metavar="PYTHON", help="a Python that has PyTorch")
    parser.add_argument("--cluster", help="local:N, or the address of a Dask scheduler")
    options = parser.parse_args(arguments)
    path = records.results_folder() / "race.json"
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    valid = {key: settings(key) for key in ROWS}
    kept = content.get("measurements", [])
    content["measurements"] = [m for m in kept if m["settings"] == valid[m["row"]]]
    done = {(m["row"], m["seed"]) for m in content["measurements"]}
    jobs = [(key, seed) for seed in options.seeds for key in options.only]
    for measured in _measured([job for job in jobs if job not in done], options.cluster):
        content["measurements"].append(measured)
        _write(path, content)
    if options.torch:
        content["airbench"] = airbench(options.torch)
    _write(path, content)
    race = records.race()
    print("nothing is measured yet" if race is None else race.to_string())
    return 0


def _measured(jobs: list[tuple[str, int]], address: str | None) -> Iterator[dict[str, Any]]:
    if address:
        yield from (measured for _, measured in cluster.spread(measure, jobs, cluster=address))
    else:
        yield from (measure(*job) for job in jobs)


def _write(path: Path, content: dict[str, Any]) -> None:
    from course_utils import training  # loads Keras, which `--help` does not need

    order = list(ROWS)
    content["measurements"].sort(key=lambda m: (order.index(m["row"]), m["seed"]))
    training.save_history(content | {"table": table(content)}, path)


if __name__ == "__main__":
    sys.exit(main())
