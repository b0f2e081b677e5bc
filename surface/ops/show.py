"""How the answers of a running bot look on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from store.history import Step
from surface.terminal import harmless

COLOURS: Final = {"ok": "green", "degraded": "yellow", "failed": "red"}


def status(told: Mapping[str, Any]) -> RenderableType:
    """What `/status` told, as tables; or why it told nothing (`away`)."""
    if (why := told.get("away")) is not None:
        return Text.assemble("the bot is ", Text("away", "red"), ": ", harmless(why))
    ready = Text("ready", "green") if told["ready"] else Text("not ready", "red")
    who = told.get("user_id", "the bot")
    head = Text.assemble(
        str(who), " is ", ready, f" · up {_span(told['uptime'])} · {told['version']}"
    )
    checks = _plain("check", "state", "why")
    for name, verdict in told["checks"].items():
        checks.add_row(
            name, Text(verdict["state"], COLOURS[verdict["state"]]), _cell(verdict["words"])
        )
    parts: list[RenderableType] = [head, checks]
    if (now := told.get("now")) is not None:
        work = _plain("", "now", "oldest")
        work.add_row("inputs waiting", str(now["inbox"]), _span(now["inbox_oldest"]))
        work.add_row("messages without keys", str(now["parked"]), "")
        work.add_row("answers running", str(now["turns_running"]), "")
        work.add_row("answers waiting", str(now["turns_waiting"]), "")
        work.add_row("effects to carry out", str(now["outbox"]), _span(now["outbox_oldest"]))
        work.add_row("effects put off", str(now["put_off"]), "")
        age = now["sync_age"]
        work.add_row("last sync", "never" if age is None else f"{_span(age)} ago", "")
        parts.append(work)
    machines = _plain("machines", "state", "count")
    for machine, states in told["machines"].items():
        for state, count in states.items():
            machines.add_row(machine, state, str(count))
    if machines.row_count:
        parts.append(machines)
    if agents := told.get("agents"):
        its = _plain("agent", "reached")
        for agent, up in agents.items():
            its.add_row(agent, Text("yes", "green") if up else Text("no", "red"))
        parts.append(its)
    return Group(*parts)


def rows(headings: Mapping[str, str], found: Sequence[Mapping[str, Any]]) -> RenderableType:
    """A table of some keys of each row, under headings."""
    if not found:
        return Text("none")
    table = _plain(*headings.values())
    for row in found:
        table.add_row(*(_cell(row.get(key)) for key in headings))
    return table


def history(steps: Sequence[Step]) -> RenderableType:
    """What machines did: when, by what, and what was wanted."""
    if not steps:
        return Text("nothing has happened yet")
    table = _plain("at", "machine", "event", "from", "to", "cause", "effects")
    for step in steps:
        effects = [f"{w.effect} ({w.lane})" if w.lane else w.effect for w in step.effects]
        cause = f"{step.cause.kind}: {step.cause.name}" if step.cause.name else step.cause.kind
        cells = (step.machine, step.event, step.source, step.target, cause, ", ".join(effects))
        table.add_row(step.at[:19].replace("T", " "), *map(_cell, cells))
    return table


def _cell(value: object) -> Text:
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    return harmless("" if value is None else str(value))


def _plain(*headings: str) -> Table:
    """A table whose long words are broken, not cut: ids are there to be copied."""
    table = Table(*headings, box=None, pad_edge=False, header_style="bold")
    for column in table.columns:
        column.overflow = "fold"
    return table


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} d"
