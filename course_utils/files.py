"""Files that are whole or absent, whatever interrupts the writing of them."""

from __future__ import annotations

import contextlib
import glob
import os
import time
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

LEFTOVER_SECONDS = 3600.0

# What zipfile, zlib and NumPy's reader of headers raise on a damaged file.
DAMAGED = (
    ValueError,
    TypeError,
    SyntaxError,
    RuntimeError,
    MemoryError,
    OSError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    tokenize.TokenError,
)


def reason(error: BaseException) -> str:
    """Return what a library says of a damaged file, in one line of at most 200 characters."""
    # It may say nothing, or quote a header of ten thousand characters.
    return str(error).partition("\n")[0][:200] or type(error).__name__


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a temporary path beside a target; on success it takes the target's place in one step.

    Parameters
    ----------
    target : pathlib.Path
        A reader finds the old file or the new one, never half of it.

    Yields
    ------
    pathlib.Path
        Where to write; it has the target's suffix. What a killed process left beside the target is
        removed after an hour.

    Raises
    ------
    OSError
        If it cannot be written: one sentence. The target is as it was.
    """
    # The suffix stays last: Keras reads the format from it.
    temporary = target.with_name(f".{target.stem}.{os.getpid()}{target.suffix}")
    leftovers = f".{glob.escape(target.stem)}.[0-9]*{target.suffix}"
    for leftover in target.parent.glob(leftovers):
        with contextlib.suppress(FileNotFoundError):  # its process lives, and is done with it
            if time.time() - leftover.stat().st_mtime > LEFTOVER_SECONDS:
                leftover.unlink()
    try:
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        if error.errno is None:  # it is a sentence already
            raise
        raise OSError(
            f"{target} cannot be written ({error.strerror}): make room there, or choose a folder "
            "that you may write; what was there before is whole."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def writable(folder: Path, advice: str) -> Path:
    """Create a folder if need be, and make sure that files can be written into it.

    Parameters
    ----------
    folder : pathlib.Path
        The folder.
    advice : str
        What to do if it cannot be written: the end of a sentence, without a full stop.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    OSError
        If it cannot be created or written: one sentence.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"The results folder {folder} cannot be created ({error.strerror}): {advice}."
        ) from error
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"The results folder {folder} cannot be written: {advice}.")
    return folder
