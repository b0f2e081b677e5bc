"""How a report looks: on a terminal (rich), and as a page (Markdown) with its plots beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from tests.bench.section import Goal, Section, Table

PLOTS = "../../diagrams/bench"
"""Where the plots lie, seen from the page."""


@dataclass(frozen=True)
class Chapter:
    """A section and where it comes from.

    Args:
        name: the bench's.
        title: what it answers.
        taken: when, where and how.
    """

    name: str
    title: str
    taken: Mapping[str, Any]
    section: Section


def on_terminal(section: Section, out: Console) -> None:
    """Print a section."""
    for table in section.tables:
        shown = RichTable(title=table.title or None)
        for number, heading in enumerate(table.headings):
            shown.add_column(heading, justify="right" if number else "left")
        for row in table.rows:
            shown.add_row(*row)
        out.print(shown)
    for note in section.notes:
        out.print(note, highlight=False)
    for goal in section.goals:
        verdict = "[green]met[/]" if goal.met else "[red]missed[/]"
        out.print(f"Goal: {_promise(goal)}; {verdict}: {goal.told()}", highlight=False)


def in_markdown(chapters: Sequence[Chapter], failures: Mapping[str, str]) -> str:
    """The page: goals first, then each bench.

    Args:
        failures: benches that came to nothing, and why.
    """
    goals = [(chapter.name, goal) for chapter in chapters for goal in chapter.section.goals]
    parts = [_table(_goals(goals))] if goals else []
    parts += [f"**{name}** came to nothing: {why}" for name, why in failures.items()]
    for chapter in chapters:
        parts.append(f"## {chapter.title}")
        parts.append(f"`uv run python -m tests.bench.{chapter.name}` — {_taken(chapter.taken)}")
        for table in chapter.section.tables:
            parts += [f"### {table.title}"] if table.title else []
            parts.append(_table(table))
        parts += [f"![{p.title}]({PLOTS}/{p.name}.svg)" for p in chapter.section.plots]
        parts += chapter.section.notes
    return "\n\n".join(parts) + "\n"


def _goals(goals: Iterable[tuple[str, Goal]]) -> Table:
    rows = [
        (_promise(goal), goal.told(), "met" if goal.met else "**missed**", f"`{name}`")
        for name, goal in goals
    ]
    return Table(("goal", "figure", "", "bench"), rows)


def _promise(goal: Goal) -> str:
    return f"{goal.says}: at most {goal.at_most:g} {goal.unit}"


def _taken(taken: Mapping[str, Any]) -> str:
    its = taken["machine"]
    return (
        f"{taken['date']}, {its['cpus']} cores, {its['ram']}, CPython {its['python']}, "
        f"Synapse {its['synapse']}, nio {its['matrix-nio']}; load {its['load']} before it"
        + (", **more than it has cores**, " if its["load"] > its["cpus"] else ", ")
        + f"{taken['seconds']:.0f} s"
        + ("; **quick**: few rounds" if taken["quick"] else "")
    )


def _table(table: Table) -> str:
    def line(cells: Iterable[str]) -> str:
        return f"| {' | '.join(cells)} |"

    ruler = ["---", *(["---:"] * (len(table.headings) - 1))]
    return "\n".join(line(cells) for cells in (table.headings, ruler, *table.rows))
