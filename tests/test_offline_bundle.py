"""The bundle for a room without a network, with small fakes; and what Binder is told."""

import json
import os
import platform
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

from course_utils import datasets
from tools import offline_bundle

ROOT = Path(__file__).resolve().parents[1]


def fake_data(*, stand_in=False):
    images, labels = np.zeros((10, 2, 2, 1), np.uint8), np.arange(10)
    names = tuple("abcdefghij")
    return datasets.Data("fake", images, labels, images, labels, names, "a fake", stand_in)


@pytest.fixture
def packing(tmp_path, monkeypatch):
    """Pack into a temporary folder, with fake data and one fake wheel."""
    monkeypatch.setattr(offline_bundle, "ROOT", tmp_path)
    monkeypatch.setattr(offline_bundle, "TARGET", tmp_path / "build" / "offline")
    monkeypatch.setattr(offline_bundle, "LOADERS", {"cifar10": fake_data, "mnist": fake_data})

    def add_wheels(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "fake-1.0-py3-none-any.whl").write_bytes(b"wheel")

    monkeypatch.setattr(offline_bundle, "add_wheels", add_wheels)
    (tmp_path / "note.txt").write_text("committed\n")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@x"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "note.txt"], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "start"], check=True)
    (tmp_path / "note.txt").write_text("changed since\n")
    return tmp_path


def test_the_bundle_holds_course_wheels_data_and_scripts(packing, capsys):
    assert offline_bundle.main([]) == 0
    (packed,) = (packing / "build" / "offline").glob("*.zip")
    with zipfile.ZipFile(packed) as archive:
        inside = {name.split("/", 1)[1] for name in archive.namelist()}
        note = archive.read(f"{packed.stem}/course/note.txt")
    assert {
        "README.txt", "install.py", "start.py", "bundle.json", "course/note.txt",
        "data/cifar10.npz", "data/mnist.npz", "wheels/fake-1.0-py3-none-any.whl",
    } <= inside  # fmt: skip
    assert note == b"committed\n"
    assert "MB" in capsys.readouterr().out
    explanation = (packed.with_suffix("") / "README.txt").read_text()
    assert platform.machine() in explanation
    assert "{" not in explanation


def test_data_that_is_there_is_not_loaded_again(packing, monkeypatch):
    assert offline_bundle.main([]) == 0
    monkeypatch.setattr(offline_bundle, "LOADERS", {"cifar10": None, "mnist": None})
    assert offline_bundle.main([]) == 0


def test_stand_ins_are_not_packed(packing, monkeypatch, capsys):
    loaders = {"mnist": lambda: fake_data(stand_in=True)}
    monkeypatch.setattr(offline_bundle, "LOADERS", loaders)
    assert offline_bundle.main([]) == 1
    assert "Only a stand-in for mnist is at hand" in capsys.readouterr().out
    assert list(packing.glob("build/offline/*.zip")) == []
    assert offline_bundle.main(["--without-data"]) == 0
    assert list(packing.glob("build/offline/*/data")) == []


def test_the_wheels_are_those_of_a_learner():
    names = {Requirement(line).name for line in offline_bundle.packages()}
    assert {"keras", "tensorflow-cpu", "jupyterlab", "setuptools"} <= names
    assert not {"pytest", "sphinx", "playwright"} & names


def test_install_refuses_another_kind_of_computer(packing, capsys, monkeypatch):
    offline_bundle.main([])
    (folder,) = (path for path in (packing / "build" / "offline").iterdir() if path.is_dir())
    install = runpy.run_path(str(folder / "install.py"))
    assert install["complaint"]() == ""
    about = json.loads((folder / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps(about | {"python": "2.7"}))
    assert install["main"]() == 1
    assert "with Python 2.7, but here is" in capsys.readouterr().out
    assert not (folder / "course" / ".venv").exists()


def test_start_before_install_says_so(packing):
    offline_bundle.main([])
    (folder,) = (path for path in (packing / "build" / "offline").iterdir() if path.is_dir())
    done = subprocess.run(
        [sys.executable, str(folder / "start.py")], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (
        1,
        "The course is not installed yet: run install.py first.\n",
    )


# --- Binder and the dev container -----------------------------------------------------------------


def test_binder_takes_the_pins_and_only_what_notebooks_need():
    lines = (ROOT / "environment.yml").read_text().splitlines()
    entries = [line.strip() for line in lines if line.strip().startswith("- ")]
    assert entries == [
        "- conda-forge",
        "- python=3.12",
        "- pip",
        "- pip:",
        "- -c requirements.txt",
        "- -e .[cpu]",
    ]
    for folder in ("binder", ".binder"):  # either would hide environment.yml
        assert not (ROOT / folder).exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Binder's script is for Linux")
def test_binder_refuses_to_build_an_image_on_stand_ins(tmp_path):
    script = ROOT / "postBuild"
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in script.read_text()
    done = subprocess.run(
        [str(script)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "COURSE_OFFLINE": "1",
        },
    )
    assert done.returncode != 0
    assert "this is only a stand-in" in done.stderr


def test_the_dev_container_names_a_bare_image_and_sets_up():
    content = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert content["image"] == "python:3.12"
    assert content["postCreateCommand"] == "make setup"
    assert "forwardPorts" not in content
