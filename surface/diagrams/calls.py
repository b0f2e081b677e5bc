"""The surface's functions by their source: what calls what, under which `case`, with which words.

Nothing is imported for it and nothing is run. What cannot be known from the source alone (a callback, a
method of another object) is not followed; `origins` begins there anew.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TypeAlias, TypeVar

import surface

PACKAGE = Path(surface.__file__).parent

Function: TypeAlias = tuple[str, str]
"""Module and qualified name."""

Given: TypeAlias = frozenset[tuple[str, bool]]
"""What a way knows of a function's arguments."""

A = TypeVar("A")


class Code:
    """All functions and methods of the surface."""

    def __init__(self) -> None:
        self.functions: dict[Function, ast.AST] = {}
        self._imports: dict[str, dict[str, Function]] = defaultdict(dict)
        for path in sorted(PACKAGE.rglob("*.py")):
            module = ".".join(("surface", *path.relative_to(PACKAGE).with_suffix("").parts))
            self._read(module, ast.parse(path.read_text(encoding="utf-8")))

    def _read(self, module: str, tree: ast.Module) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("surface"):
                for name in node.names:
                    self._imports[module][name.asname or name.name] = (node.module or "", name.name)
        for top in tree.body:
            if isinstance(top, ast.FunctionDef | ast.AsyncFunctionDef):
                self.functions[module, top.name] = top
            elif isinstance(top, ast.ClassDef):
                for node in top.body:
                    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                        self.functions[module, f"{top.name}.{node.name}"] = node

    def named(self, name: str) -> Function:
        """The one function of this name, wherever it stands.

        Raises:
            LookupError: there is none, or several.
        """
        found = [function for function in self.functions if function[1] == name]
        if len(found) != 1:
            raise LookupError(f"{len(found)} functions are called {name}")
        return found[0]

    def cases(self, function: Function) -> list[tuple[list[str], list[ast.stmt]]]:
        """The classes named by each `case` of a function, and what is done there."""
        matches = [n for n in ast.walk(self.functions[function]) if isinstance(n, ast.Match)]
        return [
            (names, case.body)
            for match in matches
            for case in match.cases
            if (names := classes(case.pattern))
        ]

    def conditions(self, function: Function) -> dict[str, set[tuple[str, object]]]:
        """By class, what every `case` of it asks of its fields outright."""
        found: dict[str, set[tuple[str, object]]] = {}
        for match in [n for n in ast.walk(self.functions[function]) if isinstance(n, ast.Match)]:
            for case in match.cases:
                asked: set[tuple[str, object]] = {
                    (name, pattern.value)
                    for node in [case.pattern]
                    if isinstance(node, ast.MatchClass)
                    for name, pattern in zip(node.kwd_attrs, node.kwd_patterns, strict=True)
                    if isinstance(pattern, ast.MatchSingleton)
                }
                for name in classes(case.pattern):
                    found[name] = found[name] & asked if name in found else asked
        return found

    def makes(self, body: list[ast.stmt], record: str) -> bool:
        """Say whether a piece of `Case.outcome`, or what it calls there, makes a record of this name."""
        calls = [n for part in body for n in ast.walk(part) if isinstance(n, ast.Call)]
        called = [self.resolved(("surface.case", "Case.outcome"), call.func) for call in calls]
        inside = [n for f in called if f is not None for n in ast.walk(self.functions[f])]
        return any(
            isinstance(n, ast.Assign)
            and isinstance(n.value, ast.Call)
            and isinstance(n.value.func, ast.Name)
            and n.value.func.id == record
            for n in inside
        )

    def resolved(self, function: Function, called: ast.expr) -> Function | None:
        """The function of ours behind the name that is called."""
        module, name = function
        match called:
            case ast.Name(id=local):
                found = self._imports[module].get(local, (module, local))
            case ast.Attribute(value=ast.Name(id="self"), attr=method):
                found = (module, f"{name.partition('.')[0]}.{method}")
            case ast.Attribute(value=ast.Name(id=alias), attr=inside):
                package, last = self._imports[module].get(alias, ("", ""))
                found = (f"{package}.{last}", inside)
            case _:
                return None
        return found if found in self.functions else None


@cache
def code() -> Code:
    """The surface that runs."""
    return Code()


def calls(
    node: ast.AST,
    about: A,
    given: Mapping[str, bool],
    narrowed: Callable[[A, list[str]], Iterable[A]],
) -> Iterator[tuple[ast.Call, A]]:
    """The calls in a piece of code, each with what it is about.

    Args:
        about: what the piece is about.
        given: what is known of the arguments; branches that it rules out are left out.
        narrowed: what a `case` of these classes is about; nothing: it is not gone into.
    """
    if isinstance(node, ast.match_case):
        for each in narrowed(about, classes(node.pattern)):
            for part in node.body:
                yield from calls(part, each, given, narrowed)
        return
    if isinstance(node, ast.If) and (known := decided(node.test, given)) is not None:
        for part in node.body if known else node.orelse:
            yield from calls(part, about, given, narrowed)
        return
    if isinstance(node, ast.Call):
        yield node, about
    for child in ast.iter_child_nodes(node):
        yield from calls(child, about, given, narrowed)


def words(argument: ast.expr, given: Mapping[str, bool]) -> Iterator[str]:
    """What an argument may be, if it is written there as text."""
    match argument:
        case ast.Constant(value=str(word)):
            yield word
        case ast.IfExp(test=test, body=yes, orelse=no):
            known = decided(test, given)
            for branch, told in ((yes, True), (no, False)):
                if known is None or known is told:
                    yield from words(branch, given)


def given_by(call: ast.Call) -> Given:
    """What a call says outright: `accepted=False`."""
    return frozenset(
        (keyword.arg, keyword.value.value)
        for keyword in call.keywords
        if keyword.arg
        and isinstance(keyword.value, ast.Constant)
        and isinstance(keyword.value.value, bool)
    )


def decided(test: ast.expr, given: Mapping[str, bool]) -> bool | None:
    """What a condition comes to, if what the call has said decides it."""
    match test:
        case ast.Name(id=name):
            return given.get(name)
        case ast.UnaryOp(op=ast.Not(), operand=ast.Name(id=name)):
            return not given[name] if name in given else None
    return None


def classes(pattern: ast.pattern) -> list[str]:
    """The classes that a pattern is about; not those of what they hold."""
    match pattern:
        case ast.MatchOr(patterns=several):
            return [name for each in several for name in classes(each)]
        case ast.MatchAs(pattern=ast.pattern() as inner):
            return classes(inner)
        case ast.MatchClass(cls=ast.Name(id=name)):
            return [name]
    return []
