"""Write ``requirements.txt``: one exact version of everything, with the reason for each package.

``python -m tools.pins`` resolves the ranges of ``pyproject.toml`` with uv for Python 3.11 to 3.13
on Linux, macOS and Windows. Packages that are there already keep their version; pass ``--upgrade``
for the newest ones. The comment behind a range becomes the comment above its pin.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# What uv writes behind a package that every supported machine needs.
EVERYWHERE = (
    " ; python_full_version < '3.14' and ((platform_machine == 'arm64' and "
    "sys_platform == 'darwin') or sys_platform == 'linux' or sys_platform == 'win32')"
)
# All that the course uses on any machine: without the `gpu` build of TensorFlow.
EXTRAS = tuple(f"--extra={name}" for name in ("cpu", "lab", "site", "test", "cluster"))
HEADER = """\
# Exact versions for every supported Python and platform, made by `make pins`.
# Ranges and reasons live in pyproject.toml; edit them there.
"""


def reasons(pyproject: str) -> dict[str, str]:
    """Return the comment behind each dependency of a ``pyproject.toml``, by package name."""
    found = re.findall(r'^ +"([A-Za-z0-9_.-]+)[^#\n]*",? +# (.+)$', pyproject, flags=re.MULTILINE)
    return {name.lower(): reason for name, reason in found}


def annotate(compiled: str, why: dict[str, str]) -> str:
    """Replace uv's ``via course-utils`` by the reason that ``pyproject.toml`` gives."""
    lines: list[str] = []
    package = ""
    for line in compiled.splitlines():
        name = re.match(r"([A-Za-z0-9_.-]+)==", line)
        package = name[1].lower() if name else package
        lines.append(re.sub(r"course-utils \(pyproject\.toml\)", f"{why.get(package, '?')}", line))
    text = "\n".join(lines).replace(EVERYWHERE, "") + "\n"
    # A reason reads better without uv's word "via" before it.
    return HEADER + re.sub(r"# via (\d\d|make|tests)", r"# \1", text)


def main() -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions")
    options = parser.parse_args()
    command = [
        "uv", "pip", "compile", "pyproject.toml", "--universal", "--python-version", "3.11",
        "--fork-strategy", "fewest", *EXTRAS, "--no-header", "--quiet",
        *(["--upgrade"] if options.upgrade else []),
    ]  # fmt: skip
    target = ROOT / "requirements.txt"
    output = ["--output-file", str(target)]
    subprocess.run([*command, *output], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    why = reasons((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    target.write_text(annotate(target.read_text(encoding="utf-8"), why), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
