"""The chapter about all machines: how to read the pictures, then theory, picture, tables of each.

The theory is the docstring of the machine's module: written once, beside the code it is about.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from machines.tables import ChartTable
from surface.diagrams import table as tables

INTRODUCTION = """\
# The machines

What can happen in Surface is written down in state machines, and a state changes only by an event
of its machine. So these pages are the whole truth about it. They are generated from the running
code by `surface diagrams`; `surface diagrams --check` fails when they are stale. Never edit them by
hand.

Each input is *decided* (the machines restored, sent events, pure), then *committed* (new states and
wanted effects in one transaction), then *acted* upon (the effects are carried out, again after a
restart if need be)."""

LEGEND = """\
## How to read the pictures

| what you see | what it means |
| --- | --- |
| solid green box | durable state: stored under its own name, survives a restart |
| dashed amber box | transient state: never stored; a restart finds what it is _stored as_, if any |
| dotted grey box | an end: the machine's document is deleted |
| a line inside a box | the event is taken and the state stays, or is left and _entered again_ |
| `[guard]`, `[else]` | taken only if the guard holds; if none of the guards before it did |
| blue, `observed_…` | not asked for by anyone: seen in Matrix, by /sync or the reconciler |
| no arrow, no line | refused: nothing changes |"""


def readme(machines: Sequence[ChartTable]) -> str:
    """The chapter as Markdown, ending in a newline."""
    rows = ["| machine | what it is | stored states |", "| --- | --- | --- |"]
    rows += [f"| [{m.name}](#{m.name.lower()}) | {m.summary} | {_stored(m)} |" for m in machines]
    chapters = [INTRODUCTION, "\n".join(rows), LEGEND, *map(_chapter, machines)]
    return "\n\n".join(chapters) + "\n"


def _stored(machine: ChartTable) -> str:
    return ", ".join(f"`{s.id}`" for s in machine.states if s.durable) or "none: in memory only"


def _chapter(machine: ChartTable) -> str:
    name = machine.name
    picture = f"[![States of {name}]({name}.svg)]({name}.svg)"
    files = f"[Mermaid source]({name}.mmd) · [tables on their own page]({name}.md)"
    body = tables.body(machine, level=3).rstrip()
    return "\n\n".join([f"## {name}", _prose(machine.theory), picture, files, body])


def _prose(theory: str) -> str:
    """A module's docstring as Markdown: its underlined headings become headings of the chapter."""
    return re.sub(r"^(\S.*)\n[-=~]{3,}$", r"### \1\n", theory, flags=re.MULTILINE)
