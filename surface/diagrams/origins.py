"""Where the machines' events come from: read from the code that sends them, never written down here.

A chart says what an event does; who sends it stands in the surface: a decision on an input
(`reception.receive`), a command, what the outcome of an effect means (`aftermath`), a reconciler's step,
an agent's stream, a timer. All of these end in `machine.take("event", …)`. This module follows the calls
from each of those roots to every `take`, by the functions' source alone: nothing is run. On the way a
`case Invite():` names the input (or the effect, or the step) that the rest of the way is about.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import get_args

from machines import MACHINES
from machines.effects import Effect
from machines.tables import describe
from surface.diagrams.calls import Function, Given, calls, code, given_by, words
from surface.inputs import Input
from surface.platform.interface import TurnEvent


@dataclass(frozen=True, order=True)
class Origin:
    """Something that may make a machine take an event.

    Args:
        kind: one of `KINDS`.
        what: which one: the input's class, the command, the effect; empty if there is but one.
    """

    kind: str
    what: str

    def __str__(self) -> str:
        return KINDS[self.kind].format(f"`{self.what}`" if self.what else "").strip()


KINDS: Mapping[str, str] = {
    "input": "{} from the inbox",
    "command": "{}",
    "outcome": "what became of {}",
    "decision": "{} in the same decision",
    "agent": "the agent's {}",
    "turn": "the running turn {}",
    "reconciler": "the reconciler {}",
    "timer": "a timer {}",
    "operator": "the operator {}",
}
"""Kind of origin → how it is said."""

ROOTS: Mapping[Function, str] = {
    ("surface.reception", "receive"): "input",
    ("surface.aftermath", "aftermath"): "outcome",
    ("surface.case", "Case.outcome"): "decision",
    ("surface.turn_run", "*"): "turn",
    ("surface.reconcile.apply", "*"): "reconciler",
    ("surface.reconcile.plan", "*"): "reconciler",
    ("surface.reconcile.rooms", "*"): "reconciler",
    ("surface.timers", "*"): "timer",
    ("surface.forget", "*"): "operator",
}
"""Where decisions begin, and the kind of origin that is; `*`: at what no other of these modules calls."""

_INPUTS = frozenset(kind.__name__ for kind in get_args(Input))
_OF_AGENT = frozenset(kind.__name__ for kind in get_args(TurnEvent))
_EFFECTS = frozenset(effect.__name__ for effect in get_args(Effect))
_RECEIVERS = {
    "user": "UserMachine",
    "room": "RoomMachine",
    "turn": "TurnMachine",
    "dialog": "DialogMachine",
    "tray": "TrayMachine",
}
"""What a variable, or the method that gives a machine, is called."""


@cache
def origins() -> Mapping[tuple[str, str], tuple[Origin, ...]]:
    """By (machine, event): what may send it; in the order of `KINDS`."""
    found: dict[tuple[str, str], set[Origin]] = defaultdict(set)
    for root, first in _roots():
        for taken, origin in _follow(root, first):
            found[taken].add(origin)
    order = list(KINDS)
    return {
        taken: tuple(sorted(those, key=lambda o: (order.index(o.kind), o.what)))
        for taken, those in found.items()
    }


@cache
def answers() -> Mapping[str, tuple[tuple[str, str], ...]]:
    """By effect: the (machine, event) that its outcome may come back as."""
    back: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for taken, those in origins().items():
        for origin in those:
            if origin.kind in ("outcome", "decision") and origin.what:
                back[origin.what].append(taken)
    return {effect: tuple(sorted(set(taken))) for effect, taken in back.items()}


def comes_back(machine: str, effect: str) -> tuple[tuple[str, str], ...]:
    """The (machine, event) that the outcome of an effect may come back as, if this machine wants it.

    Some of what follows is so of certain effects only (`case Notice(dialog=True)`): then of a machine
    that never wants such, nothing comes back.
    """
    (chart,) = [chart for chart in MACHINES if chart.__name__ == machine]
    asked = code().conditions(("surface.aftermath", "aftermath")).get(effect, set())
    source = ast.parse(inspect.getsource(sys.modules[chart.__module__]))
    wants = [
        {
            (keyword.arg, keyword.value.value)
            for keyword in call.keywords
            if isinstance(keyword.value, ast.Constant)
        }
        for call in ast.walk(source)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == effect
    ]
    return answers().get(effect, ()) if any(asked <= given for given in wants) else ()


@cache
def begun() -> Mapping[str, str]:
    """By effect that a decision follows at once: the machine that begins by it (`AcceptTurn`: a turn)."""
    return {
        name: machine.__name__
        for names, body in code().cases(("surface.case", "Case.outcome"))
        for name in names
        for machine in MACHINES
        if code().makes(body, machine.__name__.removesuffix("Machine"))
    }


@cache
def lanes() -> Mapping[str, str]:
    """By effect: the lane it goes in (`talk`, `files` …), or `decision` if it never leaves that."""
    inside = code().cases(("surface.case", "Case.outcome"))
    found: dict[str, str] = {}
    for names, body in code().cases(code().named("lane_of")):
        for node in body:
            for text in ast.walk(node):
                if isinstance(text, ast.JoinedStr) and isinstance(text.values[0], ast.Constant):
                    found |= dict.fromkeys(names, str(text.values[0].value).rstrip(":"))
    return found | {name: "decision" for names, _ in inside for name in names}


@cache
def _takers() -> Mapping[str, set[str]]:
    """By event, the machines that have it."""
    found: dict[str, set[str]] = defaultdict(set)
    for machine in map(describe, MACHINES):
        for event in machine.events:
            found[event].add(machine.name)
    return found


def _roots() -> Iterator[tuple[Function, Origin]]:
    """Where decisions begin."""
    modules = {module for module, _ in ROOTS}
    called = {
        code().resolved(function, node.func)
        for function, body in code().functions.items()
        if function[0] in modules
        for node in ast.walk(body)
        if isinstance(node, ast.Call)
    }
    for (module, name), kind in ROOTS.items():
        for function in list(code().functions):
            first = function[0] == module and name == "*" and function not in called
            if first or function == (module, name):
                yield function, Origin(kind, "")
    from surface.commands.registry import COMMANDS  # noqa: PLC0415 - it loads all the commands

    for spec in COMMANDS:
        handler = (spec.handler.__module__, spec.handler.__qualname__)
        if handler in code().functions:
            yield handler, Origin("command", f"!{spec.name}")


def _follow(root: Function, origin: Origin) -> Iterator[tuple[tuple[str, str], Origin]]:
    """All events that are sent on the ways from a function, each with what that way is about."""
    seen: set[tuple[Function, Origin, Given]] = set()
    todo: list[tuple[Function, Origin, Given]] = [(root, origin, frozenset())]
    while todo:
        way = todo.pop()
        function, about, given = way
        if way in seen or function not in code().functions:
            continue
        seen.add(way)
        for call, of in calls(code().functions[function], about, dict(given), _narrowed):
            for machine, event in _taken(function, call, dict(given)):
                yield (machine, event), of
            called = code().resolved(function, call.func)
            # A root has origins of its own.
            if called is not None and called not in ROOTS:
                todo.append((called, of, given_by(call)))


def _taken(
    function: Function, call: ast.Call, given: Mapping[str, bool]
) -> Iterator[tuple[str, str]]:
    """The events that a call sends: itself, or by handing their names to a function of ours."""
    said = [word for argument in call.args for word in words(argument, given)]
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    sends = (
        name == "take"
        or (isinstance(call.func, ast.Name) and call.func.id in ("Take", "AdoptRoom"))
        or code().resolved(function, call.func) is not None
    )
    if not sends:
        return
    whose = _receiver(call) if name == "take" else None
    for word in said:
        machines = _takers().get(word, set())
        told = {_RECEIVERS[w] for w in said if w in _RECEIVERS}
        for machine in (machines & told) or machines:
            if whose is None or whose == machine or whose not in machines:
                yield machine, word


def _narrowed(origin: Origin, names: list[str]) -> list[Origin]:
    """The origins in a `case` of these classes: the same, if the case says nothing about it."""
    match origin.kind:
        case "outcome" | "decision":
            told = [name for name in names if name in _EFFECTS]
        case "turn" | "agent":
            told = [name for name in names if name in _OF_AGENT]
        case "input":
            told = [name for name in names if name in _INPUTS]
        case _:
            told = []
    if not told:
        return [origin]
    if origin.what:
        return [origin] if origin.what in told else []
    kind = "agent" if origin.kind == "turn" else origin.kind
    return [Origin(kind, name) for name in told]


def _receiver(call: ast.Call) -> str | None:
    """The machine whose `take` is called, if its name tells."""
    assert isinstance(call.func, ast.Attribute)
    match call.func.value:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return _RECEIVERS.get(name)
        case ast.Call(func=ast.Attribute(attr=name)):
            return _RECEIVERS.get(name)
    return None
