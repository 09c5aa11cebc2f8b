"""Interactive plots with HoloViews on Bokeh: curves, image grids, confusion matrices, graphs.

Every function returns a HoloViews object with a title, labeled axes and a hover tool, at most
900 pixels wide, in the color-blind-safe palette of Okabe and Ito (2008, "Color Universal Design").
Options are given for Bokeh and for Matplotlib, so that a static picture of each plot can travel
with the interactive one; `extension` switches both on.
"""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from course_utils import display
from course_utils.display import extension as extension
from course_utils.display import load_holoviews as _holoviews

if TYPE_CHECKING:
    import holoviews as hv
    import keras
    import pandas as pd

History = Mapping[str, Sequence[float]]

BLUE, VERMILION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
PURPLE, SKY, BLACK, YELLOW = "#CC79A7", "#56B4E9", "#000000", "#F0E442"
PALETTE = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK, YELLOW)
DASHES = ("solid", "dashed", "dotted", "dotdash")
MATPLOTLIB_DASHES = ("solid", "dashed", "dotted", "dashdot")
EMPTY_CELL = "#e6e6e6"
MAX_WIDTH = 900
GRID_WIDTH = 740
MODES = ("counts", "percent", "errors")


# ---------------------------------------------------------------------------------------------
# Style


def _style(element: Any, *, bokeh: dict[str, Any], matplotlib: dict[str, Any]) -> Any:
    """Return the element with options for each backend."""
    return element.opts(**bokeh, backend="bokeh").opts(**matplotlib, backend="matplotlib")


def _size(width: int, height: int) -> dict[str, dict[str, Any]]:
    """Return the size of a plot (pixels) as options for both backends."""
    return {
        "bokeh": {"width": width, "height": height},
        "matplotlib": {
            "fig_inches": (width / 80, height / 80),
            "aspect": width / height,
            "hooks": [_fill_space],
        },
    }


def _fill_space(plot: Any, element: Any) -> None:
    """Let a Matplotlib axis fill its place, and label only the powers of ten of a log scale."""
    from matplotlib.ticker import NullFormatter

    plot.handles["axis"].set_aspect("auto")
    if plot.handles["axis"].get_xscale() == "log":
        plot.handles["axis"].xaxis.set_minor_formatter(NullFormatter())


def _layout(plots: list[Any], *, columns: int, title: str, size: tuple[float, float]) -> hv.Layout:
    """Arrange plots in columns under a common title; `size` in pixels."""
    hv = _holoviews()
    if len(plots) == 1:  # HoloViews draws no common title over a single panel of a static picture
        own = hv.Store.lookup_options("matplotlib", plots[0], "plot").kwargs["title"]
        plots = [plots[0].opts(title=f"{title}\n{own}", backend="matplotlib", clone=True)]
    return _style(
        hv.Layout(plots).cols(columns),
        bokeh={"title": title, "shared_axes": False},
        matplotlib={
            "title": title,
            "shared_axes": False,
            "sublabel_format": "",
            "fig_inches": (size[0] / 80, size[1] / 80),
            "tight": True,
        },
    )


# ---------------------------------------------------------------------------------------------
# Checks of what the caller passes


def _labels(
    values: ArrayLike, classes: int, *, name: str = "labels", length: int | None = None
) -> np.ndarray:
    """Return class labels as int64 (n,) or say in one sentence what is wrong with them."""
    labels = np.asarray(values)
    if labels.ndim != 1:
        raise ValueError(
            f"{name} has shape {labels.shape}, but one class number for each image is expected, "
            "shape (n,); from probabilities take `.argmax(axis=-1)`."
        )
    if labels.size == 0:
        raise ValueError(f"{name} is empty; pass at least one class number.")
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"{name} has dtype {labels.dtype}, but integer class numbers are expected; "
            "convert with `.astype(int)`."
        )
    if length is not None and len(labels) != length:
        raise ValueError(
            f"{name} has {len(labels)} entries for {length} images; pass arrays of equal length "
            "in the same order."
        )
    if labels.min() < 0 or labels.max() >= classes:
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise ValueError(
            f"{name} contains {wrong}, but with {classes} classes it must lie in "
            f"0..{classes - 1}; check the labels or the class names."
        )
    return labels.astype(np.int64)


def _label_pair(
    y_true: ArrayLike, y_pred: ArrayLike, classes: int, length: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Check true and predicted labels together."""
    truth = _labels(y_true, classes, name="y_true", length=length)
    predicted = _labels(y_pred, classes, name="y_pred")
    if len(predicted) != len(truth):
        raise ValueError(
            f"y_pred has {len(predicted)} entries and y_true has {len(truth)}; pass arrays of "
            "equal length in the same order."
        )
    return truth, predicted


def _rgb(images: ArrayLike) -> np.ndarray:
    """Return images as uint8 (n, height, width, 3)."""
    pixels = np.asarray(images)
    if pixels.ndim == 3:
        pixels = pixels[..., None]
    if pixels.ndim != 4 or pixels.shape[-1] not in (1, 3):
        raise ValueError(
            f"images has shape {np.shape(images)}, but (n, height, width, channels) with 1 or 3 "
            "channels is expected; add the missing axis."
        )
    if pixels.size == 0:
        raise ValueError("images is empty; pass at least one image.")
    if pixels.dtype != np.uint8:
        low, high = float(pixels.min()), float(pixels.max())
        if not (low >= 0 and high <= 255):
            raise ValueError(
                f"images range from {low:.4g} to {high:.4g}, but pixels of 0..255 (or 0..1 as "
                "floats) are expected; pass the images as they were before normalization."
            )
        is_unit = high <= 1 and np.issubdtype(pixels.dtype, np.floating)
        pixels = np.rint(pixels * (255 if is_unit else 1)).astype(np.uint8)
    return np.repeat(pixels, 3 // pixels.shape[-1], axis=-1)


def _series(history: History, metric: str) -> list[float]:
    """Return the values of a metric in a history or say which metrics there are."""
    if metric not in history:
        raise ValueError(
            f"The history has no metric {metric!r}; choose one of {', '.join(sorted(history))}."
        )
    return [float(value) for value in history[metric]]


# ---------------------------------------------------------------------------------------------
# Curves


def learning_curves(
    history: History,
    *,
    title: str,
    metrics: Sequence[str] = ("loss", "accuracy"),
    recorded: History | None = None,
) -> hv.Layout:
    """Draw train and validation curves, one panel for each metric.

    Parameters
    ----------
    history : mapping of str to sequence of float
        One value per epoch for each metric; validation values under "val_" + metric. Epochs whose
        value is not finite are left out.
    title : str
        Says what to see.
    metrics : sequence of str
        Names without "val_".
    recorded : mapping of str to sequence of float, optional
        The history of a recorded run, drawn in lighter, thinner lines; a metric that it lacks is
        left out.

    Returns
    -------
    hv.Layout
        One overlay per metric; epochs are counted from 1.

    Raises
    ------
    ValueError
        If the history lacks a metric, or none is named.
    """
    if not metrics:
        raise ValueError("metrics is empty; name at least one metric, such as 'loss'.")
    width = min(430, MAX_WIDTH // len(metrics))
    panels = [
        _metric_panel(history, metric, width=width, height=300, recorded=recorded)
        for metric in metrics
    ]
    size = (width * len(metrics), 330)
    return _layout(panels, columns=len(metrics), title=title, size=size)


def _metric_panel(
    history: History, metric: str, *, width: int, height: int, recorded: History | None = None
) -> hv.Overlay:
    """Draw one metric of one run, train solid and validation dashed; a recorded one fainter."""
    hv = _holoviews()
    keys = {"train": metric, "validation": f"val_{metric}"}
    own = {"train": _series(history, metric)}
    if keys["validation"] in history:
        own["validation"] = _series(history, keys["validation"])
    other = {
        name: _series(recorded, key) for name, key in keys.items() if recorded and key in recorded
    }

    def line(name: str, values: Sequence[float], prefix: str = "") -> Any:
        points, number = _finite_points(values), list(keys).index(name)
        return _line(*points, x="epoch", y=metric, label=prefix + name, number=number)

    curves = [
        _style(
            line(name, values, "recorded "),
            bokeh={"line_width": 1.5, "alpha": 0.5},
            matplotlib={"linewidth": 1.2, "alpha": 0.5},
        )
        for name, values in other.items()
    ]
    curves += [line(name, values) for name, values in own.items()]
    everything = [*own.values(), *other.values()]
    return _frame(
        hv.Overlay(curves),
        title=f"{metric.replace('_', ' ').capitalize()} per epoch",
        xlabel="epoch",
        ylabel=metric.replace("_", " "),
        ylim=_limits(metric, np.concatenate(everything)),
        ticks=_epoch_ticks(max(map(len, everything))),
        width=width,
        height=height,
    )


def _finite_points(values: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return epochs (from 1) and values without the gaps."""
    series = np.asarray(values, dtype=float)
    kept = np.isfinite(series)
    return np.arange(1, len(series) + 1)[kept], series[kept]


def _line(
    x_values: Iterable[float],
    y_values: Iterable[float],
    *,
    x: str,
    y: str,
    label: str,
    number: int,
    faint: bool = False,
) -> hv.Curve:
    """Draw one labeled line in the style of its number, with hover."""
    hv = _holoviews()
    # Matplotlib refuses a curve whose label is the name of a dimension.
    shown = f"{label} " if label in (x, y) else label
    curve = hv.Curve((np.asarray(list(x_values)), np.asarray(list(y_values))), x, y, label=shown)
    color = PALETTE[number % len(PALETTE)]
    dash = number % len(PALETTE) % 2 + number // len(PALETTE) * 2
    return _style(
        curve,
        bokeh={
            "color": color,
            "line_dash": "solid" if faint else DASHES[dash % 4],
            "line_width": 1 if faint else 2.5,
            "alpha": 0.35 if faint else 1.0,
            "hooks": [_mark_single_point],
            "tools": [] if faint else ["hover"],
            "hover_tooltips": [("line", label), (x, f"@{{{x}}}"), (y, f"@{{{y}}}{{0.0000}}")],
        },
        matplotlib={
            "color": color,
            "linestyle": "solid" if faint else MATPLOTLIB_DASHES[dash % 4],
            "linewidth": 0.8 if faint else 2,
            "alpha": 0.35 if faint else 1.0,
            "marker": "o" if len(curve) == 1 else "",
        },
    )


def _mark_single_point(plot: Any, element: Any) -> None:
    """Draw a dot where a line has one point only, which alone would not be seen."""
    if len(element) == 1:
        glyph = plot.handles["glyph"]
        plot.state.scatter(
            glyph.x, glyph.y, source=plot.handles["source"], size=8, color=glyph.line_color
        )


def _limits(metric: str, values: np.ndarray) -> tuple[float | None, float | None]:
    """Return axis limits: an accuracy axis holds all points and nothing outside 0..1."""
    finite = values[np.isfinite(values)]
    if "accuracy" not in metric or finite.size == 0 or finite.min() < 0 or finite.max() > 1:
        return (None, None)
    low = max(0.0, math.floor(10 * (finite.min() - 0.01)) / 10)
    high = min(1.0, math.ceil(10 * (finite.max() + 0.01)) / 10)
    return (low, high)


def _epoch_ticks(epochs: int) -> list[tuple[float, str]]:
    """Return whole numbers from 1 on, at most twelve."""
    return [(epoch, str(epoch)) for epoch in range(1, epochs + 1, math.ceil(epochs / 12))]


def _frame(
    overlay: Any,
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    width: int,
    height: int,
    ylim: tuple[float | None, float | None] = (None, None),
    ticks: Sequence[tuple[float, str]] = (),
    logx: bool = False,
    logy: bool = False,
    legend: str = "best",
) -> Any:
    """Give an overlay of curves its title, axis labels and size in both backends."""
    size = _size(width, height)
    common: dict[str, Any] = {"title": title, "xlabel": xlabel, "ylabel": ylabel, "ylim": ylim}
    common |= {"logx": logx, "logy": logy}
    if ticks:
        common |= {"xticks": ticks}
    # Where such curves seldom are: losses start high, accuracies end high.
    emptiest = "bottom_left" if "loss" in ylabel else "bottom_right"
    return _style(
        overlay,
        bokeh={
            **common,
            **size["bokeh"],
            "show_grid": True,
            "legend_position": emptiest if legend == "best" else legend,
            "legend_opts": {"background_fill_alpha": 0.6, "click_policy": "hide"},
        },
        matplotlib={**common, **size["matplotlib"], "show_grid": True, "legend_position": "best"},
    )


def line_plot(
    lines: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    logx: bool = False,
    logy: bool = False,
    ylim: tuple[float | None, float | None] = (None, None),
    width: int = 800,
    height: int = 340,
) -> hv.Overlay:
    """Draw named lines in one plot.

    Parameters
    ----------
    lines : mapping of str to pair of array-like
        The x and y values of each line, shape (n,).
    title, xlabel, ylabel : str
        What to see, and the axes with their units.
    logx, logy : bool
        Whether an axis is logarithmic.
    ylim : pair of float or None
        Limits of the y axis; None leaves a limit to the data.
    width, height : int
        Size in pixels, at most 900 wide.

    Returns
    -------
    hv.Overlay
        One curve per name.

    Raises
    ------
    ValueError
        If there is no line, or the x and y values of one differ in length.
    """
    if not lines:
        raise ValueError("lines is empty; pass at least one line, as name -> (x, y).")
    hv = _holoviews()
    curves = []
    for number, (name, (x_values, y_values)) in enumerate(lines.items()):
        if len(np.atleast_1d(x_values)) != len(np.atleast_1d(y_values)):
            raise ValueError(
                f"The line {name!r} has {len(np.atleast_1d(x_values))} x values and "
                f"{len(np.atleast_1d(y_values))} y values; pass as many of one as of the other."
            )
        points = np.atleast_1d(x_values), np.atleast_1d(y_values)
        curves.append(_line(*points, x=xlabel, y=ylabel, label=name, number=number))
    return _frame(
        hv.Overlay(curves),
        title=title,
        xlabel=xlabel,
        ylabel=ylabel,
        ylim=ylim,
        width=width,
        height=height,
        logx=logx,
        logy=logy,
        legend="right" if len(lines) > 4 else "best",
    )


def compare_runs(
    histories: Mapping[str, History | Sequence[History]],
    *,
    metric: str = "val_accuracy",
    title: str,
) -> hv.Overlay:
    """Draw one metric of several runs in one plot.

    Parameters
    ----------
    histories : mapping of str to history or list of histories
        A list holds the same run with several seeds: drawn as the mean line with a band from the
        lowest to the highest value, up to the epoch that all of them reached.
    metric : str
        Name of the metric, such as "val_accuracy".
    title : str
        Says what to see.

    Returns
    -------
    hv.Overlay
        One curve per run, and one area per run with several seeds.

    Raises
    ------
    ValueError
        If there is no run, or one lacks the metric.
    """
    if not histories:
        raise ValueError("histories is empty; pass at least one run, as name -> history.")
    hv = _holoviews()
    bands, curves, everything = [], [], []
    for number, (name, value) in enumerate(histories.items()):
        runs = [value] if isinstance(value, Mapping) else list(value)
        if not runs:
            raise ValueError(f"The list of histories of {name!r} is empty; pass at least one.")
        series = [_series(run, metric) for run in runs]
        shortest = min(len(values) for values in series)
        values = np.array([one[:shortest] for one in series])
        epochs = np.arange(1, shortest + 1)
        label = name if len(runs) == 1 else f"{name} (mean of {len(runs)})"
        curves.append(
            _line(epochs, values.mean(0), x="epoch", y=metric, label=label, number=number)
        )
        if len(runs) > 1:
            bands.append(_band(epochs, values, metric=metric, number=number))
        everything += list(values)
    return _frame(
        hv.Overlay([*bands, *curves]),
        title=title,
        xlabel="epoch",
        ylabel=metric.replace("val_", "validation ").replace("_", " "),
        ylim=_limits(metric, np.concatenate(everything)),
        ticks=_epoch_ticks(max(len(values) for values in everything)),
        width=800,
        height=380,
        legend="right" if len(histories) > 4 else "best",
    )


def _band(epochs: np.ndarray, values: np.ndarray, *, metric: str, number: int) -> hv.Area:
    """Draw the range from the lowest to the highest of several runs."""
    hv = _holoviews()
    color = PALETTE[number % len(PALETTE)]
    area = hv.Area((epochs, values.min(0), values.max(0)), "epoch", [metric, f"{metric} highest"])
    return _style(
        area,
        bokeh={"fill_color": color, "fill_alpha": 0.2, "line_alpha": 0},
        matplotlib={"facecolor": color, "edgecolor": "none", "alpha": 0.2},
    )


def smooth(values: ArrayLike, window: int) -> np.ndarray:
    """Average over a centered window, which shrinks evenly on both sides near the ends.

    A straight line stays what it is, and no feature moves sideways, unlike with a trailing window.

    Parameters
    ----------
    values : array_like
        Shape (n,).
    window : int
        Number of neighboring values to average; an even window is made one smaller.

    Returns
    -------
    np.ndarray
        float64 of shape (n,).

    Raises
    ------
    ValueError
        If the window is below 1 or the values are not one-dimensional.
    """
    series = np.asarray(values, dtype=np.float64)
    if series.ndim != 1:
        raise ValueError(f"values has shape {series.shape}, but (n,) is expected; flatten it.")
    if window < 1:
        raise ValueError(f"window is {window}, but at least 1 is needed; 1 leaves values as is.")
    position = np.arange(len(series))
    half = np.minimum((window - 1) // 2, np.minimum(position, len(series) - 1 - position))
    sums = np.concatenate([[0.0], np.cumsum(series)])
    return (sums[position + half + 1] - sums[position - half]) / (2 * half + 1)


def rate_curves(
    learning_rate: Sequence[float],
    loss: Sequence[float],
    accuracy: Sequence[float],
    *,
    window: int = 20,
    title: str,
) -> hv.Layout:
    """Draw the learning rate per step, and loss and accuracy against the rate.

    Parameters
    ----------
    learning_rate, loss, accuracy : sequence of float
        One value per training step (batch), un-averaged.
    window : int
        Steps in the centered moving average; the raw values are drawn faintly behind it.
    title : str
        Says what to see.

    Returns
    -------
    hv.Layout
        Three panels.

    Raises
    ------
    ValueError
        If the lengths differ or nothing was recorded.
    """
    hv = _holoviews()
    rates, losses, accuracies = (
        np.asarray(v, dtype=float) for v in (learning_rate, loss, accuracy)
    )
    if not (len(rates) == len(losses) == len(accuracies)):
        raise ValueError(
            f"learning_rate, loss and accuracy have {len(rates)}, {len(losses)} and "
            f"{len(accuracies)} values; pass one of each per step."
        )
    if len(rates) == 0:
        raise ValueError("learning_rate is empty; record at least one step.")
    ticks = _log_ticks(rates)
    steps = np.arange(len(rates))
    schedule = hv.Overlay(
        [_line(steps, rates, x="step", y="learning_rate", label="rate", number=0)]
    )
    panels = [
        _frame(
            schedule,
            title="Learning rate per step",
            xlabel="step (batches)",
            ylabel="learning rate",
            width=MAX_WIDTH // 3,
            height=300,
        )
    ]
    for metric, values in (("loss", losses), ("accuracy", accuracies)):
        lines = [
            _line(
                rates, values, x="learning_rate", y=metric, label="each batch", number=0, faint=True
            ),
            _line(
                rates,
                smooth(values, window),
                x="learning_rate",
                y=metric,
                label=f"mean of {window}",
                number=0,
            ),
        ]
        panels.append(
            _frame(
                hv.Overlay(lines),
                title=f"{metric.capitalize()} against rate",
                xlabel="learning rate",
                ylabel=f"{metric} of the batch",
                ylim=_limits(metric, values),
                ticks=ticks,
                logx=bool(ticks),
                width=MAX_WIDTH // 3,
                height=300,
                legend="top_right" if metric == "loss" else "top_left",
            )
        )
    return _layout(panels, columns=3, title=title, size=(MAX_WIDTH, 330))


def _log_ticks(rates: np.ndarray) -> list[tuple[float, str]]:
    """Return ticks at 1 and 3 times each power of ten, or none for a range below factor 30."""
    low, high = float(rates.min()), float(rates.max())
    if low <= 0 or high / low < 30:
        return []
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1, 3) if len(powers) < 5 else (1,)
    ticks = [factor * 10.0**power for power in powers for factor in factors]
    return [(tick, f"{tick:g}") for tick in ticks if 0.99 * low <= tick <= 1.01 * high]


# ---------------------------------------------------------------------------------------------
# Classes


def class_balance(
    labels: ArrayLike | Mapping[str, ArrayLike], class_names: Sequence[str], *, title: str
) -> hv.Bars:
    """Draw how many images each class has.

    Parameters
    ----------
    labels : array_like or mapping of str to array_like
        Class numbers (n,), or several sets of them by name.
    class_names : sequence of str
        Names in the order of the class numbers.
    title : str
        Says what to see.

    Returns
    -------
    hv.Bars
        One bar per class and set; classes without images are there with 0.

    Raises
    ------
    ValueError
        If a label has no class name.
    """
    hv = _holoviews()
    sets = labels if isinstance(labels, Mapping) else {"all": labels}
    if not sets:
        raise ValueError("labels is empty; pass at least one set, as name -> labels.")
    rows: list[tuple] = []
    for name, values in sets.items():
        counts = np.bincount(
            _labels(values, len(class_names), name=f"labels of {name!r}"),
            minlength=len(class_names),
        )
        rows += [
            (class_name, name, int(count), 100 * count / counts.sum())
            for class_name, count in zip(class_names, counts, strict=True)
        ]
    kdims = ["class_name", "set"] if len(sets) > 1 else ["class_name"]
    if len(sets) == 1:
        rows = [(row[0], *row[2:]) for row in rows]
    dimensions = [hv.Dimension(kdims[0], values=list(class_names))]
    dimensions += [hv.Dimension(name, values=list(sets)) for name in kdims[1:]]
    bars = hv.Bars(rows, dimensions, ["images", "percent"])
    size = _size(800, 340)
    common = {"title": title, "xlabel": "class", "ylabel": "images", "show_legend": len(sets) > 1}
    color: dict[str, Any] = {"color": BLUE}
    if len(sets) > 1:
        color = {"color": "set", "cmap": list(PALETTE[: len(sets)])}
    tooltips = [(name.replace("_", " "), f"@{{{name}}}") for name in (*kdims, "images")]
    return _style(
        bars,
        bokeh={
            **common,
            **size["bokeh"],
            **color,
            "tools": ["hover"],
            "hover_tooltips": [*tooltips, ("percent of the set", "@{percent}{0.0}")],
            "xrotation": 45 if len(sets) > 1 else 0,
            "multi_level": False,
            "legend_position": "right",
        },
        matplotlib={
            **common,
            **size["matplotlib"],
            **({"multi_level": False} if len(sets) > 1 else {}),
            "color": hv.Cycle(values=list(PALETTE)) if len(sets) > 1 else BLUE,
            "xrotation": 45,
        },
    )


def confusion_counts(y_true: ArrayLike, y_pred: ArrayLike, classes: int) -> np.ndarray:
    """Count how often each true class (row) was predicted as each class (column).

    Parameters
    ----------
    y_true, y_pred : array_like
        Class numbers (n,) in the same order.
    classes : int
        Number of classes; classes without images keep their row and column.

    Returns
    -------
    np.ndarray
        int64 of shape (classes, classes).

    Raises
    ------
    ValueError
        If lengths differ or a label is out of range.
    """
    truth, predicted = _label_pair(y_true, y_pred, classes)
    pairs = np.bincount(truth * classes + predicted, minlength=classes**2)
    return pairs.reshape(classes, classes).astype(np.int64)


def most_confused(
    y_true: ArrayLike, y_pred: ArrayLike, class_names: Sequence[str], *, top: int = 10
) -> pd.DataFrame:
    """List the most frequent mistakes.

    Parameters
    ----------
    y_true, y_pred : array_like
        Class numbers (n,) in the same order.
    class_names : sequence of str
        Names in the order of the class numbers.
    top : int
        At most so many rows.

    Returns
    -------
    pd.DataFrame
        Columns "true", "predicted", "count" and "percent" (of the images of the true class),
        most frequent first; pairs that never occur are left out.

    Raises
    ------
    ValueError
        If the labels are of unequal length, empty, or no numbers of these classes.
    """
    import pandas as pd

    counts = confusion_counts(y_true, y_pred, len(class_names))
    per_class = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    order = [
        divmod(int(k), len(class_names)) for k in np.argsort(-counts, axis=None, kind="stable")
    ]
    rows = [
        {
            "true": class_names[t],
            "predicted": class_names[p],
            "count": int(counts[t, p]),
            "percent": round(100 * counts[t, p] / per_class[t], 1),
        }
        for t, p in order[:top]
        if counts[t, p]
    ]
    return pd.DataFrame(rows, columns=["true", "predicted", "count", "percent"])


def confusion_matrix(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    class_names: Sequence[str],
    *,
    mode: str = "counts",
    title: str,
) -> hv.Overlay:
    """Draw the confusion matrix: a row for each true class, a column for each predicted one.

    Parameters
    ----------
    y_true, y_pred : array_like
        Class numbers (n,) in the same order.
    class_names : sequence of str
        Names in the order of the class numbers; each gets its row and column, images or not.
    mode : {"counts", "percent", "errors"}
        Number of images; percent of each true class; numbers of wrong ones only, the diagonal
        blank and left out of the color range.
    title : str
        Says what to see.

    Returns
    -------
    hv.Overlay
        A heat map (x = predicted, y = true, first class at the top) and the numbers in its cells.

    Raises
    ------
    ValueError
        If lengths differ, a label is out of range, or the mode is unknown.
    """
    return _confusion_panel(y_true, y_pred, class_names, mode=mode, title=title, size=(640, 520))


def _confusion_panel(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    class_names: Sequence[str],
    *,
    mode: str,
    title: str,
    size: tuple[int, int],
) -> hv.Overlay:
    """Draw a confusion matrix of a given size (width, height in pixels)."""
    hv = _holoviews()
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}; choose one of {', '.join(MODES)}.")
    names = [str(name) for name in class_names]
    counts = confusion_counts(y_true, y_pred, len(names))
    with np.errstate(invalid="ignore"):  # a class without images has no percentages
        percent = 100 * counts / counts.sum(axis=1, keepdims=True)
    shown = percent.copy() if mode == "percent" else counts.astype(float)
    if mode == "errors":
        np.fill_diagonal(shown, np.nan)
    columns = {"count" if mode == "counts" else mode: shown}
    columns |= {"count": counts.astype(float), "percent": np.round(percent, 1)}
    heat_map = hv.HeatMap(
        [
            (p, t, *(values[t, p] for values in columns.values()), names[t], names[p])
            for t, p in np.ndindex(shown.shape)
        ],
        ["predicted", "true"],
        [*columns, "true class", "predicted class"],
    )
    highest = max(float(np.nanmax(shown, initial=0)), 1.0)
    on_dark = shown > highest / 2
    font = 9 if size[0] > 500 else 7
    texts = [
        _style(
            hv.Labels(
                [
                    (p, t, f"{shown[t, p]:.0f}")
                    for t, p in np.argwhere(np.isfinite(shown) & (on_dark == dark))
                ],
                ["predicted", "true"],
                "text",
            ),
            bokeh={"text_color": color, "text_font_size": f"{font}pt"},
            matplotlib={"color": color, "size": font},
        )
        for dark, color in ((False, "black"), (True, "white"))
    ]
    common = {
        "title": title,
        "xlabel": "predicted class",
        "ylabel": "true class",
        "invert_yaxis": True,
        "xticks": list(enumerate(names)),
        "yticks": list(enumerate(names)),
        "xlim": (-0.5, len(names) - 0.5),
        "ylim": (-0.5, len(names) - 0.5),
        "xrotation": 45,
    }
    heat_map = _style(
        heat_map,
        bokeh={
            "cmap": "Blues",
            "clim": (0, highest),
            "clipping_colors": {"NaN": EMPTY_CELL},
            "tools": ["hover"],
            "hover_tooltips": [
                ("true", "@{true_class}"),
                ("predicted", "@{predicted_class}"),
                ("images", "@{count}"),
                ("percent of the true class", "@{percent}"),
            ],
            "line_color": "white",
        },
        matplotlib={
            "cmap": "Blues",
            "clim": (0, highest),
            "clipping_colors": {"NaN": EMPTY_CELL},
            "show_values": False,
        },
    )
    options = _size(*size)
    return _style(
        heat_map * texts[0] * texts[1],
        bokeh={**common, **options["bokeh"]},
        matplotlib={**common, **options["matplotlib"]},
    )


# ---------------------------------------------------------------------------------------------
# Grids of images: one picture, transparent rectangles that carry the hover text


@dataclass(frozen=True)
class Tile:
    """One image in a grid: where it stands and what its hover text and caption say."""

    row: int
    column: int
    index: int
    true: str = ""
    predicted: str = ""
    caption: str = ""
    wrong: bool = False


def _grid(
    images: np.ndarray,
    tiles: Sequence[Tile],
    *,
    rows: int,
    columns: int,
    title: str,
    xlabel: str,
    ylabel: str,
    x_names: Sequence[str],
    y_names: Sequence[str],
    hover: Sequence[str],
    width: int = GRID_WIDTH,
    size: tuple[int, int] | None = None,
) -> hv.Overlay:
    """Draw tiles as one montage.

    `images` are uint8 (n, height, width, 3); `width` of the montage and `size` of the whole plot
    are in pixels.
    """
    hv = _holoviews()
    cell = min(124, width // columns)
    wrap = textwrap.TextWrapper(max(6, round(cell / 5.5)))
    lines = [
        [line for part in tile.caption.splitlines() for line in wrap.wrap(part)] for tile in tiles
    ]
    height, image_width = images.shape[1:3]
    gap = max(1, round(image_width / 28))
    line_height = height * 14 / cell
    caption_space = math.ceil(max((len(parts) for parts in lines), default=0) * line_height)
    cell_width, cell_height = image_width + 2 * gap, height + 2 * gap + caption_space
    montage = np.full((rows * cell_height, columns * cell_width, 3), 255, dtype=np.uint8)
    boxes, texts = [], []
    for tile, parts in zip(tiles, lines, strict=True):
        top, left = tile.row * cell_height + gap, tile.column * cell_width + gap
        montage[top : top + height, left : left + image_width] = images[tile.index]
        x0, x1 = left / cell_width, (left + image_width) / cell_width
        y0, y1 = rows - (top + height) / cell_height, rows - top / cell_height
        boxes.append((x0, y0, x1, y1, tile.true, tile.predicted, tile.index, tile.caption))
        if parts:
            y_text = y0 - (caption_space + gap) / 2 / cell_height
            texts.append((tile.column + 0.5, y_text, "\n".join(parts), tile.wrong))
    picture = hv.RGB(montage, bounds=(0, 0, columns, rows), kdims=["x", "y"])
    layers = [_style(picture, bokeh={}, matplotlib={"interpolation": "nearest"})]
    layers.append(_hover_boxes(boxes, hover))
    wrong_boxes = [box[:4] for box, tile in zip(boxes, tiles, strict=True) if tile.wrong]
    layers.append(_outlines(wrong_boxes))
    layers += [
        _captions([text[:3] for text in texts if text[3] is wrong], color)
        for wrong, color in ((False, "black"), (True, "#A63C00"))
    ]
    frame_width, frame_height = columns * cell, round(rows * cell * cell_height / cell_width)
    label_space = 7 * max(len(str(name)) for name in y_names)
    outer_width, outer_height = size or (frame_width + 80 + label_space, frame_height + 100)
    common = {
        "title": title,
        "xlabel": xlabel,
        "ylabel": ylabel,
        "xticks": [(column + 0.5, name) for column, name in enumerate(x_names)],
        "yticks": [(rows - row - 0.5, name) for row, name in enumerate(y_names)],
        "xaxis": "top" if any(x_names) else "bottom",
        "yaxis": "left",
        "xlim": (0, columns),
        "ylim": (0, rows),
    }
    return _style(
        hv.Overlay(layers),
        bokeh={
            **common,
            "width": outer_width,
            "height": outer_height,
            "default_tools": ["save", "pan", "wheel_zoom", "reset"],
            "active_tools": [],
            # In a layout the size of the frame follows from that of the plot.
            "hooks": [] if size else [partial(_set_frame, width=frame_width, height=frame_height)],
        },
        matplotlib={
            **common,
            "fig_inches": ((frame_width + 80) / 80, (frame_height + 80) / 80),
            "aspect": frame_width / frame_height,
        },
    )


def _set_frame(plot: Any, element: Any, *, width: int, height: int) -> None:
    """Give the frame inside a Bokeh plot a size (pixels), so that images keep their shape."""
    plot.state.frame_width, plot.state.frame_height = width, height


def _hover_boxes(boxes: list[tuple], hover: Sequence[str]) -> hv.Rectangles:
    """Return invisible rectangles over the images that show what is known about each."""
    hv = _holoviews()
    return _style(
        hv.Rectangles(boxes, ["x0", "y0", "x1", "y1"], ["true", "predicted", "index", "caption"]),
        bokeh={
            "fill_alpha": 0,
            "line_alpha": 0,
            "tools": ["hover"],
            "hover_tooltips": [(name, f"@{{{name}}}") for name in hover],
        },
        matplotlib={"facecolor": "none", "edgecolor": "none"},
    )


def _outlines(boxes: list[tuple]) -> hv.Rectangles:
    """Return frames around wrongly classified images."""
    hv = _holoviews()
    return _style(
        hv.Rectangles(boxes, ["x0", "y0", "x1", "y1"]),
        bokeh={"fill_alpha": 0, "line_color": VERMILION, "line_width": 3},
        matplotlib={"facecolor": "none", "edgecolor": VERMILION, "linewidth": 2},
    )


def _captions(texts: list[tuple], color: str) -> hv.Labels:
    """Return captions, centered at the given places."""
    hv = _holoviews()
    return _style(
        hv.Labels(texts, ["x", "y"], "text"),
        bokeh={"text_color": color, "text_font_size": "8pt"},
        matplotlib={"color": color, "size": 7},
    )


def sample_grid(
    images: ArrayLike,
    labels: ArrayLike,
    class_names: Sequence[str],
    *,
    per_class: int = 10,
    seed: int = 0,
    title: str,
) -> hv.Overlay:
    """Draw random images, one column per class, no image twice.

    Parameters
    ----------
    images : array_like
        (n, height, width, channels) in 0..255.
    labels : array_like
        Class numbers (n,).
    class_names : sequence of str
        Names in the order of the class numbers.
    per_class : int
        At most so many images of each class.
    seed : int
        Decides which images are drawn.
    title : str
        Says what to see.

    Returns
    -------
    hv.Overlay
        One picture; hover shows class and index of each image.

    Raises
    ------
    ValueError
        If images are empty, lengths differ or a label has no class name.
    """
    pixels = _rgb(images)
    truth = _labels(labels, len(class_names), length=len(pixels))
    generator = np.random.default_rng(seed)
    tiles = []
    for column, name in enumerate(class_names):
        chosen = generator.permutation(np.flatnonzero(truth == column))[:per_class]
        tiles += [Tile(row, column, int(index), true=name) for row, index in enumerate(chosen)]
    return _grid(
        pixels,
        tiles,
        rows=per_class,
        columns=len(class_names),
        title=title,
        xlabel="class",
        ylabel="random examples",
        x_names=class_names,
        y_names=[""] * per_class,
        hover=("true", "index"),
    )


def image_strip(
    images: ArrayLike, captions: Sequence[object], *, title: str, columns: int = 10
) -> hv.Overlay:
    """Draw images in reading order, each with its caption.

    Parameters
    ----------
    images : array_like
        (n, height, width, channels) in 0..255.
    captions : sequence
        One text (or anything that can be printed) per image.
    title : str
        Says what to see.
    columns : int
        Images in a row.

    Returns
    -------
    hv.Overlay
        One picture; hover shows caption and index of each image.

    Raises
    ------
    ValueError
        If images are empty or the number of captions differs.
    """
    pixels = _rgb(images)
    if len(captions) != len(pixels):
        raise ValueError(
            f"There are {len(captions)} captions for {len(pixels)} images; pass one for each."
        )
    columns = min(columns, len(pixels))
    rows = math.ceil(len(pixels) / columns)
    tiles = [
        Tile(*divmod(index, columns), index, caption=str(caption))
        for index, caption in enumerate(captions)
    ]
    return _grid(
        pixels,
        tiles,
        rows=rows,
        columns=columns,
        title=title,
        xlabel="images in reading order",
        ylabel="row" if rows > 1 else "",
        x_names=[""] * columns,
        y_names=[""] * rows,
        hover=("caption", "index"),
    )


def prediction_grid(
    images: ArrayLike,
    y_true: ArrayLike,
    y_pred: ArrayLike,
    class_names: Sequence[str],
    *,
    per_class: int = 10,
    title: str,
) -> hv.Overlay:
    """Draw the first images of each class with their predictions, wrong ones framed.

    Parameters
    ----------
    images : array_like
        (n, height, width, channels) in 0..255.
    y_true, y_pred : array_like
        Class numbers (n,) in the order of the images.
    class_names : sequence of str
        Names in the order of the class numbers.
    per_class : int
        At most so many images of each class.
    title : str
        Says what to see.

    Returns
    -------
    hv.Overlay
        Row = true class, caption = predicted class; hover shows both and the image's index.

    Raises
    ------
    ValueError
        If images are empty, lengths differ or a label is out of range.
    """
    pixels = _rgb(images)
    truth, predicted = _label_pair(y_true, y_pred, len(class_names), len(pixels))
    tiles = []
    for row, _ in enumerate(class_names):
        chosen = np.flatnonzero(truth == row)[:per_class]
        tiles += [
            _predicted_tile(row, column, index, truth, predicted, class_names)
            for column, index in enumerate(chosen)
        ]
    return _grid(
        pixels,
        tiles,
        rows=len(class_names),
        columns=per_class,
        title=title,
        xlabel="first images of each class, with the prediction below; wrong ones are framed",
        ylabel="true class",
        x_names=[str(column + 1) for column in range(per_class)],
        y_names=class_names,
        hover=("true", "predicted", "index"),
    )


def _predicted_tile(
    row: int,
    column: int,
    index: int,
    truth: np.ndarray,
    predicted: np.ndarray,
    class_names: Sequence[str],
    *,
    with_truth: bool = False,
) -> Tile:
    """Return the tile of one classified image: everything is looked up by its own index."""
    true_name, predicted_name = class_names[truth[index]], class_names[predicted[index]]
    wrong = bool(truth[index] != predicted[index])
    caption = f"true {true_name}\npredicted {predicted_name}" if with_truth else predicted_name
    return Tile(row, column, int(index), true_name, predicted_name, caption, wrong)


def mistakes_by_class(
    images: ArrayLike,
    y_true: ArrayLike,
    y_pred: ArrayLike,
    class_names: Sequence[str],
    *,
    per_class: int = 10,
    title: str,
) -> hv.Overlay:
    """Draw the first mistakes of each class: column = true class, caption = predicted class.

    Parameters
    ----------
    images : array_like
        (n, height, width, channels) in 0..255.
    y_true, y_pred : array_like
        Class numbers (n,) in the order of the images.
    class_names : sequence of str
        Names in the order of the class numbers.
    per_class : int
        At most so many mistakes of each class.
    title : str
        Says what to see.

    Returns
    -------
    hv.Overlay
        One picture of wrongly classified images only; a class without mistakes stays blank.

    Raises
    ------
    ValueError
        If images are empty, lengths differ or a label is out of range.
    """
    pixels = _rgb(images)
    truth, predicted = _label_pair(y_true, y_pred, len(class_names), len(pixels))
    tiles = []
    for column, _ in enumerate(class_names):
        chosen = np.flatnonzero((truth == column) & (predicted != truth))[:per_class]
        tiles += [
            _predicted_tile(row, column, index, truth, predicted, class_names)
            for row, index in enumerate(chosen)
        ]
    return _grid(
        pixels,
        tiles,
        rows=per_class,
        columns=len(class_names),
        title=title,
        xlabel="true class",
        ylabel="mistakes, with the prediction below",
        x_names=class_names,
        y_names=[""] * per_class,
        hover=("true", "predicted", "index"),
    )


def mistakes_by_pair(
    images: ArrayLike,
    y_true: ArrayLike,
    y_pred: ArrayLike,
    class_names: Sequence[str],
    *,
    title: str,
) -> hv.Overlay:
    """Draw the first example of each kind of mistake: column = true class, row = predicted class.

    Parameters
    ----------
    images : array_like
        (n, height, width, channels) in 0..255.
    y_true, y_pred : array_like
        Class numbers (n,) in the order of the images.
    class_names : sequence of str
        Names in the order of the class numbers.
    title : str
        Says what to see.

    Returns
    -------
    hv.Overlay
        One picture; the diagonal and mistakes that never happened stay blank.

    Raises
    ------
    ValueError
        If images are empty, lengths differ or a label is out of range.
    """
    pixels = _rgb(images)
    classes = len(class_names)
    truth, predicted = _label_pair(y_true, y_pred, classes, len(pixels))
    wrong = np.flatnonzero(truth != predicted)
    _, first = np.unique(truth[wrong] * classes + predicted[wrong], return_index=True)
    tiles = [
        _predicted_tile(predicted[index], truth[index], index, truth, predicted, class_names)
        for index in wrong[first]
    ]
    tiles = [replace(tile, caption="", wrong=False) for tile in tiles]
    return _grid(
        pixels,
        tiles,
        rows=classes,
        columns=classes,
        title=title,
        xlabel="true class",
        ylabel="predicted class",
        x_names=class_names,
        y_names=class_names,
        hover=("true", "predicted", "index"),
    )


def training_dashboard(
    history: History,
    y_true: ArrayLike,
    y_pred: ArrayLike,
    images: ArrayLike,
    class_names: Sequence[str],
    *,
    title: str,
) -> hv.Layout:
    """Compose loss, accuracy, confusion matrix and six mistakes in one view.

    Parameters
    ----------
    history : mapping of str to sequence of float
        "loss" and "accuracy" per epoch, and the same with "val_".
    y_true, y_pred : array_like
        Class numbers (n,) in the order of the images.
    images : array_like
        (n, height, width, channels) in 0..255.
    class_names : sequence of str
        Names in the order of the class numbers.
    title : str
        Says what to see.

    Returns
    -------
    hv.Layout
        Four panels; the six images are spread evenly over all mistakes, none twice, each with its
        own true and predicted class.

    Raises
    ------
    ValueError
        If images are empty, lengths differ, a label is out of range or a metric is missing.
    """
    pixels = _rgb(images)
    truth, predicted = _label_pair(y_true, y_pred, len(class_names), len(pixels))
    wrong = np.flatnonzero(truth != predicted)
    chosen = wrong[np.unique(np.linspace(0, len(wrong) - 1, 6).astype(int))] if len(wrong) else []
    tiles = [
        _predicted_tile(
            place // 3, place % 3, index, truth, predicted, class_names, with_truth=True
        )
        for place, index in enumerate(chosen)
    ]
    mistakes = _grid(
        pixels,
        tiles,
        rows=2,
        columns=3,
        title=f"{len(tiles)} of {len(wrong)} mistakes",
        xlabel="wrongly classified images",
        ylabel="",
        x_names=[""] * 3,
        y_names=[""] * 2,
        hover=("true", "predicted", "index"),
        width=372,
        size=(410, 400),
    )
    panels = [
        _metric_panel(history, "loss", width=440, height=280),
        _metric_panel(history, "accuracy", width=440, height=280),
        _confusion_panel(
            truth,
            predicted,
            class_names,
            mode="percent",
            title="Confusion matrix, percent of each true class",
            size=(450, 400),
        ),
        mistakes,
    ]
    return _layout(panels, columns=2, title=title, size=(MAX_WIDTH, 760))


# ---------------------------------------------------------------------------------------------
# Models


@dataclass(frozen=True)
class Diagram:
    """A drawing of a model: `svg` is its source, `title` its name, `words` say what it shows."""

    svg: str
    title: str
    words: str

    def __repr__(self) -> str:
        """Return what the drawing shows, in words."""
        return self.words

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> display.Bundle:
        """Return the drawing for a page, as a picture, and in words."""
        data = {"text/html": self.svg, "image/svg+xml": self.svg, "text/plain": self.words}
        return data, {"image/svg+xml": {"alt": self.words}}


def layer_table(model: keras.Model) -> pd.DataFrame:
    """List the layers of a model with what each of them costs.

    Parameters
    ----------
    model : keras.Model
        A built Sequential or functional model; models inside it are opened.

    Returns
    -------
    pd.DataFrame
        Columns "layer", "type", "output shape" (without the batch axis), "parameters" and
        "multiply-adds" (per image; counted for dense and convolutional layers, 0 elsewhere).

    Raises
    ------
    ValueError
        If the model has not been built.
    """
    import pandas as pd

    rows = [
        {
            "layer": layer.name,
            "type": type(layer).__name__,
            "output shape": _shape(layer.output.shape),
            "parameters": int(layer.count_params()),
            "multiply-adds": _multiply_adds(layer),
        }
        for layer in _layers(model)
    ]
    return pd.DataFrame(rows)


def _layers(model: Any) -> list[Any]:
    """Return the layers of a built model, those of inner models included, without inputs."""
    import keras

    if not model.built or not getattr(model, "inputs", None):
        raise ValueError(
            f"The model {model.name!r} has no layers with known shapes yet; build it with "
            "keras.Input as its first element."
        )
    layers = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            layers += _layers(layer)
        elif not isinstance(layer, keras.layers.InputLayer):
            layers.append(layer)
    return layers


def _shape(shape: Sequence[int | None]) -> str:
    """Write a shape without the batch axis, such as 32×32×3."""
    return "×".join("?" if size is None else str(size) for size in shape[1:])


def _multiply_adds(layer: Any) -> int:
    """Count multiply-adds per image: each kernel is applied at each output position.

    Kernels hold height × width × channels in (of one group) × channels out, so strides and groups
    are in the shapes already.
    """
    import keras

    counted = (
        keras.layers.Dense,
        keras.layers.Conv1D,
        keras.layers.Conv2D,
        keras.layers.DepthwiseConv2D,
        keras.layers.SeparableConv2D,
    )
    if not isinstance(layer, counted):
        return 0
    positions = math.prod(layer.output.shape[1:-1])
    kernels = [weight for weight in layer.weights if "kernel" in weight.name]
    return sum(math.prod(kernel.shape) for kernel in kernels) * positions


def layer_diagram(model: keras.Model) -> Diagram:
    """Draw the graph of a model: a box for each layer, an arrow for each connection.

    Parameters
    ----------
    model : keras.Model
        A built Sequential or functional model; models inside it are opened.

    Returns
    -------
    Diagram
        Shown by notebooks as a picture; `.svg` holds its source.

    Raises
    ------
    ValueError
        If the model has not been built.
    """
    table = layer_table(model)
    total = int(table["parameters"].sum())
    title = f"Graph of the model {model.name}: {len(table)} layers, {total:,} parameters"
    rows = [("input", "", _shape(model.inputs[0].shape), "")]
    rows += [
        (row["layer"], row["type"], row["output shape"], f"{row['parameters']:,}")
        for _, row in table.iterrows()
    ]
    step, box, width = 38, 26, 760
    parts = [_box(row, top=34 + number * step, height=box) for number, row in enumerate(rows)]
    skips = 0
    for start, end in _connections(model):
        if start == end - 1:
            y = 34 + start * step + box
            parts.append(f'<path d="M375 {y}V{y + step - box - 2}" {_ARROW}/>')
        else:
            y0, y1 = 34 + start * step + box / 2, 34 + end * step + box / 2
            bend = 716 + 8 * (skips % 4)
            skips += 1
            parts.append(f'<path d="M700 {y0}H{bend}V{y1}H702" {_ARROW}/>')
    height = 34 + len(rows) * step
    chain = " → ".join(row[0] for row in rows)
    name, words = html.escape(title), f"{title}: {chain}."
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-label="{html.escape(words)}" '
        'font-family="sans-serif" font-size="12">'
        f'<title>{name}</title><defs><marker id="tip" markerWidth="7" markerHeight="7" '
        'refX="5" refY="3" orient="auto"><path d="M0 0L6 3L0 6Z" fill="#555"/></marker></defs>'
        f'<rect width="{width}" height="{height}" fill="white"/>'
        f'<text x="50" y="20" font-weight="bold">{name}</text>'
        f"{''.join(parts)}</svg>"
    )
    return Diagram(svg, title, words)


_ARROW = 'fill="none" stroke="#555" stroke-width="1.5" marker-end="url(#tip)"'


def _box(row: tuple[str, str, str, str], *, top: int, height: int) -> str:
    """Draw the box of one layer: name, type, output shape, parameters."""
    name, kind, shape, parameters = (html.escape(text) for text in row)
    fill = "#FFF3D6" if parameters not in ("", "0") else "#EEF4FA"
    y = top + height / 2 + 4
    count = f"{parameters} parameters" if parameters else ""
    return (
        f'<g><rect x="50" y="{top}" width="650" height="{height}" rx="4" fill="{fill}" '
        f'stroke="{BLUE}"/><text x="60" y="{y}" font-weight="bold">{name}</text>'
        f'<text x="265" y="{y}">{kind}</text><text x="450" y="{y}">{shape}</text>'
        f'<text x="690" y="{y}" text-anchor="end">{count}</text></g>'
    )


def _connections(model: Any) -> list[tuple[int, int]]:
    """Return the boxes that each arrow joins; 0 is the input, then come the layers in order."""
    import keras

    boxes: dict[int, int] = {}  # of an operation, by its id: inner models may repeat names
    arrows: list[tuple[int, int]] = []
    layers = map(id, _layers(model))
    numbers = {layer: number for number, layer in enumerate(layers, start=1)}

    def box(tensor: Any) -> int:
        return boxes[id(tensor._keras_history.operation)]

    def follow(model: Any, sources: Sequence[int]) -> None:
        for tensor, source in zip(model.inputs, sources, strict=True):
            boxes[id(tensor._keras_history.operation)] = source
        for layer in model.layers:
            if isinstance(layer, keras.layers.InputLayer):
                continue
            sources = [box(tensor) for tensor in layer._inbound_nodes[0].input_tensors]
            if isinstance(layer, keras.Model):
                follow(layer, sources)
                boxes[id(layer)] = box(layer.outputs[0])
            else:
                boxes[id(layer)] = numbers[id(layer)]
                arrows.extend((source, boxes[id(layer)]) for source in sources)

    follow(model, [0] * len(model.inputs))
    return arrows
