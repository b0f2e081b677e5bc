"""The pictures of the machines: `diagrams/`, generated, never written by hand.

`write` draws them, `check` says which are stale without drawing anything, `text` gives one of them. All of
it is made from `machines.tables` and from the surface's own code, so the pictures show what runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias, get_args
from xml.etree.ElementTree import ParseError

from machines import MACHINES
from machines.tables import ChartTable, describe
from surface.diagrams import book, mermaid, overview, page, sequence, table
from surface.diagrams.drawn import NotDrawn
from surface.diagrams.drawn import drawn as committed
from surface.diagrams.svg import RendererMissing, fingerprint, fingerprint_of, render, texts

__all__ = ["FORMATS", "Format", "RendererMissing", "check", "text", "write"]

Format: TypeAlias = Literal["svg", "mermaid", "markdown", "html"]
FORMATS: Mapping[Format, str] = dict(
    zip(get_args(Format), ("svg", "mmd", "md", "html"), strict=True)
)
"""What one picture may be had as, and how such a file's name ends."""

PRINT = "print.html"
_OURS = (".mmd", ".svg", ".md")
_TITLE = "The machines of Surface"


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
    pictures = {name: render(source) for name, source in _sources().items()}
    contents = dict(_texts())
    contents |= {f"{name}.svg": svg for name, svg in pictures.items()}
    contents[PRINT] = _page(pictures)
    folder.mkdir(parents=True, exist_ok=True)
    for name in _left_over(folder):
        (folder / name).unlink()
    for name, content in contents.items():
        (folder / name).write_text(content, encoding="utf-8", newline="\n")
    return [folder / name for name in contents]


def check(directory: Path | str) -> list[str]:
    """Say which files `write` would change, without needing the renderer.

    An SVG is fresh when it carries its source's fingerprint and shows every state and label of it.

    Returns:
        The names of stale, missing and left-over files; nothing if all are fresh.
    """
    folder = Path(directory)
    stale = [name for name, content in _texts() if _read(folder / name) != content]
    stale += [f"{name}.svg" for name in _sources() if not _svg_is_fresh(folder, name)]
    pictures = {name: _read(folder / f"{name}.svg") or "" for name in _sources()}
    if _read(folder / PRINT) != _page(pictures):
        stale.append(PRINT)
    return stale + _left_over(folder)


def text(machine: str | None, form: Format, event: str | None = None) -> str:
    """One picture, or what is written of it.

    Args:
        machine: name of a machine (`RoomMachine`); None: all of them on one page.
        form: what it is wanted as; of all machines there is only `markdown` and `html`.
        event: not the machine but the way of this event of it; only as `svg` and `mermaid`.

    Raises:
        KeyError: there is no such machine, or it has no such event.
        ValueError: that cannot be had in this form.
        RendererMissing: it would have to be drawn, and mermaidx is not installed.
    """
    if machine is None:
        match form:
            case "markdown":
                return book.readme(list(_machines().values()), files=False)
            case "html":
                return _page({name: _picture(name) for name in _sources()})
            case _:
                raise ValueError("several pictures")
    described = _machines()[machine]
    if event is not None:
        source = sequence.source(described, event)
        if form not in ("svg", "mermaid"):
            raise ValueError("an event's way is a picture: svg or mermaid")
        return render(source) if form == "svg" else source
    if form == "mermaid":
        return mermaid.source(described)
    if form == "svg":
        return _picture(machine)
    if form == "markdown":
        return table.page(described)
    return page.html(machine, book.chapter(described, files=False), {machine: _picture(machine)})


@cache
def _machines() -> Mapping[str, ChartTable]:
    return {chart.__name__: describe(chart) for chart in MACHINES}


@cache
def _sources() -> Mapping[str, str]:
    """The Mermaid source of every picture, by its name."""
    machines = list(_machines().values())
    its_machine, event = sequence.EXAMPLE
    return {
        **{machine.name: mermaid.source(machine) for machine in machines},
        "Overview": overview.source(machines),
        "Sequence": sequence.source(_machines()[its_machine], event),
    }


def _texts() -> Iterator[tuple[str, str]]:
    yield "README.md", book.readme(list(_machines().values()))
    for name, source in _sources().items():
        yield f"{name}.mmd", source
    for name, machine in _machines().items():
        yield f"{name}.md", table.page(machine)


def _page(pictures: Mapping[str, str]) -> str:
    return page.html(_TITLE, book.readme(list(_machines().values()), files=False), pictures)


def _picture(name: str) -> str:
    """As it was drawn, if that is still true; else drawn now."""
    machine = _machines().get(name)
    source = mermaid.source(machine) if machine else _sources()[name]
    try:
        svg = committed(name)
    except NotDrawn:
        return render(source)
    return svg if fingerprint_of(svg) == fingerprint(source) else render(source)


def _svg_is_fresh(folder: Path, name: str) -> bool:
    svg = _read(folder / f"{name}.svg")
    if svg is None or fingerprint_of(svg) != fingerprint(_sources()[name]):
        return False
    try:
        shown = set(texts(svg))
    except ParseError:
        return False
    machine = _machines().get(name)
    if machine is None:
        return True
    named = all(f'data-state="{state.id}"' in svg for state in machine.states)
    return named and mermaid.words(machine) <= shown


def _left_over(folder: Path) -> list[str]:
    """Files of machines that no longer exist."""
    found = sorted(folder.glob("*Machine.*")) if folder.is_dir() else []
    return [p.name for p in found if p.suffix in _OURS and p.stem not in _machines()]


def _read(path: Path) -> str | None:
    return path.read_bytes().decode() if path.is_file() else None
