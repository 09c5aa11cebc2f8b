"""The book, opened from disk as somebody does who got it on a memory stick."""

import pages
import plots
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

STEMS = pages.BOOK
# How far a plot reaches beyond the right edge of the text.
CUT = """(place) => {
  const parts = [...place.children].map((part) => part.getBoundingClientRect().right);
  return Math.max(...parts) - place.closest("article").getBoundingClientRect().right;
}"""


def open_page(visit, built, name):
    visit.page.goto((built / "site" / f"{name}.html").as_uri())


@pytest.mark.parametrize("stem", STEMS)
def test_a_page_draws_every_plot(stem, built, visit, shoot):
    open_page(visit, built, stem)
    shoot(f"book {stem} top")
    places = visit.page.locator(pages.PLACES)
    assert places.count() > 0
    for index in range(places.count()):
        figures = plots.wait_until_drawn(places.nth(index))
        shoot(f"book {stem} plot {index + 1:02d} {figures[0].title}")
        cut = places.nth(index).evaluate(CUT)
        assert cut <= 0, f"{figures[0].title!r} is cut by {cut:.0f} pixels on a laptop"
    visit.assert_undisturbed()


# The pages have their parts in common: one of images, and one of formulas, curves and a quiz.
@pytest.mark.parametrize("name", ["index", "glossary", *pages.of_all("01", "05")])
def test_axe_finds_nothing_serious(name, built, visit, shoot):
    open_page(visit, built, name)
    found = Axe().run(visit.page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [
        (violation["id"], violation["help"], violation["nodes"][0]["html"][:200])
        for violation in found
        if violation["impact"] in ("serious", "critical")
    ] == []


def test_the_front_page_shows_a_picture_and_leads_to_every_notebook(built, visit, shoot):
    open_page(visit, built, "index")
    shoot("book front page")
    picture = visit.page.locator("article img").first
    assert picture.evaluate("(image) => image.complete && image.naturalWidth > 100")
    for stem in STEMS:
        assert visit.page.locator(f'article a[href="{stem}.html"]').count() > 0
    visit.page.locator(f'article a[href="{STEMS[0]}.html"]').first.click()
    expect(visit.page.locator("h1").first).to_contain_text(STEMS[0][:2])
    visit.assert_undisturbed()


def test_search_finds_a_word(built, visit, shoot):
    open_page(visit, built, "index")
    visit.page.locator(".search-button__button:visible").first.click()
    visit.page.locator('input[name="q"]:visible').fill("Adagrad")
    visit.page.keyboard.press("Enter")
    results = visit.page.locator("#search-results li a")
    expect(results.first).to_be_visible(timeout=20_000)
    shoot("book search for Adagrad")
    assert any(
        "05_optimizer_shootout.html" in link
        for link in results.evaluate_all("(links) => links.map((link) => link.href)")
    )
    visit.assert_undisturbed()


def test_a_term_leads_to_the_glossary(built, visit, shoot):
    open_page(visit, built, "05_optimizer_shootout")
    visit.page.locator('article a[href^="glossary.html#"]').first.click()
    expect(visit.page.locator("dt:target")).to_be_visible()
    shoot("book term in the glossary")
    visit.assert_undisturbed()


def test_formulas_are_typeset(built, visit, shoot):
    open_page(visit, built, "05_optimizer_shootout")
    article = visit.page.locator("article")
    assert article.locator("math").count() > 0
    assert pages.unseen_formulas(article) == []
    article.locator("math").first.scroll_into_view_if_needed()
    shoot("book formulas")


def test_the_quiz_answers(built, visit, shoot):
    open_page(visit, built, "05_optimizer_shootout")
    pages.answer_quiz(visit.page.locator(".course-quiz"), "05")
    shoot("book quiz answered right")
    visit.assert_undisturbed()
