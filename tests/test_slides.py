"""Slides from executed notebooks: what lies on which, and that nothing is fetched."""

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import slides

PLOT = new_output(
    "display_data",
    {"text/html": '<div id="plot-1" role="figure"></div><script>draw()</script>', "text/plain": ""},
)
LOADER = new_output(
    "display_data",
    {"text/html": '<script data-loads="bokeh">Bokeh code</script>', "text/plain": ""},
)


def printed(text):
    return new_output("stream", name="stdout", text=text)


def markdown(text, **metadata):
    return new_markdown_cell(text, metadata=metadata)


def code(text, *outputs, **metadata):
    return new_code_cell(text, outputs=list(outputs), metadata=metadata)


def shown(*cells):
    """Return the text of each slide of a notebook with a title."""
    notebook = new_notebook(cells=[markdown("# Title"), markdown("## Question"), *cells])
    return [
        [piece.cell.source or "(output)" for piece in slide.pieces]
        for slide in slides.arrange(notebook)[1:]
    ]


def test_units_lose_nothing_and_keep_fences_whole():
    text = "# A\n\nOne\ntwo\n\n- a\n  still a\n- b\n\n```\n# no heading\n\n- no item\n```\n\nLast"
    found = slides.units(text)
    assert "".join(found) == text
    assert [unit.split("\n")[0] for unit in found] == ["# A", "One", "- a", "- b", "```", "Last"]


def test_each_second_level_heading_opens_a_column():
    notebook = new_notebook(cells=[markdown("# T"), markdown("## A\n\ntext\n\n### B\n\n## C")])
    assert [slide.opens_column for slide in slides.arrange(notebook)] == [True, True, False, True]


def test_each_plot_has_a_slide_and_the_text_that_reads_it():
    assert shown(code("first", PLOT), markdown("It falls."), code("second", PLOT)) == [
        ["## Question", "first", "(output)", "It falls."],
        ["second", "(output)"],
    ]


def test_two_plots_of_one_cell_are_divided():
    assert shown(code("both", PLOT, PLOT)) == [["## Question", "both", "(output)"], ["(output)"]]


def test_an_output_waits_behind_its_prompt():
    prompt = "**Before you run this:** which is larger?"
    assert shown(markdown(prompt), code("compare()", printed("the left one"))) == [
        ["## Question", prompt, "compare()"],
        ["(output)"],
    ]
    assert shown(markdown(prompt), code("compare()", PLOT)) == [
        ["## Question", prompt],
        ["compare()", "(output)"],
    ]


def test_text_that_is_too_long_continues_on_another_slide():
    paragraphs = [f"{number} " + "word " * 120 for number in range(4)]
    found = shown(markdown("\n\n".join(paragraphs)))
    assert len(found) > 1
    together = "".join(text for slide in found for text in slide)
    assert all(paragraph.strip() in together for paragraph in paragraphs)
    arranged = slides.arrange(new_notebook(cells=[markdown("\n\n".join(paragraphs))]))
    assert all(slide.height <= slides.ROOM for slide in arranged)


def test_code_is_not_parted_from_what_it_prints_without_need():
    long_code = "\n".join(["line()"] * 16)
    assert shown(code(long_code), code("more()\n" * 8, printed("result"))) == [
        ["## Question", long_code],
        ["more()\n" * 8, "(output)"],
    ]


def test_what_only_machines_need_is_left_out():
    assert shown(
        code("install()", tags=["colab"]),
        code("hidden()", slideshow={"slide_type": "skip"}),
        code("# NBVAL_CHECK_OUTPUT\nprint(1)", printed("1")),
        code("extension()", LOADER),
    ) == [["## Question", "print(1)", "(output)", "extension()"]]


def test_a_quiz_lies_below_its_heading_without_its_code():
    quiz = new_output("execute_result", {"text/html": "<form></form>", "text/plain": "Quiz"})
    assert shown(code('exercises.quiz("02")', quiz)) == [["## Question", "(output)"]]


def test_formulas_become_mathml_and_code_stays_code():
    markup = slides.slide_text(r"The rate $\eta$, $w \leftarrow w_1$, `$HOME` and 5 $ or 6 $.")
    assert markup.count("<math") == 2
    assert "<mi>η</mi>" in markup
    assert "<code>$HOME</code>" in markup
    assert "5 $ or 6 $." in markup
    assert 'display="block"' in slides.slide_text("$$a = b$$")


def test_links_to_notebooks_lead_to_their_slides():
    assert 'href="02_baseline.html"' in slides.slide_text("[next](02_baseline.ipynb)")


@pytest.fixture
def deck(tmp_path, monkeypatch):
    """The slides of one small executed notebook."""
    monkeypatch.setattr(slides, "BUILD", tmp_path)
    cells = [
        markdown("# 02 · Build & look"),
        code("import keras", LOADER),
        markdown("## Does it learn?"),
        code("a < b", printed("<b>not bold</b>")),
        code("plot()", PLOT),
        markdown("It falls."),
    ]
    (tmp_path / "smoke").mkdir()
    nbformat.write(new_notebook(cells=cells), tmp_path / "smoke" / "02_small.ipynb")
    assert slides.main(["--profile", "smoke"]) == 0
    return tmp_path / "smoke" / "slides"


def test_a_page_is_complete_and_fetches_nothing(deck):
    page = (deck / "02_small.html").read_text(encoding="utf-8")
    assert page.count("<section") == page.count("</section>") == 5
    assert page.count('<div class="figure">') == 1
    assert '<section class="picture">\n<p class="reminder">Does it learn?</p>' in page
    assert "&lt;b&gt;not bold" in page
    assert "Bokeh code" not in page
    assert "<summary>Code (1 line)</summary>" in page
    needed = re.findall(r'(?:src|href)="([^"#]+)"', page + (deck / "index.html").read_text())
    assert needed
    for address in needed:
        assert (deck / address).is_file(), address


def test_bokeh_and_reveal_come_from_the_installed_packages(deck):
    import bokeh

    assert "reveal.js 5" in (deck / "assets" / "reveal.js").read_text(encoding="utf-8")[:200]
    javascript = (deck / "assets" / "bokeh.min.js").read_text(encoding="utf-8")
    assert bokeh.__version__ in javascript
    assert "http" not in (deck / "assets" / "slides.css").read_text(encoding="utf-8")


def test_a_notebook_that_did_not_run_is_named(deck, capsys):
    assert slides.main(["--profile", "smoke", "07"]) == 1
    assert "holds no executed notebook 07: run `make run PROFILE=smoke`" in capsys.readouterr().out
