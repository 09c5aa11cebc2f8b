"""Tell whether code has changed: a digest of what functions and classes do.

Functions of installed packages count by their name alone; the versions of those packages stand for
what they do.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np

INSTALLED = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")]
PLAIN = (type(None), bool, int, float, complex, str, bytes)


def code_digest(*parts: object) -> str:
    """Return a digest of the code behind some objects.

    Parameters
    ----------
    *parts
        Functions, classes, or instances, whose class counts. What a function does includes its
        default values, the values that it closes over, and the functions, classes and plain values
        of its module that it uses by name. Comments, docstrings (but for those of
        functions within functions) and the place in a file do not count; the version of Python
        does.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    lines = [sys.version, *_described(list(parts), seen=set())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _described(value: Any, seen: set[int]) -> Iterator[str]:
    """Yield lines that stand for a value, the same in every process."""
    if isinstance(value, PLAIN):
        yield f"{type(value).__name__} {value!r}"
    elif isinstance(value, np.ndarray | np.generic):
        yield hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
    elif isinstance(value, list | tuple):
        yield f"{type(value).__name__} of {len(value)}"
        for part in value:
            yield from _described(part, seen)
    elif isinstance(value, dict):
        yield from _described([part for item in value.items() for part in item], seen)
    elif isinstance(value, set | frozenset):
        yield from sorted("|".join(_described(part, seen)) for part in value)
    elif isinstance(value, CodeType):
        yield from _described([value.co_code, value.co_names, value.co_consts], seen)
    elif isinstance(value, functools.partial):
        yield from _described([value.func, value.args, value.keywords], seen)
    else:
        yield from _code(value, seen)


def _code(value: Any, seen: set[int]) -> Iterator[str]:
    value = value.__func__ if isinstance(value, MethodType) else value
    if not isinstance(value, FunctionType | type):
        if hasattr(value, "__name__"):  # built in
            yield f"{value.__module__} {value.__name__}"
            return
        value = type(value)
    yield f"{value.__module__} {value.__qualname__}"
    if id(value) in seen or _installed(value):
        return
    seen.add(id(value))
    if isinstance(value, type):
        for base in value.__bases__:
            yield from _code(base, seen)
        for name, member in sorted(vars(value).items()):
            unwrapped = getattr(member, "__func__", getattr(member, "fget", member))
            if isinstance(unwrapped, (FunctionType, *PLAIN)) and name not in _NOT_CODE:
                yield name
                yield from _described(unwrapped, seen)
        return
    code = value.__code__
    yield from _described([code.co_code, code.co_names, value.__defaults__], seen)
    yield from _described(value.__kwdefaults__, seen)
    yield from _described([part for part in code.co_consts if part != value.__doc__], seen)
    for cell in value.__closure__ or ():
        yield from _described(cell.cell_contents, seen)
    for name in sorted(_names(code)):
        found = value.__globals__.get(name)
        if isinstance(found, (FunctionType, type, tuple, *PLAIN)):
            yield from _described(found, seen)


_NOT_CODE = {"__doc__", "__module__", "__qualname__", "__firstlineno__"}


def _names(code: CodeType) -> set[str]:
    """Return the names that code takes from its module, and so do the functions within it."""
    own = {step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"}
    return own.union(*(_names(part) for part in code.co_consts if isinstance(part, CodeType)))


def _installed(value: FunctionType | type) -> bool:
    """Tell whether a function or class comes with Python or an installed package."""
    module = sys.modules.get(value.__module__)
    if module is None or value.__module__ == "__main__":  # such as a notebook
        return False
    file = getattr(module, "__file__", None)
    if file is None:  # built in
        return True
    return any(Path(file).is_relative_to(folder) for folder in INSTALLED)
