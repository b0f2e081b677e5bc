"""What Matrix looks like, as plain values. Pure: from /sync responses to a picture.

Anybody may have written anything into a room, and the homeserver passes it on. So everything here is read
with suspicion: what is malformed is as if it were not there, and a marker counts only if the bot sent it.
Mirrors are account data, which only the bot can write.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from surface.inputs import MARKER
from surface.mirrors.content import BINDING, PROFILE, is_label, is_user_id

STATE = (
    "m.room.create",
    "m.room.name",
    "m.room.member",
    "m.room.encryption",
    "m.room.tombstone",
    "m.room.power_levels",
    "m.space.child",
    MARKER,
)
"""The types of state that are looked at."""

FILTER: Mapping[str, Any] = {
    "presence": {"types": []},
    "account_data": {"types": []},
    "room": {
        "ephemeral": {"types": []},
        "account_data": {"types": [BINDING, PROFILE]},
        "timeline": {"types": list(STATE), "limit": 100},
        "state": {"types": list(STATE), "lazy_load_members": False},
    },
}

Child = Literal["linked", "removed", "malformed"]


@dataclass(frozen=True)
class Marker:
    """What the bot wrote into a room when it made it."""

    kind: Literal["space", "chat"]
    owner: str
    nonce: str
    chat_id: str | None = None


@dataclass(frozen=True)
class Seen:
    """One room that the bot is in."""

    room_id: str
    created: int = 0
    """When, by the homeserver's clock, in milliseconds: only for which of two is older."""
    ours: bool = False
    """The bot made it."""
    space: bool = False
    predecessor: str | None = None
    marker: Marker | None = None
    odd_marker: str | None = None
    """Why a marker that is there does not count."""
    name: str | None = None
    encrypted: bool = False
    successor: str | None = None
    members: Mapping[str, str] = field(default_factory=dict)
    """The membership of everybody but the bot."""
    children: Mapping[str, tuple[Child, str]] = field(default_factory=dict)
    """Of a Space: how each room is linked, and who said so."""
    may_link: bool = True
    """The bot has the power to link rooms here."""
    binding: Any = None
    """The mirrors as they are found."""
    profile: Any = None

    def joined(self) -> list[str]:
        """Who is in it besides the bot."""
        return sorted(user for user, state in self.members.items() if state == "join")


@dataclass(frozen=True)
class Picture:
    """All rooms that the bot is in."""

    rooms: Mapping[str, Seen]


@dataclass
class _Raw:
    state: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    account: dict[str, Any] = field(default_factory=dict)


def picture(me: str, responses: Iterable[Any]) -> Picture:
    """The picture that an initial sync and those after it give.

    Args:
        me: the bot's user id.
        responses: bodies of /sync, in order, asked with `FILTER`.
    """
    raw: dict[str, _Raw] = {}
    for response in responses:
        rooms = _object(_object(response).get("rooms"))
        for room_id, room in _object(rooms.get("join")).items():
            _apply(raw.setdefault(room_id, _Raw()), _object(room))
        for room_id in _object(rooms.get("leave")):
            raw.pop(room_id, None)
    return Picture({room_id: _seen(me, room_id, found) for room_id, found in raw.items()})


def _apply(raw: _Raw, room: dict[str, Any]) -> None:
    for part in ("state", "timeline"):
        for event in _events(room.get(part)):
            kind, key = event.get("type"), event.get("state_key")
            if isinstance(kind, str) and isinstance(key, str):
                raw.state[kind, key] = event
    for event in _events(room.get("account_data")):
        if isinstance(kind := event.get("type"), str):
            raw.account[kind] = event.get("content")


def _seen(me: str, room_id: str, raw: _Raw) -> Seen:
    def content(kind: str) -> dict[str, Any]:
        return _object(raw.state.get((kind, ""), {}).get("content"))

    created, name = raw.state.get(("m.room.create", ""), {}), content("m.room.name").get("name")
    create, stamp = _object(created.get("content")), created.get("origin_server_ts")
    marker, odd = _marker(me, raw.state.get((MARKER, "")))
    return Seen(
        room_id=room_id,
        created=stamp if type(stamp) is int else 0,
        ours=created.get("sender") == me,
        space=create.get("type") == "m.space",
        predecessor=_text(_object(create.get("predecessor")).get("room_id")),
        marker=marker,
        odd_marker=odd,
        name=name[:255] if isinstance(name, str) and name.strip() else None,
        encrypted=("m.room.encryption", "") in raw.state,
        successor=_text(content("m.room.tombstone").get("replacement_room")),
        members=_members(me, raw),
        children=_children(raw),
        may_link=_may(me, "m.space.child", created, content("m.room.power_levels")),
        binding=raw.account.get(BINDING),
        profile=raw.account.get(PROFILE),
    )


def _marker(me: str, event: dict[str, Any] | None) -> tuple[Marker | None, str | None]:
    if event is None:
        return None, None
    if event.get("sender") != me:
        return None, f"written by {str(event.get('sender'))[:100]}"
    content = _object(event.get("content"))
    kind, owner, nonce = (content.get(key) for key in ("kind", "owner", "nonce"))
    chat_id = content.get("chat_id")
    if content.get("v") != 1:
        return None, f"version {str(content.get('v'))[:20]}"
    if kind not in ("space", "chat") or not isinstance(nonce, str) or not nonce:
        return None, "malformed"
    if not isinstance(owner, str) or not is_user_id(owner):
        return None, "malformed"
    label = chat_id if isinstance(chat_id, str) and is_label(chat_id) else None
    return Marker("space" if kind == "space" else "chat", owner, nonce, label), None


def _members(me: str, raw: _Raw) -> dict[str, str]:
    found = {}
    for (kind, user_id), event in raw.state.items():
        membership = _object(event.get("content")).get("membership")
        if kind == "m.room.member" and user_id != me and isinstance(membership, str):
            found[user_id] = membership
    return found


def _children(raw: _Raw) -> dict[str, tuple[Child, str]]:
    found: dict[str, tuple[Child, str]] = {}
    for (kind, room_id), event in raw.state.items():
        if kind != "m.space.child":
            continue
        content, sender = event.get("content"), _text(event.get("sender")) or ""
        redacted = _object(_object(event.get("unsigned")).get("redacted_because"))
        if redacted:
            # Whoever took the event back removed the child, whoever had added it.
            found[room_id] = ("removed", _text(redacted.get("sender")) or "")
        elif isinstance(content, dict) and "via" not in content:
            found[room_id] = ("removed", sender)
        else:
            via = _object(content).get("via")
            fine = isinstance(via, list) and any(isinstance(server, str) for server in via)
            found[room_id] = ("linked" if fine else "malformed", sender)
    return found


def _may(me: str, kind: str, created: dict[str, Any], levels: dict[str, Any]) -> bool:
    """Whether we may set this state (spec: power levels; creators stand above from version 12 on)."""
    create = _object(created.get("content"))
    version = str(create.get("room_version", "1"))
    more = create.get("additional_creators")
    creators = [created.get("sender"), *(more if isinstance(more, list) else [])]
    listed = _object(levels.get("users"))
    if me in creators and me not in listed:
        if (version.isdecimal() and int(version) >= 12) or not levels:
            return True
    default = _level(levels.get("state_default"), 50 if levels else 0)
    needed = _level(_object(levels.get("events")).get(kind), default)
    return _level(listed.get(me), _level(levels.get("users_default"), 0)) >= needed


def _level(value: Any, default: int) -> int:
    if isinstance(value, str):  # Old rooms may spell numbers as text.
        text = value.strip()
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else default
    return value if type(value) is int else default


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _events(value: Any) -> list[dict[str, Any]]:
    events = _object(value).get("events")
    return [e for e in events if isinstance(e, dict)] if isinstance(events, list) else []


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
