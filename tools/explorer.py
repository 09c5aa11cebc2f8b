"""All recorded runs in one interactive plot and table: the book's page *All experiments*.

`fragment` returns it as a piece of HTML that needs Bokeh's scripts and no network. Accuracy is
drawn against the training images that a network saw, epochs times training images: that is the
same on all hardware and known of the write-ups, too, which seconds are not.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from course_utils import records
from tools import results

SCRIPT = Path(__file__).with_name("templates") / "book" / "experiments.js"
PLACE = "course-experiments"
ALL = "all"
NOT_RECORDED = "not recorded"
IN_RECIPE = ("optimizer", "rate", "transforms", "callbacks", "model")
# By the palette of Okabe and Ito (2008), and told apart by their shapes as well.
LOOKS = {
    "full run": ("#0072B2", "circle"),
    "quick run": ("#56B4E9", "inverted_triangle"),
    "race": ("#009E73", "square"),
}
FRONTIER_COLOR, SOURCE_COLOR = "#000000", "#D55E00"
ON_MNIST = ("06_", "07_digits")
FILTERS = {
    "data": ("Data", "CIFAR-10"),
    "profile": ("Profile", "full"),
    "notebook": ("Notebook", ALL),
    "experiment": ("Model or experiment", ALL),
    "optimizer": ("Optimizer", ALL),
}
COLUMNS = {  # title, width in pixels, digits behind the point; None for text
    "experiment": ("experiment", 230, None),
    "seed": ("seed", 50, 0),
    "accuracy": ("accuracy (%)", 95, 2),
    "on": ("measured on", 95, None),
    "test": ("test (%)", 80, 2),
    "epochs": ("epochs", 60, 0),
    "images": ("training images", 110, 0),
    "seconds": ("seconds", 75, 0),
    "optimizer": ("optimizer", 170, None),
    "batch": ("batch size", 80, 0),
    "parameters": ("parameters", 95, 0),
    "profile": ("profile", 65, None),
}
HOVER = (
    ("experiment", "@experiment, seed @seed"),
    ("accuracy", "@accuracy{0.00} % on @on images"),
    ("training", "@epochs epochs of @images{0,0} images, batches of @batch"),
    ("optimizer", "@rate"),
    ("changes of images", "@transforms"),
    ("callbacks", "@callbacks"),
    ("layers", "@model"),
    ("parameters", "@parameters{0,0}"),
    ("number format", "@numbers"),
    ("seconds", "@seconds{0,0}"),
    ("measured on", "@stamp"),
)

Row = dict[str, Any]


def rows() -> list[Row]:
    """Return a row for each recorded run: full, quick, and of the race.

    Returns
    -------
    list of dict
        Accuracies in percent; NaN where something was not measured.
    """
    return [*_notebook_rows(""), *_race_rows(), *_notebook_rows("quick")]


def _notebook_rows(folder: str) -> Iterator[Row]:
    kind = "quick run" if folder else "full run"
    for record in results.stored(folder):
        tests = {(t["name"], t["seed"]): 100 * t["accuracy"] for t in record.get("tests", [])}
        for run in record["runs"]:
            name, test = run["name"], tests.get((run["name"], run["seed"]), math.nan)
            validation = run["history"].get("val_accuracy", [None])[-1]
            judged = "test" if validation is None else "validation"
            optimizer = run.get("optimizer", {"name": NOT_RECORDED})
            yield {
                "notebook": name[:2],
                "experiment": f"{name[:2]} {records.experiment(name)[3:].replace('_', ' ')}",
                "data": "MNIST" if name.startswith(ON_MNIST) else "CIFAR-10",
                "seed": run["seed"],
                "accuracy": test if validation is None else 100 * validation,
                "on": judged,
                "test": test,
                "epochs": run["epochs"],
                "images": run["train_images"],
                "seconds": run["seconds"],
                "optimizer": optimizer["name"],
                "rate": _rate(optimizer),
                "transforms": _listed(run.get("transforms")),
                "callbacks": _listed(run.get("callbacks")),
                "model": run.get("model", NOT_RECORDED),
                "batch": run["batch_size"],
                "parameters": run["parameters"],
                "numbers": run.get("number_format", "float32"),
                "profile": record["profile"],
                "stamp": results.stamp(record),
            } | _look(kind, run)


def _race_rows() -> Iterator[Row]:
    for run in results.race().get("measurements", []):
        for title, count in (("", "correct"), (", six views", "correct_averaged")):
            if count not in run:
                continue
            data = results.race_data(run["row"])
            accuracy = 100 * run[count] / run["test_images"]
            run["train_images"] = results.COMPLETE[data]
            yield {
                "notebook": "09",
                "experiment": f"09 {results.RACE[run['row']]}{title}",
                "data": data,
                "seed": run["seed"],
                "accuracy": accuracy,
                "on": "test",
                "test": accuracy,
                "epochs": run["epochs"],
                "images": run["train_images"],
                "seconds": run["seconds"],
                **dict.fromkeys(IN_RECIPE, "see notebook 09"),
                "batch": run["batch_size"],
                "parameters": run["parameters"],
                "numbers": run["number_format"],
                "profile": "full",
                "stamp": results.stamp(run),
            } | _look("race", run)


def _look(kind: str, run: Mapping[str, Any]) -> Row:
    color, marker = LOOKS[kind]
    seen = run["epochs"] * run["train_images"]
    return {"kind": kind, "color": color, "marker": marker, "seen": seen}


def _rate(optimizer: Mapping[str, Any]) -> str:
    """Say in words with which rate an optimizer ran."""
    rate = optimizer.get("learning_rate")
    if isinstance(rate, Mapping):
        return f"{optimizer['name']}, schedule {rate['class_name']}"
    return optimizer["name"] if rate is None else f"{optimizer['name']} at {rate:g}"


def _listed(settings: Sequence[str] | None) -> str:
    return NOT_RECORDED if settings is None else ", ".join(settings) or "none"


def source_rows() -> list[Row]:
    """Return a row for each figure of a write-up whose epochs are known."""
    return [
        {
            "data": experiment.data,
            "seen": experiment.seen,
            "accuracy": 100 * experiment.reported,
            "label": experiment.source,
            "experiment": f"{experiment.source}, {experiment.title}",
            "on": experiment.measured_on,
            "epochs": experiment.epochs,
            "images": experiment.images,
        }
        for experiment in results.experiments()
        if experiment.seen
    ]


def frontier(shown: Sequence[Row]) -> list[Row]:
    """Return the experiments that no other one beats with as few or fewer training images.

    Parameters
    ----------
    shown : sequence of dict
        As `rows` returns them, of one data set.

    Returns
    -------
    list of dict
        ``experiment``, and the means over its seeds of ``seen`` and ``accuracy``: the best seed of
        several is luck. In the order of ``seen``.
    """
    gathered: dict[tuple[str, str], list[Row]] = {}
    for row in shown:
        if not math.isnan(row["accuracy"]):
            gathered.setdefault((row["experiment"], row["profile"]), []).append(row)
    means = [
        {"experiment": name} | {key: mean(row[key] for row in same) for key in ("seen", "accuracy")}
        for (name, _), same in gathered.items()
    ]
    ahead: list[Row] = []
    for point in sorted(means, key=lambda point: (point["seen"], -point["accuracy"])):
        if not ahead or point["accuracy"] > ahead[-1]["accuracy"]:
            ahead.append(point)
    return ahead


def at_first(found: Sequence[Row]) -> list[Row]:
    """Return the rows that the filters show before anybody touches them."""
    return [
        row
        for row in found
        if all(value in (ALL, row[name]) for name, (_, value) in FILTERS.items())
    ]


def description() -> str:
    """Say in words what the plot shows at first: the text alternative of the plot."""
    found = at_first(rows())
    if not found:
        return "No run is recorded yet; the plot shows what the write-ups reported."
    points = "; ".join(
        f"{point['experiment']}, {point['accuracy']:.1f} % after {point['seen']:,.0f} images"
        for point in frontier(found)
    )
    return (
        f"Accuracy against training images seen, on a logarithmic axis: {len(found)} runs on "
        f"{FILTERS['data'][1]} and what the write-ups reported. The frontier goes through {points}."
    )


def fragment() -> str:
    """Return the filters, the plot and the table as HTML.

    Returns
    -------
    str
        It needs the scripts ``bokeh``, ``bokeh-widgets`` and ``bokeh-tables`` on the page.
    """
    from bokeh.core.types import ID
    from bokeh.embed import json_item

    item = json.dumps(json_item(_document(rows()), ID(PLACE))).replace("</", "<\\/")
    return (
        f'<div id="{PLACE}" class="course-explorer" role="figure" '
        f'aria-label="{html.escape(description())}"></div>\n'
        '<script>window.addEventListener("DOMContentLoaded",function(){'
        f"window.Bokeh.embed.embed_item({item});}})</script>\n"
    )


def _columns(found: Sequence[Row], names: Iterable[str]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in found] for name in names}


def _document(found: Sequence[Row]) -> Any:
    """Build filters, plot and table as Bokeh models that work together without Python."""
    from bokeh.layouts import column, row
    from bokeh.models import ColumnDataSource, CustomJS
    from bokeh.models.widgets import (
        DataTable,
        Div,
        NumberFormatter,
        Select,
        StringFormatter,
        TableColumn,
    )

    first, ahead = at_first(found), frontier(at_first(found))
    reported = source_rows()
    on_first_data = [each for each in reported if each["data"] == FILTERS["data"][1]]
    others = ("seen", "kind", "color", "marker", "stamp")
    names = dict.fromkeys([*COLUMNS, *FILTERS, *IN_RECIPE, *others])
    sources = {
        "all": ColumnDataSource(_columns(found, names)),
        "shown": ColumnDataSource(_columns(first, names)),
        "frontier": ColumnDataSource(_columns(ahead, ("seen", "accuracy")), name="frontier"),
        "sources": ColumnDataSource(_columns(reported, reported[0])),
        "shown_sources": ColumnDataSource(_columns(on_first_data, reported[0])),
    }
    filters = {}
    for name, (title, value) in FILTERS.items():
        options = sorted({each[name] for each in (first if name == "experiment" else found)})
        everything = [] if name == "data" else [ALL]  # a frontier belongs to one data set
        filters[name] = Select(
            title=title,
            value=value,
            options=[*everything, *options],
            width=150,
        )
    experiments = len({each["experiment"] for each in first})
    count = Div(
        text=f"Runs shown: {len(first)}, of experiments: {experiments}",
        html_attributes={"role": "status"},
    )
    script = CustomJS(
        args=sources | {"filters": filters, "count": count},
        code=SCRIPT.read_text(encoding="utf-8"),
    )
    for select in filters.values():
        select.js_on_change("value", script)
    table = DataTable(
        source=sources["shown"],
        columns=[
            TableColumn(
                field=name,
                title=title,
                width=width,
                formatter=StringFormatter()
                if digits is None
                else NumberFormatter(
                    format=f"0,0.{'0' * digits}" if digits else "0,0",
                    nan_format="–",
                    text_align="right",
                ),
            )
            for name, (title, width, digits) in COLUMNS.items()
        ],
        index_position=None,
        autosize_mode="none",
        reorderable=False,
        height=360,
        sizing_mode="stretch_width",
    )
    return column(
        row(*filters.values(), sizing_mode="stretch_width", styles={"flex-wrap": "wrap"}),
        count,
        _plot(sources),
        table,
        sizing_mode="stretch_width",
    )


def _plot(sources: Mapping[str, Any]) -> Any:
    from bokeh.models import CustomJSTickFormatter, HoverTool
    from bokeh.plotting import figure

    plot: Any = figure(
        title="Accuracy and training images seen",
        x_axis_type="log",
        x_axis_label="training images seen (log scale)",
        y_axis_label="accuracy (%)",
        tools="pan,box_zoom,wheel_zoom,reset,save",
        height=460,
        sizing_mode="stretch_width",
        toolbar_location="above",
    )
    plot.xaxis.formatter = CustomJSTickFormatter(
        code="return tick < 1e6 ? `${tick / 1e3} thousand` : `${tick / 1e6} million`"
    )
    plot.x_range.range_padding = 0.25  # room for the names of the write-ups
    plot.step(
        "seen", "accuracy", source=sources["frontier"], mode="after", color=FRONTIER_COLOR,
        line_dash="dashed", line_width=1.5, legend_label="frontier",
    )  # fmt: skip
    ours = plot.scatter(
        "seen", "accuracy", source=sources["shown"], marker="marker", color="color", size=8,
        fill_alpha=0.5, nonselection_alpha=0.15, legend_field="kind",
    )  # fmt: skip
    theirs = plot.scatter(
        "seen", "accuracy", source=sources["shown_sources"], marker="diamond", size=14,
        color=SOURCE_COLOR, fill_alpha=0.3, line_width=1.5, legend_label="write-up",
    )  # fmt: skip
    plot.text(
        "seen", "accuracy", "label", source=sources["shown_sources"], x_offset=9,
        text_baseline="middle", text_font_size="13px", text_color=SOURCE_COLOR,
    )  # fmt: skip
    told = [("experiment", "@experiment"), ("reported", "@accuracy{0.00} %, on @on")]
    told += [("training", "@epochs epochs of @images{0,0} images")]
    plot.add_tools(HoverTool(renderers=[ours], tooltips=[*HOVER], limit=2))
    plot.add_tools(HoverTool(renderers=[theirs], tooltips=told))
    plot.add_layout(plot.legend[0], "below")
    plot.legend.orientation = "horizontal"
    plot.legend.location = "left"
    plot.legend.label_text_font_size = "11px"
    plot.legend.margin = plot.legend.padding = 2  # all of it has room on a phone
    plot.legend.border_line_alpha = 0
    return plot
