"""One switch for the size of every experiment, and what each notebook may cost.

``COURSE_PROFILE`` is ``smoke`` (seconds for each notebook, for CI), ``quick`` (the default: about
two minutes on two cores) or ``full`` (all images). A notebook shows where it matters what a
profile changes: ``epochs = profile.pick(smoke=1, quick=4, full=20)``.

``COURSE_DEVICES=2`` makes a notebook train data-parallel on two devices, without a change in
it: each takes half of every batch. They are the GPUs that are there; where there is none, the
processor is divided into two logical devices, which shows that it works and makes nothing faster.
"""

from __future__ import annotations

import importlib
import logging
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

NAMES = ("smoke", "quick", "full")


@dataclass(frozen=True)
class Profile:
    """The size at which the notebooks run.

    Attributes
    ----------
    name : str
        ``"smoke"``, ``"quick"`` or ``"full"``.
    """

    name: str

    def pick(self, *, smoke: T, quick: T, full: T) -> T:
        """Return the value that belongs to this profile.

        Parameters
        ----------
        smoke, quick, full : object
            The value for each profile.

        Returns
        -------
        object
            One of the three.
        """
        return {"smoke": smoke, "quick": quick, "full": full}[self.name]


@dataclass(frozen=True)
class Budget:
    """What a notebook may cost on two CPU cores.

    Attributes
    ----------
    smoke, quick, full : int
        Wall time in seconds in each profile.
    memory_mib : int
        Peak resident memory of the kernel in MiB, in the smoke and quick profiles.
    """

    smoke: int
    quick: int
    full: int
    memory_mib: int = 1800


BUDGETS = {
    "01": Budget(smoke=60, quick=120, full=5400),
    "02": Budget(smoke=60, quick=120, full=5400),
    "03": Budget(smoke=60, quick=120, full=7200),
    "04": Budget(smoke=60, quick=120, full=5400),
    "05": Budget(smoke=60, quick=120, full=7200),
    "06": Budget(smoke=75, quick=120, full=5400),
    "07": Budget(smoke=60, quick=120, full=5400),
    "08": Budget(smoke=60, quick=120, full=9000),
    "09": Budget(smoke=75, quick=120, full=9000),
}


def active() -> Profile:
    """Return the profile that the environment variable ``COURSE_PROFILE`` names.

    Returns
    -------
    Profile
        ``quick`` when the variable is unset or empty.

    Raises
    ------
    ValueError
        If the variable holds another word than the three names.
    """
    name = os.environ.get("COURSE_PROFILE", "").strip() or "quick"
    if name not in NAMES:
        raise ValueError(
            f"COURSE_PROFILE is {name!r}, but it must be one of {', '.join(NAMES)}: "
            "set it to one of these before the notebook starts, or unset it for quick."
        )
    return Profile(name)


def devices() -> int:
    """Return on how many devices the notebooks train: ``COURSE_DEVICES``.

    Returns
    -------
    int
        1 when the variable is unset or empty.

    Raises
    ------
    ValueError
        If the variable holds anything but a whole number from 1 on.
    """
    text = os.environ.get("COURSE_DEVICES", "").strip() or "1"
    if not (text.isascii() and text.isdecimal() and int(text) >= 1):
        raise ValueError(
            f"COURSE_DEVICES is {text!r}, but it must be a whole number from 1 on: set it before "
            "the notebook starts, or unset it for one device."
        )
    return int(text)


def start(notebook: str) -> Profile:
    """Begin a notebook: read the profile, import Keras quietly, say in one line what runs.

    Parameters
    ----------
    notebook : str
        The notebook's two-digit number, such as ``"02"``.

    Returns
    -------
    Profile
        The active profile.

    Raises
    ------
    ValueError
        If the number has no budget, ``COURSE_PROFILE`` names no profile, or ``COURSE_DEVICES`` asks
        for devices that the backend or the machine does not offer.
    RuntimeError
        If ``COURSE_DEVICES`` was changed after the backend had started.

    Notes
    -----
    TensorFlow greets with two lines on the standard error stream that no setting removes without
    slowing it down. They are dropped while the backend loads; set ``COURSE_DEBUG=1`` to see them.
    """
    profile, count = active(), devices()
    if notebook not in BUDGETS:
        raise ValueError(
            f"There is no notebook {notebook!r}: the course has {', '.join(sorted(BUDGETS))}; "
            "pass one of these two-digit numbers."
        )
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = os.environ.get("TF_CPP_MIN_LOG_LEVEL") or "3"
    with _silent_standard_error(unless=os.environ.get("COURSE_DEBUG") == "1"):
        keras = importlib.import_module("keras")
        if count > 1:
            _train_on(count)
        keras.ops.convert_to_numpy(keras.ops.zeros(1))  # makes the backend say its greeting now
    # Each notebook builds many small models on purpose; TensorFlow would warn about each of them.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    import numpy as np

    minutes = getattr(BUDGETS[notebook], profile.name) / 60
    print(
        f"Profile {profile.name} (budget on two cores: {minutes:.3g} min) · "
        f"Python {platform.python_version()} · Keras {keras.__version__} on "
        f"{keras.backend.backend()} · NumPy {np.__version__}"
        + (f" · {count} devices" if count > 1 else "")
    )
    return profile


def _train_on(count: int) -> None:
    """Let each model that is built from now on train on several devices, on parts of each batch.

    The first cell may run again, so what is set up already stays.
    """
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        if tf.distribute.get_strategy().num_replicas_in_sync == count:
            return
        found = tf.config.list_physical_devices("GPU")
        if not found:
            processor = tf.config.list_physical_devices("CPU")[0]
            parts = [tf.config.LogicalDeviceConfiguration()] * count
            with _before_the_backend_starts():
                tf.config.set_logical_device_configuration(processor, parts)
            found = tf.config.list_logical_devices("CPU")
        _check_enough(found, count)
        names = [f"{device.device_type}:{place}" for place, device in enumerate(found[:count])]
        strategy = tf.distribute.MirroredStrategy(names)
        tf.distribute.experimental_set_strategy(strategy)
        _open_mirrored_variables(strategy)
    elif backend == "jax":
        import jax

        present = keras.distribution.distribution()
        if present is not None and present.device_mesh.shape[0] == count:
            return
        with _before_the_backend_starts():
            jax.config.update("jax_num_cpu_devices", count)
        names = keras.distribution.list_devices()
        _check_enough(names, count)
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=names[:count]))
    else:
        raise ValueError(
            f"COURSE_DEVICES is {count}, but Keras runs on {backend}: several devices work on "
            "tensorflow and jax, so set KERAS_BACKEND to one of them, or unset COURSE_DEVICES."
        )


def _open_mirrored_variables(strategy: Any) -> None:
    """Let cells use variables that have a copy on each device as they use others.

    Keras makes no number of such a variable, and an optimizer's `apply` knows it only inside `fit`.
    """
    import keras
    import tensorflow as tf

    in_fit = keras.optimizers.Optimizer.apply

    def apply(optimizer: Any, gradients: Any, variables: Any = None) -> Any:
        if not tf.distribute.in_cross_replica_context():
            return in_fit(optimizer, gradients, variables)
        if not optimizer.built:
            optimizer.build(variables)

        def on_each_device() -> None:
            shares = [gradient / strategy.num_replicas_in_sync for gradient in gradients]
            in_fit(optimizer, shares, variables)  # adds the shares up

        return strategy.run(on_each_device)

    keras.optimizers.Optimizer.apply = apply
    keras.Variable.__float__ = lambda variable: float(variable.numpy())
    keras.Variable.__int__ = lambda variable: int(variable.numpy())


def _check_enough(found: Sequence[object], count: int) -> None:
    if len(found) < count:
        raise ValueError(
            f"COURSE_DEVICES is {count}, but this machine offers {len(found)} of the fastest kind "
            "of device: set it to at most that number, or hide the GPUs with "
            "CUDA_VISIBLE_DEVICES=-1 to divide the processor."
        )


@contextmanager
def _before_the_backend_starts() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise RuntimeError(
            "COURSE_DEVICES was changed after TensorFlow or JAX had started: restart the kernel."
        ) from error


def first_device() -> str:
    """Name the device that Keras computes on, the first one where there are several.

    Returns
    -------
    str
        Such as ``"cpu:0"`` or ``"gpu:0"``, in the words of the backend.
    """
    import keras

    if keras.backend.backend() == "torch":  # for which Keras lists no devices
        return str(keras.ops.zeros(1).device)
    return keras.distribution.list_devices()[0]


def has_fast_bfloat16() -> bool:
    """Tell whether this machine multiplies bfloat16 numbers faster than float32 ones.

    Returns
    -------
    bool
        True where an accelerator is found, or where Linux names one of the processor's
        instructions for such numbers; False if neither is known.
    """
    if not first_device().startswith("cpu"):
        return True
    processor = Path("/proc/cpuinfo")
    flags = processor.read_text(encoding="utf-8").split() if processor.is_file() else []
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags)


@contextmanager
def _silent_standard_error(*, unless: bool) -> Iterator[None]:
    """Send file descriptor 2 to nowhere for a while; native code does not use ``sys.stderr``."""
    if unless:
        yield
        return
    saved = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
