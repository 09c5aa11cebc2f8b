"""Turn executed notebooks into slides: the work behind ``make slides``.

``python -m tools.slides --profile quick [02 05 ...]`` reads ``build/<profile>/NN_topic.ipynb`` and
writes ``build/<profile>/slides/NN_topic.html`` with an ``index.html``. The slides open from disk:
reveal.js, Bokeh and the style lie beside them, and formulas become MathML here.

Each ``##`` heading opens a column; its slides lie below one another. A slide holds what fits, in
the order of the notebook, and at most one plot, with the text that reads it beside or below. The
code of a plot is folded. What a prompt such as "Before you run this" asks for is shown on the next
slide. A plot is drawn as large as its slide allows, and a slide that is still too full scrolls.
"""

from __future__ import annotations

import argparse
import copy
import html
import math
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from nbformat import NotebookNode

from course_utils import profiles
from tools import check_notebooks

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
TEMPLATES = Path(__file__).resolve().parent / "templates"

# Heights in CSS pixels on a slide of 1280 by 720, where text has 24 pixels and code 18.
ROOM = 595
TEXT_LINE, CODE_LINE, TABLE_ROW = 34, 25, 30
TEXT_WIDTH, CODE_WIDTH = 95, 108  # characters
BESIDE_A_PLOT = 620  # characters of text
ABOVE_A_PLOT = 130
PROMPT = re.compile(r"before you run|\*\*prediction", re.IGNORECASE)
HEADING = re.compile(r"(#{1,4}) ")
UNIT = re.compile(r"#{1,4} |[-*] |\d+\. ")
FORMULA = re.compile(r"```.*?```|`[^`]*`|\$\$(.+?)\$\$|\$(?=\S)([^$`]+?)(?<=\S)\$", re.DOTALL)


@dataclass(frozen=True)
class Piece:
    """What is never divided between slides: a paragraph, code, an output or a plot."""

    cell: NotebookNode
    height: int
    figure: bool = False

    @property
    def text(self) -> bool:
        """Whether it is text of the notebook."""
        return self.cell.cell_type == "markdown"

    @property
    def heading(self) -> int:
        """The level of a heading; 0 if it is none."""
        match = HEADING.match(self.cell.source) if self.text else None
        return len(match[1]) if match else 0


@dataclass
class Slide:
    """The pieces that are shown together."""

    reminder: str = ""
    opens_column: bool = False
    pieces: list[Piece] = field(default_factory=list)

    @property
    def height(self) -> int:
        """The estimated height of its pieces, in CSS pixels."""
        return sum(piece.height for piece in self.pieces)

    @property
    def asks(self) -> bool:
        """Whether it asks for a prediction."""
        return any(piece.text and PROMPT.search(piece.cell.source) for piece in self.pieces)

    @property
    def picture(self) -> bool:
        """Whether it shows a plot."""
        return any(piece.figure for piece in self.pieces)


def units(source: str) -> list[str]:
    """Divide Markdown at headings, list items and paragraphs; joined, they give the source."""
    lines = source.splitlines(keepends=True)
    found: list[str] = []
    fenced = after_blank = False
    for line in lines:
        starts = not fenced and (UNIT.match(line) or (after_blank and not line[0].isspace()))
        if starts or not found:
            found.append(line)
        else:
            found[-1] += line
        fenced ^= line.startswith("```")
        after_blank = not line.strip()
    return found


def text_height(unit: str) -> int:
    """Estimate the height of a unit of Markdown."""
    if unit.startswith("# "):
        return 70 * math.ceil(len(unit) / 50)
    if unit.startswith("#"):
        return 62 * math.ceil(len(unit) / 70)
    if unit.startswith("|"):
        return TABLE_ROW * len(unit.splitlines())
    if unit.startswith("```"):
        return CODE_LINE * len(unit.splitlines()) + 20
    return TEXT_LINE * math.ceil(len(" ".join(unit.split())) / TEXT_WIDTH) + 14


def printed_height(text: str) -> int:
    """Estimate the height of code or of printed text."""
    wrapped = sum(max(1, math.ceil(len(line) / CODE_WIDTH)) for line in text.splitlines())
    return CODE_LINE * wrapped + 26


def output_height(output: NotebookNode) -> int:
    """Estimate the height of an output that is not a plot."""
    if output.output_type == "stream":
        return printed_height(output.text)
    data = output.get("data", {})
    if "text/html" not in data:
        return printed_height(data.get("text/plain", ""))
    markup = data["text/html"]
    if rows := markup.count("<tr"):
        return TABLE_ROW * rows + 20
    if "<form" in markup:  # a quiz, below its heading
        return ROOM - 100
    return text_height(re.sub("<[^>]+>", " ", markup)) + 30


def is_figure(output: NotebookNode) -> bool:
    """Tell whether an output is a plot or a picture."""
    data = output.get("data", {})
    return 'role="figure"' in data.get("text/html", "") or any(
        kind.startswith("image/") for kind in data
    )


def loads_bokeh(output: NotebookNode) -> bool:
    """Tell whether an output only carries Bokeh's JavaScript, which the slides share."""
    return '<script data-loads="bokeh">' in output.get("data", {}).get("text/html", "")[:200]


def pieces_of(cell: NotebookNode, *, fold: bool) -> list[Piece]:
    """Divide a cell of the notebook."""
    if cell.cell_type != "code":
        return [Piece(_part(cell, source=unit), text_height(unit)) for unit in units(cell.source)]
    source = cell.source.removeprefix(f"{check_notebooks.MARK}\n")  # which speaks to the tests only
    outputs = [output for output in cell.outputs if not loads_bokeh(output)]
    folded = fold or any(map(is_figure, outputs))
    code = Piece(
        _part(cell, source=source, outputs=[], folded=folded),
        44 if folded else printed_height(source),
    )
    shown = [
        Piece(
            _part(cell, source="", outputs=[output], figure=is_figure(output)),
            0 if is_figure(output) else output_height(output),
            is_figure(output),
        )
        for output in outputs
    ]
    is_quiz = any("<form" in output.get("data", {}).get("text/html", "") for output in outputs)
    return shown if is_quiz else [code, *shown]


def _part(
    cell: NotebookNode, *, folded: bool = False, figure: bool = False, **content: object
) -> NotebookNode:
    part = copy.copy(cell)
    part.update(content)
    part.metadata = nbformat.from_dict({"place": {"folded": folded, "figure": figure}})
    return part


def arrange(notebook: NotebookNode) -> list[Slide]:
    """Distribute the cells of an executed notebook over slides.

    Parameters
    ----------
    notebook : NotebookNode
        With outputs.

    Returns
    -------
    list of Slide
        In order; the first opens a column.
    """
    slides = [Slide(opens_column=True)]
    title = ""
    for cell in notebook.cells:
        kind = cell.metadata.get("slideshow", {}).get("slide_type")
        left_out = kind in {"skip", "notes"} or "colab" in cell.metadata.get("tags", [])
        if left_out or cell.cell_type == "raw" or not cell.source.strip():
            continue
        pieces = pieces_of(cell, fold=not title)
        if kind in {"slide", "subslide"} or not _takes_all(slides[-1], pieces):
            slides.append(Slide(title))
        for piece in pieces:
            if piece.heading:
                slides.append(Slide(opens_column=piece.heading == 2))
                title = _plain(piece) if piece.heading == 2 else title
            elif not _takes(slides[-1], piece):
                slides.append(Slide(title))
            slides[-1].pieces.append(piece)
    slides = [slide for slide in slides if slide.pieces]
    slides[0].opens_column = True
    return slides


def _takes_all(slide: Slide, pieces: list[Piece]) -> bool:
    """Tell whether the pieces of a cell may follow on a slide, without being divided."""
    text = all(piece.text for piece in pieces)
    if slide.picture:
        length = sum(len(piece.cell.source) for piece in pieces)
        return text and not slide.pieces[-1].text and length <= BESIDE_A_PLOT
    if any(piece.figure for piece in pieces):
        return slide.height <= ABOVE_A_PLOT and not slide.asks
    if slide.asks and not text:
        pieces = pieces[:1]  # the code; its outputs follow on the next slide
    return slide.height + sum(piece.height for piece in pieces) <= ROOM


def _takes(slide: Slide, piece: Piece) -> bool:
    """Tell whether a piece may follow on a slide."""
    if slide.picture and (piece.figure or piece.height > ABOVE_A_PLOT and not piece.text):
        return False
    answers = slide.asks and not piece.text and not piece.cell.source
    return not answers and (not slide.pieces or slide.height + piece.height <= ROOM)


def _plain(piece: Piece) -> str:
    """Return a heading without its Markdown."""
    return re.sub(r"[#*`]|\[(.+?)\]\(.+?\)", r"\1", piece.cell.source).strip()


def as_notebook(slides: list[Slide]) -> NotebookNode:
    """Return a notebook whose cells say where slides and columns begin and end.

    The template reads ``cell.metadata.place``. Text that was divided for measuring is joined again
    where it stays on one slide.
    """
    cells: list[NotebookNode] = []
    for number, slide in enumerate(slides):
        first = len(cells)
        for piece in slide.pieces:
            if piece.text and len(cells) > first and cells[-1].cell_type == "markdown":
                gap = "" if cells[-1].id == piece.cell.id else "\n\n"
                cells[-1].source += gap + piece.cell.source
            else:
                cells.append(piece.cell)
        is_last = number + 1 == len(slides) or slides[number + 1].opens_column
        cells[first].metadata.place.update(
            opens_column=slide.opens_column,
            opens_slide=True,
            picture=slide.picture,
            reminder=slide.reminder,
        )
        cells[-1].metadata.place.update(closes_slide=True, closes_column=is_last)
    for number, cell in enumerate(cells):
        cell.id = f"piece-{number}"
    return nbformat.v4.new_notebook(cells=cells)


def slide_text(source: str) -> str:
    """Turn Markdown into HTML, with formulas as MathML and links to the slides of notebooks."""
    from docutils.utils.math.latex2mathml import tex2mathml

    formulas: list[str] = []

    def set_aside(match: re.Match[str]) -> str:
        block, inline = match.groups()
        if not (block or inline):
            return match[0]  # code
        formulas.append(" ".join(tex2mathml(block or inline, as_block=bool(block)).split()))
        return f"FORMULA{len(formulas) - 1}X"

    markup = markdown2html(FORMULA.sub(set_aside, source))
    markup = re.sub(r'(href="\d\d_[a-z0-9_]+)\.ipynb', r"\1.html", markup)
    return re.sub(r"FORMULA(\d+)X", lambda match: formulas[int(match[1])], markup)


def build(profile: str, numbers: list[str]) -> Path:
    """Write the slides of the executed notebooks; return the front page.

    Raises
    ------
    FileNotFoundError
        If a notebook has not been executed in this profile.
    """
    target = BUILD / profile / "slides"
    notebooks = sorted((BUILD / profile).glob("[0-9][0-9]_*.ipynb"))
    missing = sorted(set(numbers) - {path.stem[:2] for path in notebooks})
    if missing or not notebooks:
        raise FileNotFoundError(
            f"build/{profile} holds no executed notebook {', '.join(missing) or 'at all'}: run "
            f"`make run PROFILE={profile}` first."
        )
    write_assets(target / "assets")
    exporter = HTMLExporter(template_name="slides", extra_template_basedirs=[str(TEMPLATES)])
    exporter.register_filter("slide_text", slide_text)
    rows = []
    for path in notebooks:
        notebook = nbformat.read(path, as_version=4)
        title = _plain(Piece(notebook.cells[0], 0)).splitlines()[0]
        page = target / f"{path.stem}.html"
        if not numbers or path.stem[:2] in numbers:
            slides = arrange(notebook)
            body, _ = exporter.from_notebook_node(
                as_notebook(slides), resources={"metadata": {"name": title}}
            )
            page.write_text(body, encoding="utf-8")
            print(f"{page.name}: {len(slides)} slides")
        rows.append(f'<li><a href="{page.name}">{html.escape(title)}</a></li>')
    index = target / "index.html"
    index.write_text(INDEX.format(profile=profile, rows="\n".join(rows)), encoding="utf-8")
    return index


def write_assets(folder: Path) -> None:
    """Copy what all slides share: reveal.js, Bokeh, the style and its script."""
    import bokeh
    import sphinx_revealjs
    from pygments.formatters import HtmlFormatter

    folder.mkdir(parents=True, exist_ok=True)
    reveal = Path(sphinx_revealjs.__file__).parent / "_static" / "revealjs" / "dist"
    javascript = Path(bokeh.__file__).parent / "server" / "static" / "js"
    files = [reveal / "reveal.js", reveal / "reveal.css", javascript / "bokeh.min.js"]
    for file in [*files, TEMPLATES / "slides" / "slides.css", TEMPLATES / "slides" / "slides.js"]:
        shutil.copyfile(file, folder / file.name)
    style = HtmlFormatter(style="a11y-high-contrast-light").get_style_defs(".highlight")
    (folder / "code.css").write_text(style, encoding="utf-8")


INDEX = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<title>Slides: train image classifiers with Keras</title>
<link rel="stylesheet" href="assets/slides.css"></head>
<body class="index"><main>
<h1>Train image classifiers with Keras: slides</h1>
<p>Made from the notebooks as they ran in the {profile} profile. They need no network.</p>
<ul>
{rows}
</ul>
<h2>Keys</h2>
<p>Space: next slide. Right and left: next and previous question. Down and up: within a question;
down also scrolls a slide that is too full. F: full screen. G and a number: go to a slide.
?: all keys. Plots keep their tools: hover, zoom, pan.</p>
</main></body></html>
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="quick", choices=profiles.NAMES)
    parser.add_argument("numbers", nargs="*", help="two-digit numbers; default: all notebooks")
    options = parser.parse_args(arguments)
    try:
        index = build(options.profile, options.numbers)
    except FileNotFoundError as error:
        print(error)
        return 1
    print(f"Open {index.as_uri()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
