"""All commands, in one table: what they are called, what they do, and where they can be given.

The table drives dispatch, `!help` and the README. A command whose machine event the room's state does not
know is not offered there, and answers with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rapidfuzz import process

from surface.commands import agents, chats, contexts, help as help_
from surface.commands.said import Said

Handler = Callable[[Said], None]


@dataclass(frozen=True)
class Spec:
    """One command."""

    name: str
    usage: str
    handler: Handler
    event: str | None = None
    """The RoomMachine event it needs; None: works in every room of the person."""
    aliases: tuple[str, ...] = ()
    takes: bool = True
    """Whether anything may follow it."""

    @property
    def summary(self) -> str:
        """The key of its one-line description."""
        return f"cmd-{self.name}"


COMMANDS: tuple[Spec, ...] = (
    Spec("help", "!help [COMMAND]", help_.show, aliases=("h", "помощь")),
    Spec("new", "!new [NAME]", chats.new, aliases=("новый",)),
    Spec("chats", "!chats", chats.show, aliases=("чаты",), takes=False),
    Spec("rename", "!rename NAME", chats.rename, "rename"),
    Spec("agent", "!agent [ID or NUMBER]", agents.agent, aliases=("agents", "агент")),
    Spec("clear", "!clear", contexts.clear, "clear", aliases=("очистить",), takes=False),
    Spec("undo", "!undo", contexts.undo, "undo", takes=False),
    Spec("context", "!context", contexts.show, "clear", takes=False),
    Spec("archive", "!archive", chats.archive, "archive", takes=False),
    Spec("restore", "!restore CHAT", chats.restore),
)

BY_NAME = {name: spec for spec in COMMANDS for name in (spec.name, *spec.aliases)}


def dispatch(said: Said, name: str) -> None:
    """Give a command to its handler, or say why not. Never silence."""
    spec = BY_NAME.get(name)
    if spec is None:
        near = nearest(name)
        if near is None:
            said.reply("command-unknown", name=name)
        else:
            said.reply("command-unknown-near", name=name, near=near)
    elif said.arguments and not spec.takes:
        said.reply("command-no-arguments", name=spec.name)
    elif spec.event is not None and not said.room.knows(spec.event):
        if spec.name == "undo" and said.room.state == "bound":
            said.reply("undo-nothing")
        else:
            said.reply("command-not-here", name=spec.name, why=said.why_not())
    else:
        spec.handler(said)


def nearest(name: str) -> str | None:
    """The known command most like a misspelt one, if any is like it."""
    found = process.extractOne(name, list(BY_NAME), score_cutoff=60)
    return found[0] if found else None


help_.commands = lambda: COMMANDS
