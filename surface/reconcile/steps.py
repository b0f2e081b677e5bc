"""The steps of a plan, as values of one closed type. Each is one decision.

A step says what was found and what follows from it; how it is carried out is `apply`'s. What cannot be
mended is a step as well (`Tell`): it is recorded, so that it is told only once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from machines.effects import Effect
from surface.mirrors.due import Due

Outcome = Literal["adopted", "repaired", "lost", "asked", "told"]


@dataclass(frozen=True)
class Take:
    """One machine takes one event, if it is still in a state that knows it."""

    machine: Literal["user", "room"]
    key: str
    """MXID or room id."""
    event: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AdoptPerson:
    """A person whom Matrix knows better than the store: their Space and its mirror."""

    user_id: str
    details: Mapping[str, Any]
    """Of `observed_space`."""
    rev: int = 0
    """Of the mirror; 0: there is none."""
    stale: bool = False
    """There is a document, and it is older than the mirror."""
    invite: bool = False


@dataclass(frozen=True)
class AdoptRoom:
    """A room that Matrix knows better than the store: its mirror or marker."""

    room_id: str
    event: Literal["observed_bound", "observed_home", "contact"]
    details: Mapping[str, Any]
    was: str = ""
    """The state it was in, of a chat room."""
    previous_chat_id: str | None = None
    rev: int = 0
    stale: bool = False
    relink: bool = False
    invite: str | None = None


@dataclass(frozen=True)
class Complete:
    """The room behind a creation is there."""

    owner: str
    nonce: str
    room_id: str
    encrypted: bool


@dataclass(frozen=True)
class Gone:
    """A room that is stored and in which the bot is not any more."""

    room_id: str


@dataclass(frozen=True)
class Return:
    """A person who had left their Space is in it again."""

    user_id: str


@dataclass(frozen=True)
class CarryOver:
    """The bot is in the successor of an upgraded room."""

    old: str
    new: str
    encrypted: bool
    name: str | None = None
    members: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Want:
    """Something has to be done in Matrix that no machine asks for."""

    effect: Effect
    why: str


@dataclass(frozen=True)
class Write:
    """A mirror is missing, or does not say what its document says."""

    due: Due


@dataclass(frozen=True)
class Raise:
    """Ids up to this one turned out to be in use."""

    value: int


@dataclass(frozen=True)
class Tell:
    """Something that is ignored, or cannot be mended."""

    what: str
    where: str
    why: str

    @property
    def key(self) -> str:
        """Under which it is remembered that it was told."""
        return f"{self.what}/{self.where}"


Step: TypeAlias = (
    Take
    | AdoptPerson
    | AdoptRoom
    | Complete
    | Gone
    | Return
    | CarryOver
    | Want
    | Write
    | Raise
    | Tell
)


def outcome_of(step: Step) -> Outcome:
    """Under what a step is counted in the summary."""
    match step:
        case AdoptPerson() | AdoptRoom() | Complete():
            return "adopted"
        case Gone() | Take(event="observed_space_gone"):
            return "lost"
        case Take(event="observed_agent_missing"):
            return "asked"
        case Tell():
            return "told"
        case _:
            return "repaired"
