"""The slides, opened from disk and shown one by one."""

import pages
import plots
import pytest

STEMS = pages.BOOK
PROJECTOR = {"width": 1280, "height": 720}
PRESENT = ".slides section section.present"
# What is out of reach on a slide: too wide, or too tall where nothing scrolls.
CUT = """(slide) => {
  const scrolls = ["auto", "scroll"].includes(getComputedStyle(slide).overflowY);
  const parts = [];
  if (slide.scrollWidth > slide.clientWidth + 1)
    parts.push(`${slide.scrollWidth - slide.clientWidth} pixels at the right`);
  if (slide.scrollHeight > slide.clientHeight + 1 && !scrolls)
    parts.push(`${slide.scrollHeight - slide.clientHeight} pixels at the bottom`);
  for (const figure of slide.querySelectorAll(".figure"))
    if (figure.getBoundingClientRect().height > slide.clientHeight)
      parts.push("a plot taller than the slide");
  return parts;
}"""
# Whether the mouse reaches a plot: its tools and its hover are part of it.
REACHED = """(place) => {
  const {left, top, width, height} = place.getBoundingClientRect();
  return place.contains(document.elementFromPoint(left + width / 2, top + height / 2));
}"""


def open_slides(visit, built, stem):
    visit.page.set_viewport_size(PROJECTOR)
    visit.page.goto((built / "slides" / f"{stem}.html").as_uri())
    visit.page.wait_for_function("window.Reveal && Reveal.isReady()")
    return visit.page.evaluate("Reveal.getTotalSlides()")


@pytest.mark.parametrize("stem", STEMS)
def test_every_slide_shows_all_of_it(stem, built, visit, shoot):
    total = open_slides(visit, built, stem)
    drawn = 0
    shoot(f"slides {stem} title")
    for number in range(1, total + 1):
        slide = visit.page.locator(PRESENT)
        title = ""
        for place in slide.locator(pages.PLACES).all():
            title = plots.wait_until_drawn(place)[0].title
            assert place.evaluate(REACHED), f"{title!r} is behind something"
            drawn += 1
        if title:
            shoot(f"slides {stem} {number:03d} {title}")
        assert slide.evaluate(CUT) == [], f"slide {number} of {total}"
        visit.page.evaluate("Reveal.next()")
    assert visit.page.evaluate("Reveal.isLastSlide()")
    assert drawn == visit.page.locator(pages.PLACES).count() > 0
    visit.assert_undisturbed()


def test_keys_turn_the_slides(built, visit):
    open_slides(visit, built, STEMS[0])
    seen = []
    for _ in range(3):
        seen.append(visit.page.url)
        visit.page.keyboard.press("ArrowRight")
        visit.page.wait_for_function("(url) => location.href !== url", arg=seen[-1])
    assert len(set(seen)) == 3


def test_formulas_are_typeset(built, visit, shoot):
    open_slides(visit, built, "05_optimizer_shootout")
    formulas = visit.page.locator(".slides math")
    assert formulas.count() > 0
    show(visit, formulas.first)
    slide = visit.page.locator(PRESENT)
    assert slide.locator("math").count() > 0
    assert pages.unseen_formulas(slide) == []
    shoot("slides formulas")


def test_the_quiz_answers(built, visit, shoot):
    open_slides(visit, built, "05_optimizer_shootout")
    quiz = visit.page.locator(".course-quiz")
    show(visit, quiz)
    pages.answer_quiz(quiz, "05")
    shoot("slides quiz answered right")
    visit.assert_undisturbed()


def show(visit, element):
    """Turn to the slide of an element."""
    element.evaluate(
        "(e) => { const {h, v} = Reveal.getIndices(e.closest('section')); Reveal.slide(h, v); }"
    )
