"""Open the course in JupyterLab, on this computer only: python3 start.py."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Run JupyterLab with the data of this folder; return the exit status."""
    folder = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    python = HERE / "course" / ".venv" / folder
    if not python.exists():
        print("The course is not installed yet: run install.py first.")
        return 1
    variables = {**os.environ, "COURSE_OFFLINE": "1"}
    if (HERE / "data").is_dir():
        variables["COURSE_DATA_DIR"] = str(HERE / "data")
    command = [str(python), "-m", "jupyterlab", "--ip", "127.0.0.1"]
    notebooks = ["--notebook-dir", str(HERE / "course" / "notebooks"), *sys.argv[1:]]
    return subprocess.run([*command, *notebooks], env=variables, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
