"""`surface diagrams` of one machine, or as one page: which one is meant, and where it goes."""

from __future__ import annotations

from pathlib import Path

from machines import MACHINES
from machines.tables import describe
from surface.diagrams import FORMATS, Format, RendererMissing, text
from surface.terminal import Failure, out

NAMES = tuple(chart.__name__ for chart in MACHINES)


def show(machine: str | None, form: Format | None, event: str | None, output: Path | None) -> None:
    """Write what is asked for to stdout, or into a folder, and then say where.

    Args:
        machine: as a person writes it: `RoomMachine`, `room`; None: all of them.
        form: None: a picture of one machine, the chapter about all.
        event: the way of this event instead of the machine.
        output: the folder; None: stdout.

    Raises:
        Failure: that cannot be had; says what can.
    """
    if machine is None and event is not None:
        raise Failure(f"--event needs the machine that takes it; one of {', '.join(NAMES)}")
    name = None if machine is None else named(machine)
    form = form or ("markdown" if name is None else "svg")
    several = name is None and form in ("svg", "mermaid")
    if several and output is None:
        raise Failure(
            f"of all machines {form} is several files: name one of {', '.join(NAMES)}, "
            "or a folder with --output"
        )
    try:
        files = {
            _file(each, form, event): text(each, form, event)
            for each in (NAMES if several else (name,))
        }
    except KeyError:
        known = ", ".join(_events(name))
        raise Failure(f"{name} has no event {event!r}; one of {known}") from None
    except ValueError as error:
        raise Failure(str(error)) from None
    except RendererMissing as error:
        raise Failure(str(error)) from None
    for file, content in files.items():
        if output is None:
            print(content, end="")  # noqa: T201 - as it is, for a pipe
        else:
            _write(output / file, content)


def named(machine: str) -> str:
    """The name of the machine that is meant: `RoomMachine`, or just `room`.

    Raises:
        Failure: there is none.
    """
    for name in NAMES:
        if machine.lower() in (name.lower(), name.removesuffix("Machine").lower()):
            return name
    raise Failure(f"there is no machine {machine!r}; one of {', '.join(NAMES)}")


def _events(name: str | None) -> list[str]:
    return sorted(
        event for chart in MACHINES if chart.__name__ == name for event in describe(chart).events
    )


def _file(name: str | None, form: Format, event: str | None) -> str:
    stem = ".".join(filter(None, (name or "machines", event)))
    return f"{stem}.{FORMATS[form]}"


def _write(file: Path, content: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8", newline="\n")
    except OSError as error:
        raise Failure(f"{error.filename}: {error.strerror}") from error
    out.print(str(file), soft_wrap=True, highlight=False, markup=False)
