"""What reaches the notebook: which faces an output has, its words, and the growing picture."""

import sys
from types import SimpleNamespace
from xml.etree import ElementTree

import holoviews as hv
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_utils import dashboards, display

HISTORY = {"loss": [2.0, 1.5], "val_loss": [2.1, 1.7], "accuracy": [0.3, 0.5]}


@pytest.fixture(autouse=True)
def backends():
    dashboards.extension()


def curves():
    return dashboards.learning_curves(HISTORY, title="Curves", metrics=["loss"])


def test_extension_loads_bokeh_once_and_formats_every_plot(notebook):
    display.extension()
    (loader,) = notebook.shown
    assert 'data-loads="bokeh"' in loader["text/html"]
    data, _ = notebook.formatters[hv.core.Dimensioned](curves())
    assert 'data-loads="bokeh"' not in data["text/html"]
    assert "image/png" in data


def test_in_colab_each_output_loads_bokeh_since_each_is_a_page_of_its_own(notebook, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())
    display.extension()
    assert not notebook.shown
    data, _ = display.bundle(curves())
    assert data["text/html"].index('data-loads="bokeh"') < data["text/html"].index("embed_item")


@pytest.mark.parametrize(("static", "drawn"), [(None, False), (True, True)])
def test_smoke_draws_no_picture_unless_asked(notebook, monkeypatch, static, drawn):
    monkeypatch.setenv("COURSE_PROFILE", "smoke")
    display.extension(static=static)
    assert ("image/png" in display.bundle(curves())[0]) is drawn


@pytest.mark.parametrize("asked", ["variable", "argument"])
def test_matplotlib_throughout_loads_no_bokeh(notebook, monkeypatch, asked):
    if asked == "variable":
        monkeypatch.setenv("COURSE_PLOTS", "matplotlib")
    monkeypatch.setenv("COURSE_PROFILE", "smoke")
    display.extension(**({"backend": "matplotlib"} if asked == "argument" else {}))
    assert not notebook.shown
    data, metadata = display.bundle(curves())
    assert set(data) == {"text/plain", "image/png"}
    assert metadata["image/png"]["alt"] == data["text/plain"]


def test_an_argument_counts_more_than_the_variable(notebook, monkeypatch):
    monkeypatch.setenv("COURSE_PLOTS", "matplotlib")
    display.extension(backend="bokeh")
    assert "text/html" in display.bundle(curves())[0]


def test_an_unknown_backend_is_told_in_one_sentence(monkeypatch):
    monkeypatch.setenv("COURSE_PLOTS", "plotly")
    with pytest.raises(ValueError, match=r"'plotly': set COURSE_PLOTS, .* bokeh or matplotlib\.$"):
        dashboards.extension()


def test_without_extension_a_picture_is_shown_that_needs_no_script(monkeypatch):
    monkeypatch.setattr(display, "_options", display._Options(False, True, ""))
    assert set(display.bundle(curves())[0]) == {"text/plain", "image/png"}


def test_a_failing_picture_is_reported_and_leaves_the_plot(notebook, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("no ink")

    monkeypatch.setattr(hv, "renderer", broken)
    with pytest.warns(UserWarning, match="No static picture of 'Curve'.*no ink"):
        data, metadata = display.bundle(hv.Curve([1, 2]))
    assert "text/html" in data and "image/png" not in data and not metadata
    assert display.picture_html(data, metadata) == ""


def test_no_matplotlib_figure_stays_open():
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    assert display.png(curves())
    assert pyplot.get_fignums() == before


def test_text_from_a_title_cannot_become_markup(notebook):
    plot = dashboards.learning_curves(HISTORY, title='<b> & "quotes"', metrics=["loss"])
    shown = display.bundle(plot)[0]["text/html"]
    assert "<strong>&lt;b&gt; &amp; &quot;quotes&quot;</strong>" in shown
    assert "<b>" not in shown.split("<script>")[0]


@pytest.mark.parametrize(
    ("plot", "words"),
    [
        (
            lambda: curves(),
            "Curves: Loss per epoch: curves of loss against epoch for train and validation.",
        ),
        (
            lambda: dashboards.class_balance([0, 0, 1, 2], ("ant", "bee", "cow"), title="Balance."),
            "Balance: bars of images against class for ant, bee and cow.",
        ),
        (
            lambda: dashboards.confusion_matrix([0, 1], [1, 1], ("ant", "bee"), title="Mistakes"),
            "Mistakes: heat map (across: predicted class; down: true class) for ant and bee.",
        ),
        (
            lambda: hv.Scatter([(1, 2)], "parameters", "seconds", label="Cost"),
            "Cost: points of seconds against parameters for Cost.",
        ),
        (
            lambda: hv.Curve([(1, 2)], "x", "y").opts(title="Only here", backend="matplotlib"),
            "Only here: curves of y against x.",
        ),
    ],
)
def test_a_plot_is_described_in_a_sentence(plot, words):
    assert display.describe(plot()) == words


def test_only_a_front_end_that_can_ask_has_a_reader(notebook, monkeypatch):
    assert display.has_reader()
    notebook.kernel._allow_stdin = False
    assert not display.has_reader()
    with monkeypatch.context() as colab:
        colab.setitem(sys.modules, "google.colab", SimpleNamespace())
        assert display.has_reader()
    del notebook.kernel
    assert not display.has_reader()  # IPython in a terminal
    monkeypatch.setattr(display, "shell", lambda: None)
    assert not display.has_reader()


def drawn_lines(svg):
    """The number of points of each line of the picture, by color and width."""
    root = ElementTree.fromstring(svg)
    paths = [path.attrib for path in root.iter("{http://www.w3.org/2000/svg}path")]
    return {
        (p["stroke"], p["stroke-width"], "L" in p["d"] and round(float(p["d"][1:].split()[0]))): (
            p["d"].count("L") + 1
        )
        for p in paths
        if p.get("stroke") in (display.TRAIN_COLOR, display.VALIDATION_COLOR) and "h" not in p["d"]
    }


def words_in(svg):
    return [text.text for text in ElementTree.fromstring(svg).iter() if text.tag.endswith("text")]


def test_the_picture_holds_the_curves_as_far_as_they_are():
    svg = display.growing_curves(
        {
            "loss": [(1, 1.5), (2, 1.2)],
            "val_loss": [(1, 1.6), (2, 1.4)],
            "running loss": [(2, 1.2), (2.4, 1.3), (2.7, 1.1)],
        },
        metrics=["loss", "accuracy"],
        epochs=10,
    )
    points = {key[:2]: count for key, count in drawn_lines(svg).items()}
    assert points == {
        (display.TRAIN_COLOR, "2.5"): 2,
        (display.VALIDATION_COLOR, "2.5"): 2,
        (display.TRAIN_COLOR, "1.2"): 3,
    }
    words = words_in(svg)
    assert {"loss", "accuracy", "train", "validation"} <= set(words)
    assert words.count("epoch") == 2 and words.count("10") == 2


def test_a_point_is_drawn_where_it_belongs():
    svg = display.growing_curves({"accuracy": [(0, 0.0), (4, 1.0)]}, metrics=["accuracy"], epochs=4)
    width, height = display.LIVE_SIZE
    assert f'd="M50.0 {height - 40:.1f}L{width - 12:.1f} 30.0"' in svg


def test_the_recorded_run_is_lighter_and_ends_with_the_axis():
    recorded = {"loss": [2.0, 1.0, 0.5, 0.4], "accuracy": [0.2, 0.4, 0.6, 0.8]}
    svg = display.growing_curves({}, metrics=["loss", "accuracy"], epochs=3, recorded=recorded)
    assert [key[:2] for key in drawn_lines(svg)] == [(display.TRAIN_COLOR, "1.5")] * 2
    assert set(drawn_lines(svg).values()) == {3}
    assert "recorded train" in words_in(svg) and "recorded validation" not in words_in(svg)


@pytest.mark.parametrize(
    "points",
    [[], [(1, float("nan"))], [(1, float("inf")), (2, 3.0)], [(1, 1e30)], [(1, -5.0)], [(1, 0.0)]],
)
def test_odd_values_do_not_break_the_picture(points):
    svg = display.growing_curves({"loss": points}, metrics=["loss"], epochs=30)
    assert "nan" not in svg and "inf" not in svg
    assert 2 <= len(display._round_values(-5, 1e-9)) <= 6


@given(st.floats(-1e3, 1e3), st.floats(1e-2, 1e6))
def test_ticks_are_few_and_inside(low, span):
    values = display._round_values(low, low + span)
    assert 1 <= len(values) <= 6
    assert min(values) >= low - 1e-6 and max(values) <= low + span + 1e-6
