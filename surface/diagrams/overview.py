"""All machines in one picture: who sends them events, what they have done, what is stored where.

Machines never talk to each other; the surface carries events between them, each in a decision. So an
arrow from machine to machine is an effect that a decision follows at once (`EndTurns` ends turns).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from machines.tables import ChartTable
from surface.diagrams.mermaid import INDENT, STYLES
from surface.diagrams.origins import answers, begun, lanes, origins
from surface.diagrams.sequence import tables_of

SENDERS = {
    "inbox": ("inbox<br/>what people do in Matrix", ("input", "command")),
    "agents": ("running turns<br/>what agents say", ("agent", "turn")),
    "reconciler": ("reconciler<br/>what is found in Matrix", ("reconciler",)),
    "timers": ("timers", ("timer",)),
    "operator": ("operator", ("operator",)),
    "outcomes": ("outcomes<br/>what became of effects", ("outcome",)),
}
"""Box → what stands in it, and the kinds of origins it stands for."""

_STYLE = {
    "sender": "fill:#e3effc,stroke:#0b57d0,stroke-width:1px,color:#0b2545",
    "store": "fill:#f3e8fd,stroke:#7b1fa2,stroke-width:1px,color:#2a0a3d",
    "durable": STYLES["durable"],
    "transient": STYLES["transient"],
}
_MOST = 2
"""Names that are written at an arrow; of more, their number."""


def source(machines: Sequence[ChartTable]) -> str:
    """The Mermaid source of the overview, ending in a newline."""
    lines = ["---", "title: Overview", "---", "flowchart TB"]
    lines += [f"{INDENT}classDef {name} {style}" for name, style in _STYLE.items()]
    lines += [f'{INDENT}{box}["{name}"]:::sender' for box, (name, _) in SENDERS.items()]
    for machine in machines:
        kind = "durable" if tables_of(machine.name) else "transient"
        lines.append(f'{INDENT}{machine.name}["{machine.name}<br/>{_states(machine)}"]:::{kind}')
        tables = tables_of(machine.name)
        shown = "<br/>".join(tables) if tables else "memory only"
        lines.append(f'{INDENT}kept_{machine.name}[("{shown}")]:::store')
    lines.append(f'{INDENT}outbox[("outbox<br/>effects, by lane")]:::store')
    lines.append(f'{INDENT}decision["decision<br/>one for each input"]:::sender')
    lines.append(f'{INDENT}world["Matrix and the platform"]:::sender')
    lines += [f"{INDENT}{box} --> decision" for box in SENDERS if box != "outcomes"]
    for machine in machines:
        sent = [
            f"{len(events)} {'event' if len(events) == 1 else 'events'} from {box}"
            for box, (_, kinds) in SENDERS.items()
            if (events := _from(machine, kinds))
        ]
        lines.append(f'{INDENT}decision -->|"{"<br/>".join(sent)}"| {machine.name}')
    for machine in machines:
        lines.append(f"{INDENT}{machine.name} --> kept_{machine.name}")
        effects = _wanted(machine)
        sent = [effect for effect in effects if lanes()[effect] != "decision"]
        if sent:
            lines.append(f'{INDENT}{machine.name} -->|"{_few(sent)}"| outbox')
        for other in machines:
            at_once = [effect for effect in effects if other.name in _moved(effect)]
            if at_once:
                lines.append(f'{INDENT}{machine.name} ==>|"{"<br/>".join(at_once)}"| {other.name}')
    lines += [f"{INDENT}outbox --> world", f"{INDENT}world --> outcomes"]
    lines.append(f"{INDENT}outcomes --> decision")
    return "\n".join(lines) + "\n"


def _states(machine: ChartTable) -> str:
    return f"{len(machine.states)} states, {len(machine.events)} events"


def _from(machine: ChartTable, kinds: Iterable[str]) -> list[str]:
    return [
        event
        for event in machine.events
        if any(origin.kind in kinds for origin in origins().get((machine.name, event), ()))
    ]


def _wanted(machine: ChartTable) -> list[str]:
    return list(dict.fromkeys(effect for t in machine.transitions for effect in t.effects))


def _moved(effect: str) -> set[str]:
    """The machines that take an event, or begin, at once by an effect."""
    if lanes()[effect] != "decision":
        return set()
    at_once = {machine for machine, _ in answers().get(effect, ())}
    return at_once | ({begun()[effect]} if effect in begun() else set())


def _few(effects: Sequence[str]) -> str:
    return "<br/>".join(effects) if len(effects) <= _MOST else f"{len(effects)} effects"
