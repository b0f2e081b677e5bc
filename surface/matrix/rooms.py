"""What the bot does to rooms and in them: the Matrix requests behind the effects.

Messages carry a transaction id, so repeating one is harmless. Creating a room does not: it is one
attempt, and after a lost answer `find_by_nonce` looks for the room before it is tried again.

Everything sent carries `lambda.surface.source`, the key of the effect it came from: by it our own echo in
/sync is recognised when the transaction ids of another device mean nothing any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

import structlog

from surface.failpoints import Failpoints
from surface.matrix.api import CLIENT, Api, Lost, MatrixError, path, told
from surface.matrix.courier import Courier, Kind, Urgency
from surface.matrix.crypto import Crypto

log = structlog.get_logger()

MARKER = "lambda.surface.room"
SOURCE = "lambda.surface.source"
DIALOG = "lambda.surface.dialog"
ENCRYPTION = {"algorithm": "m.megolm.v1.aes-sha2"}

TYPING_MS = 30_000
"""How long clients show the bot as typing unless told again."""

HALF_MADE = 10.0
"""Seconds to give the homeserver for finishing a room that has no marker yet."""


@dataclass(frozen=True)
class NewRoom:
    """A Space or chat room as it is asked for."""

    kind: Literal["space", "chat"]
    owner: str
    nonce: str
    name: str
    topic: str | None = None
    space_id: str | None = None
    chat_id: str | None = None
    encrypted: bool = False


def _redaction(room_id: str, event_id: str) -> str:
    return path("rooms", room_id, "redact", event_id, f"d{_digest(event_id)}")


def _reaction(room_id: str, event_id: str, key: str) -> tuple[str, dict[str, Any]]:
    """Where a reaction is put, always under the same transaction id, and what it says."""
    relates = {"rel_type": "m.annotation", "event_id": event_id, "key": key}
    where = path("rooms", room_id, "send", "m.reaction", f"r{_digest(event_id, key)}")
    return where, {"m.relates_to": relates}


def _digest(*parts: str) -> str:
    return blake2b("/".join(parts).encode(), digest_size=9).hexdigest()


class Rooms:
    """The bot's hands in Matrix."""

    def __init__(
        self,
        api: Api,
        courier: Courier,
        crypto: Crypto,
        failpoints: Failpoints,
        *,
        user_id: str,
        room_version: str | None,
    ) -> None:
        self._api, self._courier, self._crypto = api, courier, crypto
        self._failpoints = failpoints
        self._user_id, self._server = user_id, user_id.partition(":")[2]
        self._room_version = room_version
        self._creator_is_listed = True
        self._plain: set[str] = set()
        """Rooms in which encryption was not on when the homeserver was asked."""

    async def prepare(self) -> None:
        """Learn which room version will be made.

        From version 12 on the creator's power is beyond the list, and naming them there is refused.

        Raises:
            MatrixError, Lost: see `Api.request`.
        """
        version = self._room_version
        if version is None:
            answer = await self._api.request("GET", f"{CLIENT}/capabilities")
            versions = (answer.get("capabilities") or {}).get("m.room_versions") or {}
            version = str(versions.get("default", "1"))
        self._creator_is_listed = version.isdecimal() and int(version) < 12

    async def send(
        self,
        room_id: str,
        content: dict[str, Any],
        transaction: str,
        *,
        encrypted: bool,
        urgency: Urgency,
        point: str,
    ) -> str:
        """Send an `m.room.message` and return its event id.

        Raises:
            MatrixError, Lost: see `Api.request`.
        """

        async def request() -> dict[str, Any]:
            kind, wire = await self._sealed(room_id, content, encrypted)
            where = path("rooms", room_id, "send", kind, transaction)
            return await self._do(point, "PUT", where, wire)

        answer = await self._courier.carry("message", urgency, request)
        return told(answer, "event_id")

    @property
    def server_time(self) -> float | None:
        """The homeserver's clock when it answered last, in POSIX seconds; None if it has not said."""
        return self._api.server_time

    @property
    def server_now(self) -> float | None:
        """The homeserver's clock now, as far as ours has kept pace since it answered."""
        return self._api.server_now

    @property
    def limited(self) -> bool:
        """True while the homeserver limits our messages: nothing should be sent that can be spared."""
        return self._courier.limited("message")

    async def preview(
        self, room_id: str, content: dict[str, Any], transaction: str, *, encrypted: bool
    ) -> bool:
        """Send an edit that nobody will miss; False if it was dropped."""

        async def request() -> dict[str, Any]:
            kind, wire = await self._sealed(room_id, content, encrypted)
            where = path("rooms", room_id, "send", kind, transaction)
            return await self._do("preview", "PUT", where, wire)

        return await self._courier.try_now("message", request) is not None

    async def join(self, room_id: str) -> None:
        """Accept an invite."""
        await self._carry("join", "join", "POST", path("rooms", room_id, "join"), {})

    async def leave(self, room_id: str) -> None:
        """Decline an invite or leave."""
        await self._carry("join", "leave", "POST", path("rooms", room_id, "leave"), {})

    async def invite(self, room_id: str, user_id: str) -> None:
        """Invite somebody who is neither in the room nor invited yet."""
        if await self.membership(room_id, user_id) in ("invite", "join"):
            return
        body = {"user_id": user_id}
        await self._carry("invite", "invite", "POST", path("rooms", room_id, "invite"), body)

    async def membership(self, room_id: str, user_id: str) -> str | None:
        """Somebody's membership, as the bot sees it."""
        member = await self.state(room_id, "m.room.member", user_id)
        return str(member.get("membership")) if member else None

    async def create(self, room: NewRoom) -> str:
        """Ask for a room, once; returns its id. No invites: one that fails would leave half a room."""
        answer = await self._courier.carry(
            "create",
            Urgency.REST,
            lambda: self._do("create", "POST", f"{CLIENT}/createRoom", self._creation(room)),
        )
        return told(answer, "room_id")

    async def find_by_nonce(self, nonce: str, known: frozenset[str]) -> str | None:
        """The room that carries the nonce in our marker, among the joined ones not in `known`.

        A room of ours without a marker is one that the homeserver is still making: it is given time.
        """
        deadline = asyncio.get_running_loop().time() + HALF_MADE
        while True:
            joined = await self._api.request("GET", f"{CLIENT}/joined_rooms")
            half_made = False
            for room_id in joined.get("joined_rooms", ()):
                if room_id in known:
                    continue
                marker, author = await self._marker(room_id)
                if author == self._user_id and marker.get("nonce") == nonce:
                    return str(room_id)
                half_made = half_made or (not marker and await self._made_by_us(room_id))
            if not half_made or asyncio.get_running_loop().time() > deadline:
                return None
            await asyncio.sleep(0.5)

    async def set_child(self, space_id: str, room_id: str, order: str | None) -> None:
        """Make a room a child of a Space; without an order, take it out (spec: a link without `via`)."""
        child = {"via": [self._server], "order": order, "suggested": True} if order else {}
        await self.put_state(space_id, "m.space.child", room_id, child)

    async def set_parent(self, room_id: str, space_id: str, *, linked: bool) -> None:
        """Say in a room that it belongs to a Space, or does not."""
        parent = {"via": [self._server], "canonical": True} if linked else {}
        await self.put_state(room_id, "m.space.parent", space_id, parent)

    async def put_state(self, room_id: str, kind: str, key: str, content: dict[str, Any]) -> None:
        """Set a state event, unless it is so already: homeservers and clients may have added to it."""
        now = await self.state(room_id, kind, key)
        if now == content or (content and now is not None and content.items() <= now.items()):
            return
        where = path("rooms", room_id, "state", kind, key)
        await self._carry("state", "state", "PUT", where, content)

    async def state(self, room_id: str, kind: str, key: str = "") -> dict[str, Any] | None:
        """The content of a state event; None if there is none, or we may not see it."""
        try:
            return await self._api.request("GET", path("rooms", room_id, "state", kind, key))
        except MatrixError as error:
            if error.status in (403, 404):
                return None
            raise

    async def predecessor(self, room_id: str) -> str | None:
        """The room whose place this one takes; only if that one's tombstone names it."""
        create = await self.state(room_id, "m.room.create") or {}
        named = create.get("predecessor")
        old = named.get("room_id") if isinstance(named, dict) else None
        if not isinstance(old, str):
            return None
        tombstone = await self.state(old, "m.room.tombstone") or {}
        return old if tombstone.get("replacement_room") == room_id else None

    async def is_space(self, room_id: str) -> bool:
        """Whether the room is a Space."""
        create = await self.state(room_id, "m.room.create") or {}
        return create.get("type") == "m.space"

    async def owner(self, room_id: str) -> str | None:
        """Whose room it is by the bot's own marker."""
        marker, author = await self._marker(room_id)
        owner = marker.get("owner")
        return owner if author == self._user_id and isinstance(owner, str) else None

    async def is_encrypted(self, room_id: str) -> bool:
        """Whether the homeserver has encryption set for the room."""
        return await self.state(room_id, "m.room.encryption") is not None

    async def others(self, room_id: str, besides: str) -> tuple[str, ...]:
        """Who is in the room, apart from the bot and `besides`."""
        members = await self._api.request("GET", path("rooms", room_id, "joined_members"))
        joined = members.get("joined") or {}
        return tuple(sorted(set(joined) - {self._user_id, besides}))

    async def react(self, room_id: str, event_id: str, key: str) -> str | None:
        """Put a reaction under a message, if it may go at once; returns its event id."""
        where, body = _reaction(room_id, event_id, key)
        answer = await self._courier.try_now(
            "message", lambda: self._do("extra", "PUT", where, body)
        )
        return told(answer, "event_id") if answer else None

    async def sign(self, room_id: str, event_id: str, key: str) -> str:
        """Put a reaction under a message, whenever it may go: it tells something; returns its event id."""
        where, body = _reaction(room_id, event_id, key)
        return told(await self._carry("message", "sign", "PUT", where, body), "event_id")

    async def unsign(self, room_id: str, event_id: str) -> None:
        """Take such a reaction back, whenever that may go."""
        await self._carry("message", "sign", "PUT", _redaction(room_id, event_id), {})

    async def redact(self, room_id: str, event_id: str) -> None:
        """Take one of the bot's own reactions back, if it may go at once."""
        where = _redaction(room_id, event_id)
        await self._courier.try_now("message", lambda: self._do("extra", "PUT", where, {}))

    async def typing(self, room_id: str, *, on: bool) -> None:
        """Show or hide that the bot is typing; nobody minds if it does not work."""
        where = path("rooms", room_id, "typing", self._user_id)
        body = {"typing": True, "timeout": TYPING_MS} if on else {"typing": False}
        with contextlib.suppress(MatrixError, Lost):
            await self._do("extra", "PUT", where, body)

    async def seen(self, room_id: str, event_id: str) -> None:
        """Send the read receipt of a message; nobody minds if it does not work."""
        where = path("rooms", room_id, "receipt", "m.read", event_id)
        with contextlib.suppress(MatrixError, Lost):
            await self._do("extra", "POST", where, {})

    async def fully_read(self, room_id: str, event_id: str) -> bool:
        """Move the bot's read marker, and its receipt with it; False if it has to be tried again."""
        body = {"m.fully_read": event_id, "m.read": event_id}
        try:
            where = path("rooms", room_id, "read_markers")
            await self._do("marker", "POST", where, body)
        except Lost:
            return False
        except MatrixError as error:
            return not error.limited
        return True

    async def display_name(self, user_id: str) -> str | None:
        """What somebody calls themselves; None if they don't, or nobody says."""
        try:
            profile = await self._api.request("GET", path("profile", user_id, "displayname"))
        except (MatrixError, Lost):
            return None
        name = profile.get("displayname")
        return name if isinstance(name, str) and name.strip() else None

    async def message_before(self, room_id: str, event_id: str) -> dict[str, Any] | None:
        """The message that stands just before an event, whoever sent it; what changes an earlier one stands
        there."""
        where = path("rooms", room_id, "context", event_id)
        try:
            context = await self._api.request("GET", where, query={"limit": "12"})
        except (MatrixError, Lost):
            return None
        for event in context.get("events_before", ()):
            if event.get("type") in ("m.room.message", "m.room.encrypted") and not _edits(event):
                return dict(event)
        return None

    async def event(self, room_id: str, event_id: str) -> dict[str, Any] | None:
        """One event by its id; None if there is none that we may see."""
        try:
            return await self._api.request("GET", path("rooms", room_id, "event", event_id))
        except (MatrixError, Lost):
            return None

    async def messages_back(
        self, room_id: str, start: str, end: str | None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """One page of history, newest first, from `start` back to `end`; and where to go on."""
        query = {"dir": "b", "from": start, "limit": "100"}
        if end:
            query["to"] = end
        page = await self._api.request("GET", path("rooms", room_id, "messages"), query=query)
        events = [e for e in page.get("chunk", ()) if isinstance(e, dict)]
        more = page.get("end")
        return events, more if isinstance(more, str) and events else None

    async def is_sealed(self, room_id: str) -> bool:
        """Whether a room is encrypted, whatever else has been lost: by what /sync has shown, what the crypto
        store remembers, or what the homeserver says when it is asked for the first time."""
        if self._crypto.is_encrypted(room_id):
            return True
        if room_id not in self._plain:
            if await self.is_encrypted(room_id):
                self._crypto.note_encrypted(room_id)
            else:
                self._plain.add(room_id)
        return self._crypto.is_encrypted(room_id)

    async def _sealed(
        self, room_id: str, content: dict[str, Any], encrypted: bool
    ) -> tuple[str, dict[str, Any]]:
        if not encrypted and not await self.is_sealed(room_id):
            return "m.room.message", content
        wire = await self._crypto.encrypt(room_id, "m.room.message", content)
        for key in (SOURCE, DIALOG):
            if key in content:
                wire[key] = content[key]
        return "m.room.encrypted", wire

    async def _carry(
        self, kind: Kind, point: str, method: str, where: str, body: dict[str, Any]
    ) -> dict[str, Any]:
        return await self._courier.carry(
            kind, Urgency.REST, lambda: self._do(point, method, where, body)
        )

    async def _do(
        self, point: str, method: str, where: str, body: dict[str, Any]
    ) -> dict[str, Any]:
        self._failpoints.hit(f"request.{point}.before")
        started = time.monotonic()
        answer = await self._api.request(method, where, body)
        self._failpoints.hit(f"request.{point}.after")
        log.debug("request.done", what=point, ms=round((time.monotonic() - started) * 1000))
        return answer

    async def _marker(self, room_id: str) -> tuple[dict[str, Any], str | None]:
        where = path("rooms", room_id, "state", MARKER) + "/"
        try:
            event = await self._api.request("GET", where, query={"format": "event"})
        except MatrixError:
            return {}, None
        return event.get("content") or {}, event.get("sender")

    async def _made_by_us(self, room_id: str) -> bool:
        where = path("rooms", room_id, "state", "m.room.create") + "/"
        try:
            event = await self._api.request("GET", where, query={"format": "event"})
        except MatrixError:
            return True  # Not even the create event can be read yet.
        return event.get("sender") == self._user_id

    def _creation(self, room: NewRoom) -> dict[str, Any]:
        marker: dict[str, Any] = {
            "v": 1,
            "kind": room.kind,
            "owner": room.owner,
            "nonce": room.nonce,
        }
        if room.chat_id:
            marker |= {"chat_id": room.chat_id, "encrypted": room.encrypted}
        state: list[dict[str, Any]] = [
            {"type": MARKER, "state_key": "", "content": marker},
            {"type": "m.room.history_visibility", "content": {"history_visibility": "shared"}},
        ]
        if room.encrypted and room.kind == "chat":
            state.append({"type": "m.room.encryption", "content": ENCRYPTION})
        if room.space_id:
            parent = {"via": [self._server], "canonical": True}
            state.append({"type": "m.space.parent", "state_key": room.space_id, "content": parent})
        body: dict[str, Any] = {
            "name": room.name,
            "preset": "private_chat",
            "visibility": "private",
            "initial_state": state,
            "power_level_content_override": {
                "users": {
                    room.owner: 50,
                    **({self._user_id: 100} if self._creator_is_listed else {}),
                },
                "events": {
                    MARKER: 100,
                    "m.room.tombstone": 100,
                    "m.room.power_levels": 100,
                    "m.room.encryption": 100,
                    "m.room.history_visibility": 100,
                    "m.room.server_acl": 100,
                    "m.room.name": 50,
                    "m.room.topic": 50,
                    "m.space.child": 50,
                    "m.space.parent": 50,
                },
                **({"events_default": 50} if room.kind == "space" else {}),
            },
        }
        if room.topic:
            body["topic"] = room.topic
        if self._room_version:
            body["room_version"] = self._room_version
        if room.kind == "space":
            body["creation_content"] = {"type": "m.space"}
        return body


def _edits(event: dict[str, Any]) -> bool:
    content = event.get("content")
    relation = content.get("m.relates_to") if isinstance(content, dict) else None
    return isinstance(relation, dict) and relation.get("rel_type") == "m.replace"
