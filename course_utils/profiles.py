"""One switch for the size of every experiment, and what each notebook may cost.

``COURSE_PROFILE`` is ``smoke`` (seconds for each notebook, for CI), ``quick`` (the default: at most
two minutes on two cores) or ``full`` (all images). A notebook shows where it matters what a
profile changes: ``epochs = profile.pick(smoke=1, quick=4, full=20)``.
"""

from __future__ import annotations

import importlib
import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

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
    "03": Budget(smoke=60, quick=120, full=5400),
    "04": Budget(smoke=60, quick=120, full=5400),
    "05": Budget(smoke=60, quick=120, full=5400),
    "06": Budget(smoke=75, quick=120, full=5400),
    "07": Budget(smoke=60, quick=120, full=5400),
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
        If the number has no budget, or ``COURSE_PROFILE`` names no profile.

    Notes
    -----
    TensorFlow greets with two lines on the standard error stream that no setting removes without
    slowing it down. They are dropped while the backend loads; set ``COURSE_DEBUG=1`` to see them.
    """
    profile = active()
    if notebook not in BUDGETS:
        raise ValueError(
            f"There is no notebook {notebook!r}: the course has {', '.join(sorted(BUDGETS))}; "
            "pass one of these two-digit numbers."
        )
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = os.environ.get("TF_CPP_MIN_LOG_LEVEL") or "3"
    with _silent_standard_error(unless=os.environ.get("COURSE_DEBUG") == "1"):
        keras = importlib.import_module("keras")
        keras.ops.convert_to_numpy(keras.ops.zeros(1))  # makes the backend say its greeting now
    # Each notebook builds many small models on purpose; TensorFlow would warn about each of them.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    import numpy as np

    minutes = getattr(BUDGETS[notebook], profile.name) / 60
    print(
        f"Profile {profile.name} (budget on two cores: {minutes:.3g} min) · "
        f"Python {platform.python_version()} · Keras {keras.__version__} on "
        f"{keras.backend.backend()} · NumPy {np.__version__}"
    )
    return profile


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
