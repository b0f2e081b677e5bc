"""The chapter about all machines: overview, legend, each one's theory, picture and tables, and the sequences.

The theory is the docstring of the machine's module: written once, beside the code it is about.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from machines.tables import OBSERVED, ChartTable
from surface.diagrams import table as tables
from surface.diagrams.sequence import tables_of

INTRODUCTION = """\
# The machines

What can happen in Surface is written down in state machines, and a state changes only by an event
of its machine. So these pages are the whole truth about it. They are generated from the running
code by `surface diagrams`; `surface diagrams --check` fails when they are stale. Never edit them by
hand."""

OVERVIEW = """\
## Overview

Machines never talk to each other. Whatever happens reaches them as an event, in a *decision*: the machines
concerned are restored from their documents, take the event, and want effects. That is pure. Then the new
states and the effects are *committed* in one transaction, and the effects are *acted* upon, again after a
restart if need be; what becomes of them is the next event."""

OVERVIEW_READING = """\
Green machines are stored, amber ones live in memory and end with the process. A thin arrow to a machine
says how many of its events come from where. A thick arrow is an effect that the same decision follows at
once, in the other machine. A violet drum is a table, or where effects wait to be carried out."""

SEQUENCES = """\
## From input to effect

Every event goes the same way. This is the way of one that has a room made, which comes back as an event
of its own:"""

SEQUENCES_READING = """\
1. What /sync brings is put into the *inbox* as it was received, together with the sync token, in one
   transaction. What comes from inside (a timer, an agent, the reconciler) goes to the decision directly.
2. The *decision* takes a room's inputs one by one, in their order. It reads documents, sends events, and
   does nothing else; effects of the lane `decision` are followed in it.
3. One *save* writes what changed and the effects, and takes the input out of the inbox (`− inbox`). Either
   all of that is so, or nothing.
4. The *outbox* carries effects out, those of one lane one after the other. After a restart it goes on.
5. What became of an effect is decided on like an input; that save takes it out of the outbox (`− outbox`).

Each machine's section has a table with the way of each of its events.
`surface diagrams MACHINE --event EVENT` draws one of them like the picture above."""

LEGEND = """\
## How to read the pictures

| what you see | what it means |
| --- | --- |
| solid green box | durable state: stored under its own name, survives a restart |
| dashed amber box | transient state: never stored; a restart finds what it is _stored as_, if any |
| dotted grey box | an end: the machine's document is deleted |
| a line inside a box | the event is taken and the state stays, or is left and _entered again_ |
| `/ Effect` | what the event may have done outside, or in another machine |
| `[guard]`, `[else]` | taken only if the guard holds; if none of the guards before it did |
| blue, `observed_…` | not asked for by anyone: seen in Matrix, by /sync or the reconciler |
| no arrow, no line | refused: nothing changes |"""


def readme(machines: Sequence[ChartTable], *, files: bool = True) -> str:
    """The chapter as Markdown, ending in a newline.

    Args:
        files: it stands in the folder of all the files, and may lead to them.
    """
    rows = ["| machine | what it is | stored states | events |", "| --- | --- | --- | --- |"]
    rows += [
        f"| [{m.name}](#{m.name.lower()}) | {m.summary} | {_stored(m)} | {_sent(m)} |"
        for m in machines
    ]
    chapters = [
        INTRODUCTION,
        OVERVIEW,
        _picture("Overview", "All machines, who sends them events, and what is stored"),
        OVERVIEW_READING,
        "\n".join(rows),
        LEGEND,
        *(chapter(machine, files=files) for machine in machines),
        SEQUENCES,
        _picture("Sequence", "The way of one event, from the inbox to its effect and back"),
        SEQUENCES_READING,
    ]
    if files:
        chapters.insert(1, "The same on one page, to be printed: [print.html](print.html).")
    return "\n\n".join(chapters) + "\n"


def chapter(machine: ChartTable, *, files: bool) -> str:
    """What is to be said of one machine, as Markdown: theory, picture, how to read it, tables."""
    name = machine.name
    sources = f"[Mermaid source]({name}.mmd) · [tables on their own page]({name}.md)"
    parts = [f"## {name}", _prose(machine.theory), _picture(name, f"States of {name}")]
    parts += [sources] if files else []
    return "\n\n".join([*parts, _reading(machine), tables.body(machine, level=3).rstrip()])


def _picture(name: str, what: str) -> str:
    return f"[![{what}]({name}.svg)]({name}.svg)"


def _reading(machine: ChartTable) -> str:
    """How to read a machine's picture: where it begins, where it may end, what is kept meanwhile."""
    (initial,) = [s.id for s in machine.states if s.initial]
    ends = [s.id for s in machine.states if s.ends]
    kept = [table for table in tables_of(machine.name) if table != "mirrors"]
    begins = f"It begins in `{initial}`"
    begins += f" and is over in {_either(ends)}." if ends else " and never ends."
    where = (
        f"What is stored of it lies in {_either(kept, 'and')}."
        if kept
        else "Nothing of it is stored: after a restart it begins anew."
    )
    fallen = [f"`{s.id}` as `{s.stored_as}`" for s in machine.states if s.stored_as]
    again = [f"After a restart it finds itself again: {', '.join(fallen)}."] if fallen else []
    return " ".join([begins, where, *again])


def _either(names: Sequence[str], word: str = "or") -> str:
    shown = [f"`{name}`" for name in names]
    return f"{', '.join(shown[:-1])} {word} {shown[-1]}" if len(shown) > 1 else shown[0]


def _sent(machine: ChartTable) -> str:
    observed = sum(event.startswith(OBSERVED) for event in machine.events)
    return (
        f"{len(machine.events)}, {observed} of them observed"
        if observed
        else str(len(machine.events))
    )


def _stored(machine: ChartTable) -> str:
    return ", ".join(f"`{s.id}`" for s in machine.states if s.durable) or "none: in memory only"


def _prose(theory: str) -> str:
    """A module's docstring as Markdown: its underlined headings become headings of the chapter."""
    return re.sub(r"^(\S.*)\n[-=~]{3,}$", r"### \1\n", theory, flags=re.MULTILINE)
