"""What a person sees: rooms, timelines and state, put together from /sync answers. Pure.

One rule: an event is kept as it came, in the homeserver's order, once. Edits, redactions and
decryption change what is *shown* of it, never what is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

Event = dict[str, Any]

UNDECRYPTABLE = "UNDECRYPTABLE"
"""The `msgtype`, and the beginning of the `body`, of what could not be decrypted (yet)."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as a person reads it: the latest edit applied."""

    event_id: str
    sender: str
    msgtype: str
    body: str
    formatted: str | None
    original_body: str
    edits: int
    relates_to: dict[str, Any]
    """`m.relates_to` of the original: thread, reply."""
    content: dict[str, Any]
    """The whole content shown, the latest edit's where there is one."""
    ts: int
    encrypted: bool
    """Whether it travelled encrypted."""

    @property
    def undecryptable(self) -> bool:
        return self.msgtype == UNDECRYPTABLE

    @property
    def reply_to(self) -> str | None:
        reply = self.relates_to.get("m.in_reply_to")
        return reply.get("event_id") if isinstance(reply, dict) else None

    @property
    def thread(self) -> str | None:
        in_thread = self.relates_to.get("rel_type") == "m.thread"
        return self.relates_to.get("event_id") if in_thread else None


@dataclass(frozen=True, slots=True)
class Invite:
    """An invitation, as far as its stripped state tells."""

    room_id: str
    sender: str
    name: str | None
    is_direct: bool
    room_type: str | None

    @property
    def is_space(self) -> bool:
        return self.room_type == "m.space"


@dataclass
class RoomView:
    """One room of one person."""

    room_id: str
    membership: Literal["invite", "join", "leave"]
    timeline: list[Event] = field(default_factory=list)
    state: dict[tuple[str, str], Event] = field(default_factory=dict)
    stripped: list[Event] = field(default_factory=list)
    account_data: dict[str, dict[str, Any]] = field(default_factory=dict)
    typing: frozenset[str] = frozenset()
    receipts: dict[str, str] = field(default_factory=dict)
    """Per user, the last event read."""
    clear: dict[str, Event] = field(default_factory=dict)
    """Per encrypted event, what it decrypted to: `type`, `content`; or `error`."""
    _known: set[str] = field(default_factory=set)

    def add(self, events: Iterable[Event]) -> None:
        """Append what is new to the timeline, and apply its state."""
        for event in events:
            if event["event_id"] not in self._known:
                self._known.add(event["event_id"])
                self.timeline.append(event)
            self.set_state(event)

    def set_state(self, event: Event) -> None:
        if "state_key" in event:
            self.state[event["type"], event["state_key"]] = event

    @property
    def encrypted(self) -> bool:
        return ("m.room.encryption", "") in self.state

    def members(self, *memberships: str) -> set[str]:
        return {
            key
            for (kind, key), event in self.state.items()
            if kind == "m.room.member" and event["content"].get("membership") in memberships
        }

    def shown(self, event: Event) -> Event:
        """The event with its decrypted type and content in place of the ciphertext."""
        if event["type"] != "m.room.encrypted" or not event["content"].get("algorithm"):
            return event  # a redacted one has no ciphertext left
        clear = self.clear.get(event["event_id"], {"error": "not decrypted"})
        if "error" in clear:
            body = f"{UNDECRYPTABLE}: {clear['error']}"
            content = {"msgtype": UNDECRYPTABLE, "body": body}
            kind = "m.room.message"
        else:
            content, kind = dict(clear["content"]), clear["type"]
        # Relations count only where the server can read them (spec, "Forming relationships").
        content.pop("m.relates_to", None)
        if "m.relates_to" in event["content"]:
            content["m.relates_to"] = event["content"]["m.relates_to"]
        return {**event, "type": kind, "content": content}


def redacted_ids(events: Iterable[Event]) -> set[str]:
    """The events that were taken back, by the redactions among `events` or by their own mark."""
    gone: set[str] = set()
    for event in events:
        if event["type"] == "m.room.redaction":
            gone.add(event["content"].get("redacts") or event.get("redacts") or "")
        if "redacted_because" in event.get("unsigned", {}):
            gone.add(event["event_id"])
    return gone


def messages_of(room: RoomView, events: Iterable[Event] | None = None) -> list[Message]:
    """The messages among `events` (the room's timeline if None), without those taken back."""
    raw = list(room.timeline if events is None else events)
    gone = redacted_ids(raw)
    encrypted = {event["event_id"] for event in raw if event["type"] == "m.room.encrypted"}
    shown = [room.shown(event) for event in raw if event["event_id"] not in gone]
    edits: dict[tuple[str, str], list[Event]] = {}
    originals: list[Event] = []
    for event in shown:
        if event["type"] != "m.room.message" or "msgtype" not in event["content"]:
            continue
        relation = event["content"].get("m.relates_to") or {}
        if relation.get("rel_type") == "m.replace":
            # Only one's own messages can be edited.
            edits.setdefault((str(relation.get("event_id")), event["sender"]), []).append(event)
        else:
            originals.append(event)
    return [
        _message(event, edits.get((event["event_id"], event["sender"]), []), encrypted)
        for event in originals
    ]


def _message(event: Event, edits: list[Event], encrypted: set[str]) -> Message:
    original = event["content"]
    content = original
    if edits:
        latest = edits[-1]["content"]
        content = latest.get("m.new_content", latest)
    return Message(
        event_id=event["event_id"],
        sender=event["sender"],
        msgtype=str(content.get("msgtype", original["msgtype"])),
        body=str(content.get("body", "")),
        formatted=content.get("formatted_body"),
        original_body=str(original.get("body", "")),
        edits=len(edits),
        relates_to=dict(original.get("m.relates_to") or {}),
        content=content,
        ts=event.get("origin_server_ts", 0),
        encrypted=event["event_id"] in encrypted,
    )


def invite_of(room: RoomView, user_id: str) -> Invite:
    """The invitation of `user_id` to a room, read from its stripped state."""
    found = {(event["type"], event["state_key"]): event for event in room.stripped}
    member = found.get(("m.room.member", user_id), {"sender": "", "content": {}})
    create = found.get(("m.room.create", ""), {"content": {}})
    name = found.get(("m.room.name", ""), {"content": {}})
    return Invite(
        room_id=room.room_id,
        sender=member["sender"],
        name=name["content"].get("name"),
        is_direct=bool(member["content"].get("is_direct")),
        room_type=create["content"].get("type"),
    )


def transcript(rooms: Iterable[RoomView], *, last: int = 25) -> str:
    """All that is in `rooms`, for a failure's text."""
    lines: list[str] = []
    for room in rooms:
        name = room.state.get(("m.room.name", ""), {"content": {}})["content"].get("name", "")
        kind = "encrypted" if room.encrypted else "plain"
        lines.append(f"{room.room_id} {name!r} ({room.membership}, {kind})")
        gone = redacted_ids(room.timeline)
        for event in room.timeline[-last:]:
            seen = room.shown(event)
            content = {k: v for k, v in seen["content"].items() if k != "formatted_body"}
            if seen["type"] == "m.room.message":
                relation = content.get("m.relates_to") or {}
                edit = " (edit)" if relation.get("rel_type") == "m.replace" else ""
                text = f"{content.get('msgtype')}{edit}: {str(content.get('body'))[:300]!r}"
            else:
                key = f"[{event['state_key']}]" if event.get("state_key") else ""
                text = f"{seen['type']}{key} {str(content)[:160]}"
            mark = " (redacted)" if event["event_id"] in gone else ""
            lines.append(f"    {event['event_id'][:12]} {event['sender']}: {text}{mark}")
    return "\n".join(lines) or "(no rooms)"
