"""A machine as Mermaid source: the picture as text, the same bytes for the same chart.

Made to be read at a glance. One arrow per pair of states carries all its events; what leaves the
state as it is stands inside the state's box; an event that leads to one place from everywhere is one
arrow from "any other living state". What an event may have done (its effects) stands below it.
Colours follow from what is stored; `legend` explains them.
"""

from __future__ import annotations

from collections.abc import Sequence

from machines.tables import OBSERVED, ChartTable, StateRow, TransitionRow

STYLES = {
    "durable": "fill:#d9f2d9,stroke:#2e7d32,stroke-width:2px,color:#10240f",
    "transient": "fill:#fff3cd,stroke:#b26a00,stroke-width:2px,stroke-dasharray:5 4,color:#33250a",
    "ending": "fill:#eceff1,stroke:#607d8b,stroke-width:2px,stroke-dasharray:2 3,color:#1c262b",
    "anywhere": "fill:#ffffff,stroke:#90a4ae,stroke-width:1px,stroke-dasharray:1 3,color:#37474f",
    "legend": "fill:#ffffff,stroke:#b0bec5,stroke-width:1px,color:#37474f",
}
"""Mermaid class → its style. Every box gets exactly one."""

MANY = 4
"""From so many states on, an event that leads everywhere to one place is drawn once."""

ANYWHERE = "any_other"
"""Id of the box from which such an event is drawn."""

EFFECTS = "/"
"""How a line of effects begins (as UML has it: `event [guard] / action`)."""

LINE = 26
"""Characters that fit beside an arrow: Mermaid breaks longer lines where it likes."""

EFFECTS_LINE = 33
"""Effects are drawn smaller: more of them fit."""

INDENT = "    "


def source(table: ChartTable) -> str:
    """The Mermaid source of a machine, ending in a newline."""
    gathered = _gathered(table)
    drawn = [t for t in table.transitions if not _inside(t) and (t.event, t.target) not in gathered]
    edges: dict[tuple[str, str], list[str]] = {}
    for transition in drawn:
        label = _label(edge_label(table, transition), transition.effects)
        edges.setdefault((transition.source, transition.target), []).extend(label)
    anywhere: dict[str, list[str]] = {}
    for (event, target), effects in gathered.items():
        anywhere.setdefault(target, []).extend(_label(event, effects))

    lines = ["---", f"title: {table.name}", "---", "stateDiagram-v2", f"{INDENT}direction TB"]
    lines += [f"{INDENT}classDef {name} {STYLES[name]}" for name in _classes(table, anywhere)]
    for state in table.states:
        lines += _box(state.id, state.id, _inside_lines(table, state))
    if anywhere:
        lines += _box(ANYWHERE, "any other living state", [])
    lines += _box("legend", "Legend", legend(table))
    initial = next(state.id for state in table.states if state.initial)
    lines.append(f"{INDENT}[*] --> {initial}")
    for (start, end), labels in edges.items():
        lines.append(f"{INDENT}{start} --> {end} : {'<br/>'.join(labels)}")
    for target, labels in anywhere.items():
        lines.append(f"{INDENT}{ANYWHERE} --> {target} : {'<br/>'.join(labels)}")
    lines += [f"{INDENT}{state.id} --> [*]" for state in table.states if state.ends]
    for name in _classes(table, anywhere):
        members = [state.id for state in table.states if kind(state) == name]
        members += {"anywhere": [ANYWHERE], "legend": ["legend"]}.get(name, [])
        lines.append(f"{INDENT}class {','.join(members)} {name}")
    return "\n".join(lines) + "\n"


def edge_label(table: ChartTable, transition: TransitionRow) -> str:
    """Event and guard as they stand at an arrow; `[else]` where an earlier guard was asked."""
    if transition.guard:
        return f"{transition.event} [{transition.guard}]"
    ways = table.ways(transition.source, transition.event)
    return f"{transition.event} [else]" if ways[0] is not transition else transition.event


def words(table: ChartTable) -> set[str]:
    """Every line of text that a drawing of this machine has to show: states, labels, legend."""
    gathered = _gathered(table)
    shown = {state.id for state in table.states} | set(legend(table)) | {table.name}
    for state in table.states:
        shown.update(_inside_lines(table, state))
    for transition in table.transitions:
        if not _inside(transition):
            once = (transition.event, transition.target)
            if once in gathered:
                shown.update(_label(transition.event, gathered[once]))
            else:
                shown.update(_label(edge_label(table, transition), transition.effects))
    return shown


def kind(state: StateRow) -> str:
    """Name of the style that shows what a document may hold of this state."""
    return "durable" if state.durable else "ending" if state.ends else "transient"


def legend(table: ChartTable) -> list[str]:
    """What colours and places mean, a line each; only what occurs in this machine."""
    kinds = {kind(state) for state in table.states}
    internal = any(_inside(t) for t in table.transitions)
    observed = any(event.startswith(OBSERVED) for event in table.events)
    effects = any(t.effects for t in table.transitions)
    lines = {
        "solid green – durable, stored under its own name": "durable" in kinds,
        "dashed amber – transient, never stored": "transient" in kinds,
        "dotted grey – the end, its document is deleted": "ending" in kinds,
        "inside a box – the event is taken, the state stays": internal,
        "observed_… – seen in Matrix, asked for by nobody": observed,
        f"{EFFECTS} Effect – what the event may have done outside": effects,
        "not drawn – refused": True,
    }
    return [line for line, occurs in lines.items() if occurs]


def _inside(transition: TransitionRow) -> bool:
    return transition.source == transition.target


def _inside_lines(table: ChartTable, state: StateRow) -> list[str]:
    lines = [f"(stored as {state.stored_as})"] if state.stored_as else []
    for transition in table.transitions:
        if transition.source == state.id and _inside(transition):
            again = "" if transition.internal else " (entered again)"
            lines.append(edge_label(table, transition) + again)
            lines += _effect_lines(transition.effects)
    return lines


def _label(label: str, effects: Sequence[str]) -> list[str]:
    """What stands at an arrow for one event: event and guard, and below them the effects."""
    return _broken(label) + _effect_lines(effects)


def _effect_lines(effects: Sequence[str]) -> list[str]:
    """Effects in lines that fit, each marked as one: they are drawn smaller than events."""
    lines: list[str] = []
    for effect in effects:
        longer = f"{lines[-1]}, {effect}" if lines else ""
        if lines and len(longer) <= EFFECTS_LINE:
            lines[-1] = longer
        else:
            lines.append(f"{EFFECTS} {effect}")
    return lines


def _broken(label: str) -> list[str]:
    """A label in lines that fit: the guard on its own line, long guards at their `and`."""
    if len(label) <= LINE:
        return [label]
    event, bracket, guard = label.partition(" [")
    guard = bracket.strip() + guard
    if len(guard) <= LINE:
        return [event, guard]
    return [event, *guard.replace(" and ", "\nand ").splitlines()]


def _box(state_id: str, title: str, lines: list[str]) -> list[str]:
    head = f'{INDENT}state "{title}" as {state_id}'
    return [head, *(f"{INDENT}{state_id} : {line}" for line in lines)]


def _classes(table: ChartTable, anywhere: dict[str, list[str]]) -> list[str]:
    used = {kind(state) for state in table.states} | {"legend"}
    if anywhere:
        used.add("anywhere")
    return [name for name in STYLES if name in used]


def _gathered(table: ChartTable) -> dict[tuple[str, str], tuple[str, ...]]:
    """The (event, target) that every other living state takes, without a guard; and its effects."""
    alive = {state.id for state in table.states if not state.ends}
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for event in table.events:
        ways = [t for t in table.transitions if t.event == event]
        targets = {t.target for t in ways}
        if len(targets) == 1 and not any(t.guard for t in ways):
            (target,) = targets
            others = alive - {target}
            if len(others) >= MANY and others == {t.source for t in ways}:
                effects = dict.fromkeys(effect for way in ways for effect in way.effects)
                found[event, target] = tuple(effects)
    return found
