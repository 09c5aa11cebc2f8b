"""The book: a small one is really built, and each check is shown a page with one fault."""

import errno
import json
import os
import re
import shutil
from copy import deepcopy
from html import unescape

import nbformat
import pytest
from made_up import STAMPS, judged, runs, store
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import claims, pairing, site

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
LOADER = '<script data-loads="bokeh">(function(){ THE LOADER })()</script>'
PLOT = (
    '<div id="plot-1" role="figure" aria-label="Loss per epoch"></div>\n'
    "<script>(function draw(){ window.Bokeh })()</script>"
)
FRAME = (
    "<div>\n<style scoped>\n .dataframe tbody tr th { vertical-align: top; }\n</style>\n"
    '<table border="1" class="dataframe">\n<thead>\n<tr style="text-align: right;">\n<th></th>\n'
    "<th>loss</th>\n</tr>\n</thead>\n<tbody>\n<tr>\n<th>first</th>\n<td>2.3</td>\n</tr>\n"
    "</tbody>\n</table>\n</div>"
)


def displayed(**data):
    return new_output("display_data", data={key.replace("_", "/"): v for key, v in data.items()})


def code(source, *outputs, tags=()):
    return new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})


def small_notebook(extra=""):
    return new_notebook(
        metadata={"language_info": {"name": "python"}},
        cells=[
            code("%pip install it", tags=["colab"]),
            new_markdown_cell("# 02 · A small page\n\nAfter one *epoch* and the learning rates."),
            code(
                "dashboards.extension()",
                displayed(text_html=LOADER, text_plain=""),
                new_output("stream", name="stderr", text="a warning of the library"),
            ),
            new_markdown_cell("## A formula\n\nThe step is $w \\leftarrow w - \\eta g^2$." + extra),
            code("# NBVAL_CHECK_OUTPUT\nframe", displayed(text_html=FRAME, text_plain="loss")),
            code(
                "dashboards.training_dashboard(run)",
                displayed(text_html=PLOT, image_png=PIXEL, text_plain="Loss per epoch"),
            ),
            new_markdown_cell("# A late first-level heading\n\nAgain an *epoch*."),
            code("plt.show()", displayed(image_png=PIXEL, text_plain="A picture without HTML")),
        ],
    )


def write_run(folder, notebook, name="02_baseline"):
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / f"{name}.ipynb")
    record = {"key": "", "seconds": 93.2, "memory_mib": 1246}
    (folder / f"{name}.json").write_text(json.dumps(record))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Build a book of one notebook and some recorded runs."""
    base = tmp_path_factory.mktemp("course")
    simple = [*runs("03_simple", [0.6, 0.61]), *runs("03_simple_dropout", [0.8, 0.8])]
    entries = [*runs("02_small", [0.70, 0.74], train_images=40_000), *simple]
    longer = runs("03_to_the_end_simple", [0.6, 0.61])
    tests = [*judged("03_simple", [0.60, 0.62]), *judged("03_to_the_end_simple", [0.60, 0.62])]
    store(base / "results", "03_dropout", [*entries, *longer, *tests])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_RESULTS_DIR", str(base / "results"))
        write_run(base / "quick", small_notebook())
        site.build(base / "quick")
        yield base / "quick"


@pytest.fixture
def text(folder):
    return (folder / "site" / "02_baseline.html").read_text(encoding="utf-8")


@pytest.fixture
def experiments(folder):
    return (folder / "site" / "experiments.html").read_text(encoding="utf-8")


@pytest.fixture
def front(folder):
    return (folder / "site" / "index.html").read_text(encoding="utf-8")


# --- The book as a whole --------------------------------------------------------------------------


def test_the_built_book_passes_its_own_check(folder):
    assert site.problems(folder / "site") == []


def test_nothing_is_loaded_from_another_host(folder):
    for page in (folder / "site").glob("*.html"):
        loaded = re.findall(
            r"<(?:script|img|iframe)[^>]* src=\"([^\"]+)|<link[^>]* href=\"([^\"]+)",
            page.read_text(encoding="utf-8"),
        )
        assert loaded
        assert not [pair for pair in loaded if "//" in "".join(pair)], page.name


def test_a_page_shows_plots_with_one_shared_script_and_no_loader(text, folder):
    assert "THE LOADER" not in text
    assert PLOT.splitlines()[0] in text
    assert len(re.findall(r"<script[^>]*bokeh\.min\.js", text)) == 1
    assert (folder / "site" / "_static" / "bokeh.min.js").stat().st_size > 500_000
    assert "bokeh.min.js" not in (folder / "site" / "glossary.html").read_text(encoding="utf-8")


def test_a_page_leaves_out_what_serves_only_the_running_notebook(text):
    for left_out in ("%pip install it", "a warning of the library", "NBVAL_CHECK_OUTPUT", PIXEL):
        assert left_out not in text


def test_a_page_typesets_mathematics_without_a_script(text):
    formula = re.search(r"<math.*?</math>", text, flags=re.DOTALL)[0]
    assert "<mi>η</mi>" in formula
    assert "<msup>" in formula
    assert not re.search(r"<script[^>]*mathjax", text, flags=re.IGNORECASE)


def test_a_page_says_what_the_run_cost_and_where_to_open_it(text, folder):
    head = re.search(r'<div class="course-head">.*?</div>', text)[0]
    assert "ran in <b>1 min 33 s</b>" in head
    assert "peak memory <b>1,246 MiB</b>" in head
    links = [unescape(link) for link in re.findall(r'href="([^"]+)"', head)]
    assert links[0].startswith("https://mybinder.org/v2/gh/")
    assert links[0].endswith("notebooks%2F02_baseline.ipynb")
    assert links[1].startswith("https://colab.research.google.com/github/")
    clean = pairing.NOTEBOOKS / "02_baseline.ipynb"
    assert (folder / "site" / links[2]).read_bytes() == clean.read_bytes()


def test_the_first_use_of_a_term_leads_to_the_glossary(text):
    assert re.search(r'<em><a [^>]*href="glossary.html#term-epoch"', text)
    assert 'href="glossary.html#term-learning-rate"' in text
    assert text.count("#term-epoch") == 1


def test_pictures_and_tables_can_be_read_aloud(text):
    assert re.search(r'<img alt="A picture without HTML"', text)
    assert '<th scope="col">loss</th>' in text
    assert '<th scope="row">first</th>' in text


def test_the_front_page_lists_notebooks_with_question_time_and_memory(front):
    question = site.questions((site.ROOT / "README.md").read_text(encoding="utf-8"))["02_baseline"]
    row = re.search(r"<tr[^>]*><td><p><a [^>]*02_baseline.*?</tr>|<tr[^>]*>\s*<td>.*?</tr>", front,
                    flags=re.DOTALL)[0]  # fmt: skip
    for expected in ("02 · A small page", question, "1 min 33 s", "1,246 MiB"):
        assert expected in row


def test_the_front_page_shows_a_picture_of_a_run_and_the_recorded_results(front):
    assert re.search(r'<img alt="Loss per epoch"[^>]*front-0\.png', front)
    row = re.search(r"<tr[^>]*>(?:(?!</tr>).)*simple network.*?</tr>", front, flags=re.DOTALL)[0]
    for expected in ("68.9 %", "03: 61.0 % (60.0 to 62.0; 2 seeds)", "7.88 points short"):
        assert expected in row


def test_the_experiments_page_says_of_a_claim_what_the_records_say(experiments):
    parts = re.split(r"<h3>(.*?)<", experiments)
    verdicts = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert list(verdicts) == [claims.HOLDS, claims.OPEN]
    statement = "Dropout shrinks the gap between training and validation accuracy."
    assert statement in verdicts[claims.HOLDS]
    assert "+19.50 points (95 % interval" in verdicts[claims.HOLDS]
    assert "<code" in verdicts[claims.OPEN]
    assert "make record NB=08" in re.sub("<[^>]*>", "", verdicts[claims.OPEN])


def test_the_experiments_page_holds_every_run_as_plot_and_as_table(experiments, folder):
    assert "72.0% (70.0% to 74.0%, 2 seeds)" in experiments
    assert "40,000" in experiments
    assert re.search(r'role="figure" aria-label="Accuracy [^"]*: 8 runs on CIFAR-10', experiments)
    needed = re.findall(r'<script defer="defer" src="_static/(bokeh[\w-]*\.min\.js)', experiments)
    assert needed == ["bokeh.min.js", "bokeh-widgets.min.js", "bokeh-tables.min.js"]
    assert all((folder / "site" / "_static" / name).is_file() for name in needed)


def test_the_search_index_is_small_and_knows_the_pages(folder):
    index = (folder / "site" / "searchindex.js").read_text(encoding="utf-8")
    assert "A small page" in index
    assert "glossary" in index
    assert len(index) < 300_000


def test_what_is_unchanged_is_not_built_again(folder):
    built = folder / "book" / "pages" / "02_baseline.html"
    before = built.stat().st_mtime_ns
    site.build(folder)
    assert built.stat().st_mtime_ns == before


def test_a_warning_of_sphinx_fails_again_and_again_and_the_old_book_stays(folder, tmp_path, capfd):
    other = tmp_path / "quick"
    write_run(other, small_notebook())
    (other / "site").mkdir()
    (other / "site" / "index.html").write_text("the old book")
    write_run(other, small_notebook(extra=" See {term}`no such term`."))
    for _ in range(2):
        assert site.publish(other) == 1
        assert "no such term" in capfd.readouterr().err
    assert (other / "site" / "index.html").read_text() == "the old book"


FULL_DISK = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("error", [FULL_DISK, shutil.Error([("here", "there", str(FULL_DISK))])])
def test_a_full_disk_is_told_in_one_sentence(error, monkeypatch, tmp_path, capsys):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(site, "build", fail)
    assert site.publish(tmp_path) == 1
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "No space left on device): make room there" in said


def test_a_book_that_cannot_be_copied_leaves_the_old_one(monkeypatch, tmp_path):
    def fail(*_, **__):
        raise FULL_DISK

    old = tmp_path / "site" / "index.html"
    old.parent.mkdir()
    old.write_text("the old book")
    monkeypatch.setattr(shutil, "copytree", fail)
    with pytest.raises(OSError, match="No space left"):
        site.replace(tmp_path / "pages", old.parent)
    assert old.read_text() == "the old book"


def test_without_an_executed_notebook_one_sentence_says_what_to_do(tmp_path, capsys):
    write_run(tmp_path / "full", small_notebook())
    (tmp_path / "full" / "02_baseline.json").unlink()  # interrupted before it was written
    assert site.publish(tmp_path / "full") == 1
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "make run PROFILE=full" in said


# --- Pages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "form"),
    [
        ({"text_html": "<b>x</b>", "image_png": PIXEL, "text_plain": "x"}, "text/html"),
        ({"image_png": PIXEL, "text_plain": "x"}, "image/png"),
        ({"text_plain": "x", "application_json": "{}"}, "text/plain"),
    ],
)
def test_the_richest_form_of_an_output_is_shown(data, form):
    (output,) = site.shown(displayed(**data))
    assert list(output.data) == [form]


def test_outputs_without_anything_to_see_are_dropped():
    for empty in (displayed(text_plain=""), displayed(text_html=LOADER, text_plain="")):
        assert list(site.shown(empty)) == []
    printed = new_output("stream", name="stdout", text="seen")
    assert list(site.shown(printed)) == [printed]


def test_only_the_first_first_level_heading_stays_one():
    executed = site.Executed("02_baseline", small_notebook(), "quick", 1.0, None)
    before = deepcopy(executed.notebook)
    sources = "\n".join(cell.source for cell in site.page(executed, {}).cells)
    assert re.findall(r"^#+ .*$", sources, flags=re.MULTILINE) == [
        "# 02 · A small page",
        "## A formula",
        "## A late first-level heading",
    ]
    assert executed.title == "02 · A small page"
    assert executed.notebook == before


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(48.4, "48 s"), (60, "1 min 0 s"), (93.2, "1 min 33 s"), (7500, "2 h 5 min")],
)
def test_durations(seconds, said):
    assert site.duration(seconds) == said


# --- Terms ----------------------------------------------------------------------------------------

TERMS = {site.stems(name): name for name in ("batch", "learning rate", "overfitting", "ReLU")}


@pytest.mark.parametrize(
    ("text", "linked"),
    [
        ("a *batch*", "a *{term}`batch`*"),
        ("**Batches** are", "**{term}`Batches <batch>`** are"),
        ("it *overfits*", "it *{term}`overfits <overfitting>`*"),
        ("two *learning\nrates*", "two *{term}`learning rates <learning rate>`*"),
        ("the learning\nrate falls", "the {term}`learning rate` falls"),
        ("a ReLU, a ReLU", "a {term}`ReLU`, a ReLU"),
        ("*batch* and *batch*", "*{term}`batch`* and *batch*"),
    ],
)
def test_a_term_is_linked_in_every_form_once(text, linked):
    assert site.term_linker(TERMS)(text) == linked


@pytest.mark.parametrize(
    "text",
    [
        "a batch",  # a single word may mean something else
        "## The learning rate",
        "`learning rate`",
        "$learning rate$",
        "[the learning rate](page.md)",
        "```\n*batch*\n```",
        "learning, rate",
        "a*batch*b",
    ],
)
def test_other_text_is_left_alone(text):
    assert site.term_linker(TERMS)(text) == text


def glossary():
    return (site.DOCS / "glossary.md").read_text(encoding="utf-8")


def prose():
    """Return the stems of all words of the notebooks' Markdown, between spaces."""
    cells = [cell for source in pairing.sources() for cell in pairing.generate(source).cells]
    markdown = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return f" {' '.join(site.stems(markdown))} "


def test_every_term_of_the_glossary_occurs_in_the_notebooks():
    words = prose()
    terms = site.glossary_terms(glossary())
    assert [name for key, name in terms.items() if f" {' '.join(key)} " not in words] == []


def test_the_terms_of_the_glossary_are_many_and_all_different():
    names = re.findall(r"^(?![`:#])(\S.*)$", glossary().split(":sorted:")[1], flags=re.MULTILINE)
    assert len(site.glossary_terms(glossary())) == len(names) > 60


def test_the_references_name_every_work_that_a_notebook_recommends():
    listed = (site.DOCS / "references.md").read_text(encoding="utf-8")
    missing = []
    for source in pairing.sources():
        recommended = source.read_text(encoding="utf-8").split("# ## Further reading")[1]
        works = re.split(r"^# - ", re.sub(r"\(https?:\S+\)", "", recommended), flags=re.MULTILINE)[
            1:
        ]
        for work in works:
            author, year = re.match(r"\w+", work)[0], re.search(r"\b(19|20)\d\d\b", work)
            if year and not re.search(rf"^- {author}\b.*\({year[0]}\)", listed, flags=re.MULTILINE):
                missing.append(f"{source.stem}: {author} {year[0]}")
    assert missing == []


# --- Front page -----------------------------------------------------------------------------------


def test_readme_asks_a_question_for_every_notebook():
    asked = site.questions((site.ROOT / "README.md").read_text(encoding="utf-8"))
    assert sorted(asked) == [source.stem for source in pairing.sources()]


def test_without_recorded_runs_the_results_say_so():
    assert "No full run is recorded" in site.runs_table([])
    assert "|" not in site.runs_table([])


def test_a_run_without_validation_has_no_accuracy():
    (run,) = runs("07_digits", [0.5], history={"loss": [1.0]})
    row, _, stamp = site.runs_table([run | STAMPS]).splitlines()[-3:]
    assert row == "| 07 | digits | 1 | 45,000 | not measured | 1 min 0 s |"
    assert stamp == ("Measured on 2 cores of A processor, Python 3.11.0, Keras 3.15.0, 2020-01-02.")


def test_without_a_picture_of_a_run_the_stand_in_picture_is_shown():
    notebook = new_notebook(cells=[code("dashboards.training_dashboard(run)")])
    markdown, files = site.pictures([site.Executed("02_baseline", notebook, "quick", 1.0, None)])
    assert files == {"picture.png": (site.DOCS / "picture.png").read_bytes()}
    assert ":alt:" in markdown


# --- Files ----------------------------------------------------------------------------------------


def test_mirrored_files_change_only_where_their_content_does(tmp_path):
    site.mirror({"same.md": b"1", "sub/changed.md": b"1", "gone.md": b"1"}, tmp_path)
    before = (tmp_path / "same.md").stat().st_mtime_ns
    site.mirror({"same.md": b"1", "sub/changed.md": b"2"}, tmp_path)
    assert (tmp_path / "same.md").stat().st_mtime_ns == before
    assert (tmp_path / "sub" / "changed.md").read_bytes() == b"2"
    assert not (tmp_path / "gone.md").exists()


# --- The check ------------------------------------------------------------------------------------


def check(tmp_path, body):
    (tmp_path / "index.html").write_text(f'<h1>Title</h1><h2 id="here">Part</h2>{body}')
    (tmp_path / "other page.html").write_text('<h1 id="top">Other</h1>')
    return site.problems(tmp_path)


@pytest.mark.parametrize(
    "body",
    [
        '<a href="#here">x</a><a href="#">x</a><a href="other%20page.html#top">x</a>',
        '<a href="https://example.org/a?b=c#d">x</a><a href="mailto:a@example.org">x</a>',
        '<h3>Deeper</h3><h2>And back</h2><img src="data:image/png;base64,AA" alt="A dot">',
    ],
)
def test_a_sound_page_has_no_problem(tmp_path, body):
    assert check(tmp_path, body) == []


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('<a href="gone.html">x</a>', "gone.html does not exist"),
        ('<a href="#nowhere">x</a>', "#nowhere leads to no place"),
        ('<a href="other%20page.html#nowhere">x</a>', "leads to no place"),
        ('<a href="https://exa mple.org">x</a>', "is not an address"),
        ('<a href="https://">x</a>', "is not an address"),
        ('<script src="https://example.org/a.js"></script>', "loaded from elsewhere"),
        ('<link rel="stylesheet" href="//example.org/a.css">', "loaded from elsewhere"),
        ('<img src="data:image/png;base64,AA">', "no alternative text"),
        ("<h4>Too deep</h4>", "a heading of level 4 follows one of level 2"),
        ("<h1>Another title</h1>", "2 first-level headings"),
    ],
)
def test_a_fault_is_named(tmp_path, body, problem):
    (said,) = check(tmp_path, body)
    assert said.startswith("index.html: ")
    assert problem in said


def test_a_heavy_page_is_named_with_its_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(site, "PAGE_LIMIT", 1000)
    (tmp_path / "big.png").write_bytes(b"x" * 990)
    (said,) = check(tmp_path, '<img src="big.png" alt="Big">')
    assert "more than 1,000" in said


def test_a_style_that_loads_from_another_host_is_named(tmp_path):
    (tmp_path / "style.css").write_text("@import url('https://fonts.example.org/a.css');")
    (said,) = check(tmp_path, "")
    assert said == "style.css: it loads from another host"


@pytest.mark.parametrize("source", pairing.sources(), ids=lambda source: source.stem)
def test_no_line_of_a_notebook_is_hidden_as_a_comment(source):
    """In the book, a line of text that begins with a percent sign is not shown."""
    texts = [c.source for c in pairing.generate(source).cells if c.cell_type == "markdown"]
    assert texts
    assert [line for text in texts for line in text.splitlines() if line.startswith("%")] == []
