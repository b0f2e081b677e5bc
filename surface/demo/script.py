"""Scripts for the demo: what their lines mean, and playing them. No I/O of its own.

One line is one message in the current room. `/room NAME` goes to another room (by its name, its label such
as `C2`, or `home`), `/wait TEXT` waits until TEXT is said in the current room, `#` begins a comment, empty
lines are ignored. A line that begins with a backslash is sent as it stands after it. In a message,
`{label:NAME}` becomes the label of the room of that name, which differs from one start to the next.

Playing succeeds only if every line was answered; what goes wrong names the file and the line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, assert_never

from surface.demo.errors import DemoError

DIRECTIVES = ("/room NAME", "/wait TEXT")
LARGEST = 1_000_000
"""Bytes of a script."""

_LABEL = re.compile(r"\{label:([^{}]+)\}")


class ScriptError(DemoError):
    """A script that cannot be read, or that did not go as written; names the line."""


@dataclass(frozen=True)
class Say:
    """Send a message and have it answered."""

    line: int
    text: str


@dataclass(frozen=True)
class Go:
    """Make another room the current one."""

    line: int
    name: str


@dataclass(frozen=True)
class Wait:
    """Wait until something is said in the current room."""

    line: int
    text: str


Step: TypeAlias = Say | Go | Wait


@dataclass(frozen=True)
class Script:
    """What is to be played, and what to call it."""

    name: str
    steps: tuple[Step, ...]


class Unanswered(Exception):
    """A step did not come to its end; says what was waited for."""


class Stage(Protocol):
    """Where a script is played. Each call returns when the step is over.

    Raises:
        Unanswered: it was not over in time, or cannot be done.
    """

    async def say(self, text: str) -> None:
        """Send a message to the current room, and wait for its answer."""
        ...

    async def go(self, name: str) -> None:
        """Go to the room of that name, label, or to `home`."""
        ...

    async def wait(self, text: str) -> None:
        """Wait until a message in the current room holds `text`."""
        ...

    async def label(self, name: str) -> str:
        """The label of the room of that name."""
        ...


def load(path: Path) -> Script:
    """Read a script from a file.

    Raises:
        ScriptError: it is missing, no text, too large, or holds a line that means nothing.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise ScriptError(f"{path}: is larger than {LARGEST} bytes; that is no script")
        return Script(str(path), parse(data.decode("utf-8-sig"), str(path)))
    except OSError as error:
        raise ScriptError(
            f"{path}: cannot be read: {error.strerror}. Name a text file: --script FILE"
        ) from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ScriptError(f"{path}: line {line}: is not UTF-8 text") from None


def parse(text: str, name: str) -> tuple[Step, ...]:
    """Say what the lines of a script mean.

    Raises:
        ScriptError: a line means nothing, or there is nothing to play.
    """
    lines = enumerate(text.splitlines(), 1)
    steps = tuple(step for line, words in lines if (step := _step(name, line, words.strip())))
    if not steps:
        raise ScriptError(f"{name}: has no lines to play; write one message a line")
    return steps


def _step(name: str, line: int, words: str) -> Step | None:
    if not words or words.startswith("#"):
        return None
    if words.startswith("\\"):
        return Say(line, words[1:])
    if not words.startswith("/"):
        return Say(line, words)
    directive, _, rest = words.partition(" ")
    rest = rest.strip()
    kinds: dict[str, type[Go] | type[Wait]] = {"/room": Go, "/wait": Wait}
    kind = kinds.get(directive)
    if kind is None:
        raise ScriptError(
            f"{name}: line {line}: there is no `{directive}`; one of {', '.join(DIRECTIVES)}. "
            f"To send it as a message, begin the line with a backslash"
        )
    if not rest:
        usage = next(usage for usage in DIRECTIVES if usage.startswith(directive))
        raise ScriptError(f"{name}: line {line}: `{directive}` needs more: {usage}")
    return kind(line, rest)


async def play(script: Script, stage: Stage) -> None:
    """Play a script to its end.

    Raises:
        ScriptError: a step did not come to its end; names the line.
    """
    for step in script.steps:
        try:
            await _play(step, stage)
        except Unanswered as error:
            raise ScriptError(f"{script.name}: line {step.line}: {error}") from None


async def _play(step: Step, stage: Stage) -> None:
    match step:
        case Say(_, text):
            await stage.say(await _filled(text, stage))
        case Go(_, name):
            await stage.go(name)
        case Wait(_, text):
            await stage.wait(text)
        case _:
            assert_never(step)


async def _filled(text: str, stage: Stage) -> str:
    labels = {name: await stage.label(name.strip()) for name in _names(text)}
    return _LABEL.sub(lambda gap: labels[gap[1]], text)


def _names(text: str) -> Iterable[str]:
    return dict.fromkeys(_LABEL.findall(text))
