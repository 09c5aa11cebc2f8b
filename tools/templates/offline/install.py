"""Install the course from this folder, without a network: python3 install.py."""

import json
import os
import platform
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
COURSE = HERE / "course"


def complaint() -> str:
    """Return what keeps this computer from using the wheels; empty if nothing does."""
    about = json.loads((HERE / "bundle.json").read_text(encoding="utf-8"))
    python = "{}.{}".format(*sys.version_info)
    here = f"{platform.system()}-{platform.machine()}"
    if (here, python) == (about["platform"], about["python"]):
        return ""
    return (
        f"This folder is for {about['platform']} with Python {about['python']}, but here is "
        f"{here} with Python {python}: use another Python or another bundle."
    )


def main() -> int:
    """Make the environment; return the exit status."""
    problem = complaint()
    if problem:
        print(problem)
        return 1
    environment = COURSE / ".venv"
    venv.create(environment, with_pip=True)
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-index", "--find-links", str(HERE / "wheels")]
    pins = ["--constraint", "requirements.txt"]
    variables = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    print("Installing, which takes some minutes …", flush=True)
    for what in (["setuptools"], ["--no-build-isolation", "--editable", ".[cpu,lab]"]):
        command = [*pip, *offline, *pins, *what]
        done = subprocess.run(command, cwd=COURSE, env=variables, check=False)
        if done.returncode:
            print("The installation failed: the lines above say why.")
            return 1
    # Without byte code, each notebook would compile thousands of files anew at its start.
    subprocess.run([str(python), "-m", "compileall", "-q", str(environment)], check=False)
    print("Installed. Open the notebooks by start.py.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
