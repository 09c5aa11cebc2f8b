"""Build the course's book from its executed notebooks: the work behind ``make site``.

``python -m tools.site --profile quick`` makes a page of each ``build/quick/NN_topic.ipynb``, adds
the front page, glossary and references from ``docs/``, and writes ``build/quick/site``, which opens
from disk without a network. What is unchanged is not built again, and an earlier site stays whole
until the new one is complete. At the end every page is checked: see `problems`.
"""

from __future__ import annotations

import argparse
import base64
import html
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import nbformat
import snowballstemmer
from nbformat import NotebookNode

from course_utils import profiles, records
from tools import address, check_notebooks, claims, explorer, pairing, results

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGE_LIMIT = 3_000_000  # bytes of a page with its pictures, without the shared scripts and styles

LOOK_UP = ("experiments", "glossary", "references")
GO_FURTHER = ("past_one_machine", "reliability")

# The richest form of an output comes first; the others are left out of the page.
FORMS = ("text/html", "image/svg+xml", "image/png", "text/markdown", "text/latex", "text/plain")
# Markdown in which no term is looked for: code, formulas, links, HTML, headings; then emphasis.
PIECES = re.compile(
    r"(?P<skip>```.*?```|`[^`]*`|\$[^$]+\$|\[[^]]*\]\([^)]*\)|<[^>]+>|^#+ [^\n]*)"
    r"|(?<![*\w\\])(?P<mark>\*\*?)(?P<emphasis>[^\s*`](?:[^*`]*[^\s*`])?)(?P=mark)(?![*\w])",
    flags=re.DOTALL | re.MULTILINE,
)
WORD = re.compile(r"[^\W_][\w'’-]*")


# --- Pages from notebooks -------------------------------------------------------------------------


@dataclass(frozen=True)
class Executed:
    """A notebook that ran, and what its run cost.

    Attributes
    ----------
    name : str
        Such as ``"02_baseline"``.
    notebook : nbformat.NotebookNode
        With outputs.
    profile : str
        The profile in which it ran.
    seconds : float
        Wall time of the run.
    memory_mib : int or None
        Peak memory of the kernel, where the system tells.
    """

    name: str
    notebook: NotebookNode
    profile: str
    seconds: float
    memory_mib: int | None

    @property
    def title(self) -> str:
        """The first heading, or the name where there is none."""
        for cell in self.notebook.cells:
            found = re.search(r"^# (.+)$", cell.source, flags=re.MULTILINE)
            if cell.cell_type == "markdown" and found:
                return found[1].strip()
        return self.name


def executed_notebooks(folder: Path) -> list[Executed]:
    """Read the notebooks that ran in a profile.

    Parameters
    ----------
    folder : pathlib.Path
        ``build/<profile>``.

    Returns
    -------
    list of Executed
        In the order of the course.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    found = []
    for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        record = path.with_suffix(".json")
        if not record.is_file():  # interrupted before it was written
            continue
        run = json.loads(record.read_text(encoding="utf-8"))
        notebook = nbformat.read(path, as_version=4)
        found.append(Executed(path.stem, notebook, folder.name, run["seconds"], run["memory_mib"]))
    if not found:
        raise FileNotFoundError(
            f"No notebook has run in the {folder.name} profile yet: `make run "
            f"PROFILE={folder.name}` runs them and builds the book."
        )
    return found


def page(executed: Executed, terms: Mapping[tuple[str, ...], str]) -> NotebookNode:
    """Turn an executed notebook into the source of a page.

    Parameters
    ----------
    executed : Executed
        It is not changed.
    terms : mapping of tuple of str to str
        The glossary, as `glossary_terms` gives it.

    Returns
    -------
    nbformat.NotebookNode
        With a head of badges and links, one first-level heading, linked terms, and one form of each
        output; without what serves only the running notebook.
    """
    cells = []
    link = term_linker(terms)
    headed = False
    for original in executed.notebook.cells:
        cell = NotebookNode(original)
        if "colab" in cell.metadata.get("tags", []):
            continue
        if cell.cell_type == "markdown":
            cell.source = link(cell.source)
            if headed:
                cell.source = re.sub(r"^# ", "## ", cell.source, flags=re.MULTILINE)
            elif re.search(r"^# ", cell.source, flags=re.MULTILINE):
                headed = True
                cell.source = re.sub(
                    r"^# .*$",
                    lambda found: f"{found[0]}\n\n{head(executed)}\n",
                    cell.source,
                    count=1,
                    flags=re.MULTILINE,
                )
        elif cell.cell_type == "code":
            cell.source = cell.source.removeprefix(f"{check_notebooks.MARK}\n")
            cell.outputs = [output for each in cell.outputs for output in shown(each)]
            alternative = "; ".join(dict.fromkeys(map(_alternative, _pictures(cell.outputs))))
            if alternative:
                cell.metadata = NotebookNode(
                    cell.metadata | {"mystnb": {"image": {"alt": alternative}}}
                )
        cells.append(cell)
    return NotebookNode(executed.notebook | {"cells": cells})


def shown(output: NotebookNode) -> Iterator[NotebookNode]:
    """Yield what a page shows of an output: its richest form, or nothing."""
    if output.output_type == "stream" and output.name == "stderr":
        return
    if "data" not in output:
        yield output
        return
    form = next((form for form in FORMS if output.data.get(form)), None)
    content = output.data.get(form, "")
    if form is None or (form == "text/html" and 'data-loads="bokeh"' in content[:200]):
        return
    alternative = _alternative(output)
    output = NotebookNode(output)
    output.data = NotebookNode({form: accessible(content) if form == "text/html" else content})
    if form == "image/png":
        output.metadata = NotebookNode({"image/png": {"alt": alternative}})
    yield output


def accessible(fragment: str) -> str:
    """Give the tables that pandas writes the roles of their headings, and take its styles away."""
    if 'class="dataframe"' not in fragment:
        return fragment
    fragment = re.sub(r"<style scoped>.*?</style>", "", fragment, flags=re.DOTALL)
    fragment = re.sub(r' border="1"| style="text-align: right;"', "", fragment)
    fragment = re.sub(r"<th([^>]*)></th>", r"<td\1></td>", fragment)  # the corner heads nothing
    upper, split, lower = fragment.partition("</thead>")
    return (
        upper.replace("<th>", '<th scope="col">')
        + split
        + re.sub(r"<th( rowspan=\"\d+\"[^>]*)?>", r'<th scope="row"\1>', lower)
    )


def head(executed: Executed) -> str:
    """Return what stands below a page's title: what the run cost, and how to open the notebook."""
    path = f"notebooks/{executed.name}.ipynb"
    facts = [("profile", executed.profile), ("ran in", duration(executed.seconds))]
    if executed.memory_mib:
        facts.append(("peak memory", f"{executed.memory_mib:,} MiB"))
    links = [
        ("Open on Binder", address.binder_link(path), ""),
        ("Open on Colab", address.colab_link(path), ""),
        ("Download .ipynb", f"downloads/{executed.name}.ipynb", " download"),
    ]
    badges = "".join(f"<li>{name} <b>{value}</b></li>" for name, value in facts)
    buttons = "".join(
        f'<li><a href="{html.escape(target)}"{extra}>{name}</a></li>'
        for name, target, extra in links
    )
    return (
        f'<div class="course-head"><ul class="course-facts" aria-label="This run">{badges}</ul>'
        f'<ul class="course-launch" aria-label="Open this notebook">{buttons}</ul></div>'
    )


def duration(seconds: float) -> str:
    """Write a time as people say it.

    Parameters
    ----------
    seconds : float
        Not negative.

    Returns
    -------
    str
        Such as ``"48 s"``, ``"1 min 33 s"`` or ``"2 h 5 min"``.
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _alternative(output: NotebookNode) -> str:
    """Return the text that stands for an output's picture."""
    described = output.get("metadata", {}).get("image/png", {}).get("alt")
    return str(described or output.data.get("text/plain", "")).strip()


def _pictures(outputs: Iterable[NotebookNode]) -> Iterator[NotebookNode]:
    return (output for output in outputs if "image/png" in output.get("data", {}))


# --- Glossary -------------------------------------------------------------------------------------


def glossary_terms(text: str) -> dict[tuple[str, ...], str]:
    """Read the terms of the glossary.

    Parameters
    ----------
    text : str
        The Markdown of ``docs/glossary.md``.

    Returns
    -------
    dict of tuple of str to str
        Each term by the stems of its words, which are the same in plural and other forms.
    """
    block = text.split("```{glossary}", 1)[1].split("```", 1)[0]
    names = [line for line in block.splitlines() if line and line[0] not in " :"]
    return {stems(name): name for name in names}


def stems(text: str) -> tuple[str, ...]:
    """Return the stems of the words of an English text, in lower case."""
    return tuple(_stem(word.lower().replace("’", "'")) for word in WORD.findall(text))


@cache
def _stem(word: str) -> str:
    stem: str = snowballstemmer.stemmer("english").stemWord(word)
    return stem


def term_linker(terms: Mapping[tuple[str, ...], str]) -> Callable[[str], str]:
    """Return a function that links the first use of each term to the glossary.

    A term is recognized where it is emphasized. In plain text, only terms of several words and
    names such as ReLU are: an ordinary word may be meant in another sense there.

    Parameters
    ----------
    terms : mapping of tuple of str to str
        As `glossary_terms` gives it.

    Returns
    -------
    callable
        It takes Markdown and returns it with links, and remembers what it has linked before.
    """
    left = dict(terms)
    names = {key for key, term in terms.items() if len(key) > 1 or re.search("[A-Z0-9_-]", term)}
    longest = max(map(len, terms), default=0)

    def role(text: str, key: tuple[str, ...]) -> str:
        term, written = left.pop(key), " ".join(text.split())
        return f"{{term}}`{written}`" if written == term else f"{{term}}`{written} <{term}>`"

    def plain(text: str) -> str:
        words = list(WORD.finditer(text))
        linked, position, index = [], 0, 0
        while index < len(words):
            for length in range(min(longest, len(words) - index), 0, -1):
                start, end = words[index].start(), words[index + length - 1].end()
                key = stems(text[start:end])
                together = re.fullmatch(r"[\w'’-]+(\s+[\w'’-]+)*", text[start:end])
                if together and key in left.keys() & names:
                    linked += [text[position:start], role(text[start:end], key)]
                    position, index = end, index + length - 1
                    break
            index += 1
        return "".join([*linked, text[position:]])

    def link(text: str) -> str:
        linked, position = [], 0
        for piece in PIECES.finditer(text):
            linked.append(plain(text[position : piece.start()]))
            written = piece["emphasis"]
            if written and (key := stems(written)) in left:
                linked.append(f"{piece['mark']}{role(written, key)}{piece['mark']}")
            else:
                linked.append(piece[0])
            position = piece.end()
        return "".join([*linked, plain(text[position:])])

    return link


# --- Front page -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Picture:
    """A picture on the front page that an executed notebook drew."""

    call: str
    """The function whose output it is, as the cell's source names it."""
    caption: str


PICTURES = (
    Picture("training_dashboard(", "One network in one view: curves, confusions, mistakes"),
    Picture("attribution_plot(", "Which pixels spoke for which digit"),
)


def pictures(notebooks: Sequence[Executed]) -> tuple[str, dict[str, bytes]]:
    """Choose the front page's pictures among the outputs, else the one in ``docs``.

    Parameters
    ----------
    notebooks : sequence of Executed
        In the order of the course: the first output of a kind is taken.

    Returns
    -------
    markdown : str
        The figures.
    files : dict of str to bytes
        The pictures by file name.
    """
    figures, files = [], {}
    for number, picture in enumerate(PICTURES):
        drawn = (
            (executed, output)
            for executed in notebooks
            for cell in executed.notebook.cells
            if cell.cell_type == "code" and picture.call in cell.source
            for output in _pictures(cell.outputs)
        )
        for executed, output in drawn:
            files[f"front-{number}.png"] = base64.b64decode(output.data["image/png"])
            figures.append(
                f":::{{figure}} front-{number}.png\n:alt: {_one_line(_alternative(output))}\n"
                f":target: {executed.name}.html\n\n{picture.caption} "
                f"([{executed.name[:2]}]({executed.name}.ipynb))\n:::\n"
            )
            break
    if not files:
        files["picture.png"] = (DOCS / "picture.png").read_bytes()
        figures.append(
            ":::{figure} picture.png\n:alt: Ten rows of small pictures of colored shapes\n\n"
            "The generated shapes that stand in for photographs on a day without a network\n:::\n"
        )
    body = "\n".join(figures)
    return f"::::{{container}} course-pictures\n{body}::::\n", files


def questions(readme: str) -> dict[str, str]:
    """Return the question that each notebook answers, by its name, from README's table."""
    rows = re.findall(r"^\| \d\d \| \[[^]]*\]\(notebooks/(\w+)\.ipynb\) \| (.+?) \|$", readme, re.M)
    return dict(rows)


def notebooks_table(notebooks: Sequence[Executed]) -> str:
    """Return the table of the notebooks, with the question, time and memory of each."""
    asked = questions((ROOT / "README.md").read_text(encoding="utf-8"))
    profile = notebooks[0].profile
    rows = [
        f"Time and memory are those of the run behind these pages, in the {profile} profile.",
        "",
        "| notebook | the question it answers | time | memory |",
        "|---|---|--:|--:|",
    ]
    for executed in notebooks:
        memory = f"{executed.memory_mib:,} MiB" if executed.memory_mib else "not measured"
        rows.append(
            f"| [{executed.title}]({executed.name}.ipynb) | {asked.get(executed.name, '')} "
            f"| {duration(executed.seconds)} | {memory} |"
        )
    if not address.published():
        rows += ["", "This copy has no public address yet: the links to Binder and Colab lead "
                     "nowhere until somebody publishes it with `make address`."]  # fmt: skip
    return "\n".join(rows)


def runs_table(runs: Iterable[Mapping[str, Any]]) -> str:
    """Return the table of the recorded full runs; several seeds of an experiment make one row.

    Parameters
    ----------
    runs : iterable of mapping
        As `records.recorded_runs` yields them.

    Returns
    -------
    str
        Markdown; a sentence if there are no runs.
    """
    rows = [
        "Every run was made on all images, by `make record`. Where an experiment has several "
        "seeds, the accuracy is their mean, with the lowest and the highest behind it.",
        "",
        "| notebook | experiment | epochs | training images | validation accuracy | fastest run |",
        "|---|---|--:|--:|--:|--:|",
    ]
    stamps: set[str] = set()
    for name, same in records.experiments(map(dict, runs)).items():
        accuracies = [
            run["history"]["val_accuracy"][-1] for run in same if "val_accuracy" in run["history"]
        ]
        accuracy = "not measured"
        if accuracies:
            accuracy = f"{sum(accuracies) / len(accuracies):.1%}"
        if len(accuracies) > 1:
            accuracy += (
                f" ({min(accuracies):.1%} to {max(accuracies):.1%}, {len(accuracies)} seeds)"
            )
        # Other work on the machine can only make a run slower.
        seconds = min(run["seconds"] for run in same)
        stamps.update(map(results.stamp, same))
        rows.append(
            f"| {name[:2]} | {name[3:].replace('_', ' ')} | {len(same[0]['history']['loss'])} "
            f"| {same[0]['train_images']:,} | {accuracy} | {duration(seconds)} |"
        )
    if len(rows) == 4:
        return "No full run is recorded in this copy of the course yet: `make record` makes them."
    return "\n".join([*rows, "", f"Measured on {'; '.join(sorted(stamps))}."])


def contents(notebooks: Sequence[Executed], chapters: Iterable[str]) -> str:
    """Return the table of contents of the book, which the sidebar shows."""
    parts = {
        "Notebooks": [executed.name for executed in notebooks],
        "Look up": [name for name in LOOK_UP if name in chapters],
        "Go further": [name for name in GO_FURTHER if name in chapters],
        "Teach": sorted(set(chapters) - {"index", *LOOK_UP, *GO_FURTHER}),
    }
    return "\n\n".join(
        f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(names) + "\n```"
        for caption, names in parts.items()
        if names
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())


# --- Building -------------------------------------------------------------------------------------


def build(folder: Path) -> Path:
    """Build the book of the notebooks that ran in a profile.

    Parameters
    ----------
    folder : pathlib.Path
        ``build/<profile>``.

    Returns
    -------
    pathlib.Path
        The front page, in ``site`` in that folder.

    Raises
    ------
    FileNotFoundError
        If no notebook has run there.
    RuntimeError
        If Sphinx stops or warns; an earlier site stays as it was.
    """
    from sphinx.cmd.build import build_main

    book = folder / "book"
    files = source_files(executed_notebooks(folder))
    doctrees, pages, warnings = book / "doctrees", book / "pages", book / "warnings.txt"
    finished = book / "finished"
    if not finished.is_file():  # what an interrupted or faulty build left is not built upon
        shutil.rmtree(book, ignore_errors=True)
    finished.unlink(missing_ok=True)
    mirror(files, book / "source")
    command = ["-q", "-b", "html", "-c", str(DOCS), "-d", str(doctrees), "-w", str(warnings)]
    status = build_main([*command, str(book / "source"), str(pages)])
    if status or warnings.read_text(encoding="utf-8").strip():
        raise RuntimeError("Sphinx could not build the book without a warning: see above.")
    downloads = {
        f"{source.stem}.ipynb": f"{nbformat.writes(pairing.generate(source))}\n".encode()
        for source in pairing.sources()
    }
    mirror(downloads, pages / "downloads")
    replace(pages, folder / "site")
    finished.touch()
    return folder / "site" / "index.html"


def source_files(notebooks: Sequence[Executed]) -> dict[str, bytes]:
    """Return everything that Sphinx reads, by its path in the source folder."""
    chapters = {path.stem: path.read_text(encoding="utf-8") for path in DOCS.glob("*.md")}
    terms = glossary_terms(chapters["glossary"])
    figures, files = pictures(notebooks)
    found = results.on_record()
    texts = {f"{name}.md": text for name, text in chapters.items()}
    texts |= {
        f"{executed.name}.ipynb": nbformat.writes(page(executed, terms)) for executed in notebooks
    }
    texts |= {
        "generated/pictures.md": figures,
        "generated/notebooks.md": notebooks_table(notebooks),
        "generated/results.md": results.sources_table(found),
        "generated/race.md": results.race_table(found.race),
        "generated/runs.md": runs_table(records.recorded_runs()),
        "generated/claims.md": claims.claims_list(found),
        "generated/explorer.md": f"```{{raw}} html\n{explorer.fragment()}```\n",
        "generated/contents.md": contents(notebooks, chapters),
    }
    return files | {name: text.encode() for name, text in texts.items()}


def mirror(files: Mapping[str, bytes], folder: Path) -> None:
    """Make a folder hold these files and no others; equal ones keep their time of change."""
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if path.relative_to(folder).as_posix() not in files:
            path.unlink()
    for name, content in files.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def replace(pages: Path, site: Path) -> None:
    """Put a copy of the built pages in the site's place, once the copy is complete."""
    new, old = site.with_name(".site.new"), site.with_name(".site.old")
    for folder in (new, old):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(
        pages, new, ignore=shutil.ignore_patterns(".buildinfo*", "_sources", "*-macros.html")
    )
    if site.exists():
        site.rename(old)
    new.rename(site)
    shutil.rmtree(old, ignore_errors=True)


# --- Checking -------------------------------------------------------------------------------------


@dataclass
class Page(HTMLParser):
    """What the check needs to know of a page."""

    path: Path
    headings: list[int] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    resources: list[str] = field(default_factory=list)
    bare_images: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Read the page."""
        super().__init__()
        self.feed(self.path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Note a heading, an anchor, a link, a picture or a file that the page loads."""
        given = {name: value or "" for name, value in attributes}
        self.anchors.update(given[name] for name in ("id", "name") if name in given)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") not in ("next", "prev", "search", "author"):
            self.resources.append(given.get("href", ""))
        elif "src" in given:
            self.resources.append(given["src"])
        if tag == "img" and not given.get("alt", "").strip():
            self.bare_images.append(given.get("src", "")[:60])


def problems(site: Path) -> list[str]:
    """Check a built site, without a network.

    Every link leads to a page and an anchor that exist, or is a well-formed address on the web;
    nothing is loaded from another host; a page has one first-level heading, and no level is left
    out; pictures have alternative texts; no page outweighs the limit.

    Parameters
    ----------
    site : pathlib.Path
        The folder of ``index.html``.

    Returns
    -------
    list of str
        One sentence for each problem; empty if all is well.
    """
    site = site.resolve()
    pages = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, read in pages.items():
        name = path.relative_to(site).as_posix()
        said = [
            *_heading_problems(read.headings),
            *(f"the picture {image} has no alternative text" for image in read.bare_images),
            *(f"{target} is loaded from elsewhere" for target in read.resources if _host(target)),
            *_broken(read, pages),
        ]
        weight = path.stat().st_size + sum(
            picture.stat().st_size
            for target in set(read.resources)
            if (picture := path.parent / unquote(target)).suffix in (".png", ".svg", ".jpg")
            and picture.is_file()
        )
        if weight > PAGE_LIMIT:
            said.append(f"it weighs {weight:,} bytes, more than {PAGE_LIMIT:,}")
        found += [f"{name}: {sentence}" for sentence in dict.fromkeys(said)]
    for style in sorted(site.rglob("*.css")):
        if re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", style.read_text(encoding="utf-8")):
            found.append(f"{style.relative_to(site).as_posix()}: it loads from another host")
    return found


def _heading_problems(levels: Sequence[int]) -> Iterator[str]:
    if levels.count(1) != 1:
        yield f"it has {levels.count(1)} first-level headings, not one"
    for above, below in zip([0, *levels], levels, strict=False):
        if below > above + 1:
            yield f"a heading of level {below} follows one of level {above}"


def _broken(page: Page, pages: Mapping[Path, Page]) -> Iterator[str]:
    for target in [*page.links, *(each for each in page.resources if not _host(each))]:
        parts = urlsplit(target)
        if parts.scheme in ("data", "mailto"):
            continue
        if _host(target):
            if not re.fullmatch(r"https?://[\w.-]+\.\w+(:\d+)?(/\S*)?", target):
                yield f"{target} is not an address"
            continue
        file = page.path
        if parts.path:
            file = (page.path.parent / unquote(parts.path)).resolve()
        if not file.is_file():
            yield f"{target} does not exist"
        elif parts.fragment and file in pages:
            if unquote(parts.fragment) not in pages[file].anchors:
                yield f"{target} leads to no place on that page"


def _host(target: str) -> bool:
    return target.startswith("//") or urlsplit(target).scheme in ("http", "https")


def publish(folder: Path) -> int:
    """Build and check the book of a profile, and say where it is.

    Parameters
    ----------
    folder : pathlib.Path
        ``build/<profile>``.

    Returns
    -------
    int
        The exit status: 1 if there is no book, or a problem in it.
    """
    try:
        index = build(folder)
    except (FileNotFoundError, RuntimeError) as error:
        print(error)
        return 1
    except OSError as error:
        # Copying a folder gathers what it could not copy: source, target and reason of each file.
        reason = error.args[0][0][2] if isinstance(error, shutil.Error) else error.strerror
        print(
            f"The book in {folder} cannot be written ({reason}): make room there, or build it in a "
            "folder that you may write; an earlier book is whole."
        )
        return 1
    found = problems(index.parent)
    print("\n".join([*found, f"Open {index.as_uri()}"]))
    return 1 if found else 0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="quick", choices=profiles.NAMES)
    options = parser.parse_args(arguments)
    return publish(ROOT / "build" / options.profile)


if __name__ == "__main__":
    sys.exit(main())
