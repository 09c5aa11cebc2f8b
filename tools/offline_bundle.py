"""Pack the course for a room without a network: the work behind ``make offline-bundle``.

``python -m tools.offline_bundle`` fills ``build/offline/<name>/`` with the committed course, the
wheels of its pinned packages for this kind of computer and this Python, the data, and two scripts
that need nothing but Python: ``install.py`` and ``start.py``. A zip file of the same name lies
beside the folder. What is there already is not fetched again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from course_utils import datasets, files

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "build" / "offline"
TEMPLATES = Path(__file__).resolve().parent / "templates" / "offline"
EXTRAS = ("cpu", "lab")  # what a learner needs: no book, no tests
LOADERS = {"cifar10": datasets.load_cifar10, "mnist": datasets.load_mnist}


def computer() -> dict[str, str]:
    """Return what a wheel depends on: the system, the processor and the Python version."""
    version = "{}.{}".format(*sys.version_info)
    return {"platform": f"{platform.system()}-{platform.machine()}", "python": version}


def packages() -> list[str]:
    """Return what ``pyproject.toml`` asks for: the course, JupyterLab, and what builds the course.

    Returns
    -------
    list of str
        Requirements; ``requirements.txt`` holds the exact versions.
    """
    with open(ROOT / "pyproject.toml", "rb") as file:
        content: dict[str, Any] = tomllib.load(file)
    project = content["project"]
    wanted = [*content["build-system"]["requires"], *project["dependencies"]]
    return wanted + [name for extra in EXTRAS for name in project["optional-dependencies"][extra]]


def add_wheels(folder: Path) -> None:
    """Fetch the wheels that are not there yet.

    Raises
    ------
    subprocess.CalledProcessError
        If pip cannot get one of them; what it got is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    pins = ["--constraint", str(ROOT / "requirements.txt"), "--only-binary", ":all:"]
    here = ["--find-links", str(folder), "--dest", str(folder)]
    subprocess.run([*pip, *pins, *here, *packages()], check=True)


def add_course(folder: Path) -> str:
    """Unpack the committed state of the repository; return its revision."""
    git = ["git", "-C", str(ROOT)]
    with tempfile.TemporaryFile() as archive:
        subprocess.run([*git, "archive", "HEAD"], check=True, stdout=archive)
        archive.seek(0)
        shutil.rmtree(folder, ignore_errors=True)
        with tarfile.open(fileobj=archive) as tar:
            tar.extractall(folder, filter="data")
    head = subprocess.run(
        [*git, "rev-parse", "--short=12", "HEAD"], check=True, capture_output=True, text=True
    )
    return head.stdout.strip()


def add_data(folder: Path) -> None:
    """Write the data sets as npz files, unless they are there.

    Raises
    ------
    ValueError
        If only a stand-in is at hand.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, load in LOADERS.items():
        target = folder / f"{name}.npz"
        if target.is_file():
            continue
        data = load()
        if data.stand_in:
            raise ValueError(
                f"Only a stand-in for {name} is at hand: connect to a network or set "
                "COURSE_DATA_DIR to a folder with cifar10.npz and mnist.npz, or pack without data "
                "by --without-data."
            )
        with files.replacing(target) as temporary:
            np.savez_compressed(temporary, **{key: getattr(data, key) for key in datasets.KEYS})


def add_scripts(folder: Path, about: dict[str, str]) -> None:
    """Write the scripts, the explanation and what `install.py` checks."""
    for template in ("install.py", "start.py"):
        shutil.copyfile(TEMPLATES / template, folder / template)
    text = (TEMPLATES / "README.txt").read_text(encoding="utf-8")
    (folder / "README.txt").write_text(text.format(**about), encoding="utf-8")
    (folder / "bundle.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def archive(folder: Path) -> Path:
    """Write a zip file of a folder beside it; wheels and npz files are compressed already."""
    target = folder.with_name(f"{folder.name}.zip")
    temporary = target.with_suffix(".part")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, path.relative_to(folder.parent))
    os.replace(temporary, target)
    return target


def megabytes(path: Path) -> float:
    """Return the size of a file or of all files in a folder, in MB."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / 1e6


def bundle(*, with_data: bool) -> Path:
    """Fill the folder and pack it; return the zip file."""
    about = computer()
    folder = TARGET / f"keras-course-{about['platform']}-python{about['python']}"
    if with_data:
        add_data(folder / "data")
    else:
        shutil.rmtree(folder / "data", ignore_errors=True)
    about["revision"] = add_course(folder / "course")
    print(f"The course as committed in {about['revision']}; fetching wheels …", flush=True)
    add_wheels(folder / "wheels")
    add_scripts(folder, about)
    for part in sorted(path for path in folder.iterdir() if path.is_dir()):
        print(f"{part.name:8} {megabytes(part):6.0f} MB")
    return archive(folder)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--without-data", action="store_true", help="learners will work on stand-in images"
    )
    options = parser.parse_args(arguments)
    try:
        packed = bundle(with_data=not options.without_data)
    except (ValueError, FileNotFoundError) as error:
        print(error)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"{error.cmd[0]} failed, what was fetched is kept: run this again to go on.")
        return 1
    print(
        f"{packed.relative_to(ROOT)}: {megabytes(packed):,.0f} MB, to be unpacked and installed "
        "by its install.py."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
