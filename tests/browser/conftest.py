"""Tests in a real browser: JupyterLab, the book and the slides, as people see them.

They need Chromium, and are skipped where none is found. What they look at is kept as pictures in
``build/screenshots``.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import jlab
import pages
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tools import check_notebooks, run_notebooks

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
LAPTOP = {"width": 1366, "height": 768}
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # No network, so that what needs one fails here as well.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]
# Complaints in the browser's console that nobody has to act on.
HARMLESS = re.compile(r"ResizeObserver loop|favicon")


def chromium() -> str | None:
    """Return the program that the tests drive, if there is one."""
    names = [os.environ.get("COURSE_CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"]
    return next((path for path in map(shutil.which, filter(None, names)) if path), None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The slides need what the book's tests build: after the reliability tests, no worker waits.
    slides = Path(__file__).parent / "test_slide_shows.py"
    items.sort(key=lambda item: 2 if item.path.parent == slides.parents[1] else item.path == slides)
    if chromium() is None:
        reason = "no Chromium was found: install one, or name it with COURSE_CHROMIUM"
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


def course_environment(folder: Path) -> dict[str, str]:
    """Return the environment of a smoke run on stand-ins: nbval runs on real data, if there are."""
    environment = check_notebooks.environment(None, folder)
    del environment["COURSE_EXERCISES_DIR"]  # the exercises are those that come with the course
    return environment


@dataclass
class Visit:
    """A page in the browser, and what it asked for and complained about."""

    page: Page
    strangers: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Begin to listen."""
        self.page.on("request", lambda request: self._note(request.url))
        self.page.on("websocket", lambda socket: self._note(socket.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console",
            lambda message: (
                message.type == "error"
                and not HARMLESS.search(message.text)
                and self.complaints.append(message.text)
            ),
        )

    def _note(self, url: str) -> None:
        if urlsplit(url).hostname not in (None, "127.0.0.1"):
            self.strangers.append(url)

    def assert_undisturbed(self) -> None:
        """Nothing was asked of another host, and the console shows no error."""
        assert not self.strangers, f"requests to other hosts: {self.strangers[:5]}"
        assert not self.complaints, f"errors in the console: {self.complaints[:5]}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start a browser for a file: while it runs, no other test of this worker may use asyncio."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture
def visit(browser) -> Iterator[Visit]:
    """Give each test a browser window without a past, as large as a laptop's."""
    context = browser.new_context(viewport=LAPTOP)
    opened = Visit(context.new_page())
    opened.watch()
    yield opened
    context.close()


@pytest.fixture
def shoot(visit) -> Callable[[str], None]:
    """Keep a picture of the window under a name that tells what it shows."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)

    def take(name: str) -> None:
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:90]
        visit.page.screenshot(path=SCREENSHOTS / f"{slug}.png")

    return take


@pytest.fixture(scope="session")
def lab(tmp_path_factory) -> Iterator[jlab.Lab]:
    """Start JupyterLab once, on a copy of the notebooks."""
    root = tmp_path_factory.mktemp("lab")
    folder = root / "notebooks"
    folder.mkdir()
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        shutil.copy(path, folder)
    with jlab.serve(folder, course_environment(root), root) as running:
        yield running


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    """Run the book's notebooks in smoke, unless they ran; build the book and the slides."""
    environment = course_environment(tmp_path_factory.mktemp("built"))
    folder = ROOT / "build" / "smoke"

    def run(tool: str, *numbers: str) -> None:
        command = [sys.executable, "-m", tool, "--profile", "smoke", *numbers]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{tool}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"

    run(
        "tools.run_notebooks", *(stem[:2] for stem in pages.BOOK)
    )  # several workers share the notebooks between them
    with run_notebooks.lock(folder, "slides"):
        run("tools.slides")
    return folder
