"""What the plots hold and show: the right image, the right label, the right cell."""

import base64
import html
import warnings

import holoviews as hv
import keras
import numpy as np
import pytest
from bokeh.models import HoverTool, LegendItem, Plot
from hypothesis import given
from hypothesis import strategies as st

from course_utils import dashboards, display

NAMES = ("ant", "bee", "cow")
# Truth 0 taken for 1 three times, 1 for 2 once; nothing the other way round.
Y_TRUE = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2])
Y_PRED = np.array([0, 1, 1, 1, 1, 2, 2, 2, 2])
HISTORY = {
    "loss": [2.0, 1.5, 1.0],
    "val_loss": [2.1, 1.7, 1.6],
    "accuracy": [0.31, 0.5, 0.7],
    "val_accuracy": [0.3, 0.45, 0.5],
}
STEPS = np.linspace(0.001, 0.1, 50)


@pytest.fixture(autouse=True)
def bokeh_backend():
    dashboards.extension()


def numbered_images(count, channels=3):
    """Images whose pixels all hold the image's own number times 10."""
    values = (10 * np.arange(count, dtype=np.uint8))[:, None, None, None]
    return np.broadcast_to(values, (count, 8, 8, channels)).copy()


IMAGES = numbered_images(len(Y_TRUE))

PLOTS = {
    "learning_curves": lambda: dashboards.learning_curves(HISTORY, title="T"),
    "compare_runs": lambda: dashboards.compare_runs(
        {"one": HISTORY, "many": [HISTORY, HISTORY]}, title="T"
    ),
    "class_balance": lambda: dashboards.class_balance(Y_TRUE, NAMES, title="T"),
    "class_balance_sets": lambda: dashboards.class_balance(
        {"train": Y_TRUE, "test": Y_PRED}, NAMES, title="T"
    ),
    "sample_grid": lambda: dashboards.sample_grid(IMAGES, Y_TRUE, NAMES, title="T"),
    "image_strip": lambda: dashboards.image_strip(IMAGES, range(9), title="T", columns=4),
    "prediction_grid": lambda: dashboards.prediction_grid(IMAGES, Y_TRUE, Y_PRED, NAMES, title="T"),
    "counts": lambda: dashboards.confusion_matrix(Y_TRUE, Y_PRED, NAMES, title="T"),
    "percent": lambda: dashboards.confusion_matrix(
        Y_TRUE, Y_PRED, NAMES, mode="percent", title="T"
    ),
    "errors": lambda: dashboards.confusion_matrix(Y_TRUE, Y_PRED, NAMES, mode="errors", title="T"),
    "mistakes_by_class": lambda: dashboards.mistakes_by_class(
        IMAGES, Y_TRUE, Y_PRED, NAMES, title="T"
    ),
    "mistakes_by_pair": lambda: dashboards.mistakes_by_pair(
        IMAGES, Y_TRUE, Y_PRED, NAMES, title="T"
    ),
    "rate_curves": lambda: dashboards.rate_curves(STEPS, STEPS, STEPS, title="T"),
    "training_dashboard": lambda: dashboards.training_dashboard(
        HISTORY, Y_TRUE, Y_PRED, IMAGES, NAMES, title="T"
    ),
}


def hover_rows(plot):
    """The hover data of an image grid."""
    boxes = [box for box in plot.traverse(lambda x: x, [hv.Rectangles]) if box.vdims]
    return boxes[0].dframe()


def pixels_under(plot, row):
    """The color of the montage at the middle of a hover rectangle."""
    montage = plot.traverse(lambda x: x, [hv.RGB])[0]
    frame = montage.dframe()
    x, y = (row.x0 + row.x1) / 2, (row.y0 + row.y1) / 2
    nearest = ((frame["x"] - x) ** 2 + (frame["y"] - y) ** 2).argmin()
    return int(frame[montage.vdims[0].name].iloc[nearest])


def heat_cells(plot):
    """The first value of each cell of a confusion matrix, by (true, predicted) name."""
    frame = plot.traverse(lambda x: x, [hv.HeatMap])[0].dframe()
    value = frame.columns[2]
    return {(r["true class"], r["predicted class"]): r[value] for _, r in frame.iterrows()}


@pytest.mark.parametrize("name", PLOTS)
def test_every_plot_draws_in_both_backends_with_hover_title_and_axis_labels(name):
    plot = PLOTS[name]()
    figure = hv.render(plot, backend="bokeh")
    assert list(figure.select({"type": HoverTool}))
    for panel in figure.select({"type": Plot}):
        assert panel.title.text
        assert panel.width <= dashboards.MAX_WIDTH
        assert all(axis.axis_label for axis in (*panel.below, *panel.above))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert display.png(plot).startswith(b"\x89PNG")


@pytest.mark.parametrize("name", PLOTS)
def test_every_plot_reaches_the_notebook_as_html_picture_and_sentence(name, notebook):
    data, metadata = display.bundle(PLOTS[name]())
    assert list(data) == ["text/plain", "text/html", "image/png"]
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    words = data["text/plain"]
    assert words.startswith("T: ") and words.endswith(".") and "\n" not in words
    assert metadata == {"image/png": {"alt": words}}
    assert f'role="figure" aria-label="{html.escape(words)}"' in data["text/html"]
    for address in ("cdn.", "http://", "https://"):
        assert address not in data["text/html"]


def test_confusion_cell_lies_at_x_predicted_and_y_true():
    plot = PLOTS["counts"]()
    heat_map = plot.traverse(lambda x: x, [hv.HeatMap])[0]
    assert [dimension.name for dimension in heat_map.kdims] == ["predicted", "true"]
    frame = heat_map.dframe().set_index(["predicted", "true"])
    assert frame.loc[(1, 0), "count"] == 3
    assert frame.loc[(0, 1), "count"] == 0
    options = hv.Store.lookup_options("bokeh", plot, "plot").kwargs
    assert options["invert_yaxis"]
    assert options["xlabel"] == "predicted class"
    assert options["ylabel"] == "true class"


def test_confusion_numbers_are_written_in_their_cells():
    frames = [labels.dframe() for labels in PLOTS["counts"]().traverse(lambda x: x, [hv.Labels])]
    written = {(r["true"], r["predicted"]): r["text"] for f in frames for _, r in f.iterrows()}
    assert len(written) == 9
    assert written[(0, 1)] == "3"
    assert written[(1, 0)] == "0"


def test_percent_is_of_the_true_class():
    cells = heat_cells(PLOTS["percent"]())
    assert cells[("ant", "bee")] == 75
    assert cells[("bee", "cow")] == 50


def test_errors_leave_the_diagonal_blank():
    plot = PLOTS["errors"]()
    cells = heat_cells(plot)
    assert all(np.isnan(cells[(name, name)]) for name in NAMES)
    assert cells[("ant", "bee")] == 3
    frames = [labels.dframe() for labels in plot.traverse(lambda x: x, [hv.Labels])]
    assert all((frame["true"] != frame["predicted"]).all() for frame in frames)


@pytest.mark.parametrize("mode", dashboards.MODES)
def test_a_class_without_images_keeps_its_row_and_column(mode):
    names = [*NAMES, "dodo"]
    plot = dashboards.confusion_matrix(Y_TRUE, Y_PRED, names, mode=mode, title="T")
    cells = heat_cells(plot)
    assert len(cells) == 16
    assert cells[("ant", "bee")] == (75 if mode == "percent" else 3)
    assert hv.render(plot, backend="bokeh")


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1))
def test_confusion_counts_equal_a_count_by_hand(pairs):
    truth, predicted = zip(*pairs, strict=True)
    counts = dashboards.confusion_counts(truth, predicted, 5)
    assert counts.sum() == len(pairs)
    assert all(counts[t, p] == pairs.count((t, p)) for t, p in pairs)


def test_most_confused_lists_mistakes_only_in_order():
    table = dashboards.most_confused(Y_TRUE, Y_PRED, NAMES)
    assert table.to_dict("list") == {
        "true": ["ant", "bee"],
        "predicted": ["bee", "cow"],
        "count": [3, 1],
        "percent": [75.0, 50.0],
    }


@pytest.mark.parametrize(
    "name",
    ["sample_grid", "prediction_grid", "mistakes_by_class", "mistakes_by_pair", "image_strip"],
)
def test_hover_and_picture_agree_on_which_image_it_is(name):
    plot = PLOTS[name]()
    rows = hover_rows(plot)
    assert rows["index"].is_unique
    for row in rows.itertuples():
        index = int(rows.loc[row.Index, "index"])
        assert pixels_under(plot, row) == 10 * index
        if name != "image_strip":
            assert row.true == NAMES[Y_TRUE[index]]


@pytest.mark.parametrize("name", ["mistakes_by_class", "training_dashboard"])
def test_mistakes_are_mistakes_with_their_own_prediction(name):
    rows = hover_rows(PLOTS[name]())
    assert sorted(rows["index"]) == [1, 2, 3, 5]
    for _, row in rows.iterrows():
        assert row["true"] == NAMES[Y_TRUE[row["index"]]]
        assert row["predicted"] == NAMES[Y_PRED[row["index"]]]
        assert row["true"] != row["predicted"]
        assert row["predicted"] in row["caption"]


def test_the_dashboard_writes_truth_and_prediction_under_six_different_mistakes():
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 3, 200)
    predicted = (truth + (generator.random(200) < 0.3)) % 3
    images = np.zeros((200, 8, 8, 1), np.uint8)
    plot = dashboards.training_dashboard(HISTORY, truth, predicted, images, NAMES, title="T")
    rows = hover_rows(plot)
    assert len(rows) == 6
    assert rows["index"].is_unique
    texts = [labels.dframe()["text"] for labels in plot.traverse(lambda x: x, [hv.Labels])]
    captions = {text for column in texts for text in column if text.startswith("true")}
    assert captions == set(rows["caption"])


def test_pairs_stand_in_the_column_of_the_truth_and_the_row_of_the_prediction():
    rows = hover_rows(PLOTS["mistakes_by_pair"]()).sort_values("index")
    assert list(rows["index"]) == [1, 5]  # the first example of each pair
    assert [int(x) for x in rows["x0"]] == [0, 1]
    assert [3 - int(np.ceil(y)) for y in rows["y1"]] == [1, 2]


def test_a_perfect_classifier_has_empty_mistake_grids():
    for draw in (dashboards.mistakes_by_class, dashboards.mistakes_by_pair):
        plot = draw(IMAGES, Y_TRUE, Y_TRUE, NAMES, title="T")
        assert len(hover_rows(plot)) == 0
        assert hv.render(plot, backend="bokeh")
        assert display.png(plot)
    plot = dashboards.training_dashboard(HISTORY, Y_TRUE, Y_TRUE, IMAGES, NAMES, title="T")
    assert hv.render(plot, backend="bokeh")


def test_sample_grid_is_reproducible_and_changes_with_the_seed():
    images, labels = numbered_images(24), np.arange(24) % 2
    indices = [
        list(
            hover_rows(
                dashboards.sample_grid(images, labels, "ab", per_class=5, seed=seed, title="T")
            )["index"]
        )
        for seed in (1, 1, 2)
    ]
    assert indices[0] == indices[1] != indices[2]


def test_learning_curves_start_at_epoch_1_and_hide_no_point():
    plot = PLOTS["learning_curves"]()
    for curve in plot.traverse(lambda x: x, [hv.Curve]):
        assert list(curve["epoch"]) == [1, 2, 3]
    overlay = list(plot)[1]
    low, high = hv.Store.lookup_options("bokeh", overlay, "plot").kwargs["ylim"]
    assert 0 <= low <= 0.3
    assert 0.7 <= high <= 1


RECORDED = {
    "loss": [1.9, 1.2, 0.9, 0.5, 0.4],
    "val_loss": [2.0, 1.6, 1.5, 1.4, 1.4],
    "accuracy": [0.35, 0.55, 0.75, 0.9, 0.95],
}


def test_a_recorded_run_lies_beside_the_own_one_in_lighter_lines():
    plot = dashboards.learning_curves(HISTORY, title="T", recorded=RECORDED)
    loss, accuracy = ({curve.label: curve for curve in panel} for panel in plot)
    assert list(loss) == ["recorded train", "recorded validation", "train", "validation"]
    assert list(accuracy) == ["recorded train", "train", "validation"]  # what is not there is not
    np.testing.assert_allclose(loss["recorded train"]["loss"], RECORDED["loss"])
    for label in ("train", "validation"):
        for backend, width in (("bokeh", "line_width"), ("matplotlib", "linewidth")):
            own, other = (
                hv.Store.lookup_options(backend, loss[name], "style").kwargs
                for name in (label, f"recorded {label}")
            )
            assert own["color"] == other["color"]
            assert other["alpha"] < own["alpha"] and other[width] < own[width]
    legend = {
        item.label["value"]
        for item in hv.render(plot, backend="bokeh").select({"type": LegendItem})
    }
    assert legend == set(loss)
    low, high = hv.Store.lookup_options("bokeh", list(plot)[1], "plot").kwargs["ylim"]
    assert high >= 0.95
    assert [
        label
        for _, label in hv.Store.lookup_options("bokeh", list(plot)[0], "plot").kwargs["xticks"]
    ] == list("12345")


def test_epochs_without_a_value_are_left_out():
    history = {"loss": [np.nan, 2.0, np.inf], "val_loss": [np.nan] * 3}
    (panel,) = dashboards.learning_curves(history, title="T", metrics=["loss"])
    assert [curve.array().tolist() for curve in panel] == [[[2.0, 2.0]], []]
    assert display.png(panel)


@pytest.mark.parametrize("metrics", [["loss"], ["loss", "accuracy"]])
def test_the_static_picture_has_the_title(metrics):
    plot = dashboards.learning_curves(HISTORY, title="Common title", metrics=metrics)
    figure = hv.render(plot, backend="matplotlib")
    titles = [figure.get_suptitle(), *(axes.get_title() for axes in figure.axes)]
    assert sum("Common title" in title for title in titles) == 1
    assert sum("Loss per epoch" in title for title in titles) == 1


def test_several_seeds_become_a_mean_with_a_band():
    runs = [{"val_accuracy": [0.2, 0.4]}, {"val_accuracy": [0.4, 0.8, 0.9]}]
    plot = dashboards.compare_runs({"net": runs}, title="T")
    curve = next(x for x in plot if type(x) is hv.Curve)
    area = plot.traverse(lambda x: x, [hv.Area])[0]
    np.testing.assert_allclose(curve["val_accuracy"], [0.3, 0.6])
    np.testing.assert_allclose(area.dimension_values(1), [0.2, 0.4])
    np.testing.assert_allclose(area.dimension_values(2), [0.4, 0.8])


@given(st.integers(1, 40), st.integers(1, 60))
def test_smoothing_keeps_a_straight_line(window, length):
    line = np.linspace(3.0, 7.0, length)
    np.testing.assert_allclose(dashboards.smooth(line, window), line, atol=1e-9)


def test_smoothing_keeps_a_peak_where_it_is():
    values = np.exp(-0.5 * ((np.arange(101) - 50) / 5) ** 2)
    assert dashboards.smooth(values, 21).argmax() == 50


def small_model():
    inputs = keras.Input((8, 8, 4))
    first = keras.layers.Conv2D(4, 3, padding="same", name="first")(inputs)
    grouped = keras.layers.Conv2D(4, 3, padding="same", groups=2, name="grouped")(first)
    added = keras.layers.Add(name="added")([first, grouped])
    strided = keras.layers.Conv2D(8, 5, strides=2, name="strided")(added)
    separable = keras.layers.SeparableConv2D(6, 2, name="separable")(strided)
    flat = keras.layers.Flatten(name="flat")(separable)
    return keras.Model(inputs, keras.layers.Dense(10, name="head")(flat), name="small")


def test_layer_table_counts_parameters_and_multiply_adds():
    model = small_model()
    table = dashboards.layer_table(model).set_index("layer")
    assert table["parameters"].sum() == model.count_params()
    assert dict(table["multiply-adds"]) == {
        "first": 8 * 8 * 3 * 3 * 4 * 4,
        "grouped": 8 * 8 * 3 * 3 * 2 * 4,
        "added": 0,
        "strided": 2 * 2 * 5 * 5 * 4 * 8,
        "separable": 1 * (2 * 2 * 8 + 8 * 6),
        "flat": 0,
        "head": 6 * 10,
    }
    assert table.loc["strided", "output shape"] == "2×2×8"


def test_layer_diagram_names_each_layer_and_draws_each_connection():
    diagram = dashboards.layer_diagram(small_model())
    svg = diagram.svg
    for name in ("first", "grouped", "added", "strided", "separable", "flat", "head", "<title>"):
        assert name in svg
    assert svg.count("marker-end") == 8  # seven in the chain and one around "grouped"


def test_layer_diagram_opens_inner_models_that_share_names():
    def inner(name):
        layers = [keras.layers.Dense(4, name="one"), keras.layers.Dense(4, name="two")]
        return keras.Sequential(layers, name=name)

    inputs = keras.Input((4,))
    left, right = inner("left")(inputs), inner("right")(inputs)
    outputs = keras.layers.Dense(2, name="head")(keras.layers.Add(name="added")([left, right]))
    model = keras.Model(inputs, outputs)
    assert [layer.name for layer in dashboards._layers(model)] == [
        *("one", "two"),
        *("one", "two"),
        *("added", "head"),
    ]
    found = sorted(dashboards._connections(model))
    assert found == [(0, 1), (0, 3), (1, 2), (2, 5), (3, 4), (4, 5), (5, 6)]


def test_layer_diagram_is_an_image_with_words():
    data, metadata = dashboards.layer_diagram(small_model())._repr_mimebundle_()
    words = data["text/plain"]
    assert words.startswith("Graph of the model small: 7 layers, ")
    assert words.endswith("input → first → grouped → added → strided → separable → flat → head.")
    assert metadata == {"image/svg+xml": {"alt": words}}
    assert f'role="img" aria-label="{words}"' in data["image/svg+xml"]
    assert data["text/html"] == data["image/svg+xml"]


def test_gray_unit_and_color_images_give_the_same_picture():
    byte_images = numbered_images(4, channels=1)
    for images in (byte_images / np.float32(255), byte_images[..., 0], byte_images.repeat(3, -1)):
        np.testing.assert_array_equal(dashboards._rgb(images), byte_images.repeat(3, -1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: dashboards.confusion_counts([0, 1], [0], 2), "1 entries and y_true has 2"),
        (lambda: dashboards.confusion_counts([0, 7], [0, 1], 2), "contains 7"),
        (lambda: dashboards.confusion_counts([0, -1], [0, 1], 2), "contains -1"),
        (lambda: dashboards.confusion_counts([], [], 2), "is empty"),
        (lambda: dashboards.confusion_counts([0], [[0.1, 0.9]], 2), "argmax"),
        (lambda: dashboards.confusion_counts([0.0], [0], 2), "dtype float64"),
        (
            lambda: dashboards.confusion_matrix(Y_TRUE, Y_PRED, NAMES, mode="rate", title=""),
            "'rate'",
        ),
        (lambda: dashboards.learning_curves(HISTORY, title="", metrics=["auc"]), "'auc'"),
        (lambda: dashboards.learning_curves(HISTORY, title="", metrics=[]), "metrics is empty"),
        (lambda: dashboards.compare_runs({}, title=""), "histories is empty"),
        (lambda: dashboards.compare_runs({"a": []}, title=""), "'a' is empty"),
        (lambda: dashboards.image_strip(IMAGES, ["x"], title=""), "1 captions for 9 images"),
        (lambda: dashboards.image_strip(IMAGES[:0], [], title=""), "images is empty"),
        (lambda: dashboards.image_strip(IMAGES[0, 0], [], title=""), "shape (8, 3)"),
        (lambda: dashboards.image_strip(IMAGES - 300.0, range(9), title=""), "range from"),
        (lambda: dashboards.sample_grid(IMAGES, Y_TRUE[:3], NAMES, title=""), "3 entries for 9"),
        (lambda: dashboards.rate_curves([1], [1, 2], [1], title=""), "1, 2 and 1"),
        (lambda: dashboards.rate_curves([], [], [], title=""), "at least one step"),
        (lambda: dashboards.smooth([1.0], 0), "window is 0"),
        (lambda: dashboards.smooth([[1.0]], 3), "shape (1, 1)"),
        (lambda: dashboards.class_balance({}, NAMES, title=""), "at least one set"),
        (lambda: dashboards.layer_table(keras.Sequential([keras.layers.Dense(1)])), "build it"),
    ],
)
def test_bad_input_is_told_in_one_sentence(call, message):
    with pytest.raises(ValueError, match="^[^\n]+[.;][^\n]*$") as caught:
        call()
    assert message in str(caught.value)


def test_line_plot_draws_each_line_with_hover_and_takes_names_of_axes():
    lines = {"loss": ([1, 10, 100], [3.0, 2.0, 1.0]), "other": ([1, 2], [0.5, 0.25])}
    plot = dashboards.line_plot(lines, title="Two lines", xlabel="step", ylabel="loss", logx=True)
    drawn = [curve.array() for curve in plot]
    assert drawn[0].tolist() == [[1, 3], [10, 2], [100, 1]]
    assert drawn[1].tolist() == [[1, 0.5], [2, 0.25]]
    figure = hv.render(plot, backend="bokeh")
    assert figure.select(HoverTool)
    assert type(figure.x_scale).__name__ == "LogScale"
    hv.render(plot, backend="matplotlib")


@pytest.mark.parametrize(
    ("lines", "message"), [({}, "lines is empty"), ({"a": ([1, 2], [1])}, "2 x values and 1 y")]
)
def test_line_plot_refuses_nothing_and_uneven_lines(lines, message):
    with pytest.raises(ValueError, match=message):
        dashboards.line_plot(lines, title="t", xlabel="x", ylabel="y")
