"""What a browser really drew: look into Bokeh's canvases, pixel by pixel."""

import time
from dataclasses import dataclass

from playwright.sync_api import Locator

# For each Bokeh figure inside an element: its title and size, how many data points it holds, and
# how many pixels inside its frame are neither background nor grid. The canvases are in shadow
# roots, so the way leads through Bokeh's own list of views.
FIGURES = """(root) => {
  const measure = (view) => {
    const canvas = view.canvas_view.primary.canvas;
    const ratio = view.canvas_view.pixel_ratio;
    const box = view.frame.bbox;
    const [width, height] = [(box.width - 4) * ratio, (box.height - 4) * ratio];
    let pixels = 0;
    if (width >= 1 && height >= 1 && canvas.width && canvas.height) {
      const corner = [(box.left + 2) * ratio, (box.top + 2) * ratio];
      const {data} = canvas.getContext("2d").getImageData(...corner, width, height);
      for (let i = 0; i < data.length; i += 4) {
        const low = Math.min(data[i], data[i + 1], data[i + 2]);
        const high = Math.max(data[i], data[i + 1], data[i + 2]);
        if (data[i + 3] > 40 && (high - low > 20 || high < 200)) pixels += 1;
      }
    }
    const sources = view.model.renderers.map((renderer) => renderer.data_source).filter(Boolean);
    return {
      title: view.model.title?.text ?? "",
      points: sources.reduce((sum, source) => sum + (source.get_length() ?? 0), 0),
      pixels,
    };
  };
  const figures = (view) => view.frame && view.canvas_view
    ? [measure(view)] : [...view.children()].flatMap(figures);
  const views = [...(window.Bokeh?.index ?? [])];
  return views.filter((view) => view.el.isConnected && root.contains(view.el)).flatMap(figures);
}"""

LEAST_PIXELS = 10


@dataclass(frozen=True)
class Figure:
    """One Bokeh figure as the browser shows it."""

    title: str
    points: int
    pixels: int

    @property
    def drawn(self) -> bool:
        return self.points > 0 and self.pixels >= LEAST_PIXELS


def figures(place: Locator) -> list[Figure]:
    """Return the figures inside an element."""
    return [Figure(**found) for found in place.evaluate(FIGURES)]


def wait_until_drawn(place: Locator, seconds: float = 30) -> list[Figure]:
    """Wait until an element holds a figure and every figure in it shows marks.

    A plot that does not come is an assertion error that tells what is there instead.
    """
    place.scroll_into_view_if_needed()
    deadline = time.monotonic() + seconds
    while True:
        found = figures(place)
        if found and all(figure.drawn for figure in found):
            return found
        assert time.monotonic() < deadline, f"not drawn after {seconds:.0f} s: {found}"
        time.sleep(0.1)
