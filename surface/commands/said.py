"""A command in its place: who said it, where, and what the decision may use."""

from __future__ import annotations

from dataclasses import dataclass, field

from machines import RoomMachine, UserMachine
from machines.effects import Param
from surface import texts
from surface.case import Case
from surface.house import House
from surface.platform.interface import PlatformError, SavedContext


@dataclass(frozen=True)
class Facts:
    """What was found out before the decision, of what the message is about."""

    turns: int | None = None
    """How much was said in the room's context."""
    saves: tuple[SavedContext, ...] | None = None
    """The person's saves with the room's agent, newest first."""
    failed: PlatformError | None = None
    """Why what the command needs is not known."""
    takes_files: bool = True
    """Whether the room's agent can be given files."""


@dataclass(frozen=True)
class Said:
    """One command, on its way to its handler."""

    case: Case
    room: RoomMachine
    user: UserMachine
    event_id: str
    arguments: str
    house: House
    by_owner: bool = True
    """False: an admin says it in somebody else's room."""
    facts: Facts = field(default_factory=Facts)

    @property
    def room_id(self) -> str:
        """Where it was said."""
        return self.room.record.room_id

    @property
    def sender(self) -> str:
        """Who says it."""
        return self.case.sender

    def reply(self, key: str, /, **params: Param) -> None:
        """Want a service message in answer."""
        self.case.say(self.room_id, key, self.event_id, **params)

    def text(self, key: str, /, **params: str | int) -> texts.Markdown:
        """A text as a part of another, in the person's language."""
        return self.case.text(self.user.record.user_id, key, **params)

    def why_not(self) -> texts.Markdown:
        """Why this room's state does not know what was asked for."""
        match self.room.state:
            case "home":
                return self.text("why-home")
            case "archived":
                return self.text("why-archived", chat=self.room.record.chat_id or "")
            case "lost":
                return self.text("why-lost")
            case _:
                return self.text("why-unbound")
