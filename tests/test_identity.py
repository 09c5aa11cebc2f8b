"""A digest of code changes when the code does, and only then."""

import functools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from course_utils.identity import code_digest

ROOT = Path(__file__).resolve().parent.parent
BEFORE = """
import functools, math
import numpy as np

LIMIT = 3
unused = 1

def half(x):
    return x / 2

class Base:
    def step(self, x):
        return half(x) + LIMIT

class Own(Base):
    rate = 0.5
    def update(self, x):
        "Say what it does."
        known = {"a", "b", "c"}
        return [self.step(v) for v in x if v not in known]  # a comment

def closing(limit, table):
    def inner(x, *, power=2):
        return np.minimum(x, limit) ** power + table.sum()
    return inner

subject = [Own(), closing(0.5, np.arange(3)), functools.partial(half, 3), math.sqrt, Own().update]
"""


def digest(source, **names):
    module = {"__name__": "__main__", **names}
    exec(compile(source, "typed here", "exec"), module)
    return code_digest(*module["subject"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x / 2", "x / 3"),
        ("LIMIT = 3", "LIMIT = 4"),
        ("half(x) + LIMIT", "half(x) - LIMIT"),
        ("rate = 0.5", "rate = 0.6"),
        ('"b", ', ""),
        ("if v not in", "if v in"),
        ("closing(0.5", "closing(0.6"),
        ("np.arange(3)", "np.arange(4)"),
        ("power=2", "power=3"),
        ("np.minimum", "np.maximum"),
        ("partial(half, 3)", "partial(half, 4)"),
        ("math.sqrt", "math.exp"),
    ],
)
def test_changed_code_has_another_digest(old, new):
    assert BEFORE.count(old) == 1
    assert digest(BEFORE.replace(old, new)) != digest(BEFORE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  # a comment", ""),
        ("Say what it does.", "Say it in other words."),
        ("unused = 1", "unused = 2"),
        ("LIMIT = 3\n", "\n\nLIMIT = 3\n"),
    ],
)
def test_words_and_places_do_not_count(old, new):
    assert BEFORE.count(old) == 1
    assert digest(BEFORE.replace(old, new)) == digest(BEFORE)


def test_an_attribute_is_no_name_of_the_module():
    source = "def first(x):\n    return x.size\nsubject = [first]\n"
    assert digest(source, size=1) == digest(source, size=2)


def test_another_process_finds_the_same_digest():
    program = (
        f"from course_utils.identity import code_digest\n{BEFORE}\nprint(code_digest(*subject))"
    )
    found = set()
    for seed in "12":  # of the order of sets
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(done.stdout)
    assert len(found) == 1


def test_what_is_installed_counts_by_its_name():
    assert code_digest(np.mean) == code_digest(np.mean) != code_digest(np.median)
    assert code_digest(functools.lru_cache) != code_digest(functools.cache)


def test_code_that_refers_to_itself_has_an_end():
    source = "def again(x):\n    return again(x - 1) if x else 0\nsubject = [again]\n"
    assert len(digest(source)) == 64
