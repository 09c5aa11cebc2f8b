"""Training that survives interruption, never repeats finished work, and can be repeated exactly.

``fit`` is ``model.fit`` with a memory: after each epoch it saves everything that the next epoch
depends on, and a run that was finished before with the same settings is read back.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import os
import re
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import FunctionType
from typing import Any, Literal, get_args

import keras
import numpy as np

from course_utils import augmentation, files, identity, profiles, records
from course_utils import callbacks as course_callbacks

History = dict[str, list[float]]
Progress = Literal["plot", "line"]
FUNCTIONS = (FunctionType, functools.partial)


@dataclass(frozen=True)
class Run:
    """What ``fit`` gives back.

    Attributes
    ----------
    name : str
        The name that was passed.
    history : dict of str to list of float
        One value for each epoch: ``loss``, ``accuracy``, ``val_loss``, ``val_accuracy`` and the
        ``learning_rate`` at the end of the epoch.
    seconds : float
        Time spent in training and validation, over all starts.
    images_per_second : float
        Training images seen, over ``seconds``.
    path : pathlib.Path
        The folder of this run.
    reused : bool
        True when nothing was trained, because the run was finished before.
    """

    name: str
    history: History
    seconds: float
    images_per_second: float
    path: Path
    reused: bool

    @property
    def epochs(self) -> int:
        """Number of epochs that were trained."""
        return len(self.history["loss"])


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and the Keras backend, and ask TensorFlow for deterministic operations.

    Parameters
    ----------
    seed : int
        The same seed gives the same weights and dropout masks on the same machine. Call it right
        before a model is built.
    """
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def fit(
    model: keras.Model,
    batches: augmentation.Batches,
    *,
    name: str,
    epochs: int,
    validation: augmentation.Batches | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    seed: int = 0,
    folder: Path | str | None = None,
    progress: Progress | None = "plot",
) -> Run:
    """Train a compiled model; go on after an interruption, and skip what is already done.

    A run is recognized by everything that its result depends on: architecture, compile settings,
    present weights and optimizer state, training and validation data, callbacks, epochs, seed, the
    code of your own layers, losses, optimizers, callbacks and transforms, and the versions of
    Python, Keras and its backend. Change one of them and a new run starts. After a kill the run
    goes on at the last finished epoch and ends as if it had not been interrupted, dropout masks,
    data order and the state of the callbacks included. Interrupting the kernel, or an error on the
    way, keeps the finished epochs too, and puts model and callbacks back to where they were, so
    that the same call goes on.

    If the environment variable ``COURSE_RECORD`` names a file, a line of JSON about the finished
    run is added to it.

    Parameters
    ----------
    model : keras.Model
        Compiled. It is trained in place and ends with the weights of the last epoch.
    batches : augmentation.Batches
        Training data.
    name : str
        Names the run's folder; start it with the notebook's number, such as ``"02_simple_cnn"``.
    epochs : int
        How many passes over the training data, at least 1.
    validation : augmentation.Batches, optional
        Evaluated after each epoch.
    callbacks : sequence of keras.callbacks.Callback
        Their plain attributes (numbers, texts, arrays, and lists of them) are saved and restored.
        A ``CSVLogger`` needs ``append=True`` to keep its earlier rows when a run goes on.
    seed : int
        Recorded with the run, and part of its settings.
    folder : path-like, optional
        Where runs are kept; by default ``$COURSE_RUNS_DIR``, else ``runs`` in the working folder.
    progress : {"plot", "line"}, optional
        What to show while it trains, beside the recorded full run if there is one. ``"plot"``
        leaves the learning curves, ``"line"`` one line; None shows nothing.

    Returns
    -------
    Run
        History, time and folder.

    Raises
    ------
    ValueError
        If the model is not compiled or not built, epochs is below 1, progress is unknown,
        several devices cannot share a batch, or what was kept of this training is damaged.
    OSError
        If the folder cannot be written.
    """
    if progress is not None and progress not in get_args(Progress):
        raise ValueError(
            f"progress is {progress!r}, but it names what run {name!r} shows: pass 'plot', 'line' "
            "or None."
        )
    if not model.compiled:
        raise ValueError(
            f"The model of run {name!r} is not compiled: call model.compile(optimizer=…, loss=…, "
            'metrics=["accuracy"]) before training.fit.'
        )
    if not model.built:
        raise ValueError(
            f"The model of run {name!r} is not built, so it has no weights yet: begin it with "
            "keras.Input(shape), or call model.build(shape) before training.fit."
        )
    if epochs < 1:
        raise ValueError(f"epochs is {epochs}, but run {name!r} needs at least 1.")
    _check_parts(batches, validation)
    for each in (batches, validation):
        if each is not None:
            each.epoch = 0
    model.optimizer.build(model.trainable_variables)
    settings = _settings(model, batches, validation, callbacks, epochs, seed)
    path = _writable(
        Path(folder or runs_folder()) / f"{name}-{_hash(json.dumps(settings).encode())[:12]}"
    )
    described = _described(model, batches, callbacks)
    start = _Start(model, callbacks)
    memory = _Memory(path / "state.npz", start)
    try:
        reused = memory.restore(model)
        seconds_before = memory.seconds
        recorded = records.recorded(name) if progress else None
        if reused and progress:
            course_callbacks.show_finished(
                memory.history, epochs=epochs, final=progress, title=name, recorded=recorded
            )
        if not reused:
            shown = []
            if progress:
                shown = [
                    course_callbacks.LiveProgress(
                        final=progress, title=name, recorded=recorded, earlier=memory.history
                    )
                ]
            batches.epoch = memory.epochs
            model.fit(
                batches,
                validation_data=validation,
                epochs=epochs,
                # A stopped run trains no more, but its callbacks still see the end of training.
                initial_epoch=epochs if memory.stopped else memory.epochs,
                shuffle=False,  # Batches does it; Keras would use Python's global generator
                verbose=0,
                callbacks=[*_in_step(callbacks), *shown, memory],
            )
            # A finished run is read back, so its record has to be there before it is one.
            save_history({"settings": settings, "name": name} | memory.record(), path / "run.json")
            memory.save(finished=True)
    except BaseException as error:
        start.put_back()
        if isinstance(error, KeyboardInterrupt):
            print(_what_is_kept(memory, epochs))
        raise
    trained = batches.num_images * memory.epochs
    run = Run(name, memory.history, memory.seconds, trained / memory.seconds, path, reused)
    if os.environ.get("COURSE_RECORD"):
        records.add_line(
            {
                "name": name,
                "seed": seed,
                "epochs": run.epochs,
                "history": run.history,
                "seconds": run.seconds,
                "seconds_before": seconds_before,
                "read_back": run.reused,
                "train_images": batches.num_images,
                "validation_images": validation.num_images if validation else 0,
                "batch_size": batches.batch_size,
                **described,
                "settings": _hash(json.dumps(settings).encode()),
                "keras": keras.__version__,
                "backend": keras.backend.backend(),
                "device": profiles.first_device(),
                "peak_memory_mib": records.peak_memory(),
            },
        )
    return run


def _in_step(
    callbacks: Sequence[keras.callbacks.Callback],
) -> list[keras.callbacks.Callback]:
    """Let callbacks see and set variables between two steps, on JAX as elsewhere.

    There, Keras writes into the variables at the end of an epoch, over whatever was set before.
    """
    if not callbacks or keras.backend.backend() != "jax":
        return list(callbacks)

    def synchronize(batch: int, logs: Mapping[str, float] | None) -> None:
        first.model.jax_state_sync()

    first = keras.callbacks.LambdaCallback(
        on_train_batch_begin=synchronize, on_train_batch_end=synchronize
    )
    return [first, *callbacks]


def _check_parts(*data: augmentation.Batches | None) -> None:
    """Refuse batches that the devices of ``COURSE_DEVICES`` cannot share."""
    count = profiles.devices()
    needs_equal_parts = keras.backend.backend() == "jax"
    for batches in data:
        if batches is None or count == 1:
            continue
        full = min(batches.batch_size, batches.num_images)
        last = batches.num_images % full or full
        for size in (full, last):
            if size < count or (needs_equal_parts and size % count):
                raise ValueError(
                    f"{count} devices cannot share a batch of {size} among {batches.num_images} "
                    f"images in batches of {batches.batch_size}: choose numbers that {count} "
                    "divides, or unset COURSE_DEVICES."
                )


def _what_is_kept(memory: _Memory, epochs: int) -> str:
    """Say what an interruption leaves."""
    if memory.kept == 0:
        return (
            f"Interrupted in epoch 1 of {epochs}: no epoch is finished, so nothing is kept yet; "
            "run this cell again to start anew."
        )
    kept = f"{memory.kept} epoch{'s are' if memory.kept > 1 else ' is'} kept"
    if memory.stopped or memory.kept == epochs:
        return f"Interrupted after the last epoch: {kept}; run this cell again to end the run."
    return (
        f"Interrupted in epoch {memory.kept + 1} of {epochs}: {kept}; run this cell again to go on."
    )


class _Start:
    """What a model and its callbacks were before a training, as far as the run's key shows."""

    def __init__(self, model: keras.Model, callbacks: Sequence[keras.callbacks.Callback]) -> None:
        self.model = model
        self.values = [np.array(keras.ops.convert_to_numpy(v)) for v in _variables(model)]
        self.states = [(callback, _kept_state(callback)) for callback in callbacks]

    def put_back(self) -> None:
        for variable, value in zip(_variables(self.model), self.values, strict=True):
            variable.assign(value)
        for callback, state in self.states:
            for key in _kept_state(callback).keys() - state.keys():
                delattr(callback, key)
            vars(callback).update(state)


def _kept_state(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """Return copies of the attributes that are saved with a run."""
    return copy.deepcopy(_plain_state(callback) | _arrays(callback))


class _Memory(keras.callbacks.Callback):
    """Save after each epoch, in one file, all that the following epochs depend on."""

    def __init__(self, path: Path, start: _Start) -> None:
        super().__init__()
        self.path = path
        self.others = start.states
        self.history: History = {}
        self.seconds = 0.0
        self.stopped = False
        self.kept = 0  # epochs that are in the file
        self._saved_states: list[dict[str, Any]] = []
        self._started = 0.0

    @property
    def epochs(self) -> int:
        return len(self.history.get("loss", []))

    def record(self) -> dict[str, Any]:
        return {"history": self.history, "seconds": self.seconds, "stopped": self.stopped}

    def restore(self, model: keras.Model) -> bool:
        """Put the saved state into the model, if there is one; tell whether the run is done.

        Raises
        ------
        ValueError
            If the file is damaged; the model is then as it was.
        """
        if not self.path.is_file():
            return False
        variables = _variables(model)
        try:
            record, values = self._read([tuple(variable.shape) for variable in variables])
        except (*files.DAMAGED, LookupError, AttributeError) as error:
            raise ValueError(
                f"What is kept of this run cannot be read ({files.reason(error)}): remove "
                f"{self.path}, and it is trained anew."
            ) from error
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        self.history, self.seconds = record["history"], record["seconds"]
        self.stopped = record["stopped"]
        self.kept = self.epochs
        self._restore_callbacks()
        return record["finished"]

    def _read(self, shapes: Sequence[tuple[int, ...]]) -> tuple[dict[str, Any], list[np.ndarray]]:
        """Read the record, the states of callbacks, and arrays of these shapes."""
        with np.load(self.path, allow_pickle=False) as saved:
            record = json.loads(saved["record"].tobytes())
            values = [saved[f"variable_{position}"] for position in range(len(shapes))]
            self._saved_states = [
                {
                    **state["plain"],
                    **{
                        key: _loaded(saved, f"callback_{number}_{key}", count)
                        for key, count in state["arrays"].items()
                    },
                }
                for number, state in enumerate(record.pop("callbacks"))
            ]
        if [value.shape for value in values] != list(shapes):
            raise ValueError("its arrays are not those of this model")
        if missing := {"history", "seconds", "stopped", "finished"} - record.keys():
            raise ValueError(f"its record lacks {', '.join(sorted(missing))}")
        return record, values

    def save(self, *, finished: bool) -> None:
        """Write the state to a new file that takes the old one's place in one step."""
        arrays = {
            f"variable_{position}": keras.ops.convert_to_numpy(variable)
            for position, variable in enumerate(_variables(self.model))
        }
        states = []
        for number, (callback, before) in enumerate(self.others):
            kept = {
                key: value
                for key, value in _arrays(callback).items()
                # What stays as it was, such as images to predict, would be saved in vain.
                if isinstance(value, list)
                or key not in before
                or not np.array_equal(value, before[key])
            }
            counts = {key: len(v) if isinstance(v, list) else None for key, v in kept.items()}
            states.append({"plain": _plain_state(callback), "arrays": counts})
            for key, value in kept.items():
                values = value if isinstance(value, list) else [value]
                arrays |= {f"callback_{number}_{key}_{i}": each for i, each in enumerate(values)}
        record = self.record() | {"finished": finished, "callbacks": states}
        arrays["record"] = np.frombuffer(json.dumps(record).encode(), np.uint8)
        with files.replacing(self.path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)
        self.kept = self.epochs

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        # This callback comes last, so what the others reset at the start can be put back here.
        self._restore_callbacks()

    def _restore_callbacks(self) -> None:
        for (callback, _), state in zip(self.others, self._saved_states, strict=False):
            # A copy: a callback that empties its list at the start must not empty this one.
            vars(callback).update(copy.deepcopy(state))

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self.seconds += time.perf_counter() - self._started
        values = dict(logs or {}) | {"learning_rate": float(self.model.optimizer.learning_rate)}
        for key, value in values.items():
            self.history.setdefault(key, []).append(float(value))
        self.stopped = bool(self.model.stop_training)
        self.save(finished=False)


def _variables(model: keras.Model) -> list[Any]:
    """Return weights, random states and optimizer state; metrics start anew at each epoch."""
    metrics = {id(variable) for variable in model.metrics_variables}
    own = [variable for variable in model.variables if id(variable) not in metrics]
    return own + list(model.optimizer.variables)


def _plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(_plain(item) for item in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _plain(item) for key, item in value.items())
    return value is None or isinstance(value, bool | int | float | str)


def _plain_state(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """Return the attributes of a callback that JSON can hold; NumPy scalars become numbers."""
    own = {key: value for key, value in vars(callback).items() if key not in ("params", "_params")}
    numbers = {
        key: value.item() if isinstance(value, np.generic) else value for key, value in own.items()
    }
    return {key: value for key, value in numbers.items() if _plain(value)}


def _arrays(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """Return the attributes of a callback that are arrays, NumPy scalars or lists of them."""
    return {
        key: value
        for key, value in vars(callback).items()
        if _is_array(value) or (isinstance(value, list) and value and all(map(_is_array, value)))
    }


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject


def _loaded(saved: Mapping[str, np.ndarray], name: str, count: int | None) -> Any:
    """Return a list of arrays, or a single one if there is no count; without axes, a scalar."""
    if count is None:
        return saved[f"{name}_0"][()]
    return [saved[f"{name}_{place}"][()] for place in range(count)]


def _settings(
    model: keras.Model,
    batches: augmentation.Batches,
    validation: augmentation.Batches | None,
    callbacks: Sequence[keras.callbacks.Callback],
    epochs: int,
    seed: int,
) -> dict[str, Any]:
    """Describe, as JSON, everything that the result of a run depends on."""
    configuration = json.dumps([model.get_config(), model.get_compile_config()], default=str)
    # Keras numbers the objects of a process ("dense_7"); their place in the model is what counts.
    for position, part in enumerate([*model._flatten_layers(), model.optimizer]):
        # The first of a kind has no number: "activation" is a key of the configuration, too.
        name = rf'"{re.escape(part.name)}"(?!:)'
        configuration = re.sub(name, f'"part {position}"', configuration)
    return {
        "model": _hash(configuration.encode()),
        "state": _hash(*(keras.ops.convert_to_numpy(v).tobytes() for v in _variables(model))),
        "train": _fingerprint(batches),
        "validation": validation and _fingerprint(validation),
        "callbacks": [
            [type(callback).__name__, _copied(_plain_state(callback))] for callback in callbacks
        ],
        "code": _code(model, batches, validation, callbacks),
        "epochs": epochs,
        "seed": seed,
        "keras": keras.__version__,
        "backend": [backend := keras.backend.backend(), sys.modules[backend].__version__],
        **({"devices": profiles.devices()} if profiles.devices() > 1 else {}),
    }


def _code(
    model: keras.Model,
    batches: augmentation.Batches,
    validation: augmentation.Batches | None,
    callbacks: Sequence[keras.callbacks.Callback],
) -> str:
    """Return a digest of the code that trains and is not that of an installed package."""
    drawn = [[b, b.normalize, b.transforms] for b in (batches, validation) if b is not None]
    layers = [
        [layer, getattr(layer, "activation", None), getattr(layer, "function", None)]
        for layer in model._flatten_layers(include_self=False)
    ]
    own = [
        [callback, {k: v for k, v in sorted(vars(callback).items()) if isinstance(v, FUNCTIONS)}]
        for callback in callbacks
    ]
    optimizer = [model.optimizer, getattr(model.optimizer, "_learning_rate", None)]
    metrics = getattr(model._compile_metrics, "_user_metrics", None)
    return identity.code_digest(type(model), layers, optimizer, model.loss, metrics, drawn, own)


def _copied(value: Any) -> Any:
    """Copy plain values; name a file of the runs folder by its place in there.

    A list that a callback fills while it trains must not change the settings, nor must the place
    that the folder has on a disk.
    """
    if isinstance(value, str):
        path, folder = Path(value).absolute(), runs_folder().absolute()
        return f"runs/{path.relative_to(folder)}" if path.is_relative_to(folder) else value
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list | tuple) else value


def _described(
    model: keras.Model,
    batches: augmentation.Batches,
    callbacks: Sequence[keras.callbacks.Callback],
) -> dict[str, Any]:
    """Describe for readers what `_settings` holds as digits."""
    kinds = Counter(type(layer).__name__ for layer in model._flatten_layers() if layer is not model)
    kinds.pop("InputLayer", None)
    optimizer = model.optimizer.get_config()
    optimizer["name"] = type(model.optimizer).__name__
    return {
        "model": ", ".join(f"{count} {kind}" for kind, count in kinds.items()),
        "parameters": model.count_params(),
        "number_format": model.dtype_policy.name,
        "optimizer": {
            key: value
            for key, value in json.loads(json.dumps(optimizer, default=str)).items()
            if value not in (None, False)
        },
        "transforms": [
            getattr(transform, "__qualname__", type(transform).__name__).split(".")[0]
            for transform in batches.transforms
        ],
        "callbacks": [type(callback).__name__ for callback in callbacks],
    }


def _fingerprint(batches: augmentation.Batches) -> str:
    """Hash images, labels, and the first batch as drawn, which shows scaling and augmentation."""
    first = batches[0]
    drawn = first if isinstance(first, tuple) else (first,)
    arrays = [batches.images, batches.labels, *drawn]
    # Buffers, not bytes: those would be a copy of all images.
    return _hash(*(np.ascontiguousarray(a).data for a in arrays if a is not None))


def _hash(*parts: bytes | memoryview) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def runs_folder() -> Path:
    """Return the folder that keeps runs: ``$COURSE_RUNS_DIR``, else ``runs`` where you work."""
    return Path(os.environ.get("COURSE_RUNS_DIR") or "runs")


def artifacts_folder() -> Path:
    """Return the folder for what a notebook saves: models, histories, logs; create it if need be.

    Returns
    -------
    pathlib.Path
        ``artifacts`` inside the runs folder.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    return _writable(runs_folder() / "artifacts")


def _writable(folder: Path) -> Path:
    return files.writable(folder, "set COURSE_RUNS_DIR to a folder that you may write")


def save_model(model: keras.Model, path: Path | str) -> Path:
    """Save architecture, weights and compile settings in one ``.keras`` file.

    Parameters
    ----------
    model : keras.Model
        Any built model.
    path : path-like
        Ends in ``.keras``; an older file is replaced only after the new one is complete.

    Returns
    -------
    pathlib.Path
        The path.

    Raises
    ------
    ValueError
        If the path has another suffix.
    OSError
        If the file cannot be written; what was there before is whole.
    """
    target = _keras_path(path)
    with files.replacing(target) as temporary:
        model.save(temporary)
    return target


def load_model(path: Path | str) -> keras.Model:
    """Load a ``.keras`` file in safe mode: code inside the file is never run.

    Parameters
    ----------
    path : path-like
        What ``save_model`` wrote.

    Returns
    -------
    keras.Model
        The model, compiled as it was.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the path does not end in ``.keras``, or the file is damaged or would run code.
    """
    target = _keras_path(path)
    if not target.is_file():
        raise FileNotFoundError(f"There is no model {target}: run the cell that saves it first.")
    try:
        return keras.models.load_model(target, safe_mode=True)
    except (ValueError, TypeError, KeyError, ImportError, OSError, zipfile.BadZipFile) as error:
        # Keras' own words fill pages, and advise to switch the safe mode off.
        raise ValueError(
            f"{target} cannot be loaded safely: it is damaged, or holds code, or layers that are "
            "unknown here; run the cells that define its layers, or save it anew with "
            "training.save_model."
        ) from error


def _keras_path(path: Path | str) -> Path:
    target = Path(path)
    if target.suffix != ".keras":
        raise ValueError(f"The model's path is {target}, but it must end in .keras.")
    return target


def save_history(history: Mapping[str, Any], path: Path | str) -> Path:
    """Save a history, or any record of plain values, as JSON.

    Parameters
    ----------
    history : mapping
        Plain values: texts, numbers, lists and dictionaries of them.
    path : path-like
        Written in one step: a reader never sees half a file.

    Returns
    -------
    pathlib.Path
        The path.

    Raises
    ------
    OSError
        If the file cannot be written; what was there before is whole.
    """
    target = Path(path)
    with files.replacing(target) as temporary:
        temporary.write_text(json.dumps(history, indent=1), encoding="utf-8")
    return target


def load_history(path: Path | str) -> dict[str, Any]:
    """Load what ``save_history`` wrote.

    Parameters
    ----------
    path : path-like
        A JSON file.

    Returns
    -------
    dict
        The history.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not JSON.
    """
    source = Path(path)
    if not source.is_file():
        raise FileNotFoundError(f"There is no history {source}: run the cell that saves it first.")
    return records.read_json(source, "a history", "remove it, then run the cell that saves it.")


def evaluate(model: keras.Model, batches: augmentation.Batches) -> dict[str, float]:
    """Compute loss and metrics in inference mode.

    Parameters
    ----------
    model : keras.Model
        Compiled.
    batches : augmentation.Batches
        With labels; any augmentation in it is applied, so leave it out for an honest figure.

    Returns
    -------
    dict of str to float
        ``loss`` and each compiled metric.

    Raises
    ------
    ValueError
        If several devices cannot share a batch.
    """
    _check_parts(batches)
    results = model.evaluate(batches, verbose=0, return_dict=True)
    return {key: float(value) for key, value in results.items()}


def predict(
    model: keras.Model,
    images: np.ndarray,
    normalize: augmentation.Normalize,
    *,
    batch_size: int = 500,
) -> np.ndarray:
    """Predict in inference mode, row by row in the order of the images.

    Parameters
    ----------
    model : keras.Model
        Any built classifier.
    images : numpy.ndarray
        uint8, shape (n, height, width, channels).
    normalize : callable
        The normalizer that the model was trained with.
    batch_size : int
        Images for each step.

    Returns
    -------
    numpy.ndarray
        float32, shape (n, classes).
    """
    count, devices = len(images), profiles.devices()
    if count % devices:  # each device takes an equal part, so repeated images fill the last one up
        images = images[np.arange(count + -count % devices) % count]
    batches = augmentation.Batches(
        images, batch_size=batch_size + -batch_size % devices, normalize=normalize
    )
    return model.predict(batches, verbose=0)[:count]


def accuracy_interval(correct: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of an accuracy that was measured on so many images.

    Parameters
    ----------
    correct, total : int
        Images classified correctly, and images in all.

    Returns
    -------
    tuple of float
        Lower and upper bound, between 0 and 1 (Wilson, 1927).

    Raises
    ------
    ValueError
        If total is below 1, or correct is not between 0 and total.
    """
    from scipy.stats import binomtest

    if total < 1 or not 0 <= correct <= total:
        raise ValueError(
            f"{correct} correct of {total} images is impossible: pass 0 <= correct <= total and "
            "at least one image."
        )
    interval = binomtest(int(correct), int(total)).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def reported(source: str) -> dict[str, Any]:
    """Return what one of the older write-ups reported, for comparison with what you measure.

    Parameters
    ----------
    source : str
        ``"S1"`` to ``"S5"``.

    Returns
    -------
    dict
        For each of its experiments, the figures: accuracies between 0 and 1, seconds, epochs.

    Raises
    ------
    ValueError
        If there is no such write-up.
    """
    text = resources.files("course_utils").joinpath("sources.json").read_text(encoding="utf-8")
    figures = json.loads(text)
    if source not in figures:
        raise ValueError(f"There is no write-up {source!r}: use one of {', '.join(figures)}.")
    return figures[source]
