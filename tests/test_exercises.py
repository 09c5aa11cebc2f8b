"""Exercises judge answers, give one hint at a time, and keep their answers out of sight."""

import json
import re
import shutil
import textwrap
from pathlib import Path

import jupytext
import nbformat
import numpy as np
import pandas as pd
import pytest

from course_utils import exercises
from tools import pairing

ROOT = Path(__file__).resolve().parents[1]
HEADER = (ROOT / "notebooks" / "02_baseline.py").read_text(encoding="utf-8").split("# %%")[0]

EXERCISE = """
# %% tags=["exercise"]
answer = ...
exercises.check("{name}", answer)

# %% tags=["solution"]
answer = {solution}
exercises.check("{name}", answer)

# %% tags=["check"]
rule = exercises.Rule("{name}", {rule})
"""
COUNT = """
    expected=int(table.sum()), wants="a whole number", because="Each has `one` bias.",
    mistakes=[
        exercises.Mistake("it is doubled", example=656, hints=["Halve it.", "Once more."]),
        exercises.Mistake("it is even", example=2, when=lambda n: n % 2 == 0, hints=["Odd?"]),
    ],
    hints=["Add them.", "Add all of them."],
"""
QUESTION = """
# %% [markdown] tags=["quiz"]
# Why `so`?
#
# - [ ] Because it is
#   large.
#   > No: size <b> is
#   > another matter.
# - [x] Because.
#   > Indeed.
"""


def notebook(tmp_path, *cells):
    """Write a course with one notebook; return its source."""
    source = tmp_path / "notebooks" / "02_small.py"
    source.parent.mkdir(exist_ok=True)
    text = "\n".join([HEADER + "# %% [markdown]\n# # A title\n", *map(textwrap.dedent, cells)])
    source.write_text(text + "\n", encoding="utf-8")
    return source


@pytest.fixture
def course(tmp_path, monkeypatch):
    """Return a function that makes rules known: the one of exercise 02.1, 02.2 and so on."""
    monkeypatch.setattr(exercises, "_wrong", type(exercises._wrong)())
    monkeypatch.setattr(exercises, "_last", {})
    monkeypatch.setenv("COURSE_EXERCISES_DIR", str(tmp_path))

    def with_rules(*rules, solution="328"):
        cells = [
            EXERCISE.format(name=f"02.{number}", rule=rule, solution=solution)
            for number, rule in enumerate(rules, start=1)
        ]
        pairing.write_data(notebook(tmp_path, *cells, QUESTION, QUESTION), tmp_path)

    return with_rules


def ask(answer, name="02.1", **names):
    return exercises.check(name, answer, names={"exercises": exercises, "np": np} | names)


def rule_for(expected, *, tolerance=0):
    return f'expected={expected}, tolerance={tolerance}, wants="W", because="B", hints=["H"]'


# --- what a check says ----------------------------------------------------------------------------

TABLE = pd.Series([28, 290, 10])


@pytest.mark.parametrize("answer", [328, 328.0, np.int64(328), np.float32(328), np.array(328)])
def test_a_right_answer_is_told_why_whatever_kind_of_number_it_is(course, answer):
    course(COUNT)
    outcome = ask(answer, table=TABLE)
    assert outcome.right
    assert outcome.message == "Each has `one` bias."
    assert "<code>one</code>" in outcome._repr_html_()
    assert repr(outcome) == "Exercise 02.1: Right. Each has `one` bias."


def test_hints_come_one_at_a_time_and_the_last_repeats(course):
    course(COUNT)
    outcomes = [ask(7, table=TABLE) for _ in range(4)]
    assert [outcome.hint for outcome in outcomes] == ["Add them.", *["Add all of them."] * 3]
    assert not any(outcome.right or outcome.mistake for outcome in outcomes)
    assert ["solution" in outcome.message for outcome in outcomes] == [False, False, True, True]


def test_each_kind_of_mistake_has_its_own_hints_and_the_first_that_fits_counts(course):
    course(COUNT)
    seen = [(o.mistake, o.hint) for o in (ask(n, table=TABLE) for n in (656, 8, 7, 656, 8))]
    assert seen == [
        ("it is doubled", "Halve it."),  # it is even, too
        ("it is even", "Odd?"),
        (None, "Add them."),
        ("it is doubled", "Once more."),
        ("it is even", "Odd?"),
    ]


def test_a_right_answer_starts_the_hints_anew(course):
    course(COUNT)
    ask(656, table=TABLE)
    ask(328, table=TABLE)
    assert ask(656, table=TABLE).hint == "Halve it."


@pytest.mark.parametrize("answer", [..., (..., 3), ["cat", ...]])
def test_an_ellipsis_is_no_answer_yet(course, answer):
    course(COUNT)
    assert ask(answer).title == "Not answered yet"


@pytest.mark.parametrize(
    "answer", [True, "328", None, [328], [[1], [2, 3]], {"n": 328}, object(), int, TABLE, print]
)
def test_an_answer_of_another_kind_is_told_what_is_wanted_and_costs_no_hint(course, answer):
    course(COUNT)
    outcome = ask(answer, table=TABLE)
    assert not outcome.right
    assert "should be a whole number, but this is of type" in outcome.message
    assert outcome.hint is None
    assert ask(7, table=TABLE).hint == "Add them."


@pytest.mark.parametrize(
    ("expected", "right", "wrong", "unusable"),
    [
        ("'Cat'", " cAT ", "dog", 3),
        ("False", np.False_, True, 0),
        ("[1, 2, 3]", np.array([1, 2, 3.0]), (1, 2, 4), [1, 2]),
        ("np.eye(2)", [[1, 0], [0, 1]], np.ones((2, 2)), [1, 0, 0, 1]),
        ("['cat', 'Dog']", ("CAT", "dog"), ["dog", "cat"], ["cat", "dog", "owl"]),
        ("[True, False]", np.array([True, False]), [True, True], [1, 0]),
        ("('cat', 3)", ["Cat", np.int64(3)], ("cat", 4), ("cat",)),
        ("{('cat', 'dog')}", {("cat", "dog")}, set(), [("cat", "dog")]),
        ("range(3)", pd.Series([0, 1, 2]), [0, 1, 1], "012"),
        ("np.array([])", [], None, [1.0]),
    ],
)
def test_answers_of_each_kind_are_compared(course, expected, right, wrong, unusable):
    course(rule_for(expected))
    assert ask(right).title == "Right"
    assert wrong is None or ask(wrong).title == "Not yet"
    assert ask(unusable).title == "Not usable"


def test_a_number_may_be_off_by_the_tolerance(course):
    course(rule_for(0.5, tolerance=0.01), rule_for("[0.1 + 0.2, 1]"))
    assert [ask(value).right for value in (0.492, 0.508, 0.489, 0.511)] == [1, 1, 0, 0]
    assert ask([0.3, 1], "02.2").right  # but for the rounding of floating point
    assert not ask([0.3001, 1], "02.2").right


def test_a_rule_may_judge_by_a_function_and_ask_for_a_type(course):
    course('like=str, right=lambda text: len(text) == 3, wants="W", because="B", hints=["H"]')
    assert ask(" Owl ").right
    assert not ask("bird").right
    assert ask(3).title == "Not usable"


def test_what_the_function_of_a_learner_returns_may_be_unusable_too(course):
    course(
        "like=type(len), right=lambda f: exercises.comparable(f('ab'), 0) == 2, "
        'wants="a function that counts", because="B", hints=["H"]'
    )
    assert ask(len).right
    assert "`list`" in ask(sorted).message


def test_an_error_in_a_rule_is_not_taken_for_a_wrong_answer(course):
    course('like=1, right=lambda n: n / 0 == 1, wants="W", because="B", hints=["H"]')
    with pytest.raises(ZeroDivisionError):
        ask(3)


def test_an_unknown_name_lists_the_exercises_of_the_notebook(course):
    course(COUNT, COUNT)
    with pytest.raises(ValueError, match=r"no exercise '02.7': use one of 02.1, 02.2\.$"):
        ask(3, "02.7")
    with pytest.raises(ValueError, match="no notebook '98'"):
        ask(3, "98.1")


def test_a_name_that_is_missing_is_asked_for(course):
    course(COUNT)
    outcome = ask(328)
    assert outcome.message == "Run the cells above first: `table` is missing."
    assert not outcome.right


def test_a_mistake_within_a_function_of_the_learner_is_shown_as_it_is(course):
    def count(text):
        total += len(text)  # noqa: F821, F841 - the mistake
        return total  # noqa: F821

    course(
        'like=type(lambda: 0), right=lambda f: f("ab") == 2, wants="W", because="B", hints=["H"]'
    )
    with pytest.raises(UnboundLocalError, match="total"):
        ask(count)


def test_a_number_in_place_of_several_is_unusable(course):
    course('expected=(1, 2), wants="two numbers", because="B", hints=["H"]')
    assert ask(np.array([1, 2])).right
    for answer in (1, np.array(1)):
        assert ask(answer).title == "Not usable"


def test_a_check_changes_no_name_of_the_notebook(course):
    course(COUNT)
    names = {"exercises": exercises, "table": TABLE, "rule": "mine"}
    assert exercises.check("02.1", 328, names=names).right
    assert names == {"exercises": exercises, "table": TABLE, "rule": "mine"}


def test_outside_a_notebook_a_check_asks_for_names(course):
    course(COUNT)
    with pytest.raises(ValueError, match="names=globals"):
        exercises.check("02.1", 3)


def test_the_solution_can_be_shown(course, capsys):
    course(COUNT)
    exercises.solution("02.1")
    assert capsys.readouterr().out.startswith("answer = 328\n")


# --- rules that are wrong themselves --------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "either `expected` or `right`"),
        ({"expected": 3, "right": bool}, "either `expected` or `right`"),
        ({"expected": 3, "hints": []}, "no hint"),
        ({"expected": 3, "mistakes": [exercises.Mistake("m", example=1, hints=[])]}, "no hint"),
        ({"right": bool}, "needs `like`"),
    ],
)
def test_a_rule_that_lacks_something_is_refused(settings, message):
    with pytest.raises(ValueError, match=f"Exercise 02.1.*{message}"):
        exercises.Rule("02.1", **{"wants": "W", "because": "B", "hints": ["H"]} | settings)


def test_a_sound_rule_passes_its_self_test(course):
    course(COUNT)
    names = {"exercises": exercises, "table": TABLE}
    exercises.check("02.1", 328, names=names)
    exercises.self_test("02.1", names=names)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("example=656", "example=328", "counts as right"),
        ("example=2,", "example=656,", "It is doubled"),
        ("example=2,", "example='two',", "Not usable"),
        ('"Add all of them."', '"About 328."', "shows the answer"),
        ("int(table.sum())", "329", "the solution is not right"),
    ],
)
def test_a_self_test_finds_a_bad_rule(course, old, new, message):
    assert old in COUNT
    course(COUNT.replace(old, new))
    names = {"exercises": exercises, "table": TABLE}
    exercises.check("02.1", 328, names=names)
    with pytest.raises(AssertionError, match=message):
        exercises.self_test("02.1", names=names)


# --- the quiz -------------------------------------------------------------------------------------


def test_a_quiz_lists_its_questions_and_hides_which_option_is_right(course):
    course(COUNT)
    quiz = exercises.quiz("02")
    page = quiz._repr_html_()
    assert repr(quiz).splitlines()[2:5] == [
        "1. Why `so`?",
        "   ( ) Because it is large.",
        "   ( ) Because.",
    ]
    assert page.count("<fieldset") == page.count("<legend>") == 2
    assert page.count('type="radio"') == page.count("<label>") == 4
    assert "Why <code>so</code>?" in page
    assert "Indeed" not in page and "another matter" not in page
    assert page.count('aria-live="polite"') == 3
    assert "http" not in page


def test_two_views_of_a_quiz_do_not_share_a_name(course):
    course(COUNT)
    quiz = exercises.quiz("02")
    names = [set(re.findall(r'(?:name|data-quiz)="(.+?)"', quiz._repr_html_())) for _ in range(2)]
    assert len(names[0]) == 3
    assert not names[0] & names[1]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[x]", "[ ]", "2 options, 0 of them right"),
        ("[ ]", "[x]", "2 options, 2 of them right"),
        ("#   > Indeed.\n", "", "the option 'Because.' has no feedback"),
        ("# - [x] Because.\n#   > Indeed.\n", "", "1 options, 0 of them right"),
    ],
)
def test_a_broken_question_is_named(tmp_path, old, new, message):
    source = notebook(tmp_path, QUESTION, QUESTION.replace(old, new))
    with pytest.raises(ValueError, match=f"02_small, question 2: .*{re.escape(message)}"):
        pairing.exercise_data(source)


# --- from one source ------------------------------------------------------------------------------


def parts(number, *, without=()):
    cells = EXERCISE.format(name=f"02.{number}", rule=rule_for(number), solution=number)
    blocks = cells.strip().split("\n\n")
    tags = ("exercise", "solution", "check")
    return "\n\n".join(b for b, tag in zip(blocks, tags, strict=True) if tag not in without)


def test_the_notebook_holds_no_solution_check_or_quiz_and_ci_tests_each_exercise(tmp_path):
    source = notebook(tmp_path, parts(1), parts(2), QUESTION, '# %%\nexercises.quiz("02")')
    learners, tested = pairing.generate(source), pairing.generate(source, solutions=True)
    tags = [cell.metadata.get("tags", []) for cell in learners.cells]
    assert tags == [[], ["colab"], ["exercise"], ["exercise"], []]
    sources = [cell.source for cell in tested.cells]
    assert [text for text in sources if "self_test" in text] == [
        'exercises.self_test("02.1")',
        'exercises.self_test("02.2")',
    ]
    after = sources.index('exercises.self_test("02.1")')
    assert sources[after - 1] == 'answer = 1\nexercises.check("02.1", answer)'
    ids = [cell.id for cell in tested.cells]
    assert len(set(ids)) == len(ids)
    assert [i for i in ids if i in {cell.id for cell in learners.cells}] == [
        cell.id for cell in learners.cells
    ]


@pytest.mark.parametrize("missing", ["exercise", "solution", "check"])
def test_an_exercise_without_one_of_its_parts_is_named(tmp_path, missing):
    source = notebook(tmp_path, parts(1), parts(2, without=[missing]))
    with pytest.raises(ValueError, match="02_small: .*tagged"):
        pairing.exercise_data(source)


def test_a_cell_that_names_no_exercise_is_an_error(tmp_path):
    source = notebook(tmp_path, parts(1).replace("rule = exercises.Rule", "exercises.Rule"))
    with pytest.raises(ValueError, match="a cell tagged 'check' has no `rule = exercises.Rule"):
        pairing.exercise_data(source)


def test_encoded_data_hides_what_it_says_and_gives_it_back(tmp_path):
    source = notebook(tmp_path, parts(1), QUESTION)
    pairing.sync([source])
    stored = pairing.data_file(source).read_text(encoding="utf-8")
    assert not re.search("expected|wants|answer|Because|Indeed|Why", stored)
    rule = json.loads(stored)["exercises"]["02.1"]["rule"]
    assert "expected=1" in exercises.decode(rule)
    assert pairing.differences([source]) == []


def test_exercise_data_that_is_not_what_the_source_says_is_named(tmp_path):
    source = notebook(tmp_path, parts(1))
    pairing.sync([source])
    changed = source.read_text(encoding="utf-8").replace('because="B"', 'because="C"')
    source.write_text(changed, encoding="utf-8")
    assert pairing.differences([source]) == [
        "exercise_data/02.json differs from 02_small.py: run `make sync`."
    ]


# --- the course -----------------------------------------------------------------------------------

SOURCES = pairing.sources()


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_every_notebook_has_two_to_four_exercises_and_a_quiz(source):
    data = pairing.exercise_data(source)
    assert 2 <= len(data["exercises"]) <= 4
    assert len(json.loads(data["quiz"])) >= 3
    last = [cell.source for cell in jupytext.read(source).cells if cell.cell_type == "code"][-1]
    assert f'exercises.quiz("{source.stem[:2]}")' in last


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_no_notebook_shows_an_answer(source):
    text = source.with_suffix(".ipynb").read_text(encoding="utf-8")
    cells = nbformat.reads(text, as_version=4).cells
    assert not [c for c in cells if {"solution", "check", "quiz"} & set(c.metadata.get("tags", []))]
    data = pairing.exercise_data(source)
    told = [line for rule in data["exercises"].values() for line in rule["rule"].splitlines()]
    told = [line.strip() for line in told if re.match(r" *(expected|right|because|hints)=", line)]
    assert told
    shown = {line.strip() for cell in cells for line in cell.source.splitlines()}
    assert not shown & set(told)
    for question in json.loads(data["quiz"]):
        assert not any(option["feedback"] in text for option in question["options"])


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_the_first_code_cell_installs_the_course_on_colab_only(source, monkeypatch):
    cells = nbformat.read(source.with_suffix(".ipynb"), as_version=4).cells
    first = next(cell for cell in cells if cell.cell_type == "code")
    assert first.metadata["tags"] == ["colab"]
    installs = re.search(r"^ +%pip install --quiet \"git\+https://\S+\"$", first.source, re.M)
    assert installs
    called = []
    code = first.source.replace(installs[0].strip(), "called.append(1)")
    exec(code, {"called": called})
    assert not called  # here
    monkeypatch.setitem(__import__("sys").modules, "google.colab", object())
    exec(code, {"called": called})
    assert not called  # on Colab, where the course is installed already
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    exec(code, {"called": called})
    assert called == [1]


def test_saving_a_notebook_in_jupyterlab_leaves_its_source_alone(tmp_path):
    manager = jupytext.TextFileContentsManager()
    manager.root_dir = str(tmp_path)
    (tmp_path / "notebooks").mkdir()
    shutil.copy(ROOT / "jupytext.toml", tmp_path)
    for source in SOURCES:
        copies = [tmp_path / "notebooks" / f"{source.stem}{suffix}" for suffix in (".py", ".ipynb")]
        for copy in copies:
            shutil.copy(source.with_suffix(copy.suffix), copy)
        name = f"notebooks/{source.stem}.ipynb"
        model = manager.get(name)
        model["content"]["cells"][0]["source"] += "\nedited"
        manager.save(model, name)
        assert "edited" in copies[1].read_text(encoding="utf-8")
        assert copies[0].read_bytes() == source.read_bytes()
