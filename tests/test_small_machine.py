"""The limits of a small machine, tried on small processes."""

import json
import os
import sys

import pytest

from tools import pairing, run_notebooks, small_machine

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory")
HOLD = "import time; block = bytearray(1) * (int('{}') << 20); time.sleep(1.5)"


def holding(mib):
    return [sys.executable, "-c", HOLD.format(mib)]


def test_a_process_above_the_limit_is_stopped():
    status, peak = small_machine.watch(holding(150), dict(os.environ), 100)
    assert status != 0
    assert peak > 100


def test_the_peak_counts_descendants():
    nested = f"import subprocess, sys; subprocess.run({holding(80)!r}, check=True)"
    status, peak = small_machine.watch([sys.executable, "-c", nested], dict(os.environ), 1000)
    assert status == 0
    assert 80 < peak < 200


def test_a_limit_that_this_machine_enforces_is_taken():
    with small_machine.memory_limit(100) as limit:
        if not limit.prefix:
            pytest.skip("this machine lets nobody limit memory: it is watched instead")
        held, _ = small_machine.watch([*limit.prefix, *holding(50)], dict(os.environ), 1000)
        died, _ = small_machine.watch([*limit.prefix, *holding(200)], dict(os.environ), 1000)
    assert (held, died != 0) == (0, True)


def test_what_fails_within_a_limit_is_told_as_it_is():
    with pytest.raises(OSError, match="^the disk is full$"), small_machine.memory_limit(100):
        raise OSError("the disk is full")


def test_a_limit_without_effect_is_not_trusted():
    assert not small_machine.enforces(small_machine.Limit("says so"), 50)


@pytest.fixture
def course(tmp_path, monkeypatch):
    """Two notebooks, and a machine that holds or does not as the test says."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name in ("01_first.py", "02_second.py"):
        (folder / name).write_text("# %%\n1 + 1\n")
    monkeypatch.setattr(pairing, "NOTEBOOKS", folder)
    monkeypatch.setattr(small_machine, "RESULT", tmp_path / "results" / "small_machine.json")
    monkeypatch.setattr(run_notebooks, "key", lambda source, profile: source.read_text())
    holds, ran = {"01_first": True, "02_second": True}, []

    def run(source):
        ran.append(source.stem)
        return small_machine.Result(
            source.read_text(), holds[source.stem], 1.5, 700, "a fake", [], "2026-01-01", {}, {}
        )

    monkeypatch.setattr(small_machine, "run", run)
    return folder, holds, ran


def test_what_held_is_kept_until_something_changes(course, capsys):
    folder, _, ran = course
    assert small_machine.main(["02", "--remark", "beside other work"]) == 0
    assert small_machine.main([]) == 0
    assert ran == ["02_second", "01_first"]
    assert "02_second: unchanged since it held, 2 s, at most 700 of 2,048" in (
        capsys.readouterr().out
    )
    notebooks = json.loads(small_machine.RESULT.read_text())["notebooks"]
    remarks = {name: result["remark"] for name, result in notebooks.items()}
    assert remarks == {"01_first": "", "02_second": "beside other work"}
    (folder / "02_second.py").write_text("# %%\n1 + 2\n")
    assert small_machine.main([]) == 0
    assert ran == ["02_second", "01_first", "02_second"]
    content = json.loads(small_machine.RESULT.read_text())
    assert content["limit_mib"] == 2048
    assert list(content["notebooks"]) == ["01_first", "02_second"]


def test_what_did_not_hold_fails_and_is_tried_again(course, capsys):
    _, holds, ran = course
    holds["02_second"] = False
    assert small_machine.main(["02"]) == 1
    assert "02_second: DID NOT HOLD" in capsys.readouterr().out
    holds["02_second"] = True
    assert small_machine.main(["02"]) == 0
    assert ran == ["02_second", "02_second"]
