"""What one event of a machine sets going: inbox → decision → commit → effects → and back.

Where the event comes from is read from the surface's code (`origins`), what it may write and want from
the chart and the documents' shapes. So a line of the table, and a drawing, is true as long as the code is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from machines import MACHINES
from machines.tables import ChartTable
from store.documents import SHAPES
from surface.diagrams.mermaid import INDENT
from surface.diagrams.origins import Origin, begun, comes_back, lanes, origins

EXAMPLE = ("UserMachine", "new_chat")
"""The event whose drawing explains all the others: a command that has a room made, which comes back."""

DERIVED: Mapping[str, tuple[str, ...]] = {"users": ("mirrors",), "rooms": ("chats", "mirrors")}
"""What a write to a table may change besides, in the same transaction (the index, mirrors that are due)."""

_LINE = 34


@dataclass(frozen=True)
class Journey:
    """One event of one machine, from where it comes to what comes back.

    Args:
        origins: what may send it.
        ways: (source, guard, target) of its transitions; a source that stays is its own target.
        tables: what the commit may write; empty: the machine lives in memory only.
        effects: what it may want, with the lane each goes in; `decision`: followed at once.
        back: by effect, the (machine, event) that its outcome may come back as.
    """

    machine: str
    event: str
    origins: tuple[Origin, ...]
    ways: tuple[tuple[str, str], ...]
    tables: tuple[str, ...]
    effects: tuple[tuple[str, str], ...]
    back: tuple[tuple[str, str, str], ...]


def tables_of(machine: str) -> tuple[str, ...]:
    """The tables that a machine's transitions may write; none if it is never stored."""
    (states,) = [m.durable_states() for m in MACHINES if m.__name__ == machine]
    for table, shape in SHAPES.items():
        if shape.states == states:
            return table, *DERIVED.get(table, ())
    return ()


def journey(table: ChartTable, event: str) -> Journey:
    """What one event sets going.

    Raises:
        KeyError: the machine has no such event.
    """
    if event not in table.events:
        raise KeyError(event)
    ways = [t for t in table.transitions if t.event == event]
    wanted = list(dict.fromkeys(effect for way in ways for effect in way.effects))
    return Journey(
        machine=table.name,
        event=event,
        origins=origins().get((table.name, event), ()),
        ways=tuple(dict.fromkeys((way.source, way.target) for way in ways)),
        tables=tables_of(table.name),
        effects=tuple((effect, lanes()[effect]) for effect in wanted),
        back=tuple((effect, *taken) for effect in wanted for taken in _back(table.name, effect)),
    )


def _back(machine: str, effect: str) -> Iterator[tuple[str, str]]:
    yield from comes_back(machine, effect)
    if effect in begun():
        yield begun()[effect], ""


def rows(table: ChartTable) -> list[tuple[str, str, str, str]]:
    """Per event, as Markdown: the event, where it comes from, what it may want, what comes back."""
    found = []
    for event in table.events:
        its = journey(table, event)
        wanted = [f"{effect} ({lane})" for effect, lane in its.effects]
        found.append(
            (
                f"`{event}`",
                "<br>".join(map(str, its.origins)),
                ", ".join(wanted),
                "<br>".join(_comes_back(its)),
            )
        )
    return found


def _comes_back(its: Journey) -> Iterator[str]:
    by_effect: dict[str, list[str]] = {}
    for effect, machine, event in its.back:
        named = f"`{machine.removesuffix('Machine')}.{event}`" if event else f"a new {machine}"
        by_effect.setdefault(effect, []).append(named)
    for effect, taken in by_effect.items():
        shown = taken if len(taken) <= 4 else [*taken[:3], f"… ({len(taken)} in all)"]
        yield f"{effect} → {', '.join(shown)}"


def source(table: ChartTable, event: str) -> str:
    """The drawing of one event's way as Mermaid source, ending in a newline.

    Raises:
        KeyError: the machine has no such event.
    """
    its = journey(table, event)
    outside = [(effect, lane) for effect, lane in its.effects if lane != "decision"]
    inside = [effect for effect, lane in its.effects if lane == "decision"]
    kinds = {origin.kind for origin in its.origins}
    lines = ["---", f"title: {table.name} · {event}", "---", "sequenceDiagram"]
    body: list[str] = []
    starts = list(_starts(its))
    for number, start in enumerate(starts):
        if len(starts) > 1:
            body.append("alt " + start[0] if number == 0 else "else " + start[0])
        body += start[1:]
    if len(starts) > 1:
        body.append("end")
    body.append(f"decision->>decision: {table.name} takes {event}{_ways(its)}")
    for effect in inside:
        at_once = [f"{m}.{e}" if e else f"a new {m}" for f, m, e in its.back if f == effect]
        body.append(f"decision->>decision: {_wrapped(f'{effect}, at once', at_once)}")
    settled = [f"− {row}" for row in _settled(kinds)]
    written = [*its.tables, *(["outbox"] if outside else []), *settled]
    if written:
        body.append(f"decision->>store: {_wrapped('one save', written)}")
    if outside:
        body.append(f"store->>outbox: {_wrapped('committed', [e for e, _ in outside])}")
        shown = [f"{effect} (lane {lane})" for effect, lane in outside]
        body.append(f"outbox->>world: {'<br/>'.join(shown)}")
        body.append("world-->>outbox: done, or refused for good")
        came = [f"{m}.{e}" for effect, m, e in its.back if effect not in inside and e]
        if came:
            body.append(f"outbox->>decision: {_wrapped('comes back as', came)}")
    named = {
        "matrix": "Matrix, by /sync",
        "inbox": "inbox",
        "other": "the surface",
        "decision": "decision",
        "store": "store",
        "outbox": "outbox",
        "world": "Matrix and the platform",
    }
    used = [name for name in named if any(_mentions(line, name) for line in body)]
    lines += [f"{INDENT}participant {name} as {named[name]}" for name in used]
    return "\n".join([*lines, *(INDENT + line for line in body)]) + "\n"


def _starts(its: Journey) -> Iterator[list[str]]:
    """The ways to the decision, each as its name and its lines."""
    entering = [o.what for o in its.origins if o.kind in ("input", "command")]
    if entering:
        yield [
            "an input",
            f"matrix->>inbox: {_wrapped('as received', entering)}",
            "inbox->>decision: in the room's order",
        ]
    outcomes = [o.what for o in its.origins if o.kind == "outcome"]
    if outcomes:
        yield ["an effect's outcome", f"outbox->>decision: {_wrapped('settled', outcomes)}"]
    others = [str(o).replace("`", "") for o in its.origins if o.kind not in _FROM_OUTSIDE]
    if others:
        yield ["of its own", f"other->>decision: {_wrapped('', others)}"]


_FROM_OUTSIDE = frozenset({"input", "command", "outcome"})


def _settled(kinds: set[str]) -> Iterator[str]:
    """The rows that are done with by the decision."""
    if kinds & {"input", "command"}:
        yield "inbox"
    if "outcome" in kinds:
        yield "outbox"


def _ways(its: Journey) -> str:
    shown = [f"{old} → {new}" if old != new else f"{old} stays" for old, new in its.ways]
    if len(shown) > 4:
        shown = [*shown[:3], f"… ({len(its.ways)} ways)"]
    return "".join(f"<br/>{way}" for way in shown)


def _wrapped(head: str, items: list[str]) -> str:
    lines = [f"{head}:" if head else ""]
    for item in [*(f"{item}," for item in items[:-1]), *items[-1:]]:
        longer = f"{lines[-1]} {item}".strip()
        if len(longer) <= _LINE:
            lines[-1] = longer
        else:
            lines.append(item)
    return "<br/>".join(lines)


def _mentions(line: str, name: str) -> bool:
    ends = line.partition(":")[0]
    return name in ends.replace("-->>", " ").replace("->>", " ").split()
