// Start reveal.js, and draw each plot as large as its slide allows.
(function () {
  "use strict";
  const LARGEST = 1.35, SMALLEST = 0.45;  // relative to the size of the text
  const SMALLEST_TEXT = 0.75;
  const natural = new WeakMap();  // the sizes that a plot came with

  function unit() {  // 1 on a screen of 1280 by 720
    return parseFloat(getComputedStyle(document.documentElement).fontSize) / 24;
  }

  function bokehRoot(figure) {
    const roots = window.Bokeh ? [...Bokeh.index] : [];
    return roots.find((view) => figure.contains(view.el));
  }

  function resized(value, scale) {  // "13px" and {value: "13px"} alike
    if (typeof value === "number") return value * scale;
    if (typeof value === "string") {
      return value.replace(/^[\d.]+/, (size) => Math.round(100 * size * scale) / 100);
    }
    return value && typeof value.value === "string"
      ? { ...value, value: resized(value.value, scale) } : value;
  }

  function resizeBokeh(view, scale) {
    if (!natural.has(view)) {
      const sizes = [];
      for (const model of view.model.references()) {
        for (const property of model) {
          const name = property.attr;
          const sized = /font_size$/.test(name) ||
            (model.type === "Figure" && /^(frame_)?(width|height)$/.test(name));
          if (sized && !property.is_unset && property.get_value() != null) {
            sizes.push([model, name, property.get_value()]);
          }
        }
      }
      natural.set(view, sizes);
    }
    const text_scale = Math.max(scale, SMALLEST_TEXT * unit());
    for (const [model, name, value] of natural.get(view)) {
      model.setv({ [name]: resized(value, name.endsWith("font_size") ? text_scale : scale) });
    }
  }

  function naturalSize(figure) {
    if (!natural.has(figure)) {
      natural.set(figure, { width: figure.offsetWidth, height: figure.offsetHeight });
    }
    return natural.get(figure);
  }

  function resize(figure, view, scale) {
    if (view) return resizeBokeh(view, scale);
    const { width } = natural.get(figure);
    for (const image of figure.children) {
      image.style.width = `${width * scale}px`;
      image.style.height = "auto";
    }
  }

  function shrink(slide) {  // long tables, mostly
    for (const zoom of [1, 0.9, 0.8, 0.7]) {
      slide.style.setProperty("--zoom", zoom);
      if (slide.scrollHeight <= slide.clientHeight + 1) return;
    }
    slide.style.setProperty("--zoom", 0.9);  // and scroll
  }

  function fit(slide) {
    const figure = slide.querySelector(".figure");
    if (!figure) {
      shrink(slide);
      return true;
    }
    const view = bokehRoot(figure);
    if (figure.querySelector("[role=figure]") && !figure.querySelector("svg") && !view) return false;
    const size = naturalSize(figure);
    if (!size.height) return false;
    const style = getComputedStyle(slide);
    const room = {
      width: slide.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight),
      // The titles and the toolbar of a plot keep their size, which costs a little more room.
      height: slide.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom) -
        30 * unit(),
    };
    const text = figure.nextElementSibling;
    // How large the plot could be with the text beside it, and with the text below it.
    const used = (elements) => elements.reduce((sum, element) => sum + element.offsetHeight +
      parseFloat(getComputedStyle(element).marginBottom), 0);
    const above = [...slide.children].filter((element) => element !== figure && element !== text);
    slide.classList.remove("beside");
    const below = Math.min(room.width / size.width,
      (room.height - used(text ? [...above, text] : above)) / size.height);
    const beside = text ? Math.min((room.width - 345 * unit()) / size.width,
      (room.height - used(above)) / size.height) : 0;
    slide.classList.toggle("beside", beside > below);
    const scale = Math.max(SMALLEST * unit(),
      Math.min(LARGEST * unit(), Math.max(beside, below)));
    resize(figure, view, scale);
    return true;
  }

  function fitAll() {  // slides far from the present one are not displayed: they are fitted later
    const waiting = [...document.querySelectorAll(".slides section section")]
      .filter((slide) => slide.offsetParent !== null && !fit(slide));
    if (waiting.length) setTimeout(fitAll, 100);
  }

  // Down and Space first scroll a slide that is too full.
  function scrollOr(move) {
    return (event) => {
      const slide = Reveal.getCurrentSlide();
      if (event.shiftKey) Reveal.prev();
      else if (slide.scrollTop + slide.clientHeight < slide.scrollHeight - 4) {
        slide.scrollBy({ top: 0.8 * slide.clientHeight });
      } else move();
    };
  }

  Reveal.initialize({
    disableLayout: true, hash: true, transition: "none", slideNumber: "h.v", overview: false,
    keyboard: { 32: scrollOr(() => Reveal.next()), 40: scrollOr(() => Reveal.down()) },
  }).then(fitAll);
  Reveal.on("slidechanged", fitAll);
  window.addEventListener("resize", fitAll);
}());
