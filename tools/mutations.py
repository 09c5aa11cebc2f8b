"""Put deliberate faults into a copy of the course, one at a time, and see whether CI notices each.

``python -m tools.mutations`` copies the working tree into a temporary folder, changes one text
there, runs the tests and notebooks of ``make test`` that should notice, and goes on with the next
fault. What came of each is kept in ``build/mutations.json`` until the fault or a file that its
tests read changes, so the command goes on where it was stopped; ``--seconds 500`` begins nothing
new after that time. Words choose the faults that have them in their file or description.

A changed notebook is synced in the copy, so that no fault is caught merely because the ``.ipynb``
differs from its source. A test counts as noticing a fault only if it passes without it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from course_utils import files
from tools import check_notebooks, pairing

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "build" / "mutations.json"
LEFT_OUT = shutil.ignore_patterns(".*", "build", "runs", "*.egg-info", "__pycache__")
Command = tuple[str, ...]


@dataclass(frozen=True)
class Fault:
    """A mistake that a hurried edit could make.

    Attributes
    ----------
    file : str
        Where, from the root of the repository.
    what : str
        What is wrong, in a few words.
    old, new : str
        The text as it should be, which occurs exactly once in the file, and as it is put there.
    added : str
        The name of the test, the words of the assertion, or the marked cell that was written
        because of it, where nothing seemed to watch the place before.
    tests : str
        The file in ``tests`` that should notice; by default that of the module or notebook.
    """

    file: str
    what: str
    old: str
    new: str
    added: str = ""
    tests: str = ""

    @property
    def notebook(self) -> str:
        """The stem of the notebook, or nothing for a module."""
        return Path(self.file).stem if self.file.startswith("notebooks/") else ""

    def commands(self) -> list[Command]:
        """Return what ``make test`` does with this file, the cheapest first."""
        pytest = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
        if not self.notebook:
            return [(*pytest, f"tests/{self.tests or f'test_{Path(self.file).stem}.py'}")]
        found: list[Command] = [
            (*pytest, "tests/test_tools.py", "tests/test_exercises.py", "-k", self.notebook)
        ]
        if self.tests:
            found.append((*pytest, f"tests/{self.tests}"))
        run = ("-m", "tools.check_notebooks", self.notebook[:2], "--workers", "1", "--data")
        return found + [(*run, data) for data in reversed(check_notebooks.data_folders())]


def _in(file: str, *faults: tuple[str, ...], tests: str = "") -> list[Fault]:
    return [replace(Fault(file, *fault), tests=tests) for fault in faults]


SPLIT_ONCE = "test_once_the_training_images_are_divided_only_the_parts_are_used"
OWN_SEED = "test_nothing_has_a_fixed_seed_where_seeds_vary"
FAULTS = [
    *_in(
        "course_utils/datasets.py",
        (
            "validation images stay among the training images",
            "train.append(members[quota:])",
            "train.append(members)",
        ),
        (
            "images are drawn with replacement",
            "members = generator.permutation(np.flatnonzero(labels == label))",
            "members = generator.choice(np.flatnonzero(labels == label), (labels == label).sum())",
        ),
        (
            "the split ignores its seed",
            "counts - 1)\n    generator = np.random.default_rng(seed)",
            "counts - 1)\n    generator = np.random.default_rng(0)",
            "test_subset_and_split_depend_on_the_seed_alone",
        ),
        (
            "validation labels are in another order than their images",
            "labels[in_validation])",
            "labels[np.concatenate(validation)])",
            "test_split_never_shares_an_image_and_loses_none",
        ),
        (
            "color is taken for the last axis of the file",
            "values[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)",
            "values[:, 1:].reshape(-1, 32, 32, 3)",
        ),
        (
            "two class names are swapped",
            '"deer",\n            "dog",',
            '"dog",\n            "deer",',
            "test_class_names_stand_in_the_order_of_the_labels",
        ),
    ),
    *_in(
        "course_utils/augmentation.py",
        (
            "images are turned upside down",
            "mirrored = images[chosen][:, :, ::-1]",
            "mirrored = images[chosen][:, ::-1]",
        ),
        (
            "a pixel is standardized over the batch",
            "values -= values.mean(axis=1, keepdims=True)",
            "values -= values.mean(axis=0, keepdims=True)",
        ),
        (
            "channels are taken for the first axis",
            "totals.reshape(2, -1, channels).sum(axis=1)",
            "totals.reshape(2, channels, -1).sum(axis=2)",
        ),
        (
            "every epoch has the same order",
            "default_rng([self.seed, epoch, 0, 1])",
            "default_rng([self.seed, 0, 0, 1])",
        ),
        (
            "labels are not shuffled with their images",
            "self.labels[chosen])",
            "self.labels[index * self.batch_size : (index + 1) * self.batch_size])",
        ),
        (
            "the last window is never cut",
            "generator.integers(0, 2 * pixels + 1, size=(2, count))",
            "generator.integers(0, 2 * pixels, size=(2, count))",
        ),
    ),
    *_in(
        "course_utils/callbacks.py",
        (
            "one cycle ends one step late",
            "/ (self.total_steps - 1)",
            "/ self.total_steps",
        ),
        (
            "the cycle is one step ahead",
            "ops.mod(step, 2 * self.step_size)",
            "ops.mod(step + 1, 2 * self.step_size)",
        ),
        (
            "the range test reads running means",
            'loss = float(logs["loss"])\n                diverged',
            'loss = float(np.mean([*losses, logs["loss"]]))\n                diverged',
        ),
        (
            "the range test leaves its marks in the optimizer",
            "variables = [*model.variables, *model.optimizer.variables]",
            "variables = [*model.variables]",
        ),
        (
            "a batch is credited with the mean of its epoch",
            "values.append((total - old_total) / (count - old_count))",
            "values.append(total / count)",
        ),
    ),
    *_in(
        "course_utils/training.py",
        (
            "training goes on without the optimizer's memory",
            "return own + list(model.optimizer.variables)",
            "return own",
        ),
        (
            "training goes on with the data of the first epoch",
            "batches.epoch = memory.epochs",
            "batches.epoch = 0",
        ),
        (
            "predictions are shuffled",
            "batch_size=batch_size + -batch_size % devices, normalize=normalize",
            "batch_size=batch_size + -batch_size % devices, normalize=normalize, shuffle=True",
        ),
        (
            "dropout is active in predictions",
            "return model.predict(batches, verbose=0)[:count]",
            "return np.concatenate([model(batch, training=True) for batch in batches])[:count]",
        ),
        (
            "the interval is that of Wald",
            'interval = binomtest(int(correct), int(total)).proportion_ci(0.95, method="wilson")\n'
            "    return float(interval.low), float(interval.high)",
            "share = correct / total\n"
            "    half = 1.96 * np.sqrt(share * (1 - share) / total)\n"
            "    return float(share - half), float(share + half)",
        ),
        (
            "Keras shuffles the batches, too",
            "shuffle=False,  # Batches does it",
            "shuffle=True,  # Batches does it",
        ),
    ),
    *_in(
        "course_utils/explanations.py",
        ("probabilities are explained", "logits_of = logits_model(model)", "logits_of = model"),
        (
            "the background is the first images",
            "return datasets.stratified_subset(images, labels, size, seed=seed)[0]",
            "return images[:size]",
        ),
        ("dropout is active in explanations", "training=False", "training=True"),
    ),
    *_in(
        "course_utils/dashboards.py",
        (
            "the confusion matrix has predictions in rows",
            "np.bincount(truth * classes + predicted,",
            "np.bincount(predicted * classes + truth,",
        ),
        (
            "percentages are of the predicted class",
            "counts / counts.sum(axis=1, keepdims=True)",
            "counts / counts.sum(axis=0, keepdims=True)",
        ),
        (
            "captions swap truth and prediction",
            "class_names[truth[index]], class_names[predicted[index]]",
            "class_names[predicted[index]], class_names[truth[index]]",
        ),
    ),
    *_in(
        "course_utils/records.py",
        (
            "a standard deviation is called an error",
            "sum(variance(a) / len(a) for a in accuracies)",
            "sum(variance(a) for a in accuracies)",
        ),
        tests="test_racing.py",
    ),
    *_in(
        "notebooks/01_exploration.py",
        (
            "untouched images are in the pool",
            "x_pool, y_pool = reserve.x_train, reserve.y_train",
            "x_pool, y_pool = data.x_train, data.y_train",
        ),
        (
            "accuracies are measured with another normalization than in training",
            "normalize = augmentation.per_image  # as S1 did",
            "normalize = augmentation.scale",
            "evaluate and predict must normalize alike",
        ),
        (
            "the second view is upside down",
            "mirrored_images = x_untouched[:, :, ::-1]",
            "mirrored_images = x_untouched[:, ::-1]",
            "mirror left to right, as in training",
        ),
    ),
    *_in(
        "notebooks/02_baseline.py",
        (
            "truth and prediction change places",
            "dashboards.confusion_counts(y_true, predictions, len(names))",
            "dashboards.confusion_counts(predictions, y_true, len(names))",
            "a row must hold one true class",
        ),
        (
            "validation images are augmented",
            "base_validation = batches(split.x_validation, split.y_validation, normalize)",
            "flips = {'transforms': [augmentation.flip()]}\n"
            "base_validation = batches(split.x_validation, split.y_validation, normalize, **flips)",
        ),
        (
            "the normalizer has seen the validation images",
            "normalize = augmentation.fit_per_channel(split.x_train)",
            "normalize = augmentation.fit_per_channel(data.x_train)",
            SPLIT_ONCE,
        ),
        (
            "test images decide",
            "simple_validation = batches(split.x_validation, split.y_validation,",
            "simple_validation = batches(data.x_test, data.y_test,",
            "test_test_images_are_seen_in_the_marked_cells_only",
        ),
    ),
    *_in(
        "notebooks/03_dropout.py",
        (
            "the nets of the study have unlike starts",
            "    copy_start(template, model)\n",
            "",
        ),
        (
            "the first epoch is taken for the last",
            "run.history[metric][-1] for run in runs[name]",
            "run.history[metric][0] for run in runs[name]",
            "matrix and history must agree",
        ),
        (
            "a difference has the wrong sign",
            'difference = (counts["deeper + dropout"] - counts["simple"]).astype(float)',
            'difference = (counts["simple"] - counts["deeper + dropout"]).astype(float)',
            "matrix and history must agree",
        ),
        (
            "the softmax is applied twice",
            'layers.Dense(512, activation="relu"))\n'
            "    model.add(layers.Dropout(0.5))\n"
            '    model.add(layers.Dense(10, activation="softmax"))\n',
            'layers.Dense(512, activation="relu"))\n'
            "    model.add(layers.Dropout(0.5))\n"
            '    model.add(layers.Dense(10, activation="softmax"))\n'
            "    model.add(layers.Softmax())\n",
            "dashboards.layer_table(deeper_net())",
        ),
        (
            "logits are taken for probabilities",
            "keras.losses.SparseCategoricalCrossentropy(from_logits=True)",
            "keras.losses.SparseCategoricalCrossentropy()",
            "the loss must know that it gets logits",
        ),
    ),
    *_in(
        "notebooks/04_cyclical_learning_rates.py",
        (
            "one cycle is over after the first epoch",
            "callbacks.OneCycle(maximum, total_steps=total_steps)",
            "callbacks.OneCycle(maximum, total_steps=steps_per_epoch)",
            "the one cycle must last as long as the training",
        ),
        (
            "the range test is read at the wrong place",
            "fresh_test.rates[tenth + judged.argmin()]",
            "fresh_test.rates[judged.argmin()]",
            "at another rate the loss is lower",
        ),
        (
            "training images choose the winner",
            'results = summary("val_accuracy")',
            'results = summary("accuracy")',
            "choose by validation accuracy",
        ),
    ),
    *_in(
        "notebooks/05_optimizer_shootout.py",
        (
            "all optimizers share one network",
            "racers = {name: compile_racer(make) for name, make in OPTIMIZERS.items()}",
            'racers = dict.fromkeys(OPTIMIZERS, compile_racer(OPTIMIZERS["SGD"]))',
            "one network, many names",
        ),
        (
            "optimizers keep their memory between runs",
            "    put_back(racers[name].optimizer.variables, empty_memory[name])\n",
            "",
        ),
        (
            "all seeds start from the same weights",
            "copy_values(build_model(width, seed=seed).variables)",
            "copy_values(build_model(width, seed=0).variables)",
            OWN_SEED,
        ),
        (
            "places are given among seeds",
            'accuracy.rank(axis=1, ascending=False, method="min")',
            'accuracy.rank(axis=0, ascending=False, method="min")',
            "the winner of a seed must be in place 1",
        ),
    ),
    *_in(
        "notebooks/06_mnist_model_comparison.py",
        (
            "McNemar's test counts pairs that agree",
            "only_first = int(np.sum(first_right & ~second_right))\n"
            "    only_second = int(np.sum(~first_right & second_right))",
            "only_first = int(np.sum(first_right))\n    only_second = int(np.sum(second_right))",
            "count where exactly one is right",
        ),
        (
            "classifiers stay in training mode",
            "return lambda images: training.predict(\n"
            "        model, images, augmentation.scale, batch_size=250\n"
            "    ).argmax(1)",
            "return lambda images: np.argmax(\n"
            "        model(augmentation.scale(images), training=True), axis=1\n"
            "    )",
        ),
        (
            "the training loss chooses the checkpoint",
            'artifact(name, "_best.keras"), monitor="val_loss", save_best_only=True',
            'artifact(name, "_best.keras"), monitor="loss", save_best_only=True',
            "test_training_images_never_choose_an_epoch_or_a_rate",
        ),
    ),
    *_in(
        "notebooks/07_shap_explanations.py",
        (
            "the opposing pixels are removed first",
            "order = np.argsort(-maps.reshape(len(images), -1), axis=1)",
            "order = np.argsort(maps.reshape(len(images), -1), axis=1)",
            "the pixel that favors the class most must go first",
        ),
        (
            "all random networks are the same one",
            "explanations.randomize_weights(model, seed=seed, layers=top)",
            "explanations.randomize_weights(model, seed=0, layers=top)",
            OWN_SEED,
        ),
        (
            "an interval takes the deviation for the error",
            "half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))",
            "half = 1.96 * values.std(ddof=1)",
            "use the standard error",
        ),
    ),
    *_in(
        "notebooks/08_augmentation_and_batch_size.py",
        (
            "the rate is scaled the wrong way",
            "study_rate * size / small",
            "study_rate * small / size",
            "a larger batch must get a larger rate",
        ),
        (
            "a fresh start keeps the optimizer's memory",
            "    for variable in network.optimizer.variables:\n"
            "        variable.assign(keras.ops.zeros(variable.shape, variable.dtype))\n",
            "",
            "the optimizer remembers an earlier run",
        ),
        (
            "the study's seeds start alike",
            "fresh_start(study_network, build_network(study_width, seed=seed), rate=rate)",
            "fresh_start(study_network, build_network(study_width, seed=0), rate=rate)",
            OWN_SEED,
        ),
        (
            "the images that choose are those that judge",
            "judges = candidates[:, order[half:]].mean(axis=1)",
            "judges = candidates[:, order[:half]].mean(axis=1)",
            "the best of eight coins must be flattered",
        ),
    ),
    *_in(
        "notebooks/09_racing_to_94.py",
        (
            "the loss takes logits for probabilities",
            "SmoothedCrossEntropy(from_logits=True, label_smoothing",
            "SmoothedCrossEntropy(from_logits=False, label_smoothing",
        ),
        (
            "the schedule ends with the first stage",
            "steps_per_epoch * sum(epochs for _, epochs in recipe.stages)",
            "steps_per_epoch * recipe.stages[0][1]",
            "test_the_schedule_lasts_as_long_as_all_stages",
        ),
        (
            "labels are smoothed twice",
            "super().call(ops.one_hot(labels, 10), logits)",
            "super().call(0.8 * ops.one_hot(labels, 10) + 0.02, logits)",
        ),
        (
            "the running mean keeps what it should forget",
            "keep * self.moving_mean + (1 - keep) * mean",
            "(1 - keep) * self.moving_mean + keep * mean",
        ),
        (
            "the recipes are trained on the validation images, too",
            "train(recipe, split.x_train, split.y_train, name=name, seed=seed)",
            "train(recipe, data.x_train, data.y_train, name=name, seed=seed)",
            SPLIT_ONCE,
        ),
        (
            "views are turned upside down",
            "for shown in (view, view[:, :, ::-1]):",
            "for shown in (view, view[:, ::-1]):",
        ),
        tests="test_racing.py",
    ),
]


@contextmanager
def copied() -> Iterator[Path]:
    """Give a throw-away copy of the working tree.

    Raises
    ------
    RuntimeError
        If Python would import the modules of another folder there.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder).resolve() / "course"
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
        code = "import course_utils, tools; print(course_utils.__file__, tools.__file__, sep='\\n')"
        found = _run(copy, ("-c", code)).stdout.splitlines()
        if not found or not all(Path(path).is_relative_to(copy) for path in found):
            raise RuntimeError(f"{found} is imported, but it should come from the copy {copy}.")
        yield copy


def noticed(fault: Fault, copy: Path) -> tuple[str, Command] | None:
    """Put a fault into the copy, run what should notice it, and take it out again.

    Parameters
    ----------
    fault : Fault
        One of `FAULTS`.
    copy : pathlib.Path
        What `copied` gives; it is left as it was.

    Returns
    -------
    tuple of str and command, or None
        The test or cell that failed, and what ran it; None if all passed.

    Raises
    ------
    ValueError
        If the text to change does not occur exactly once.
    """
    target = copy / fault.file
    touched = [target]
    if fault.notebook:
        touched += [target.with_suffix(".ipynb"), pairing.data_file(target)]
    before = {file: file.read_bytes() for file in touched}
    target.write_text(changed(fault, target), encoding="utf-8")
    try:
        if fault.notebook:
            pairing.sync([target])
        for command in fault.commands():
            name = failure(command, copy)
            if name:
                return name, command
        return None
    finally:
        for file, content in before.items():
            file.write_bytes(content)


def changed(fault: Fault, path: Path) -> str:
    """Return the text of a file with the fault in it.

    Raises
    ------
    ValueError
        If the text to change does not occur exactly once.
    """
    text = path.read_text(encoding="utf-8")
    if text.count(fault.old) != 1:
        raise ValueError(
            f"{fault.file} has {text.count(fault.old)} places for the fault {fault.what!r}, but it "
            "needs exactly one: adapt its old text in tools/mutations.py."
        )
    return text.replace(fault.old, fault.new)


def failure(command: Command, copy: Path) -> str:
    """Run a command in the copy; return the first test or cell that failed, or nothing.

    Raises
    ------
    RuntimeError
        If pytest could not do its work.
    """
    done = _run(copy, command)
    if done.returncode == 0:
        return ""
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", done.stdout, flags=re.MULTILINE)
    if done.returncode not in (1, 2) or not failed:
        raise RuntimeError(f"{' '.join(command)} broke off: {done.stdout}{done.stderr}")
    path, _, place = failed[1].partition("::")
    return f"{Path(path).name}::{place}"


def _run(copy: Path, command: Command) -> subprocess.CompletedProcess[str]:
    real = check_notebooks.data_folders().get("real")
    variables = {
        "PYTHONPATH": str(copy),
        # Two edits within a second may be of one size, and would pass for the same source.
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_ADDOPTS": "-x",
        **({"COURSE_DATA_DIR": str(real)} if real else {}),
    }
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, *command],
        cwd=copy,
        env=kept | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def _key(fault: Fault, command: Command = ()) -> str:
    """Return a hash of a fault, or of a command, and of the files that decide what it comes to."""
    digest = hashlib.sha256(repr(command or (fault.old, fault.new)).encode())
    tests = {part for parts in fault.commands() for part in parts if part.endswith(".py")}
    paths = {ROOT / name for name in (fault.file, "tests/conftest.py", *tests)}
    paths |= {*(ROOT / "course_utils").glob("*.py"), ROOT / "tools" / "check_notebooks.py"}
    if fault.notebook:
        paths.add(check_notebooks.EXPECTED / f"{fault.notebook}.json")
    for path in sorted(path for path in paths if path.is_file()):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def survey(
    faults: Sequence[Fault], *, seconds: float = math.inf, workers: int = 1
) -> dict[Fault, str]:
    """Try the faults that were not tried since their files changed last.

    Parameters
    ----------
    faults : sequence of Fault
        Some of `FAULTS`.
    seconds : float
        Begin no fault after that time.
    workers : int
        How many to try at a time, each in a copy of its own.

    Returns
    -------
    dict of Fault to str
        The test or cell that noticed each fault, nothing where none did. A fault for which there
        was no time is left out.

    Raises
    ------
    RuntimeError
        If what noticed a fault fails without it, too.
    """
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else {}
    end, turn = time.monotonic() + seconds, threading.Lock()
    left = [fault for fault in faults if _key(fault) not in kept]
    waiting = iter(left)

    def keep(key: str, outcome: str) -> None:
        with turn:
            kept[key] = outcome
            KEPT.parent.mkdir(exist_ok=True)
            with files.replacing(KEPT) as temporary:
                temporary.write_text(json.dumps(kept, indent=1), encoding="utf-8")

    def work() -> None:
        with copied() as copy:
            while time.monotonic() < end:
                with turn:
                    fault = next(waiting, None)
                if fault is None:
                    return
                name, command = noticed(fault, copy) or ("", ())
                if command and _key(fault, command) not in kept:
                    if failed := failure(command, copy):
                        raise RuntimeError(f"{failed} fails without a fault, too: mend it first.")
                    keep(_key(fault, command), "passes without a fault")
                keep(_key(fault), name)
                print(sentence(fault, name), flush=True)

    with ThreadPoolExecutor(workers) as pool:
        for worker in [pool.submit(work) for _ in range(min(workers, len(left)))]:
            worker.result()
    tried = [fault for fault in faults if _key(fault) in kept]
    return {fault: kept[_key(fault)] for fault in tried}


def sentence(fault: Fault, name: str) -> str:
    """Say what became of a fault."""
    return f"{fault.file}: {fault.what}: {f'noticed by {name}' if name else 'slipped through'}."


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("words", nargs="*", help="only faults with these words; default: all")
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin none after that")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    options = parser.parse_args(arguments)
    chosen = [f for f in FAULTS if all(w in f"{f.file}: {f.what}" for w in options.words)]
    found = survey(chosen, seconds=options.seconds, workers=options.workers)
    slipped = [fault for fault, name in found.items() if not name]
    print(f"{len(found)} of {len(chosen)} faults tried, {len(slipped)} slipped through.")
    return 1 if slipped or len(found) < len(chosen) else 0


if __name__ == "__main__":
    sys.exit(main())
