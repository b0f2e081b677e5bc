"""The pictures of the machines: `diagrams/`, generated, never written by hand.

`write` draws them, `check` says which are stale without drawing anything. All of it is made from
`machines.tables`, so the pictures show the charts that run.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import ParseError

from machines import MACHINES
from machines.tables import ChartTable, describe
from surface.diagrams import book, mermaid, table
from surface.diagrams.svg import RendererMissing, fingerprint, fingerprint_of, render, texts

__all__ = ["RendererMissing", "check", "write"]

_OURS = (".mmd", ".svg", ".md")


def write(directory: Path | str) -> list[Path]:
    """Draw all machines into a directory; take away pictures of machines that are gone.

    Args:
        directory: where the files go, made if need be; only files named like ours are removed.

    Returns:
        The files written, in a fixed order.

    Raises:
        RendererMissing: mermaidx is not installed; nothing was written.
    """
    folder = Path(directory)
    machines = [describe(chart) for chart in MACHINES]
    contents = dict(_texts(machines))
    for machine in machines:
        contents[f"{machine.name}.svg"] = render(contents[f"{machine.name}.mmd"])
    folder.mkdir(parents=True, exist_ok=True)
    for name in _left_over(folder, machines):
        (folder / name).unlink()
    for name, text in contents.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    return [folder / name for name in contents]


def check(directory: Path | str) -> list[str]:
    """Say which files `write` would change, without needing the renderer.

    An SVG is fresh when it carries its source's fingerprint and shows every state and label of it.

    Returns:
        The names of stale, missing and left-over files; nothing if all are fresh.
    """
    folder = Path(directory)
    machines = [describe(chart) for chart in MACHINES]
    stale = [name for name, text in _texts(machines) if _read(folder / name) != text]
    stale += [f"{m.name}.svg" for m in machines if not _svg_is_fresh(folder, m)]
    return stale + _left_over(folder, machines)


def _texts(machines: list[ChartTable]) -> Iterator[tuple[str, str]]:
    yield "README.md", book.readme(machines)
    for machine in machines:
        yield f"{machine.name}.mmd", mermaid.source(machine)
        yield f"{machine.name}.md", table.page(machine)


def _svg_is_fresh(folder: Path, machine: ChartTable) -> bool:
    svg = _read(folder / f"{machine.name}.svg")
    if svg is None or fingerprint_of(svg) != fingerprint(mermaid.source(machine)):
        return False
    try:
        shown = set(texts(svg))
    except ParseError:
        return False
    named = all(f'data-state="{state.id}"' in svg for state in machine.states)
    return named and mermaid.words(machine) <= shown


def _left_over(folder: Path, machines: list[ChartTable]) -> list[str]:
    """Files of machines that no longer exist."""
    names = {m.name for m in machines}
    found = sorted(folder.glob("*Machine.*")) if folder.is_dir() else []
    return [p.name for p in found if p.suffix in _OURS and p.stem not in names]


def _read(path: Path) -> str | None:
    return path.read_bytes().decode() if path.is_file() else None
