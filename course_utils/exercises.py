"""Exercises that answer back, and the quiz at the end of each notebook.

An exercise cell ends with ``exercises.check("02.1", answer)``. The rule that judges the answer is a
cell tagged ``check`` in the notebook's ``.py`` source; ``make sync`` moves it, encoded, into
``exercise_data/NN.json``. Rules are evaluated with the names of the notebook in scope, so they are
right for every profile and data source.
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
import uuid
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from course_utils import records

GREEN, ORANGE, GRAY = "#009E73", "#E69F00", "#767676"

# Asked since the kernel started: how often each mistake of an exercise, and the last outcome.
_wrong: Counter[tuple[str, int | None]] = Counter()
_last: dict[str, Outcome] = {}


# ---------------------------------------------------------------------------------------------
# What an author writes


@dataclass(frozen=True)
class Mistake:
    """A typical wrong answer.

    Attributes
    ----------
    kind : str
        What went wrong, as a clause: ``"the biases are missing"``.
    example : object
        An answer with this mistake. CI feeds it to the rule and expects this mistake.
    hints : sequence of str
        Given one at a time; never the answer itself.
    when : callable, optional
        Tells whether an answer shows this mistake; by default if it equals the example.
    """

    kind: str
    _: KW_ONLY
    example: Any
    hints: Sequence[str]
    when: Callable[[Any], bool] | None = None


@dataclass(frozen=True)
class Rule:
    """How an exercise is judged.

    Answers are made comparable first: NumPy scalars, ints and floats alike become numbers, lists
    and arrays become arrays, texts are stripped and put in lower case. `right` and `when` get the
    answer in this form. An answer of another kind than `like` is never compared; what a learner's
    function returns can be made `comparable` by `right` and `when` themselves.

    Attributes
    ----------
    name : str
        Notebook and number: ``"02.1"``.
    expected : object, optional
        The right answer. A tuple stands for so many parts, each of its own kind; a list or array
        for any number of values of one kind.
    right : callable, optional
        Tells whether an answer is right, where no single value is; give this or `expected`.
    tolerance : float
        How far a number may be off (absolute).
    like : object, optional
        An example or the type of a usable answer; by default `expected`, or else the example of
        the first mistake.
    wants : str
        What kind of answer is wanted, such as ``"a whole number"``.
    because : str
        Why the right answer is right.
    mistakes : sequence of Mistake
        Typical wrong answers, the most specific first. A right answer is never held against them.
    hints : sequence of str
        For any other wrong answer, given one at a time; never the answer itself.

    Raises
    ------
    ValueError
        If there is not exactly one of `expected` and `right`, no hint, or nothing to tell the kind
        of a usable answer.
    """

    name: str
    _: KW_ONLY
    wants: str
    because: str
    hints: Sequence[str]
    expected: Any = None
    right: Callable[[Any], bool] | None = None
    tolerance: float = 0.0
    like: Any = None
    mistakes: Sequence[Mistake] = ()

    def __post_init__(self) -> None:
        if (self.expected is None) == (self.right is None):
            raise ValueError(f"Exercise {self.name} needs either `expected` or `right`.")
        if not self.hints or not all(mistake.hints for mistake in self.mistakes):
            raise ValueError(
                f"Exercise {self.name} has no hint for some wrong answers: give the rule and each "
                "mistake at least one."
            )
        if self.pattern is None:
            raise ValueError(f"Exercise {self.name} needs `like`, an example of a usable answer.")

    @property
    def pattern(self) -> Any:
        """An example or the type of a usable answer."""
        examples = [self.like, self.expected, *(mistake.example for mistake in self.mistakes)]
        return next((example for example in examples if example is not None), None)

    def is_right(self, answer: Any) -> bool:
        """Tell whether a comparable answer is right."""
        if self.right is not None:
            return bool(self.right(answer))
        return _equal(answer, comparable(self.expected, self.pattern), self.tolerance)

    def mistake_in(self, answer: Any) -> int | None:
        """Return the place of the first mistake that a comparable answer shows, or None."""
        for place, mistake in enumerate(self.mistakes):
            if mistake.when is not None:
                found = bool(mistake.when(answer))
            else:
                found = _equal(answer, comparable(mistake.example, self.pattern), self.tolerance)
            if found:
                return place
        return None


class UnusableAnswerError(ValueError):
    """The answer is not of the kind that the exercise wants."""

    def __init__(self, answer: Any) -> None:
        size = f" of shape {answer.shape}" if isinstance(answer, np.ndarray) else ""
        size = f" of length {len(answer)}" if isinstance(answer, list | tuple) else size
        super().__init__(f"this is of type `{type(answer).__name__}`{size}")


def comparable(answer: Any, pattern: Any) -> Any:
    """Bring an answer into the form in which it is compared.

    Parameters
    ----------
    answer : object
        What the learner passed.
    pattern : object
        An example or the type of a usable answer.

    Returns
    -------
    object
        A plain number, truth value or lower-case text; an array of one of them; a tuple; or the
        answer itself, for any other type.

    Raises
    ------
    UnusableAnswerError
        If the answer is of another kind than the pattern.
    """
    for plain, example in ((bool, False), (int, 0), (float, 0.0), (str, "")):
        if pattern is plain:
            pattern = example
    if isinstance(pattern, type):
        if not isinstance(answer, pattern):
            raise UnusableAnswerError(answer)
        return answer
    if isinstance(pattern, tuple):
        if isinstance(answer, np.ndarray) and answer.ndim:
            answer = tuple(answer)
        if not isinstance(answer, tuple | list) or len(answer) != len(pattern):
            raise UnusableAnswerError(answer)
        return tuple(map(comparable, answer, pattern))
    is_plain = isinstance(pattern, bool | int | float | str | list | range)
    if not is_plain and not hasattr(pattern, "__array__"):
        return comparable(answer, type(pattern))
    values, wanted = _array(answer), _array(pattern)
    if values.ndim != wanted.ndim or (values.size and _kind(values) != _kind(wanted)):
        raise UnusableAnswerError(answer)
    if _kind(values) == "text":
        plain_texts = [str(text).strip().lower() for text in values.flat]
        values = np.array(plain_texts, dtype=object).reshape(values.shape)
    return values.item() if values.ndim == 0 else values


def _array(values: Any) -> np.ndarray:
    try:
        return np.asarray(values)
    except (TypeError, ValueError) as error:  # rows of unequal length, or not an array at all
        raise UnusableAnswerError(values) from error


def _kind(values: np.ndarray) -> str:
    """Return ``number``, ``truth``, ``text`` or ``other``."""
    if values.dtype.kind in "iuf":
        return "number"
    if values.dtype.kind == "b":
        return "truth"
    return "text" if all(isinstance(value, str) for value in values.flat) else "other"


def _equal(answer: Any, expected: Any, tolerance: float) -> bool:
    """Compare two values that `comparable` returned."""
    if isinstance(expected, tuple):
        return all(
            _equal(one, other, tolerance) for one, other in zip(answer, expected, strict=True)
        )
    if isinstance(expected, np.ndarray | int | float | str) and not isinstance(expected, bool):
        if np.shape(answer) != np.shape(expected):
            return False
        if _kind(np.asarray(expected)) == "number":  # 1e-9: the rounding of floating point
            return bool(np.isclose(answer, expected, rtol=1e-9, atol=tolerance).all())
        return bool(np.all(np.asarray(answer) == np.asarray(expected)))
    return bool(answer == expected)


# ---------------------------------------------------------------------------------------------
# What a learner calls


@dataclass(frozen=True, repr=False)
class Outcome:
    """What a check answers; shows itself as a box.

    Attributes
    ----------
    name : str
        The exercise: ``"02.1"``.
    right : bool
        Whether the answer is right.
    title : str
        The verdict in a word or two.
    message : str
        What is right, wrong or missing.
    hint : str or None
        One hint, for a wrong answer.
    mistake : str or None
        The kind of mistake, where it is a typical one.
    """

    name: str
    right: bool
    title: str
    message: str
    hint: str | None = None
    mistake: str | None = None

    def __repr__(self) -> str:
        hint = f"\nHint: {self.hint}" if self.hint else ""
        return f"Exercise {self.name}: {self.title}. {self.message}{hint}"

    def _repr_html_(self) -> str:
        symbol, color = ("✓", GREEN) if self.right else ("✗", ORANGE) if self.hint else ("…", GRAY)
        hint = f'<p style="margin:.3em 0 0">Hint: {_inline(self.hint)}</p>' if self.hint else ""
        return (
            f'<div class="course-check" role="status" style="border-left:.3em solid {color};'
            f'padding:.4em .8em;margin:.3em 0;max-width:46em">'
            f'<p style="margin:0"><span aria-hidden="true">{symbol}</span> '
            f"<strong>Exercise {self.name}: {self.title}.</strong> {_inline(self.message)}</p>"
            f"{hint}</div>"
        )


def check(name: str, answer: Any, *, names: Mapping[str, Any] | None = None) -> Outcome:
    """Judge the answer to an exercise.

    Parameters
    ----------
    name : str
        Notebook and number: ``"02.1"``.
    answer : object
        Your answer; ``...`` means that there is none yet.
    names : mapping, optional
        The names of the notebook; by default those of the notebook that runs.

    Returns
    -------
    Outcome
        Right, with the reason; or the kind of mistake and one hint. Another wrong answer gets the
        next hint.

    Raises
    ------
    ValueError
        If there is no such exercise, or no notebook runs and `names` is not given.
    """
    entry = _exercise(name)
    parts = answer if isinstance(answer, list | tuple) else [answer]
    if any(part is ... for part in parts):
        outcome = Outcome(name, False, "Not answered yet", "Replace `...` and run the cell again.")
    else:
        try:
            rule = _rule(name, entry["rule"], names)
            outcome = _judge(rule, answer)
        except UnboundLocalError:
            raise  # in a function of the learner, who has to see where
        except NameError as error:
            message = f"Run the cells above first: `{error.name}` is missing."
            outcome = Outcome(name, False, "Not yet", message)
    _last[name] = outcome
    return outcome


def _judge(rule: Rule, given: Any) -> Outcome:
    try:
        answer = comparable(given, rule.pattern)
        if rule.is_right(answer):
            _forget(rule.name)
            return Outcome(rule.name, True, "Right", rule.because)
        place = rule.mistake_in(answer)
        if place is None and _other_shape(answer, rule.expected):
            raise UnusableAnswerError(given)
    except UnusableAnswerError as error:
        message = f"The answer should be {rule.wants}, but {error}."
        return Outcome(rule.name, False, "Not usable", message)
    if place is None:
        kind, hints, message = None, rule.hints, "This is not the answer."
    else:
        kind, hints = rule.mistakes[place].kind, rule.mistakes[place].hints
        message = f"{kind[0].upper()}{kind[1:]}."
    asked = _wrong[rule.name, place]
    _wrong[rule.name, place] += 1
    if asked >= len(hints):
        message += f' There are no more hints; `exercises.solution("{rule.name}")` shows one way.'
    return Outcome(rule.name, False, "Not yet", message, hints[min(asked, len(hints) - 1)], kind)


def _other_shape(answer: Any, expected: Any) -> bool:
    """Tell whether an array has more or fewer values than are expected."""
    if expected is None or not isinstance(answer, np.ndarray):
        return False
    return answer.shape != np.shape(expected)


def _forget(name: str) -> None:
    for key in [key for key in _wrong if key[0] == name]:
        del _wrong[key]


def solution(name: str) -> None:
    """Print one way to solve an exercise.

    Parameters
    ----------
    name : str
        Notebook and number: ``"02.1"``.

    Raises
    ------
    ValueError
        If there is no such exercise.
    """
    print(decode(_exercise(name)["solution"]))


def self_test(name: str, *, names: Mapping[str, Any] | None = None) -> None:
    """Test a rule right after its solution ran: CI does, learners need not.

    Parameters
    ----------
    name : str
        Notebook and number: ``"02.1"``.
    names : mapping, optional
        The names of the notebook; by default those of the notebook that runs.

    Raises
    ------
    AssertionError
        If the solution was not right, a typical mistake is not recognized, an answer of another
        type is not refused, or a hint shows the answer.
    """
    last = _last.get(name)
    assert last is not None and last.right, f"the solution is not right: {last}"
    _forget(name)
    rule = _rule(name, _exercise(name)["rule"], names)
    for mistake in rule.mistakes:
        outcome = check(name, mistake.example, names=names)
        assert not outcome.right, f"{name}: {mistake.example!r} ({mistake.kind}) counts as right"
        assert outcome.mistake == mistake.kind, f"{name}: {mistake.example!r} gives {outcome}"
        assert outcome.hint == mistake.hints[0], f"{name}: {mistake.example!r} gives {outcome}"
        _forget(name)
    refused = check(name, object(), names=names)
    assert refused.hint is None and rule.wants in refused.message, (
        f"{name}: object() gives {refused}"
    )
    hints = [*rule.hints, *(hint for mistake in rule.mistakes for hint in mistake.hints)]
    if isinstance(rule.expected, int | float) and len(str(rule.expected)) > 2:
        shown = [re.escape(text) for text in (str(rule.expected), f"{rule.expected:,}")]
        for hint in hints:
            found = re.search(rf"(?<!\d)({'|'.join(shown)})(?!\d)", hint)
            assert not found, f"{name}: the hint {hint!r} shows the answer"


# ---------------------------------------------------------------------------------------------
# The data behind exercises and quizzes


def encode(text: str) -> str:
    """Pack a text, so that it can't be read in passing."""
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode("ascii")


def decode(packed: str) -> str:
    """Unpack what `encode` packed."""
    return zlib.decompress(base64.b64decode(packed)).decode()


def _data(notebook: str) -> dict[str, Any]:
    """Return the exercises and the quiz of a notebook, packed."""
    folder = os.environ.get("COURSE_EXERCISES_DIR")
    place = Path(folder) if folder else resources.files("course_utils") / "exercise_data"
    file = place / f"{notebook}.json"
    if not file.is_file():
        raise ValueError(f"There is no notebook {notebook!r} with exercises: pass two digits.")
    remedy = "install the course anew."
    return records.read_json(file, "exercise data", remedy, check=_check_data)


def _check_data(content: Any) -> None:
    """Refuse what `encode` has not packed."""
    try:
        decode(content["quiz"])
        for exercise in content["exercises"].values():
            decode(exercise["rule"])
            decode(exercise["solution"])
    except (AttributeError, KeyError, TypeError, zlib.error) as error:
        raise ValueError(f"a part is missing or damaged: {error}") from error


def _exercise(name: str) -> dict[str, str]:
    found = _data(str(name).partition(".")[0])["exercises"]
    if name not in found:
        raise ValueError(f"There is no exercise {name!r}: use one of {', '.join(found)}.")
    return found[name]


def _rule(name: str, packed: str, names: Mapping[str, Any] | None) -> Rule:
    """Evaluate a rule with the names of the notebook, of which none is changed."""
    scope = dict(_notebook_names() if names is None else names)
    exec(compile(decode(packed), f"<check of exercise {name}>", "exec"), scope)
    return scope["rule"]


def _notebook_names() -> Mapping[str, Any]:
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is None:
        raise ValueError("No notebook is running: pass its names, such as names=globals().")
    return shell.user_ns


# ---------------------------------------------------------------------------------------------
# The quiz


@dataclass(frozen=True)
class Option:
    """One of the answers to choose from, with what is said about it."""

    text: str
    feedback: str
    right: bool


@dataclass(frozen=True)
class Question:
    """A question with one right option."""

    text: str
    options: Sequence[Option]


@dataclass(frozen=True, repr=False)
class Quiz:
    """A multiple-choice quiz that shows itself as a form; see `quiz`."""

    notebook: str
    questions: Sequence[Question]

    def __repr__(self) -> str:
        lines = [f"Quiz of notebook {self.notebook}"]
        for number, question in enumerate(self.questions, start=1):
            lines += ["", f"{number}. {question.text}"]
            lines += [f"   ( ) {option.text}" for option in question.options]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        key = f"quiz-{uuid.uuid4().hex}"
        fields = [
            self._fieldset(f"{key}-{number}", number, question)
            for number, question in enumerate(self.questions, start=1)
        ]
        return QUIZ.format(
            key=key, notebook=self.notebook, fields="\n".join(fields), total=len(self.questions)
        )

    @staticmethod
    def _fieldset(group: str, number: int, question: Question) -> str:
        said = [[option.right, _inline(option.feedback)] for option in question.options]
        packed = base64.b64encode(json.dumps(said).encode()).decode("ascii")
        options = "\n".join(
            f'<label><input type="radio" name="{group}" value="{place}">'
            f"<span>{_inline(option.text)}</span></label>"
            for place, option in enumerate(question.options)
        )
        return (
            f'<fieldset data-said="{packed}"><legend>{number}. {_inline(question.text)}</legend>\n'
            f'{options}\n<button type="button">Check answer {number}</button>\n'
            f'<p class="said" role="status" aria-live="polite"></p></fieldset>'
        )


# Colors are those of the place where the form is shown, so contrast holds in light and dark themes.
# The script may run before the form is on the page: it looks again every 0.1 s.
QUIZ = """\
<div class="course-quiz" data-quiz="{key}" data-lm-suppress-shortcuts="true">
<style>
.course-quiz {{ max-width: 46em; text-align: left }}
.course-quiz fieldset {{
  border: 1px solid; border-radius: .3em; margin: 0 0 1em; padding: .5em 1em }}
.course-quiz legend {{
  color: inherit; float: left; font-size: 1em; font-weight: bold; margin: 0 0 .3em; width: 100% }}
.course-quiz label {{
  clear: both; cursor: pointer; display: flex; gap: .5em; padding: .25em 0; text-align: left }}
.course-quiz input {{ flex: none; margin: .3em 0 0 }}
.course-quiz button {{
  background: none; border: 1px solid; border-radius: .3em; color: inherit; cursor: pointer;
  font: inherit; margin: .4em 0; padding: .2em .8em }}
.course-quiz p {{ margin: .2em 0; min-height: 1.4em }}
</style>
<form aria-label="Quiz of notebook {notebook}">
{fields}
<p class="count" role="status" aria-live="polite">{total} questions</p>
</form>
</div>
<script>(function start(tries) {{
  var place = document.querySelector('[data-quiz="{key}"]');
  if (!place) {{ if (tries) setTimeout(start, 100, tries - 1); return; }}
  var fields = Array.from(place.querySelectorAll("fieldset")), answers = {{}};
  function unpack(text) {{
    var bytes = Uint8Array.from(atob(text), function (c) {{ return c.charCodeAt(0); }});
    return JSON.parse(new TextDecoder().decode(bytes));
  }}
  function answer(field, number) {{
    var chosen = field.querySelector("input:checked"), line = field.querySelector(".said");
    if (!chosen) {{ line.textContent = "Choose an answer first."; return; }}
    var said = unpack(field.dataset.said)[chosen.value];
    answers[number] = said[0];
    line.innerHTML = "<strong>" + (said[0] ? "✓ Right." : "✗ Not right.") + "</strong> " + said[1];
    var values = Object.values(answers), open = fields.length - values.length;
    place.querySelector(".count").textContent =
      values.filter(Boolean).length + " of " + fields.length + " answered right" +
      (open ? ", " + open + " to go" : "");
  }}
  fields.forEach(function (field, number) {{
    field.querySelector("button").addEventListener("click", function () {{
      answer(field, number);
    }});
    field.addEventListener("change", function () {{
      field.querySelector(".said").textContent = "";
    }});
  }});
  // Keys pressed in the form are not meant for the slides or the notebook around it.
  place.addEventListener("keydown", function (event) {{ event.stopPropagation(); }});
  place.querySelector("form").addEventListener("submit", function (event) {{
    event.preventDefault();
  }});
}})(300)</script>"""


def quiz(notebook: str) -> Quiz:
    """Show the quiz of a notebook.

    Parameters
    ----------
    notebook : str
        Two digits: ``"02"``.

    Returns
    -------
    Quiz
        Shows itself as a form that is answered in place, without a kernel and without a network.

    Raises
    ------
    ValueError
        If the notebook has none.
    """
    questions = json.loads(decode(_data(notebook)["quiz"]))
    return Quiz(
        notebook, [Question(q["text"], [Option(**o) for o in q["options"]]) for q in questions]
    )


def _inline(text: str) -> str:
    """Turn a line of Markdown (code, bold, emphasis) into HTML."""
    # Every second part is code, where asterisks are no emphasis.
    parts = html.escape(text).split("`")
    for place, part in enumerate(parts):
        if place % 2:
            parts[place] = f"<code>{part}</code>"
        else:
            part = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", part)
            parts[place] = re.sub(r"\*(\S.*?)\*", r"<em>\1</em>", part)
    return "".join(parts)
