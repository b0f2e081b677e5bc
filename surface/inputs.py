"""What comes in, as values of one closed type; and how a raw event becomes one.

The inbox keeps what was received, as received. `read` turns it into an `Input` when it is taken up. Pure:
whatever a stranger put into an event, the outcome is an `Input` or None (nothing for us), never an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from machines.effects import Source

MARKER = "lambda.surface.room"
NAMELESS: Mapping[str, str] = {
    "m.image": "image",
    "m.file": "file",
    "m.audio": "audio",
    "m.video": "video",
    "m.sticker": "sticker",
}
"""What a message with a file may be (spec: msgtypes; a sticker is an event type of its own), and how the file
is called when nobody has."""
FILES = frozenset(NAMELESS)


@dataclass(frozen=True)
class Incoming:
    """The file of a message.

    Args:
        source: None: the event does not say where it is, or not so that it can be understood.
        size: in bytes, as the sender says; None if they don't.
    """

    source: Source | None
    name: str
    mime_type: str
    size: int | None


@dataclass(frozen=True)
class Message:
    """Something a person said, or sent.

    Of a file `body` is the caption; empty, if it has none.
    """

    event_id: str
    room_id: str
    sender: str
    body: str
    msgtype: str
    reply_to: str | None = None
    thread: str | None = None
    sent: float = 0.0
    """When, in seconds, by the homeserver's clock; for limits only."""
    mentions: bool = False
    """The bot is mentioned on purpose (spec: `m.mentions`), or by its full user id."""
    answers_us: bool = False
    """It is a reply to a message of the bot's; looked up where it matters."""
    stale_list: bool = False
    """It is a bare number, and answers a list of an earlier process of ours."""
    apart: bool = False
    """It is a bare number, and an agent's answer stands between it and the open list."""
    file: Incoming | None = None

    @property
    def addressed(self) -> bool:
        """In company, only what is addressed to the bot is for it."""
        return self.mentions or self.answers_us


@dataclass(frozen=True)
class Edit:
    """A person changed a message of theirs."""

    room_id: str
    sender: str
    target: str
    body: str


@dataclass(frozen=True)
class Redaction:
    """A message was taken back."""

    room_id: str
    sender: str
    target: str


@dataclass(frozen=True)
class Reaction:
    """Somebody reacted to a message."""

    event_id: str
    room_id: str
    sender: str
    target: str
    key: str
    stale_question: bool = False
    """What it reacts to is a question or list of the bot's that is not open any more."""


@dataclass(frozen=True)
class Invite:
    """The bot was invited. Stripped invites have no event id."""

    room_id: str
    inviter: str
    direct: bool


@dataclass(frozen=True)
class Membership:
    """Somebody's membership in a room changed."""

    room_id: str
    user_id: str
    sender: str
    membership: str


@dataclass(frozen=True)
class Removed:
    """The bot is no longer in a room (left, kicked, banned), or an invite was taken back."""

    room_id: str


@dataclass(frozen=True)
class Named:
    """Somebody other than the bot set the room's name."""

    room_id: str
    name: str


@dataclass(frozen=True)
class Unlinked:
    """Somebody other than the bot took a room out of a Space."""

    room_id: str
    space_id: str


@dataclass(frozen=True)
class Upgraded:
    """The room was replaced by another one (spec: `m.room.tombstone`)."""

    room_id: str
    successor: str


@dataclass(frozen=True)
class Encrypted:
    """The room is encrypted from now on."""

    room_id: str


@dataclass(frozen=True)
class Marked:
    """One of our own rooms has its marker: this is the room behind a nonce."""

    room_id: str
    owner: str
    nonce: str
    encrypted: bool


@dataclass(frozen=True)
class Ciphertext:
    """An event that could not be decrypted (yet)."""

    event_id: str
    room_id: str
    sender: str


Input: TypeAlias = (
    Message
    | Edit
    | Redaction
    | Reaction
    | Invite
    | Membership
    | Removed
    | Named
    | Unlinked
    | Upgraded
    | Encrypted
    | Marked
    | Ciphertext
)

INTERESTING = frozenset(
    {
        "m.room.message",
        "m.sticker",
        "m.room.redaction",
        "m.reaction",
        "m.room.encrypted",
        "m.room.member",
        "m.room.name",
        "m.room.encryption",
        "m.room.tombstone",
        "m.space.child",
        MARKER,
    }
)
"""The types of events that enter the inbox."""


def interesting(event: dict[str, Any], me: str) -> bool:
    """Say whether a timeline or state event is an input; own messages never are."""
    kind, sender = event.get("type"), event.get("sender")
    if not isinstance(kind, str) or kind not in INTERESTING:
        return False
    if not _is_id(event.get("event_id")):
        return False
    if kind == MARKER:
        return sender == me
    if kind == "m.room.encryption":
        return True
    if kind == "m.room.member":
        return sender != me and event.get("state_key") != me
    return sender != me


def read(room_id: str, event: dict[str, Any], me: str) -> Input | None:
    """The input behind an event that has been decrypted if it could be; None if it says nothing to us."""
    content = event.get("content")
    if not isinstance(content, dict):
        return None
    sender = _text(event.get("sender"))
    match event.get("type"):
        case "m.room.message" | "m.sticker":
            return _message(room_id, event, content, me)
        case "m.room.redaction":
            target = content.get("redacts") or event.get("redacts")
            return Redaction(room_id, sender, target) if isinstance(target, str) else None
        case "m.reaction":
            return _reaction(room_id, event, content)
        case "m.room.encrypted":
            if "ciphertext" not in content:
                return None  # redacted
            return Ciphertext(_text(event.get("event_id")), room_id, sender)
        case "m.room.member":
            user_id = _text(event.get("state_key"))
            return Membership(room_id, user_id, sender, _text(content.get("membership")))
        case "m.room.name":
            name = content.get("name")
            return Named(room_id, name[:255]) if isinstance(name, str) and name.strip() else None
        case "m.room.encryption":
            return Encrypted(room_id)
        case "m.space.child" if "via" not in content and _text(event.get("state_key")):
            return Unlinked(_text(event.get("state_key")), room_id)
        case "m.room.tombstone" if event.get("state_key") == "":
            successor = _text(content.get("replacement_room"))
            return Upgraded(room_id, successor) if _is_id(successor) and successor else None
        case kind if kind == MARKER and sender == me and event.get("state_key") == "":
            owner, nonce = content.get("owner"), content.get("nonce")
            if isinstance(owner, str) and isinstance(nonce, str):
                return Marked(room_id, owner, nonce, content.get("encrypted") is True)
    return None


def read_invite(room_id: str, invite_state: list[Any], me: str) -> Invite | None:
    """The invite behind a room's stripped state; None if it does not say who invites."""
    for event in invite_state:
        if not isinstance(event, dict) or event.get("type") != "m.room.member":
            continue
        content = event.get("content")
        if event.get("state_key") == me and isinstance(content, dict):
            if content.get("membership") == "invite" and isinstance(event.get("sender"), str):
                return Invite(room_id, event["sender"], content.get("is_direct") is True)
    return None


def _reaction(room_id: str, event: dict[str, Any], content: dict[str, Any]) -> Reaction | None:
    relates = content.get("m.relates_to")
    if not isinstance(relates, dict) or relates.get("rel_type") != "m.annotation":
        return None
    target, key = relates.get("event_id"), relates.get("key")
    if not isinstance(target, str) or not isinstance(key, str):
        return None
    return Reaction(_text(event.get("event_id")), room_id, _text(event.get("sender")), target, key)


def _message(
    room_id: str, event: dict[str, Any], content: dict[str, Any], me: str
) -> Message | Edit | None:
    msgtype = "m.sticker" if event.get("type") == "m.sticker" else _text(content.get("msgtype"))
    body = content.get("body")
    if body is None and msgtype in FILES and ("url" in content or "file" in content):
        body = ""  # A file needs no words; a sticker that was taken back has neither.
    if not isinstance(body, str):
        return None
    file = _incoming(content, body or NAMELESS[msgtype]) if msgtype in FILES else None
    if file is not None:
        body = _caption(content, body, msgtype)
    relates = content.get("m.relates_to")
    relates = relates if isinstance(relates, dict) else {}
    if relates.get("rel_type") == "m.replace":
        new, target = content.get("m.new_content"), relates.get("event_id")
        words = new.get("body") if isinstance(new, dict) else None
        if not isinstance(new, dict) or not isinstance(words, str) or not isinstance(target, str):
            return None
        if _text(new.get("msgtype")) in FILES:
            words = _caption(new, words, "")
        return Edit(room_id, _text(event.get("sender")), target, words)
    reply = relates.get("m.in_reply_to")
    reply_to = reply.get("event_id") if isinstance(reply, dict) else None
    thread = relates.get("event_id") if relates.get("rel_type") == "m.thread" else None
    if relates.get("is_falling_back") is True:
        reply_to = None
    return Message(
        event_id=_text(event.get("event_id")),
        room_id=room_id,
        sender=_text(event.get("sender")),
        body=_without_reply_fallback(body) if isinstance(reply_to, str) else body,
        msgtype=msgtype,
        reply_to=reply_to if isinstance(reply_to, str) else None,
        thread=thread if isinstance(thread, str) else None,
        sent=_seconds(event.get("origin_server_ts")),
        mentions=_mentions(content, body, me),
        file=file,
    )


def _incoming(content: dict[str, Any], body: str) -> Incoming:
    info = content.get("info")
    info = info if isinstance(info, dict) else {}
    size = info.get("size")
    return Incoming(
        _source(content),
        _text(content.get("filename")) or body,
        _text(info.get("mimetype"))[:128],
        size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None,
    )


def _caption(content: dict[str, Any], body: str, msgtype: str) -> str:
    """What is said with a file (spec 1.10: the body, where it is not the file's name)."""
    named = content.get("filename")
    return body if isinstance(named, str) and named != body and msgtype != "m.sticker" else ""


def _source(content: dict[str, Any]) -> Source | None:
    """Where a file is; of an encrypted one also how it is opened (spec: EncryptedFile)."""
    sealed = content.get("file")
    if not isinstance(sealed, dict):
        url = content.get("url")
        return Source(url) if isinstance(url, str) and _MXC.fullmatch(url) else None
    key, hashes = sealed.get("key"), sealed.get("hashes")
    url, secret, iv, sha256 = (
        _text(sealed.get("url")),
        _text(key.get("k")) if isinstance(key, dict) else "",
        _text(sealed.get("iv")),
        _text(hashes.get("sha256")) if isinstance(hashes, dict) else "",
    )
    told = secret and iv and sha256 and (secret + iv + sha256).isascii()
    return Source(url, secret, iv, sha256) if told and _MXC.fullmatch(url) else None


_MXC = re.compile(r"mxc://[A-Za-z0-9\[][A-Za-z0-9.:\[\]-]{0,254}/[A-Za-z0-9_-]{1,255}")
"""Spec: a server name and an id of these characters; nothing else may become part of a path, `..` least."""


def _mentions(content: dict[str, Any], body: str, me: str) -> bool:
    mentions = content.get("m.mentions")
    if isinstance(mentions, dict):
        named = mentions.get("user_ids")
        return isinstance(named, list) and me in named
    return me in body


def _seconds(stamp: Any) -> float:
    return stamp / 1000 if isinstance(stamp, int) and 0 <= stamp < 2**53 else 0.0


def _without_reply_fallback(body: str) -> str:
    """Spec (before 1.13): a reply repeats what it answers in lines that begin with `> `."""
    lines = body.split("\n")
    quoted = 0
    while quoted < len(lines) and lines[quoted].startswith("> "):
        quoted += 1
    if quoted and quoted < len(lines) and not lines[quoted].strip():
        return "\n".join(lines[quoted + 1 :])
    return body


def _is_id(value: Any) -> bool:
    """Spec: event ids are at most 255 bytes; what is not even UTF-8 is no id."""
    return (
        isinstance(value, str)
        and len(value.encode("utf-8", "replace")) <= 255
        and (value.isprintable())
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
