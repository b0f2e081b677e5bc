"""The mirrors' content: from a document to account data, and back. Pure.

A *binding* (account data of a room) mirrors the room's document, a *profile* (account data of a Space)
the person's, and the *installation* (account data of the account) its id and the reserved end of the
sequence. Account data is private to the bot's account, so a mirror is ours by nature; but it is plain
text on the homeserver: nothing that people have said is in it.

`rev` is the revision of the document it was made from. Of a mirror and a document the higher one wins;
a mirror that says the same may lag behind. Account data cannot be deleted: `{}` means "none".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import Strict, TypeAdapter, ValidationError

BINDING = "lambda.surface.binding"
PROFILE = "lambda.surface.profile"
INSTALLATION = "lambda.surface.installation"

VERSION = 1
"""The version of the mirrors as this program writes them."""
MOST_HOMES = 200
"""Home rooms that a profile names; account data is limited to some 60 kB."""

_LABEL = re.compile(r"C[1-9][0-9]{0,8}")
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
Number: TypeAlias = Annotated[int, Strict()]
Flag: TypeAlias = Annotated[bool, Strict()]

Content: TypeAlias = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Binding:
    """A room as its mirror tells."""

    rev: Number
    state: Literal["unprovisioned", "home", "unbound", "bound", "cleared", "archived"]
    room_type: Literal["chat", "home"] | None = None
    matrix_user_id: str | None = None
    space_id: str | None = None
    chat_id: str | None = None
    display_name: str | None = None
    agent_id: str | None = None
    platform_chat_id: str | None = None
    previous_chat_id: str | None = None
    inviter: str | None = None
    foreign: Flag = False
    encrypted: Flag = False


@dataclass(frozen=True)
class Profile:
    """A person as the mirror in their Space tells."""

    rev: Number
    state: Literal["provisioning", "choosing", "ready", "departed"]
    user_id: str
    display_name: str | None = None
    locale: str = "en"
    space_name: str | None = None
    home_rooms: list[str] = field(default_factory=list)
    next_chat_index: Number = 1
    selected_agent_id: str | None = None


@dataclass(frozen=True)
class Installation:
    """The account as its mirror tells."""

    installation_id: str
    reserved: Number
    """No id up to this one may be issued by a database that does not know which were."""


@dataclass(frozen=True)
class Unreadable:
    """A mirror that says nothing to this program; it is reported, and left as it is."""

    why: str
    newer: bool = False
    """A newer program wrote it."""


_BINDING = TypeAdapter(Binding)
_PROFILE = TypeAdapter(Profile)
_INSTALLATION = TypeAdapter(Installation)
_BINDING_FIELDS = tuple(f.name for f in fields(Binding) if f.name != "rev")
_PROFILE_FIELDS = tuple(f.name for f in fields(Profile) if f.name != "rev")


def binding_of(room: Mapping[str, Any] | None) -> Content:
    """What is mirrored of a room's document, but for the revision; `{}` if nothing is.

    A lost room has no mirror of its own, and neither has one that means nothing to us.
    """
    if room is None or room["state"] == "lost":
        return {}
    if room["state"] == "unprovisioned" and not room.get("inviter"):
        return {}
    return {name: room[name] for name in _BINDING_FIELDS}


def profile_of(user: Mapping[str, Any] | None, space_id: str) -> Content:
    """What is mirrored of a person's document in this Space, but for the revision."""
    if user is None or user["space_id"] != space_id or user["state"] == "unprovisioned":
        return {}
    content = {name: user[name] for name in _PROFILE_FIELDS}
    return {**content, "home_rooms": content["home_rooms"][:MOST_HOMES]}


def mirror(content: Content, rev: int) -> Content:
    """The account data that says this; nothing said is nothing written."""
    return {"v": VERSION, "rev": rev, **content} if content else {}


def says(found: Any, content: Content) -> bool:
    """Whether a mirror, of whatever revision, says just this."""
    if not isinstance(found, dict):
        return found is None and not content
    return found == mirror(content, found.get("rev", 0)) if content else not found


def read_binding(found: Any) -> Binding | Unreadable | None:
    """The room behind a mirror; None if there is no mirror."""
    read = _read(_BINDING, found)
    if isinstance(read, Binding) and (why := _odd_binding(read)):
        return Unreadable(why)
    return read


def read_profile(found: Any) -> Profile | Unreadable | None:
    """The person behind a mirror; None if there is no mirror."""
    read = _read(_PROFILE, found)
    if isinstance(read, Profile):
        if not is_user_id(read.user_id):
            return Unreadable("`user_id` is no user id")
        if not 1 <= read.next_chat_index < 10**9 or not 1 <= read.rev < 2**53:
            return Unreadable("a number is out of range")
    return read


def read_installation(found: Any) -> Installation | Unreadable | None:
    """The account behind its mirror; None if there is no mirror."""
    read = _read(_INSTALLATION, found)
    if isinstance(read, Installation):
        if not 0 <= read.reserved < 10**18 or not 1 <= len(read.installation_id) <= 64:
            return Unreadable("`reserved` or `installation_id` is out of range")
    return read


def is_user_id(value: str) -> bool:
    """Whether this may be a Matrix user id (spec: at most 255 bytes)."""
    return value.startswith("@") and ":" in value and len(value) <= 255 and value.isprintable()


def is_label(value: object) -> bool:
    """Whether this is a label as the surface gives them."""
    return isinstance(value, str) and _LABEL.fullmatch(value) is not None


def _read(adapter: TypeAdapter[T], found: Any) -> T | Unreadable | None:
    if found is None or found == {}:
        return None
    if not isinstance(found, dict):
        return Unreadable("it is no object")
    version = found.get("v")
    if type(version) is not int or version < 1:
        return Unreadable(f"its version `v` is {str(version)[:20]!r}")
    if version > VERSION:
        return Unreadable(f"it is of version {version}, this program reads {VERSION}", newer=True)
    try:
        return adapter.validate_python({k: v for k, v in found.items() if k != "v"})
    except (ValidationError, RecursionError) as error:
        if isinstance(error, RecursionError):
            return Unreadable("it is nested too deeply")
        first = error.errors(include_url=False, include_input=False)[0]
        return Unreadable(f"`{'.'.join(map(str, first['loc']))}`: {first['msg']}"[:200])


def _odd_binding(read: Binding) -> str | None:
    """What must hold of a room whatever its state, so that a machine can take it over."""
    if not 1 <= read.rev < 2**53:
        return "`rev` is out of range"
    chats = (read.platform_chat_id, read.previous_chat_id)
    if any(chat is not None and not _NUMBER.fullmatch(chat) for chat in chats):
        return "a platform chat id is no number"
    if read.state == "unprovisioned":
        return None if read.inviter else "nobody is named who invited the bot"
    if read.matrix_user_id is None or not is_user_id(read.matrix_user_id):
        return "`matrix_user_id` is no user id"
    if (read.room_type == "home") != (read.state == "home"):
        return "`room_type` and `state` do not fit"
    if read.state != "home" and not is_label(read.chat_id):
        return "`chat_id` is no label"
    if read.state in ("bound", "cleared") and None in (read.agent_id, read.platform_chat_id):
        return "a bound room has an agent and a platform chat"
    return None
