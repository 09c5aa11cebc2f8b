"""JupyterLab as a learner sees it: a server of its own, and notebooks driven in a browser."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Locator, Page
from servers import START_SECONDS, wait_until_it_listens

RUN_SECONDS = 300
# Where Lab keeps the notebook in front; there with LabApp.expose_app_in_browser.
PANEL = "window.jupyterapp.shell.currentWidget"
PLACE = re.compile(r'<div id="(plot-[0-9a-f]+)"')


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab."""

    url: str
    token: str
    folder: Path

    def write(self, name: str, cells: Sequence[str]) -> str:
        """Write a notebook with these code cells; return its file name."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
        notebook.metadata["kernelspec"] = {
            "display_name": "Python 3 (ipykernel)",
            "name": "python3",
        }
        nbformat.write(notebook, self.folder / f"{name}.ipynb")
        return f"{name}.ipynb"

    @contextmanager
    def notebook(self, page: Page, name: str) -> Iterator["Notebook"]:
        """Open a notebook with a fresh kernel, and shut the kernel down in the end."""
        stem = Path(name).stem
        page.goto(f"{self.url}lab/workspaces/{stem}/tree/{name}?token={self.token}")
        page.wait_for_function(
            f"window.jupyterapp && {PANEL}?.sessionContext?.session?.kernel?.status === 'idle'",
            timeout=1000 * START_SECONDS,
        )
        try:
            yield Notebook(page)
        finally:
            page.evaluate(f"() => {PANEL}.sessionContext.shutdown()")


@dataclass(frozen=True)
class Notebook:
    """The notebook that is open on a page."""

    page: Page

    def start(self, command: str) -> None:
        """Begin a command of the menu, such as ``notebook:run-all-cells``."""
        self.page.evaluate(
            """(command) => {
              window.courseCommand = null;
              window.jupyterapp.commands.execute(command)
                .then((result) => { window.courseCommand = {result}; },
                      (error) => { window.courseCommand = {error: String(error)}; });
            }""",
            command,
        )

    def wait(self, seconds: float = RUN_SECONDS) -> None:
        """Wait until the command has ended."""
        self.page.wait_for_function(
            f"window.courseCommand && {PANEL}.sessionContext.session.kernel.status === 'idle'",
            timeout=1000 * seconds,
        )

    def run_all(self) -> None:
        """Run all cells, and wait for the last."""
        self.start("notebook:run-all-cells")
        self.wait()

    def run_cell(self, index: int) -> None:
        """Run one cell, and wait for its end."""
        self.start_cell(index)
        self.wait()

    def start_cell(self, index: int) -> None:
        """Begin to run one cell."""
        self.scroll_to(index)
        self.page.evaluate(f"(index) => {{ {PANEL}.content.activeCellIndex = index; }}", index)
        self.start("notebook:run-cell")

    def interrupt(self) -> None:
        """Interrupt the kernel, as the square button of the toolbar does."""
        self.page.evaluate(
            "() => window.jupyterapp.commands.execute('notebook:interrupt-kernel').then(() => null)"
        )

    def busy(self) -> bool:
        """Tell whether the kernel is at work."""
        return self.page.evaluate(f"() => {PANEL}.sessionContext.session.kernel.status") == "busy"

    def watch_pictures(self, index: int) -> None:
        """Collect the different pictures that a cell shows from now on, as coursePictures."""
        self.page.evaluate(
            f"""(index) => {{
              const cell = {PANEL}.content.widgets[index].node;
              window.coursePictures = new Set();
              const note = () => {{
                for (const picture of cell.querySelectorAll(".jp-OutputArea img"))
                  window.coursePictures.add(picture.src);
              }};
              new MutationObserver(note).observe(
                cell, {{attributes: true, childList: true, subtree: true}});
            }}""",
            index,
        )

    def cells(self) -> list[dict[str, Any]]:
        """Return all cells in order, as they would be saved."""
        return self.page.evaluate(
            f"() => {PANEL}.content.widgets.map((cell) => cell.model.sharedModel.toJSON())"
        )

    def cell(self, index: int) -> Locator:
        """Return a cell on the page."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def scroll_to(self, index: int, where: str = "start") -> None:
        """Bring a cell into view."""
        self.page.evaluate(
            f"([index, where]) => {PANEL}.content.scrollToItem(index, where)", [index, where]
        )

    def seen(self, index: int) -> str:
        """Return the words that can be seen under a cell."""
        return self.cell(index).locator(".jp-OutputArea").inner_text()

    def text(self, index: int) -> str:
        """Return what a cell printed or showed, as plain text."""
        return "\n".join(plain_text(output) for output in self.cells()[index]["outputs"])

    def type_into(self, index: int, source: str) -> None:
        """Replace the text of a cell by typing."""
        self.scroll_to(index)
        editor = self.cell(index).locator(".cm-content")
        editor.click()
        self.page.keyboard.press("ControlOrMeta+a")
        # Typed at once, so that Lab adds no closing brackets or indentation.
        self.page.keyboard.insert_text(source)


def plain_text(output: Mapping[str, Any]) -> str:
    """Return an output as plain text."""
    text = output.get("text", output.get("data", {}).get("text/plain", ""))
    return text if isinstance(text, str) else "".join(text)


def errors(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the errors that cells show, each with the number of its cell."""
    return [
        f"cell {index}: {output['ename']}: {output['evalue']}"
        for index, cell in enumerate(cells)
        for output in cell.get("outputs", [])
        if output["output_type"] == "error"
    ]


def plot_names(cell: Mapping[str, Any]) -> list[str]:
    """Return the ids of the elements in which a cell's outputs promise a plot."""
    pages = [output.get("data", {}).get("text/html", "") for output in cell.get("outputs", [])]
    return PLACE.findall("".join("".join(page) for page in pages))


@contextmanager
def serve(folder: Path, environment: Mapping[str, str], root: Path) -> Iterator[Lab]:
    """Run JupyterLab on a free port of this computer, with settings of its own."""
    settings = root / "config" / "labconfig" / "default_setting_overrides.json"
    settings.parent.mkdir(parents=True)
    # A question about news would cover a corner, and ask another host.
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    settings.write_text(json.dumps({"@jupyterlab/apputils-extension:notification": quiet}))
    runtime = root / "runtime"
    own = {
        "JUPYTER_CONFIG_DIR": str(root / "config"),
        "JUPYTER_DATA_DIR": str(root / "data"),
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "JUPYTERLAB_WORKSPACES_DIR": str(root / "workspaces"),
        "JUPYTERLAB_SETTINGS_DIR": str(root / "settings"),
        "IPYTHONDIR": str(root / "ipython"),
    }
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip", "127.0.0.1",
        "--port", "0", "--LabApp.expose_app_in_browser=True", f"--ServerApp.root_dir={folder}",
    ]  # fmt: skip
    log = root / "server.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            command, env={**environment, **own}, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            told = wait_until_it_listens(server, runtime, log)
            yield Lab(told["url"], told["token"], folder)
        finally:
            server.terminate()
            server.wait(timeout=60)
