"""Deliberate faults, put into a copy of the course one at a time, do not get past CI."""

import contextlib
from collections import Counter

import pytest

from tools import mutations, pairing


@pytest.mark.parametrize("fault", mutations.FAULTS, ids=lambda fault: fault.what)
def test_each_fault_still_has_its_place(fault):
    path = mutations.ROOT / fault.file
    assert mutations.changed(fault, path) != path.read_text(encoding="utf-8")


def test_faults_are_many_and_in_all_notebooks():
    assert len({fault.what for fault in mutations.FAULTS}) == len(mutations.FAULTS) >= 36
    found = Counter(fault.notebook for fault in mutations.FAULTS)
    assert found.keys() - {""} == {source.stem for source in pairing.sources()}
    assert found[""] >= len(mutations.FAULTS) / 3


def test_what_was_added_because_of_a_fault_is_still_there():
    paths = [*(mutations.ROOT / "tests").glob("test_*.py"), *pairing.sources()]
    texts = "".join(path.read_text(encoding="utf-8") for path in paths)
    assert [fault for fault in mutations.FAULTS if fault.added not in texts] == []


def test_a_fault_without_a_place_is_named(tmp_path):
    (tmp_path / "file.py").write_text("print(1)\n", encoding="utf-8")
    fault = mutations.Fault("file.py", "two for one", "print(2)", "print(1)")
    with pytest.raises(ValueError, match="file.py has 0 places for the fault 'two for one'"):
        mutations.changed(fault, tmp_path / "file.py")


SMALL = mutations.Fault("course_utils/small.py", "two for one", "1", "2")


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A course of one module, whose test fails when the fault is in it."""
    path = tmp_path / "course_utils" / "small.py"
    path.parent.mkdir()
    path.write_text("x = 1\n", encoding="utf-8")
    monkeypatch.setattr(mutations, "ROOT", tmp_path)
    monkeypatch.setattr(mutations, "KEPT", tmp_path / "build" / "mutations.json")
    monkeypatch.setattr(mutations, "copied", lambda: contextlib.nullcontext(tmp_path))
    name = "test_small.py::test_x"
    monkeypatch.setattr(
        mutations, "failure", lambda command, copy: name * (path.read_text() != "x = 1\n")
    )
    return tmp_path


def test_a_fault_is_taken_out_again_and_not_tried_twice(copy, capsys):
    assert mutations.survey([SMALL], seconds=-1) == {}
    for _ in range(2):
        assert mutations.survey([SMALL]) == {SMALL: "test_small.py::test_x"}
        assert (copy / SMALL.file).read_text() == "x = 1\n"
    said = "course_utils/small.py: two for one: noticed by test_small.py::test_x.\n"
    assert capsys.readouterr().out == said
    (copy / SMALL.file).write_text("y = 1\n")
    with pytest.raises(RuntimeError, match="test_x fails without a fault, too"):
        mutations.survey([SMALL])


def test_a_fault_that_nothing_notices_slips_through(copy, monkeypatch, capsys):
    monkeypatch.setattr(mutations, "FAULTS", [SMALL])
    monkeypatch.setattr(mutations, "failure", lambda command, copy: "")
    assert mutations.main([]) == 1
    assert "1 of 1 faults tried, 1 slipped through." in capsys.readouterr().out


def test_a_test_that_cannot_run_notices_nothing(tmp_path):
    command = ("-m", "pytest", "missing.py")
    with pytest.raises(RuntimeError, match="missing.py broke off"):
        mutations.failure(command, tmp_path)


def test_faults_are_noticed(trials, row):
    few = mutations.FAULTS[:1]
    if trials(full=len(mutations.FAULTS), few=len(few)) == len(few):
        with mutations.copied() as copy:
            found = {fault: mutations.noticed(fault, copy) for fault in few}
    else:
        found = mutations.survey(mutations.FAULTS, workers=2)
    row("mutations").conclude(
        "mutations",
        "a deliberate fault in a notebook or a module, put into a copy of the course",
        tried=len(found),
        lost=[mutations.sentence(fault, "") for fault, name in found.items() if not name],
        caught=sum(map(bool, found.values())),
        tests_and_assertions_added=len({fault.added for fault in found if fault.added}),
    )
