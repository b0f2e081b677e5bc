"""The charts as plain data: what a picture, a table or a test needs to know, without statemachine.

`describe` reads a chart class and gives frozen values; whoever draws or checks the machines works
on those values and never imports statemachine. The rule: nothing here is written down a second
time. States, events, guards, actions and effects all come from the very chart that runs.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, cast, get_args

from machines.effects import Effect

if TYPE_CHECKING:
    from machines.chart import Chart

OBSERVED = "observed_"
"""How the events begin that the reconciler or /sync saw, and nobody asked for."""

_HOOKS = ("before_{}", "on_{}", "after_{}")
_NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class StateRow:
    """One state.

    Args:
        id: its name, and its value in a document if it is durable.
        durable: a document may hold it.
        initial: where a new machine starts.
        ends: the machine is over here and its document is deleted.
        stored_as: the durable state a document holds meanwhile; None if there is none.
    """

    id: str
    durable: bool
    initial: bool
    ends: bool
    stored_as: str | None

    @property
    def persisted(self) -> str:
        """In words for people: what a document holds while the machine is here."""
        if self.durable:
            return "yes"
        if self.ends:
            return "never: its document is deleted"
        return f"never: stored as `{self.stored_as}`" if self.stored_as else "never"


@dataclass(frozen=True, slots=True)
class TransitionRow:
    """One way through the chart; of several for a state and event the first that may is taken.

    Args:
        source: id of the state it leaves.
        event: name of the event.
        target: id of the state it leads to.
        guard: the condition as it is written in the chart; empty if there is none.
        actions: names of the methods that run, in their order.
        effects: names of the effects those methods may want, in the order of the code.
        internal: the state is not left.
    """

    source: str
    event: str
    target: str
    guard: str
    actions: tuple[str, ...]
    effects: tuple[str, ...]
    internal: bool


@dataclass(frozen=True)
class ChartTable:
    """A whole machine.

    Args:
        name: of the class.
        summary: first line of the class's docstring.
        theory: docstring of the module, which tells how the machine works.
        states: in the order of declaration.
        events: in the order of declaration.
        transitions: by state, then in the order in which their guards are asked.
        meanings: what guards and actions do, by name: the first line of their docstrings.
    """

    name: str
    summary: str
    theory: str
    states: tuple[StateRow, ...]
    events: tuple[str, ...]
    transitions: tuple[TransitionRow, ...]
    meanings: Mapping[str, str] = field(hash=False)

    def state(self, state_id: str) -> StateRow:
        """The state of this id.

        Raises:
            KeyError: there is none.
        """
        for row in self.states:
            if row.id == state_id:
                return row
        raise KeyError(state_id)

    def ways(self, state_id: str, event: str) -> tuple[TransitionRow, ...]:
        """What may become of `event` in this state; nothing if it is refused there."""
        return tuple(t for t in self.transitions if (t.source, t.event) == (state_id, event))

    @property
    def refused(self) -> tuple[tuple[str, str], ...]:
        """Every (state, event) that is refused whatever the details."""
        known = {(t.source, t.event) for t in self.transitions}
        return tuple(
            (state.id, event)
            for state in self.states
            for event in self.events
            if (state.id, event) not in known
        )

    @property
    def guards(self) -> tuple[str, ...]:
        """Names of all guards, in the order of their first use."""
        names: dict[str, None] = {}
        for transition in self.transitions:
            for name in _NAME.findall(transition.guard):
                if name in self.meanings:
                    names.setdefault(name)
        return tuple(names)


def describe(chart: type[Chart[Any]]) -> ChartTable:
    """Read a chart class into plain data.

    Args:
        chart: one of `machines.MACHINES`, or any other chart.
    """
    wanted = _effects_of(chart)
    states, transitions = _states_of(chart), _transitions_of(chart, wanted)
    # Methods of the chart's own class: what it inherits is neither guard nor action.
    meanings = {
        name: _first_line(value.__doc__)
        for name, value in vars(chart).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }
    return ChartTable(
        name=chart.__name__,
        summary=_first_line(chart.__doc__),
        theory=inspect.cleandoc(sys.modules[chart.__module__].__doc__ or ""),
        states=states,
        events=tuple(str(event.id) for event in cast("Any", chart).events),
        transitions=transitions,
        meanings=meanings,
    )


def help_table(chart: type[Chart[Any]]) -> str:
    """The chart's table as text, for `help()`: every transition, internal ones included.

    A state that stays itself without being left says `(stays)`.
    """
    states = {state.id: state for state in _states_of(chart)}
    head = ("State", "Event", "Guard", "Leads to")
    rows = [
        (t.source, t.event, t.guard, "(stays)" if t.internal else t.target)
        for t in _transitions_of(chart, {})
    ]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(4)]

    def line(cells: Iterable[str]) -> str:
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
        return f"| {' | '.join(padded)} |"

    kept = [f"{state.id}: {state.persisted.replace('`', '')}" for state in states.values()]
    table = [line(head), line("-" * width for width in widths), *map(line, rows)]
    return "\n".join([*table, "", "Persisted: " + "; ".join(kept) + ".", "All else is refused."])


def _states_of(chart: type[Chart[Any]]) -> tuple[StateRow, ...]:
    return tuple(
        StateRow(
            id=str(state.id),
            durable=bool(getattr(state, "durable", False)),
            initial=bool(state.initial),
            ends=bool(getattr(state, "ends", False)),
            stored_as=getattr(state, "stored_as", None),
        )
        for state in chart.states_map.values()
    )


def _transitions_of(
    chart: type[Chart[Any]], wanted: Mapping[str, tuple[str, ...]]
) -> tuple[TransitionRow, ...]:
    rows: list[TransitionRow] = []
    for state in chart.states_map.values():
        for transition in state.transitions:
            for event in map(str, transition.events):
                actions = _actions_of(chart, transition, event)
                effects = dict.fromkeys(e for action in actions for e in wanted.get(action, ()))
                target = transition.target or transition.source
                rows.append(
                    TransitionRow(
                        source=str(state.id),
                        event=event,
                        target=str(target.id),
                        guard=" and ".join(map(_condition, transition.cond)),
                        actions=actions,
                        effects=tuple(effects),
                        internal=bool(transition.internal),
                    )
                )
    return tuple(rows)


def _actions_of(chart: type[Chart[Any]], transition: Any, event: str) -> tuple[str, ...]:
    """Named actions and the hooks that statemachine finds by their name (`on_{event}`)."""
    hooks = [h.format(event) for h in _HOOKS if hasattr(chart, h.format(event))]
    named = [
        str(spec.attr_name)
        for group in (transition.before, transition.on, transition.after)
        for spec in group
        if not spec.is_convention
    ]
    return tuple(dict.fromkeys([*named, *hooks]))


def _condition(spec: Any) -> str:
    name = str(spec.attr_name)
    return name if spec.expected_value is not False else f"not {name}"


def _first_line(text: str | None) -> str:
    return inspect.cleandoc(text or "").partition("\n")[0]


@cache
def _effects_of(chart: type[Chart[Any]]) -> dict[str, tuple[str, ...]]:
    """Which effects each method of the chart may want, read from its source: method → effect names.

    A method of the same class that is called counts as written in its place.
    """
    names = {effect.__name__ for effect in get_args(Effect)}
    source = inspect.getsource(sys.modules[chart.__module__])
    methods = {
        node.name: node
        for owner in ast.parse(source).body
        if isinstance(owner, ast.ClassDef) and owner.name == chart.__name__
        for node in owner.body
        if isinstance(node, ast.FunctionDef)
    }

    def wanted(method: str, above: frozenset[str]) -> dict[str, None]:
        nodes = [n for n in ast.walk(methods[method]) if isinstance(n, ast.Call | ast.Starred)]
        given = {a.arg: a.annotation for a in _arguments(methods[method]) if a.annotation}
        found: dict[str, None] = {}
        for node in sorted(nodes, key=lambda n: (n.lineno, n.col_offset)):
            match node:
                case ast.Call(func=ast.Name(id=name)) if name in names:
                    found.setdefault(name)
                case ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=name)) if (
                    name in methods and name not in above
                ):
                    found.update(wanted(name, above | {name}))
                case ast.Starred(value=ast.Name(id=argument)) if argument in given:
                    # Effects that the event brings along: their kind is the argument's.
                    kinds = [n.id for n in ast.walk(given[argument]) if isinstance(n, ast.Name)]
                    found.update(dict.fromkeys(kind for kind in kinds if kind in names))
                case _:
                    pass
        return found

    return {method: tuple(wanted(method, frozenset({method}))) for method in methods}


def _arguments(method: ast.FunctionDef) -> list[ast.arg]:
    return [*method.args.args, *method.args.kwonlyargs]
