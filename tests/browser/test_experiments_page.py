"""The page of all experiments: its filters work without Python, by keyboard and on a phone."""

import json

import made_up
import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from nbformat.v4 import new_markdown_cell, new_notebook
from playwright.sync_api import expect

from tools import explorer, site

# What the plot shows: the sentence above it, and the points of the frontier.
SHOWN = """() => {
  const models = [...Object.values(Bokeh.documents)[0]._all_models.values()];
  const frontier = models.find((model) => model.name === "frontier").data;
  const points = [frontier.seen, frontier.accuracy].map((values) => Array.from(values));
  return [models.find((model) => model.type === "Div").text, ...points];
}"""


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """Build a book of one page from made-up records, and keep the rows of its plot."""
    base = tmp_path_factory.mktemp("book")
    entries = [
        *made_up.runs("03_simple", [0.60, 0.62]),
        *made_up.runs("03_simple_dropout", [0.63, 0.65], epochs=4),
        *made_up.runs("03_worse", [0.50], epochs=4, optimizer={"name": "sgd"}),
    ]
    made_up.store(base / "results", "03_dropout", entries)
    digits = made_up.runs("06_dense", [0.98, 0.97, 0.96])
    made_up.store(base / "results" / "quick", "06_mnist", digits, profile="quick")
    made_up.store_race(base / "results", _90=[0.90], mnist=[0.99])
    (base / "quick").mkdir()
    notebook = new_notebook(cells=[new_markdown_cell("# A page")])
    nbformat.write(notebook, base / "quick" / "02_baseline.ipynb")
    run = {"key": "", "seconds": 1.0, "memory_mib": 1}
    (base / "quick" / "02_baseline.json").write_text(json.dumps(run))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_RESULTS_DIR", str(base / "results"))
        yield site.build(base / "quick").with_name("experiments.html"), explorer.rows()


@pytest.fixture
def opened(book, visit):
    visit.page.goto(book[0].as_uri())
    expect(visit.page.get_by_label("Profile", exact=True)).to_be_visible(timeout=20_000)
    return visit.page


def expected(rows, **chosen):
    """Return what the plot must show, computed in Python."""
    filters = {name: value for name, (_, value) in explorer.FILTERS.items()} | chosen
    shown = [
        row
        for row in rows
        if all(value in (explorer.ALL, row[name]) for name, value in filters.items())
    ]
    ahead = explorer.frontier(shown)
    experiments = len({row["experiment"] for row in shown})
    return [
        f"Runs shown: {len(shown)}, of experiments: {experiments}",
        [point["seen"] for point in ahead],
        pytest.approx([point["accuracy"] for point in ahead]),
    ]


def choose(page, title, value):
    page.get_by_label(title, exact=True).select_option(value)
    page.wait_for_timeout(100)


def test_the_filters_choose_runs_and_the_frontier_follows(book, opened, visit, shoot):
    rows = book[1]
    assert opened.evaluate(SHOWN) == expected(rows)
    choose(opened, "Notebook", "03")
    assert opened.evaluate(SHOWN) == expected(rows, notebook="03")
    choose(opened, "Model or experiment", "03 worse")
    assert opened.evaluate(SHOWN) == expected(rows, notebook="03", experiment="03 worse")
    choose(opened, "Notebook", "09")  # has no such experiment
    assert opened.get_by_label("Model or experiment").input_value() == "all"
    assert opened.evaluate(SHOWN) == expected(rows, notebook="09")
    choose(opened, "Notebook", "all")
    choose(opened, "Optimizer", "sgd")
    assert opened.evaluate(SHOWN) == expected(rows, optimizer="sgd")
    choose(opened, "Optimizer", "all")
    opened.get_by_label("Data", exact=True).focus()  # the same by keyboard
    opened.keyboard.press("ArrowDown")
    opened.keyboard.press("Tab")
    opened.keyboard.press("ArrowUp")
    opened.keyboard.press("ArrowUp")
    opened.wait_for_timeout(100)
    assert opened.evaluate(SHOWN) == expected(rows, data="MNIST", profile="all")
    shoot("book all experiments")
    visit.assert_undisturbed()


def test_a_phone_shows_the_whole_plot_and_axe_finds_nothing_serious(opened, shoot):
    opened.set_viewport_size({"width": 390, "height": 844})
    opened.wait_for_timeout(500)
    opened.locator("#course-experiments").scroll_into_view_if_needed()
    shoot("book all experiments on a phone")
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    assert opened.locator("#course-experiments canvas").first.bounding_box()["width"] <= 390
    for scheme in ("light", "dark"):
        opened.emulate_media(color_scheme=scheme)
        found = Axe().run(opened, options={"resultTypes": ["violations"]}).response["violations"]
        serious = [each for each in found if each["impact"] in ("serious", "critical")]
        assert [(each["id"], each["nodes"][0]["html"][:200]) for each in serious] == []
