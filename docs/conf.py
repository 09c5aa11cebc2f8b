"""How Sphinx builds the book; ``python -m tools.site`` assembles its source and calls it."""

from pathlib import Path
from typing import Any

import bokeh
from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

from tools import address

project = "Train image classifiers with Keras"
author = "The course authors"
copyright = "2026 the course authors. Text and figures: CC BY 4.0; code: MIT License"
language = "en"

extensions = ["myst_nb"]
exclude_patterns = ["generated"]
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

html_theme = "sphinx_book_theme"
html_title = project
html_favicon = "_static/icon.svg"
BOKEH = Path(bokeh.__file__).parent / "server" / "static" / "js"
BOKEH_SCRIPTS = ("bokeh.min.js", "bokeh-widgets.min.js", "bokeh-tables.min.js")
html_static_path = ["_static", *(str(BOKEH / name) for name in BOKEH_SCRIPTS)]
html_css_files = ["course.css"]
templates_path = ["_templates"]
html_context = {"default_mode": "auto"}
html_math_renderer = "mathml"
html_copy_source = False
html_use_index = False
html_show_search_summary = False  # a page opened from disk may not read the others
html_theme_options = {
    "logo": {"text": project},
    "navigation_with_keys": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "search_bar_text": "Search the book …",
    "show_toc_level": 1,
    "toc_title": "On this page",
    "use_download_button": False,
    "use_fullscreen_button": False,
    "repository_url": address.repository(),
    "use_repository_button": address.published(),
}


def inline_math(writer: Any, node: nodes.math) -> None:
    """Write a formula in a line as MathML, which browsers typeset by themselves."""
    writer.body.append(tex2mathml(node.astext(), as_block=False))
    raise nodes.SkipNode


def block_math(writer: Any, node: nodes.math_block) -> None:
    """Write a formula that stands by itself as MathML."""
    writer.body.append(f'<div class="math">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def add_bokeh(app: Sphinx, page: str, template: str, context: Any, doctree: Any) -> None:
    """Load the plots' JavaScript on the pages that have plots."""
    needed = BOKEH_SCRIPTS if page == "experiments" else BOKEH_SCRIPTS[: page[:2].isdigit()]
    for name in needed:
        app.add_js_file(name, loading_method="defer")


def setup(app: Sphinx) -> None:
    """Register what is above."""
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))
    app.connect("html-page-context", add_bokeh)
