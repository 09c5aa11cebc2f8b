"""What the workflow tries of versions and systems, and how a run becomes a row."""

import json
import re
import tomllib

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from tools import check_notebooks, pairing, pins, reliability, versions

PROJECT = tomllib.loads((versions.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOW = versions.ROOT / ".github" / "workflows" / "test.yml"
JOBS = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]
EACH_PUSH = {"test"}


def steps(job):
    return JOBS[job]["steps"]


def commands(job):
    """Return the commands of a job, one for each entry of its matrix."""
    lines = [step["run"] for step in steps(job) if "run" in step]
    for name, values in JOBS[job].get("strategy", {}).get("matrix", {}).items():
        place = f"${{{{ matrix.{name} }}}}"
        lines = [line.replace(place, value) for line in lines for value in values]
    return lines


def test_each_push_runs_on_every_python_that_the_project_allows():
    allowed = SpecifierSet(PROJECT["requires-python"])
    minors = [f"3.{minor}" for minor in range(8, 30) if allowed.contains(f"3.{minor}.1")]
    assert JOBS["test"]["strategy"]["matrix"]["python"] == minors
    assert {each.python for each in versions.SETS.values()} == set(minors)


def test_only_the_longer_jobs_wait_for_the_week():
    assert {name for name, job in JOBS.items() if "if" not in job} == EACH_PUSH
    waiting = {job["if"] for name, job in JOBS.items() if name not in EACH_PUSH}
    assert waiting == {
        "github.event_name == 'schedule' || github.event_name == 'workflow_dispatch'"
    }


def test_the_workflow_calls_what_exists():
    makefile = (versions.ROOT / "Makefile").read_text(encoding="utf-8")
    called = [command for job in JOBS for command in commands(job)]
    targets = {target for command in called for target in re.findall(r"\bmake ([a-z-]+)", command)}
    assert {"setup", "small", "reliability", "audit"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), f"make {target}"
    modules = {name for line in called for name in re.findall(r"-m (tools\.\w+)", line)}
    assert modules == {"tools.versions", "tools.check_notebooks"}
    for name in JOBS["versions"]["strategy"]["matrix"]["versions"]:
        assert name in versions.SETS


def test_macos_and_windows_are_tried_without_make():
    systems = JOBS["systems"]["strategy"]["matrix"]["system"]
    assert {system.split("-")[0] for system in systems} == {"macos", "windows"}
    assert not any("make " in command or ".venv" in command for command in commands("systems"))


def test_the_workflow_may_only_read():
    assert yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["permissions"] == {
        "contents": "read"
    }
    for name, job in JOBS.items():
        assert "permissions" not in job, name
        used = [step for step in job["steps"] if "uses" in step]
        assert all(step["uses"].startswith("actions/") for step in used), name
        kept = [s["with"]["persist-credentials"] for s in used if "checkout" in s["uses"]]
        assert kept == [False], name


def test_environments_hold_all_that_the_course_uses_but_the_build_for_gpus():
    named = {extra.removeprefix("--extra=") for extra in pins.EXTRAS}
    assert named == set(PROJECT["optional-dependencies"]) - {"gpu"}


def test_other_versions_take_no_pins_and_pinned_ones_nothing_else():
    for name, each in versions.SETS.items():
        assert ("requirements.txt" in each.install) == name.startswith("3."), name
        assert ("pyproject.toml" in each.install) != name.startswith("3."), name
    assert "lowest-direct" in versions.SETS["lowest"].install
    assert "--upgrade" in versions.SETS["newest"].install


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of two notebooks, of which the second breaks off."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "02_sound.py").write_text("# %%\n1 + 1\n")
    (folder / "03_broken.py").write_text("# %%\n1 + 1\n\n# %%\nraise ImportError('gone since 9')\n")
    monkeypatch.setattr(pairing, "NOTEBOOKS", folder)
    monkeypatch.setattr(check_notebooks, "EXPECTED", tmp_path / "expected")
    monkeypatch.setattr(reliability, "FOLDER", tmp_path / "rows")
    monkeypatch.setattr(versions, "ROOT", tmp_path)
    return tmp_path


def test_what_is_lost_is_counted_and_named_in_the_row(course, capfd):
    (course / "tests").mkdir()
    (course / "tests" / "test_all.py").write_text(
        "import pytest\n"
        "def test_sound(): pass\n"
        "def test_broken(): assert 1 == 2, 'as planned'\n"
        "@pytest.mark.skip\ndef test_skipped(): pass\n"
        "@pytest.fixture\ndef absent(): raise OSError('no such thing')\n"
        "def test_without_fixture(absent): pass\n"
    )
    assert versions.main(["lowest", "--here"]) == 1
    row = json.loads((course / "rows" / "lowest_direct.json").read_text(encoding="utf-8"))
    assert (row["area"], row["tried"], row["survived"]) == ("versions", 5, 2)
    assert row["figures"] == {"tests": 3, "notebooks": 2}
    assert row["command"] == "python -m tools.versions lowest"
    assert "lowest allowed versions" in row["what"]
    test, fixture, notebook = row["lost"]
    assert test.startswith("tests.test_all::test_broken: AssertionError: as planned")
    assert "test_without_fixture: failed on setup" in fixture and "no such thing" in fixture
    assert notebook == "03_broken.ipynb, Cell 2: ImportError: gone since 9"
    assert "3 of 5 lost" in capfd.readouterr().out


def test_without_uv_it_says_what_is_missing(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit):
        versions.main(["lowest"])
    assert "pip install uv" in capsys.readouterr().err


def test_an_unknown_set_of_versions_names_those_there_are(capsys):
    with pytest.raises(SystemExit):
        versions.main(["oldest"])
    assert "lowest" in capsys.readouterr().err
