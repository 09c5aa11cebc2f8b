"""Tell which records are stale, because an experiment of their notebook has changed since.

A record keeps a fingerprint of the statements that its figures depend on: those that call
`training.fit`, `records.note` or `records.note_test`, directly or through a function of the
notebook, and all that come before and that these depend on. Prose, comments, formatting, plots,
printed lines and exercises may change; so may what other profiles pick.

``python -m tools.experiments`` writes into each record in ``results/`` whether it is stale, and
why: whoever reads records leaves a stale one out and says so. ``--check`` tells whether what they
say is right.
"""

from __future__ import annotations

import argparse
import ast
import copy
import hashlib
import json
import symtable
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jupytext

from course_utils import files, records
from tools import pairing

LEFT_OUT = {"exercise", "solution", "check", "quiz"}
MEASURES = {"training.fit", "records.note", "records.note_test"}
SEEDS = {"training.seed_everything", "keras.utils.set_random_seed"}
SHOWS = {"print", "display", "clear_output"}
# Methods that change the object they belong to; a drawn number changes a random generator.
CHANGES = {"add", "append", "assign", "build", "clear", "compile", "discard", "extend", "fit"}
CHANGES |= {"insert", "load_weights", "pop", "remove", "set_weights", "setdefault", "sort"}
CHANGES |= {"train_on_batch", "update", "choice", "integers", "multinomial", "normal"}
CHANGES |= {"permutation", "random", "shuffle", "standard_normal", "uniform"}
# Calls whose result holds the very objects that went in.
HANDS_ON = {"dict", "enumerate", "list", "reversed", "sorted", "tuple", "zip"}
HANDS_ON |= {"get", "items", "values"}
WITHIN = "_within_a_comprehension"
NESTED = (ast.FunctionDef, ast.ClassDef, ast.Lambda)


@dataclass
class Statement:
    """A statement of a notebook's top level, without what is only shown.

    Attributes
    ----------
    node : ast.stmt
        The statement.
    uses, binds, changes : set of str
        Names that it reads, gives a value, or whose object it changes.
    measures : bool
        Whether it trains, notes a figure or sets the seed.
    """

    node: ast.stmt
    uses: set[str]
    binds: set[str]
    changes: set[str] = field(default_factory=set)
    measures: bool = False

    @property
    def runs_later(self) -> bool:
        """Tell whether it holds code that looks its names up when it is called."""
        return any(isinstance(node, NESTED) for node in ast.walk(self.node))

    def entry(self) -> str:
        """Return twelve digits that stand for the statement, and its first line."""
        digits = hashlib.sha256(json.dumps(_plain(self.node)).encode()).hexdigest()[:12]
        lines = ast.unparse(self.node).splitlines()
        return f"{digits} {next(line for line in lines if not line.startswith('@'))[:80]}"


def fingerprint(source: Path, profile: str) -> list[str]:
    """Return what identifies the experiments of a notebook in a profile.

    Parameters
    ----------
    source : pathlib.Path
        The ``NN_topic.py``.
    profile : str
        ``full``, ``quick`` or ``smoke``: what the others pick does not count.

    Returns
    -------
    list of str
        For each statement that matters, in order: digits that stand for it, and its first line.
    """
    statements = _analyzed(list(_nodes(source, profile)))
    return [statements[place].entry() for place in sorted(_needed(statements))]


def why_stale(record: dict[str, Any], source: Path | None) -> str | None:
    """Return why a record no longer shows what its notebook does.

    Parameters
    ----------
    record : dict
        The content of a record.
    source : pathlib.Path or None
        The ``NN_topic.py`` of its notebook; None if there is none.

    Returns
    -------
    str or None
        A sentence; None if the experiments are those that were recorded.
    """
    name = f"The {record['profile']} record of {record['notebook']} is stale"
    if source is None:
        return f"{name}: there is no such notebook."
    if "experiments" not in record:
        return f"{name}: it was made before records kept what identifies their experiments."
    before, now = record["experiments"], fingerprint(source, record["profile"])
    for entries, others, verb in ((now, before, "was not recorded"), (before, now, "is gone")):
        known = _digits(others)
        for entry in entries:
            if entry[:12] not in known:
                return f"{name}: `{entry[13:]}` {verb} in this form."
    same_order = _digits(before) == _digits(now)
    return None if same_order else f"{name}: its statements come in another order."


def _digits(entries: list[str]) -> list[str]:
    """Leave out the lines, whose quotes Python's versions write differently."""
    return [entry[:12] for entry in entries]


def _nodes(source: Path, profile: str) -> Iterator[ast.stmt]:
    """Yield the statements of all cells but exercises, without what is only shown."""
    for cell in jupytext.read(source, fmt="py:percent").cells:
        if cell.cell_type != "code" or LEFT_OUT & set(cell.metadata.get("tags", [])):
            continue
        for node in ast.parse(cell.source).body:
            kept = _Experiment(profile).visit(node)
            if isinstance(kept, ast.Import | ast.ImportFrom):  # one for each name
                for alias in kept.names:
                    fields = {key: value for key, value in vars(kept).items() if key != "names"}
                    yield type(kept)(names=[alias], **fields)
            elif kept is not None:
                yield kept


class _Experiment(ast.NodeTransformer):
    """Put in what a profile picks; drop docstrings, assertions and what is only shown."""

    def __init__(self, profile: str) -> None:
        self.profile = profile

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if getattr(node, "body", None) == []:
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
        return node

    def visit_Assert(self, node: ast.Assert) -> None:
        return None

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        shown = isinstance(node.value, ast.Call) and ast.unparse(node.value.func) in SHOWS
        if shown or isinstance(node.value, ast.Constant):
            return None
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if ast.unparse(node.func) == "profile.pick":
            return self.visit(next(k.value for k in node.keywords if k.arg == self.profile))
        node.keywords = [keyword for keyword in node.keywords if keyword.arg != "progress"]
        return self.generic_visit(node)


def _plain(node: Any) -> Any:
    """Return a tree as lists; what is empty is left out, as Python's versions differ in it."""
    if isinstance(node, list):
        return [_plain(part) for part in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    parts = [(name, value) for name, value in ast.iter_fields(node) if value not in (None, [])]
    return [type(node).__name__, *([name, _plain(value)] for name, value in parts)]


def _analyzed(nodes: list[ast.stmt]) -> list[Statement]:
    """Find out what each statement uses, binds and changes, and whether it measures."""
    statements = [Statement(node, *_names(node)) for node in nodes]
    functions = {node.name: node for node in nodes if isinstance(node, ast.FunctionDef)}
    modules = {
        name
        for statement in statements
        if isinstance(statement.node, ast.Import | ast.ImportFrom)
        for name in statement.binds
    }
    measuring, changed = _effects(functions)
    for statement in statements:
        if isinstance(statement.node, ast.FunctionDef | ast.ClassDef):
            continue
        statement.changes = _changes(statement.node, functions, changed) - modules
        statement.measures = bool(_calls(statement.node) & (MEASURES | SEEDS | measuring))
    return statements


def _names(node: ast.stmt) -> tuple[set[str], set[str]]:
    """Return the names that a statement reads before it gives them a value, and those it binds."""
    if isinstance(node, ast.For | ast.While | ast.If | ast.With):
        heads = [node.iter] if isinstance(node, ast.For) else []
        heads += [node.test] if isinstance(node, ast.While | ast.If) else []
        heads += [item.context_expr for item in getattr(node, "items", [])]
        uses = set().union(*(_names(ast.Expr(head))[0] for head in heads))
        targets = [node.target] if isinstance(node, ast.For) else []
        targets += [item.optional_vars for item in getattr(node, "items", [])]
        binds = {part.id for target in targets if target for part in _walk_names(target)}
        for part in [*node.body, *getattr(node, "orelse", [])]:
            used, bound = _names(part)
            uses |= used - binds
            binds |= bound
        return uses, binds
    apart = _Comprehensions().visit(copy.deepcopy(node))
    table = symtable.symtable(ast.unparse(apart), "statement", "exec")
    own = [symbol for symbol in table.get_symbols() if not symbol.get_name().endswith(WITHIN)]
    uses = {symbol.get_name() for symbol in own if symbol.is_referenced()} | _globals(table)
    binds = {s.get_name() for s in own if s.is_assigned() or s.is_imported() or s.is_namespace()}
    if isinstance(node, ast.AugAssign):
        uses |= binds
    return uses, binds


class _Comprehensions(ast.NodeTransformer):
    """Mark the names that live in a comprehension: since 3.12 Python counts them to its outside."""

    def _mark(self, node: Any) -> ast.AST:
        self.generic_visit(node)
        generators: list[ast.comprehension] = node.generators
        own = {name.id for each in generators for name in _walk_names(each.target)}
        outside = set(_walk_names(generators[0].iter))
        for name in _walk_names(node):
            if name.id in own and name not in outside:
                name.id += WITHIN
        return node

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _mark  # noqa: N815


def _globals(table: symtable.SymbolTable) -> set[str]:
    """Return the names that functions, classes and comprehensions take from the top level."""
    found = set()
    for child in table.get_children():
        found |= {symbol.get_name() for symbol in child.get_symbols() if symbol.is_global()}
        found |= _globals(child)
    return found


def _walk_names(node: ast.AST) -> Iterator[ast.Name]:
    return (part for part in ast.walk(node) if isinstance(part, ast.Name))


def _calls(node: ast.AST) -> set[str]:
    return {ast.unparse(part.func) for part in ast.walk(node) if isinstance(part, ast.Call)}


def _effects(functions: dict[str, ast.FunctionDef]) -> tuple[set[str], dict[str, set[str]]]:
    """Return the functions that measure, and what each changes: parameters and globals."""
    measuring: set[str] = set()
    changed: dict[str, set[str]] = {name: set() for name in functions}
    while True:
        before = len(measuring), sum(map(len, changed.values()))
        for name, node in functions.items():
            if _calls(node) & (MEASURES | measuring):
                measuring.add(name)
            changed[name] |= _changes(node, functions, changed)
        if before == (len(measuring), sum(map(len, changed.values()))):
            return measuring, changed


def _changes(
    node: ast.AST, functions: dict[str, ast.FunctionDef], changed: dict[str, set[str]]
) -> set[str]:
    """Return the names whose objects a statement or a function changes."""
    found: set[str] = set()
    aliases: dict[str, set[str]] = {}
    for part in ast.walk(node):
        if isinstance(part, ast.Assign | ast.NamedExpr | ast.For | ast.comprehension):
            value = part.iter if isinstance(part, ast.For | ast.comprehension) else part.value
            for target in part.targets if isinstance(part, ast.Assign) else [part.target]:
                for name in _walk_names(target):
                    if isinstance(name.ctx, ast.Store):
                        aliases.setdefault(name.id, set()).update(_held(value))
        if isinstance(part, ast.Attribute | ast.Subscript):
            if not isinstance(part.ctx, ast.Load):
                found |= _held(part)
        elif isinstance(part, ast.AugAssign):
            found |= _held(part.target)
        elif isinstance(part, ast.Call):
            if isinstance(part.func, ast.Attribute) and part.func.attr in CHANGES:
                found |= _held(part.func.value)
            elif isinstance(part.func, ast.Name) and part.func.id in functions:
                found |= _changed_by_call(part, functions[part.func.id], changed[part.func.id])
    while more := set().union(*(aliases.get(name, set()) for name in found)) - found:
        found |= more
    return found


def _changed_by_call(call: ast.Call, function: ast.FunctionDef, changed: set[str]) -> set[str]:
    """Return what a call changes: arguments of parameters that are changed, and globals."""
    own = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    parameters = [parameter.arg for parameter in own]
    passed = dict(zip(parameters, call.args, strict=False))
    passed |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    table = symtable.symtable(ast.unparse(function), "function", "exec")
    found = changed & _globals(table)
    for name in changed & passed.keys():
        found |= _held(passed[name])
    return found


def _held(node: ast.AST) -> set[str]:
    """Return the names whose objects, or parts of them, an expression holds."""
    if isinstance(node, ast.Name):
        return {node.id}
    if isinstance(node, ast.Attribute | ast.Subscript | ast.Starred | ast.NamedExpr):
        return _held(node.value)
    if isinstance(node, ast.Call):
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else ast.unparse(called)
        parts = [*node.args, *([called.value] if isinstance(called, ast.Attribute) else [])]
        return set().union(*map(_held, parts)) if name in HANDS_ON else set()
    if isinstance(node, ast.Tuple | ast.List | ast.Set | ast.Dict | ast.IfExp | ast.BinOp):
        return set().union(*map(_held, ast.iter_child_nodes(node)))
    if isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
        own = [node.value] if isinstance(node, ast.DictComp) else [node.elt]
        return set().union(*map(_held, [*own, *(part.iter for part in node.generators)]))
    return set()


def _needed(statements: list[Statement]) -> set[int]:
    """Return the places of the statements that measure, and of all that these depend on."""
    wanted = [(place, place) for place, each in enumerate(statements) if each.measures]
    seen: set[tuple[int, int]] = set()
    while wanted:
        place, limit = wanted.pop()
        if (place, limit) in seen:
            continue
        seen.add((place, limit))
        statement = statements[place]
        for name in statement.uses:
            for before in {place, limit} if statement.runs_later else {place}:
                wanted += [(found, before) for found in _makers(statements, name, before)]
    return {place for place, _ in seen}


def _makers(statements: list[Statement], name: str, limit: int) -> Iterable[int]:
    """Return the places before a limit where a name got its value, and where that was changed."""
    places = range(limit - 1, -1, -1)
    bound = next((p for p in places if _gives(statements[p], name)), None)
    if bound is None:  # a function may use what is defined below it
        later = range(limit, len(statements))
        return [p for p in later if _gives(statements[p], name)][:1]
    return [bound, *(p for p in range(bound + 1, limit) if name in statements[p].changes)]


def _gives(statement: Statement, name: str) -> bool:
    return name in statement.binds and not isinstance(statement.node, ast.AugAssign)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing, compare")
    options = parser.parse_args(arguments)
    sources = {source.stem: source for source in pairing.sources()}
    differing = []
    for path in sorted(records.results_folder().glob("**/[0-9][0-9]_*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        reason = why_stale(record, sources.get(record["notebook"]))
        if reason:
            print(f"{reason} `{_command(record)}` makes it anew.")
        if record.get("stale") != reason:
            differing.append(path)
            record.pop("stale", None)
            record |= {"stale": reason} if reason else {}
            if not options.check:
                with files.replacing(path) as temporary:
                    temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")
    if options.check and differing:
        names = ", ".join(path.name for path in differing)
        print(f"The mark `stale` is wrong in {names}: run `python -m tools.experiments`.")
    return 1 if options.check and differing else 0


def _command(record: dict[str, Any]) -> str:
    number = record["notebook"][:2]
    if record["profile"] == "full":
        return f"make record NB={number}"
    return f"python -m tools.record --profile {record['profile']} {number}"


if __name__ == "__main__":
    sys.exit(main())
