"""What the tests in the browser share: their notebooks, and plots, quizzes, formulas on a page."""

import os

from playwright.sync_api import Locator, expect

from course_utils import exercises
from tools import pairing

STEMS = [source.stem for source in pairing.sources()]
# Once a week `make reliability` looks at each notebook; else those whose numbers a test names.
FULL = os.environ.get("COURSE_RELIABILITY") == "full"

# The place of each plot of the course, drawn or not.
PLACES = '[role="figure"][id^="plot-"]'


def of_all(*numbers: str) -> list[str]:
    """Return the stems of the notebooks with these numbers, or of all of them once a week."""
    return [stem for stem in STEMS if FULL or stem[:2] in numbers]


# What the book and the slides are made of: grids of images, formulas and curves, and SHAP's own
# pictures. (nbval runs all notebooks.)
BOOK = of_all("01", "05", "07")


def answer_quiz(quiz: Locator, notebook: str) -> None:
    """Answer the first question of a quiz wrong and then right, by clicks."""
    options = exercises.quiz(notebook).questions[0].options
    question = quiz.locator("fieldset").first
    said = question.locator("[aria-live]")
    for right, verdict in ((False, "Not right"), (True, "Right")):
        place = next(i for i, option in enumerate(options) if option.right == right)
        question.get_by_role("radio").nth(place).check()
        question.get_by_role("button").click()
        expect(said).to_contain_text(verdict)
        # The feedback belongs to the option; its marks of emphasis are not shown.
        expect(said).to_contain_text(options[place].feedback.split("`")[0].split("*")[0].strip())
    expect(quiz).to_contain_text("1 of")


def unseen_formulas(place: Locator) -> list[str]:
    """Return the formulas that have no size."""
    return place.locator("math").evaluate_all(
        "(found) => found.filter((e) => e.getBoundingClientRect().width < 3"
        " || e.getBoundingClientRect().height < 3).map((e) => e.textContent)"
    )
