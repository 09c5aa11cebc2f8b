"""How plots reach the notebook: interactive, as a picture, in words, and while training runs.

Every plot becomes one output with three faces: Bokeh's interactive HTML, a PNG picture drawn by
Matplotlib for places that run no JavaScript, and a sentence that says what is drawn, for screen
readers and plain text. Nothing is fetched from a network.
"""

from __future__ import annotations

import base64
import html
import json
import math
import os
import sys
import uuid
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from course_utils import profiles

Backend = Literal["bokeh", "matplotlib"]
Bundle = tuple[dict[str, str], dict[str, Any]]
Points = Sequence[tuple[float, float]]

TRAIN_COLOR, VALIDATION_COLOR = "#0072B2", "#D55E00"  # of Okabe and Ito (2008)
LIVE_SIZE = (840, 250)  # pixels of the picture of a training that runs


# ---------------------------------------------------------------------------------------------
# Set-up


@dataclass(frozen=True)
class _Options:
    """What an output holds, apart from its text."""

    interactive: bool
    static: bool
    loader: str


# Until `extension` has loaded Bokeh's JavaScript, only a picture can be seen.
_options = _Options(interactive=False, static=True, loader="")


def extension(*, static: bool | None = None, backend: Backend | None = None) -> None:
    """Show HoloViews objects in notebooks, without a network and without a server.

    Bokeh's JavaScript is loaded once from the installed package, and every plot is stored as
    interactive HTML, as a sentence in plain text and, if wanted, as a PNG picture for places that
    show no JavaScript. Outside a notebook nothing is shown. Plot options that name no backend mean
    Bokeh's, whichever backend is shown.

    Parameters
    ----------
    static : bool, optional
        Whether a PNG picture drawn by Matplotlib goes with each interactive plot. By default yes,
        except in the smoke profile.
    backend : {"bokeh", "matplotlib"}, optional
        ``"matplotlib"`` shows the pictures only. By default ``$COURSE_PLOTS``, else ``"bokeh"``.

    Raises
    ------
    ValueError
        If there is no such backend.
    """
    global _options
    hv = load_holoviews()
    chosen = backend or os.environ.get("COURSE_PLOTS", "").strip() or "bokeh"
    if chosen not in get_args(Backend):
        raise ValueError(
            f"There is no way to show plots called {chosen!r}: set COURSE_PLOTS, or pass "
            "backend=…, to bokeh or matplotlib."
        )
    hv.Store.set_current_backend("bokeh")
    running = shell()
    if running is None:
        return
    interactive = chosen == "bokeh"
    loader = _loader() if interactive else ""
    in_colab = "google.colab" in sys.modules  # there every output lives in a frame of its own
    _options = _Options(
        interactive,
        static=profiles.active().name != "smoke" if static is None else static,
        loader=loader if in_colab else "",
    )
    running.display_formatter.mimebundle_formatter.for_type(hv.core.Dimensioned, _formatted)
    if loader and not in_colab:
        from IPython.display import display

        display({"text/html": loader, "text/plain": ""}, raw=True)


def _formatted(plot: Any, include: Any = None, exclude: Any = None) -> Bundle:
    """Answer IPython's question for what to show."""
    return bundle(plot)


def load_holoviews() -> Any:
    """Import HoloViews with both backends, Bokeh being the current one if none was chosen."""
    import holoviews as hv

    chosen = hv.Store.current_backend if hv.Store.renderers else "bokeh"
    import holoviews.plotting.bokeh
    import holoviews.plotting.mpl  # noqa: F401

    hv.Store.set_current_backend(chosen)
    return hv


def shell() -> Any:
    """Return the running IPython shell or None; IPython is never imported for the question."""
    if "IPython" not in sys.modules:
        return None
    from IPython.core.getipython import get_ipython

    return get_ipython()


def has_reader() -> bool:
    """Tell whether output goes to a notebook that somebody looks at while it runs.

    A front end that shows a notebook to a person can ask for input; nbconvert, nbval and the like
    cannot, and say so with each cell that they run.
    """
    kernel = getattr(shell(), "kernel", None)
    if kernel is None:
        return False
    return "google.colab" in sys.modules or getattr(kernel, "_allow_stdin", True)


# ---------------------------------------------------------------------------------------------
# One output with three faces


def bundle(plot: Any) -> Bundle:
    """Render a HoloViews object as `extension` was asked to.

    Parameters
    ----------
    plot : HoloViews object
        A plot of `dashboards`, or any other.

    Returns
    -------
    tuple of dict
        Data by MIME type (``text/plain``, ``text/html``, ``image/png`` in base64), and metadata
        that hold the alternative text of the picture.
    """
    words = describe(plot)
    data, metadata = {"text/plain": words}, {}
    if _options.interactive:
        data["text/html"] = _options.loader + _interactive(plot, words)
    if _options.static or not _options.interactive:
        picture = png(plot)
        if picture:
            data["image/png"] = base64.b64encode(picture).decode("ascii")
            metadata["image/png"] = {"alt": words}
    return data, metadata


def picture_html(data: Mapping[str, str], metadata: Mapping[str, Any]) -> str:
    """Return the picture of a bundle as an HTML element, or nothing if it holds none."""
    if "image/png" not in data:
        return ""
    alt = html.escape(metadata["image/png"]["alt"])
    return f'<img alt="{alt}" src="data:image/png;base64,{data["image/png"]}">'


def _loader() -> str:
    """Return a script element that loads Bokeh from the installed package unless it is there."""
    import bokeh

    file = Path(bokeh.__file__).parent / "server" / "static" / "js" / "bokeh.min.js"
    code = file.read_text(encoding="utf-8")
    return (
        '<script data-loads="bokeh">(function(){'
        f'if(window.Bokeh&&window.Bokeh.version==="{bokeh.__version__}")return;\n'
        f"{code}\n}}).call(window)</script>"
    )


def _interactive(plot: Any, words: str) -> str:
    """Render a HoloViews object with Bokeh to a piece of HTML."""
    import holoviews as hv
    from bokeh.core.types import ID
    from bokeh.embed import json_item

    target = ID(f"plot-{uuid.uuid4().hex}")
    heading = ""
    if isinstance(plot, hv.Layout):  # its title would need a second script: write it here
        heading = f"<strong>{html.escape(title_of(plot))}</strong>"
        plot = plot.opts(title="", backend="bokeh", clone=True)
    item = json.dumps(json_item(hv.render(plot, backend="bokeh"), target)).replace("</", "<\\/")
    # Bokeh may still be loading (VS Code runs the set-up cell's output of a reopened notebook only
    # when it scrolls into view), and the element not yet on the page: look again every 0.1 s,
    # after half a minute every second for an hour.
    script = (
        f'(function draw(tries){{var place=document.getElementById("{target}");'
        f"if(window.Bokeh&&place)window.Bokeh.embed.embed_item({item});"
        "else if(tries>-3600)setTimeout(draw,tries>0?100:1000,tries-1);})(300)"
    )
    # A figure, not an img: what is inside an img, such as the plot's tools, is hidden from
    # assistive technology.
    return (
        f'{heading}<div id="{target}" role="figure" aria-label="{html.escape(words)}"></div>\n'
        f"<script>{script}</script>"
    )


def png(plot: Any, dpi: int = 80) -> bytes | None:
    """Draw a HoloViews object with Matplotlib.

    Parameters
    ----------
    plot : HoloViews object
        What to draw.
    dpi : int
        Pixels per inch.

    Returns
    -------
    bytes or None
        A PNG picture; None, after a warning, where Matplotlib cannot draw the plot.
    """
    import holoviews as hv
    from matplotlib import pyplot

    already_open = set(pyplot.get_fignums())
    try:
        renderer = hv.renderer("matplotlib").instance(fig="png", dpi=dpi, holomap=None)
        return renderer(plot, fmt="png")[0]
    except Exception as error:  # noqa: BLE001 - the interactive plot is shown whatever fails here
        warnings.warn(
            f"No static picture of {title_of(plot)!r}: {type(error).__name__}: {error}",
            stacklevel=2,
        )
        return None
    finally:
        for number in set(pyplot.get_fignums()) - already_open:
            pyplot.close(number)


# ---------------------------------------------------------------------------------------------
# A plot in words


def describe(plot: Any) -> str:
    """Say in a sentence what a plot shows: title, kind, axes, and the names of lines or classes.

    Parameters
    ----------
    plot : HoloViews object
        An element, an overlay or a layout.

    Returns
    -------
    str
        The alternative text of its picture.
    """
    import holoviews as hv

    title = title_of(plot).strip().rstrip(".:")
    if isinstance(plot, hv.Layout):
        panels = [describe(panel).rstrip(".") for panel in plot]
        count = f"{len(panels)} panels. " if len(panels) > 1 else ""
        return f"{title}: {count}{'; '.join(panels)}."
    elements = [e for e in plot.traverse(lambda part: part, [hv.Element]) if len(e)]
    kinds = [kind for e in elements for name, kind in _KINDS.items() if name == type(e).__name__]
    kind = min(kinds, key=[*_KINDS.values()].index, default="plot")
    x, y = (_axis(plot, elements, position) for position in (0, 1))
    if kind in ("heat map", "grid of images"):
        sides = [f"{side}: {label}" for side, label in (("across", x), ("down", y)) if label]
        axes = f" ({'; '.join(sides)})"
    else:
        axes = f" of {y} against {x}"
    names = _listed(_names(plot, elements))
    return f"{title}: {kind}{axes}{' for ' * bool(names)}{names}."


# Where an overlay mixes kinds, the first of these says what it is.
_KINDS = {
    "HeatMap": "heat map",
    "RGB": "grid of images",
    "Image": "image",
    "Bars": "bars",
    "Histogram": "histogram",
    "Curve": "curves",
    "Scatter": "points",
    "Points": "points",
}


def title_of(plot: Any) -> str:
    """Return the title option of a HoloViews object, or its label or type."""
    return _option(plot, "title") or plot.label or type(plot).__name__


def _option(plot: Any, name: str) -> Any:
    """Return a plot option, of Bokeh or else of Matplotlib."""
    import holoviews as hv

    found = (
        hv.Store.lookup_options(backend, plot, "plot").kwargs.get(name)
        for backend in ("bokeh", "matplotlib")
    )
    return next((value for value in found if value is not None), None)


def _axis(plot: Any, elements: Sequence[Any], position: int) -> str:
    """Return the label of an axis: the option, or the name of the first element's dimension."""
    label = _option(plot, "xy"[position] + "label")
    if label is None and elements:
        dimensions = elements[0].dimensions()
        label = dimensions[position].label if position < len(dimensions) else ""
    return (label or "").strip()


def _names(plot: Any, elements: Sequence[Any]) -> list[str]:
    """Return the names that a legend or the axes show: lines, else classes."""
    lines = [e.label.strip() for e in elements if e.label]
    ticks = [
        str(tick[1]).strip()
        for axis in ("yticks", "xticks")
        for tick in _option(plot, axis) or ()
        if isinstance(tick, tuple)
    ]
    bars = [str(v) for e in elements if type(e).__name__ == "Bars" for v in e.dimension_values(0)]
    words = [name for name in [*bars, *ticks] if name and not _is_number(name)]
    return list(dict.fromkeys(lines or words))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _listed(names: Sequence[str]) -> str:
    """Join names as a sentence does."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


# ---------------------------------------------------------------------------------------------
# The picture of a training that runs


def growing_curves(
    curves: Mapping[str, Points],
    *,
    metrics: Sequence[str],
    epochs: int,
    recorded: Mapping[str, Sequence[float]] | None = None,
) -> str:
    """Draw a training that is under way, in about a millisecond.

    The picture is written as SVG by hand: a plotting library takes fifty times as long, which a
    training would feel.

    Parameters
    ----------
    curves : mapping of str to sequence of pairs
        Epoch and value of each point, by metric, "val_" + metric and "running " + metric (the
        epoch that is not finished).
    metrics : sequence of str
        One panel for each, such as "loss" and "accuracy".
    epochs : int
        Where the x axis ends.
    recorded : mapping of str to sequence of float, optional
        The curves of a recorded run, by metric and "val_" + metric, drawn lighter up to that epoch.

    Returns
    -------
    str
        An SVG document of `LIVE_SIZE` pixels.
    """
    width, height = LIVE_SIZE
    panel_width = width / len(metrics)
    parts, names = [], dict[str, _Line]()
    for number, metric in enumerate(metrics):
        lines = []
        for key, name, color in (
            (metric, "train", TRAIN_COLOR),
            (f"val_{metric}", "validation", VALIDATION_COLOR),
        ):
            values = list((recorded or {}).get(key, ()))[:epochs]
            lines += [
                _Line(f"recorded {name}", color, list(enumerate(values, start=1)), 1.5, 0.45),
                _Line(name, color, curves.get(key, ()), 2.5, 1),
                _Line("", color, curves.get(f"running {key}", ()), 1.2, 1),
            ]
        parts.append(_panel(lines, metric, epochs, left=number * panel_width, width=panel_width))
        names |= {line.name: line for line in lines if line.name and line.points}
    for number, (name, line) in enumerate(names.items()):
        x = 50 + 170 * number
        parts.append(f'<path d="M{x} 12h24" {line.look}/><text x="{x + 30}" y="16">{name}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12" fill="#333">'
        f'<rect width="{width}" height="{height}" fill="white"/>{"".join(parts)}</svg>'
    )


@dataclass(frozen=True)
class _Line:
    """A line of the picture: name in the legend, points as (epoch, value), width and opacity."""

    name: str
    color: str
    points: Points
    width: float
    opacity: float

    @property
    def look(self) -> str:
        return (
            f'fill="none" stroke="{self.color}" stroke-width="{self.width}" '
            f'stroke-opacity="{self.opacity}"'
        )


def _panel(lines: Sequence[_Line], metric: str, epochs: int, *, left: float, width: float) -> str:
    """Draw axes and lines of one metric, from `left` on."""
    values = [y for line in lines for _, y in line.points if math.isfinite(y)]
    low, high = min([0.0, *values]), max([1e-9, *values])
    if "accuracy" in metric and high <= 1:
        low, high = 0.0, 1.0
    x0, x1, y0, y1 = left + 50, left + width - 12, LIVE_SIZE[1] - 40, 30

    def x_of(epoch: float) -> float:
        return x0 + (x1 - x0) * epoch / epochs

    def y_of(value: float) -> float:
        return y0 + (y1 - y0) * (value - low) / (high - low)

    parts = [
        f'<path d="M{x0} {y1}V{y0}H{x1}" fill="none" stroke="#333"/>',
        f'<text x="{(x0 + x1) / 2}" y="{y0 + 34}" text-anchor="middle">epoch</text>',
        f'<text transform="translate({left + 12} {(y0 + y1) / 2}) rotate(-90)" '
        f'text-anchor="middle">{html.escape(metric.replace("_", " "))}</text>',
    ]
    parts += [
        f'<text x="{x_of(epoch):.1f}" y="{y0 + 17}" text-anchor="middle">{epoch}</text>'
        for epoch in range(0, epochs + 1, math.ceil(epochs / 10))
    ]
    for value in _round_values(low, high):
        y = f"{y_of(value):.1f}"
        parts.append(
            f'<path d="M{x0} {y}H{x1}" stroke="#ddd"/>'
            f'<text x="{x0 - 5}" y="{y}" dy="4" text-anchor="end">{value:g}</text>'
        )
    for line in lines:
        points = [(x_of(x), y_of(y)) for x, y in line.points if math.isfinite(y)]
        if points:
            path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
            dots = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in points)
            parts.append(f'<path d="M{path}" {line.look}/>')
            if line.name and not line.name.startswith("recorded"):  # a point for each epoch
                parts.append(
                    f'<path d="{dots}" stroke="{line.color}" stroke-width="6" '
                    'stroke-linecap="round"/>'
                )
    return "".join(parts)


def _round_values(low: float, high: float) -> list[float]:
    """Return round numbers from low to high, two to six of them."""
    power = 10.0 ** math.floor(math.log10(high - low))
    step = next(s * power for s in (0.2, 0.5, 1, 2) if (high - low) / (s * power) <= 5)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [float(f"{number * step:.10g}") for number in range(first, last + 1)]
