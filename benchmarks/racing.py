"""Measure the race of notebook 09 again: accuracy on the test images and seconds of training.

The recipes are those of the notebook: its cells tagged ``recipe`` are run here. Each row is trained
with each seed on all training images and opened on the test images once. S4's recipe counts 85
times its time for one epoch, the epoch at which S4 reported its best accuracy. A machine that is
shared runs faster at one hour than at another, so some steps of S4's recipe are timed beside each
training, and the ratio of the two is that of one run. With ``--torch PYTHON``, a Python that has
PyTorch, the steps of airbench94 are timed as well.

What is measured is written to ``results/race.json`` at once, and not measured again: call it again
after an interruption, or with more seeds. After a change of a recipe or of a version, or on another
machine, a row is measured anew and takes the place of the old one.

Run ``python benchmarks/racing.py --seeds 0 1 2`` on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from operator import itemgetter
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from course_utils import datasets, identity, records  # noqa: E402 - found by the line above
from tools import cluster, pairing, record  # noqa: E402

NOTEBOOK = "09"
AIRBENCH = Path(__file__).with_name("airbench_torch.py")
REFERENCE_STEPS = 60  # of S4's recipe, timed beside each training


class Row(NamedTuple):
    """A recipe of the notebook, and what it is for."""

    title: str
    recipe: str  # the function's name in the notebook
    data: Callable[[], datasets.Data]
    averaged: bool  # whether the answers to six views are averaged as well
    goal: str
    finish: str = ""  # the notebook's function that the trained network goes through


ROWS = {
    "s4": Row("S4's recipe", "s4_recipe", datasets.load_cifar10, False, "90.0 %, as S4 reported"),
    "90": Row("race to 90 %", "race_to_90", datasets.load_cifar10, True, "90.0 %"),
    "94": Row("race to 94 %", "race_to_94", datasets.load_cifar10, True, "94.0 %"),
    "mnist": Row("race on MNIST", "race_on_mnist", datasets.load_mnist, False, "99.62 %"),
    "own": Row(
        "race with S4's network",
        "race_with_s4s_network",
        datasets.load_cifar10,
        True,
        "90.0 %, as S4 reported",
        finish="folded",
    ),
}


def recipe_cells() -> list[str]:
    """Return the cells of the notebook that are tagged ``recipe``, in order."""
    import jupytext

    (source,) = (path for path in pairing.sources() if path.stem.startswith(NOTEBOOK))
    notebook = jupytext.read(source)
    return [cell.source for cell in notebook.cells if "recipe" in cell.metadata.get("tags", [])]


def recipes() -> dict[str, Any]:
    """Run the cells of the notebook that are tagged ``recipe`` and return the names they define."""
    names: dict[str, Any] = {"__name__": "race"}  # the same, however this file is run
    text = "\n\n".join(recipe_cells())
    exec(compile(text, "recipe cells", "exec", dont_inherit=True), names)
    return names


def settings(key: str) -> str:
    """Return what identifies a row: its recipe, the code that it uses, and the versions.

    A change of another recipe, of prose or of formatting is none of these.
    """
    names, row = recipes(), ROWS[key]
    used = ["train", "plain_logits"]
    used += ["averaged_logits"] if row.averaged else []
    used += [row.finish] if row.finish else []
    code = identity.code_digest(vars(names[row.recipe]()), [names[name] for name in used])
    return hashlib.sha256(json.dumps([code, record.versions()]).encode()).hexdigest()[:16]


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
    ValueError
        If the runs at hand were trained on another machine.
    """
    from course_utils import training  # loads Keras, which `--help` does not need

    record.check_data()
    record.check_machine(training.runs_folder())
    names, row = recipes(), ROWS[key]
    recipe, data = names[row.recipe](), row.data()
    planned = sum(epochs for _, epochs in recipe.stages)
    if key == "s4":
        recipe = names["replace"](recipe, stages=((data.x_train.shape[1], 1),))
    trained = names["train"](
        recipe, data.x_train, data.y_train, name=f"09_race_{key}", seed=seed, progress=None
    )
    if row.finish:
        trained = names[row.finish](trained)
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
        "peak_memory_mib": records.peak_memory(),  # of the process, up to here
        **record.stamp(),
        "data": datasets.CHECKSUMS[data.name],
    }
    if key != "s4" and row.data is ROWS["s4"].data:
        measured["s4_seconds"] = round(s4_seconds(names, data), 1)
    if key != "s4":  # after one epoch of it there is nothing to be tested
        measured["test_images"] = len(data.y_test)
        measured["correct"] = _correct(names["plain_logits"], trained, data)
        if row.averaged:
            measured["correct_averaged"] = _correct(names["averaged_logits"], trained, data)
    return measured


def s4_seconds(names: dict[str, Any], data: datasets.Data) -> float:
    """Return the seconds that S4's recipe takes at the present speed of this machine.

    Parameters
    ----------
    names : dict
        What the notebook's cells tagged ``recipe`` define.
    data : datasets.Data
        CIFAR-10.

    Returns
    -------
    float
        The time of a step, measured over `REFERENCE_STEPS`, times the steps of all epochs.
    """
    recipe = names["s4_recipe"]()
    images, labels = data.x_train, data.y_train
    model = names["compiled_model"](recipe, images, seed=0)

    def timed(steps: int) -> float:
        size, few = images.shape[1], slice(steps * recipe.batch_size)
        batches = names["training_batches"](recipe, images[few], labels[few], size=size, seed=0)
        start = time.perf_counter()
        model.fit(batches, shuffle=False, verbose=0)
        return time.perf_counter() - start

    timed(2)  # builds the computation
    steps = math.ceil(len(images) / recipe.batch_size) * sum(epochs for _, epochs in recipe.stages)
    return timed(REFERENCE_STEPS) / REFERENCE_STEPS * steps


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
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise SystemExit(
            f"{python} cannot time airbench94 ({last}): pass "
            "--torch a Python in which PyTorch is installed."
        )
    return json.loads(done.stdout) | {
        "hardware": record.hardware(),
        "s4_seconds": round(s4_seconds(recipes(), datasets.load_cifar10()), 1),
    }


def table(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of the race: means over seeds, and the ratio of training time to S4's.

    A ratio needs the same processor on both sides. S4's seconds are those that were timed beside a
    training; a measurement that is older than these is compared with S4's own row.

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
    by_row = {key: [m for m in content["measurements"] if m["row"] == key] for key in ROWS}
    for key, found in by_row.items():
        if not found:
            continue
        row, seconds = ROWS[key], _seconds(found)
        cells = {"recipe": row.title, "goal": row.goal, "seeds": len(found)}
        cells["epochs"] = found[0]["epochs"]
        reached = "not tested"
        for column, count in (("test accuracy", "correct"), ("six views", "correct_averaged")):
            values = [100 * m[count] / m["test_images"] for m in found if count in m]
            cells[column] = records.spread(values, ".2f") if values else ""
            if values:  # the last one counts: six views where there are any
                reached = "yes" if mean(values) >= float(row.goal.split()[0]) else "no"
        cells["seconds"] = round(seconds)
        same_task = row.data is ROWS["s4"].data
        beside = _s4_beside(found, by_row["s4"]) if same_task else None
        rows.append(cells | _ratio(beside, seconds) | {"reached": reached})
    timings = content.get("airbench", {})
    for timed in timings.get("timed", []):
        cells = dict.fromkeys(rows[0], "") if rows else {}
        cells["recipe"] = f"airbench94, {timed['optimizer']}, PyTorch, {timed['number_format']}"
        cells["goal"] = "94.0 %, not trained here"
        cells["seconds"] = round(timed["seconds"])
        beside = _s4_beside([timings], by_row["s4"])
        rows.append(cells | _ratio(beside, timed["seconds"]) | {"reached": "not tested"})
    return rows


def _s4_beside(found: list[dict[str, Any]], s4: list[dict[str, Any]]) -> float | None:
    """Return the seconds of S4's recipe to compare with, if there are any."""
    if all("s4_seconds" in measured for measured in found):
        return mean(measured["s4_seconds"] for measured in found)
    return _seconds(s4) if _alike(found[0], *s4) else None


def _ratio(beside: float | None, seconds: float) -> dict[str, float | str]:
    return {
        "S4's seconds": "" if beside is None else round(beside),
        "times less than S4": "" if beside is None else round(beside / seconds, 1),
    }


def _seconds(found: list[dict[str, Any]]) -> float:
    return mean(m["seconds"] * m["epochs"] / m["trained_epochs"] for m in found)


def _alike(measured: dict[str, Any], *others: dict[str, Any]) -> bool:
    """Tell whether there are others, and all were measured on the same processor."""
    processors = [each["hardware"]["processor"] for each in (measured, *others)]
    return len(processors) > 1 and len(set(processors)) == 1


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
    found = [m for m in content.get("measurements", []) if m["row"] in ROWS]
    content["measurements"] = found
    here, valid = record.hardware(), {key: settings(key) for key in ROWS}
    done = {
        (m["row"], m["seed"])
        for m in found
        if (m["settings"], m["hardware"]) == (valid[m["row"]], here)
    }
    jobs = [(key, seed) for seed in options.seeds for key in options.only]
    same = itemgetter("settings", "hardware")
    try:
        for new in _measured([job for job in jobs if job not in done], options.cluster):
            # What was measured with other settings or on another machine makes way, row by row.
            found[:] = [m for m in found if m["row"] != new["row"] or same(m) == same(new)]
            found.append(new)
            _write(path, content)
    except ValueError as error:
        parser.error(str(error))
    if options.torch:
        content["airbench"] = airbench(options.torch)
    _write(path, content)
    race = records.race()
    print("nothing is measured yet" if race is None else race.to_string())
    return 0


def _measured(jobs: list[tuple[str, int]], address: str | None) -> Iterator[dict[str, Any]]:
    if address:
        spread = cluster.spread(_measure_as_worker, jobs, cluster=address)
        yield from (measured for _, measured in spread)
    else:
        yield from (measure(*job) for job in jobs)


def _measure_as_worker(key: str, seed: int) -> dict[str, Any]:
    with record.as_worker():
        return measure(key, seed)


def _write(path: Path, content: dict[str, Any]) -> None:
    from course_utils import training  # loads Keras, which `--help` does not need

    order = list(ROWS)
    content["measurements"].sort(key=lambda m: (order.index(m["row"]), m["seed"]))
    training.save_history(content | {"table": table(content)}, path)


if __name__ == "__main__":
    sys.exit(main())
