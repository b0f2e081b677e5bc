"""What a command is, as a row of the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from surface import texts
from surface.commands.said import Said


@dataclass(frozen=True)
class Spec:
    """One command.

    Args:
        name: as typed after `!`.
        handler: decides on it.
        event: the RoomMachine event it needs; None: it works in every room of the person.
        aliases: other names, in any language.
        takes: whether anything may follow it.
        now: whether there is something for it to do at the moment; where there is not, it is not offered,
            and says so itself when it is given all the same. None: there always is.
    """

    name: str
    handler: Callable[[Said], None]
    event: str | None = None
    aliases: tuple[str, ...] = ()
    takes: bool = True
    now: Callable[[Said], bool] | None = None

    def usage(self, locale: str) -> str:
        """How it is written, for people."""
        return texts.plain(locale, f"usage-{self.name}") if self.takes else f"!{self.name}"

    @property
    def summary(self) -> str:
        """The key of its one-line description."""
        return f"cmd-{self.name}"

    def fits(self, said: Said) -> bool:
        """Whether the room's state knows what the command needs."""
        return self.event is None or said.room.knows(self.event)

    def is_offered(self, said: Said) -> bool:
        """Whether it would do something if it were given now."""
        return self.fits(said) and (self.now is None or self.now(said))
