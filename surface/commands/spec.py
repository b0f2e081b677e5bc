"""What a command is, as a row of the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from surface.commands.said import Said


@dataclass(frozen=True)
class Spec:
    """One command.

    Args:
        name: as typed after `!`.
        usage: how it is written, for people.
        handler: decides on it.
        event: the RoomMachine event it needs; None: it works in every room of the person.
        aliases: other names, in any language.
        takes: whether anything may follow it.
    """

    name: str
    usage: str
    handler: Callable[[Said], None]
    event: str | None = None
    aliases: tuple[str, ...] = ()
    takes: bool = True

    @property
    def summary(self) -> str:
        """The key of its one-line description."""
        return f"cmd-{self.name}"

    def fits(self, said: Said) -> bool:
        """Whether the room's state knows what the command needs."""
        return self.event is None or said.room.knows(self.event)
