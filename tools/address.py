"""Write the course's public address wherever it is needed: the work behind ``make address``.

``python -m tools.address https://github.com/OWNER/NAME`` writes the address to the one place that
holds it, ``[project.urls]`` in ``pyproject.toml``, then renews what is made from it: the launch
links in ``README.md`` and the notebooks' install cells. Without a URL it only renews these;
``python -m tools.address --check`` tells whether README agrees with the address.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from tools import generated, pairing

ROOT = Path(__file__).resolve().parent.parent
HOST = "https://github.com/"
BRANCH = "main"
START, END = "<!-- launch -->", "<!-- /launch -->"
# GitHub's rules: an owner has letters, digits and single hyphens, a name also dots and underscores.
ADDRESS = re.compile(r"https://github\.com/[A-Za-z0-9]+(-[A-Za-z0-9]+)*/[A-Za-z0-9._-]+")


def repository() -> str:
    """Return the course's address as ``pyproject.toml`` gives it."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        address: str = tomllib.load(file)["project"]["urls"]["Repository"]
    return address


def published() -> bool:
    """Tell whether the address can exist; the placeholder that the course starts with cannot."""
    return ADDRESS.fullmatch(repository()) is not None


def binder_link(notebook_path: str | PurePosixPath | None = None) -> str:
    """Return the link that opens a notebook on Binder.

    Parameters
    ----------
    notebook_path : str or pathlib.PurePosixPath, optional
        Such as ``notebooks/02_baseline.ipynb``; JupyterLab's file list by default.

    Returns
    -------
    str
        The link.
    """
    link = f"https://mybinder.org/v2/gh/{repository().removeprefix(HOST)}/{BRANCH}"
    if notebook_path is None:
        return f"{link}?urlpath=lab"
    return f"{link}?labpath={quote(str(notebook_path), safe='')}"


def colab_link(notebook_path: str | PurePosixPath) -> str:
    """Return the link that opens a notebook on Colab.

    Parameters
    ----------
    notebook_path : str or pathlib.PurePosixPath
        Such as ``notebooks/02_baseline.ipynb``.

    Returns
    -------
    str
        The link.
    """
    place = f"{repository().removeprefix(HOST)}/blob/{BRANCH}/{quote(str(notebook_path))}"
    return f"https://colab.research.google.com/github/{place}"


def launch_block() -> str:
    """Return the lines that README holds between its two markers."""
    lines = [
        f"Without installing anything: [the whole course on Binder]({binder_link()}), or one "
        "notebook.",
        "",
        "| No. | on Binder | on Colab |",
        "|---|---|---|",
    ]
    for source in pairing.sources():
        number, path = source.stem[:2], f"notebooks/{source.stem}.ipynb"
        lines.append(
            f"| {number} | [{number} on Binder]({binder_link(path)}) "
            f"| [{number} on Colab]({colab_link(path)}) |"
        )
    if not published():
        lines += [
            "",
            "These links lead nowhere yet: whoever publishes the course runs "
            "`make address URL=https://github.com/OWNER/NAME` once.",
        ]
    return "\n".join(lines)


def renewed(readme: str) -> str:
    """Return README's text with the launch links of the present address.

    Raises
    ------
    ValueError
        If the text does not hold each marker once, in order.
    """
    block = launch_block()
    return generated.between(readme, START, END, block, page="README.md", what="launch links")


def write(url: str) -> None:
    """Make `url` the course's address.

    Raises
    ------
    ValueError
        If it is not the address of a GitHub repository.
    """
    address = url.strip().removesuffix("/").removesuffix(".git")
    if not ADDRESS.fullmatch(address):
        raise ValueError(
            f"{url!r} is not the address of a GitHub repository: pass one such as "
            "https://github.com/OWNER/NAME."
        )
    pyproject = ROOT / "pyproject.toml"
    text, count = re.subn(
        r'^Repository = ".*"$',
        f'Repository = "{address}"',
        pyproject.read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
    if count != 1:
        raise ValueError(f"pyproject.toml has {count} lines that begin with Repository, not one.")
    pyproject.write_text(text, encoding="utf-8")


def renew() -> None:
    """Write README's launch links and the notebooks from the present address."""
    readme = ROOT / "README.md"
    readme.write_text(renewed(readme.read_text(encoding="utf-8")), encoding="utf-8")
    pairing.sync(pairing.sources())


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group()
    what.add_argument("url", nargs="?", help="https://github.com/OWNER/NAME")
    what.add_argument("--check", action="store_true", help="tell whether README agrees")
    options = parser.parse_args(arguments)
    try:
        if options.check:
            text = (ROOT / "README.md").read_text(encoding="utf-8")
            agrees = renewed(text) == text
            print(
                f"README.md agrees with {repository()}."
                if agrees
                else f"README.md has other links than {repository()} needs: run `make address`."
            )
            return 0 if agrees else 1
        if options.url:
            write(options.url)
        renew()
    except ValueError as error:
        print(error)
        return 1
    print(f"The course's address is {repository()}. Commit what has changed.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
