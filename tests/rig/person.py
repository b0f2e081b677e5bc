"""The user's side of every end-to-end test: a person at a Matrix client, written without nio.

One rule: what a person does is one request, as any client would send it, and refused aloud
(`MatrixError`); what a person sees comes through /sync (`follower`), except `history`, which asks
the homeserver for everything there is.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any, Self

from surface.homeserver import Homeserver, Login
from tests.rig import attachments, view
from tests.rig.api import MatrixApi
from tests.rig.follower import TIMEOUT, Follower
from tests.rig.view import Event, Message, RoomView

PASSWORD = "correct horse"
_names = itertools.count(1)


class Person(Follower):
    """A user on one device, in plain rooms (and in encrypted ones like a client without keys).

    Args:
        url: the homeserver's.
        login: of the device to be.
        password: of the user, for what must prove itself again (a second device).
    """

    makes_encrypted_rooms = False

    def __init__(self, url: str, login: Login, *, password: str = PASSWORD) -> None:
        super().__init__(url, login)
        self.password = password
        self._txn = itertools.count(1)

    # --- coming and going ---------------------------------------------------------------------

    @classmethod
    async def register(cls, homeserver: Homeserver, name: str, **options: Any) -> Self:
        """A new user, called `name` and a number so that no two tests meet; not yet started."""
        localpart = f"{name}{next(_names)}"
        login = await homeserver.register(localpart, PASSWORD)
        return cls(homeserver.url, login, **options)

    @classmethod
    async def log_in(cls, url: str, user_id: str, password: str = PASSWORD, **options: Any) -> Self:
        """An existing user on a new device; not yet started."""
        return cls(
            url, await log_in_by_password(url, user_id, password), password=password, **options
        )

    # --- waiting ------------------------------------------------------------------------------

    async def answer_to(
        self,
        room_id: str,
        event_id: str,
        *,
        sender: str | None = None,
        saying: str | re.Pattern[str] | None = None,
        where: Callable[[Message], bool] | None = None,
        timeout: float = TIMEOUT,
    ) -> Message:
        """The first message of `sender` after `event_id` that can be read, is `saying` this (a
        part of its body, or a pattern found in it; edits count) and meets `where`.

        Without a sender: of anyone but oneself.
        """
        matches = _matcher(saying, where)

        def find() -> Message | None:
            later = self.messages_after(room_id, event_id, sender)
            return next((m for m in later if not m.undecryptable and matches(m)), None)

        what = f"an answer to {event_id} in {room_id}"
        what += f" by {sender}" if sender else ""
        what += f" saying {saying!r}" if saying else ""
        answer = await self.until(find, timeout=timeout, what=what)
        assert answer is not None
        return answer

    async def message(
        self,
        room_id: str,
        saying: str | re.Pattern[str],
        *,
        sender: str | None = None,
        timeout: float = TIMEOUT,
    ) -> Message:
        """The first message of the room `saying` this, now or later."""
        matches = _matcher(saying, None)

        def find() -> Message | None:
            return next((m for m in self.messages(room_id, sender) if matches(m)), None)

        found = await self.until(find, timeout=timeout, what=f"{saying!r} in {room_id}")
        assert found is not None
        return found

    # --- looking ------------------------------------------------------------------------------

    def joined(self) -> list[str]:
        """The rooms (Spaces too) the person is in."""
        return [room.room_id for room in self.rooms.values() if room.membership == "join"]

    def messages(self, room_id: str, sender: str | None = None) -> list[Message]:
        """What can be read in a room, as far as it was seen live; edits applied."""
        every = view.messages_of(self.rooms[room_id])
        return [message for message in every if sender in (None, message.sender)]

    def messages_after(
        self, room_id: str, event_id: str, sender: str | None = None
    ) -> list[Message]:
        """The messages after an event; none while the event itself was not seen.

        Without a sender: of anyone but oneself.
        """
        ids = [event["event_id"] for event in self.messages_raw(room_id)]
        later = set(ids[ids.index(event_id) + 1 :]) if event_id in ids else set()
        return [
            message
            for message in self.messages(room_id)
            if message.event_id in later
            and (message.sender == sender if sender else message.sender != self.user_id)
        ]

    def messages_raw(self, room_id: str) -> list[Event]:
        """The room's timeline as it came: every kind of event, ciphertext, edits, redactions."""
        return self.rooms[room_id].timeline

    def reactions(self, room_id: str, event_id: str) -> list[tuple[str, str]]:
        """Who reacted to an event with what."""
        room = self.rooms[room_id]
        gone = view.redacted_ids(room.timeline)
        relations = [
            (event["sender"], event["content"].get("m.relates_to", {}))
            for event in map(room.shown, room.timeline)
            if event["type"] == "m.reaction" and event["event_id"] not in gone
        ]
        return [(who, rel.get("key", "")) for who, rel in relations if rel["event_id"] == event_id]

    def state(self, room_id: str, kind: str, key: str = "") -> dict[str, Any] | None:
        """The content of a state event, None if there is none."""
        event = self.rooms[room_id].state.get((kind, key))
        return None if event is None else event["content"]

    def members(self, room_id: str, membership: str = "join") -> set[str]:
        return self.rooms[room_id].members(membership)

    def name(self, room_id: str) -> str | None:
        return (self.state(room_id, "m.room.name") or {}).get("name")

    def spaces(self) -> list[str]:
        """The Spaces the person is in."""
        return [
            room_id
            for room_id in self.joined()
            if (self.state(room_id, "m.room.create") or {}).get("type") == "m.space"
        ]

    def children(self, space_id: str) -> list[str]:
        """The rooms of a Space, in the order a client shows them."""
        found = [
            (event["content"].get("order") or "\x7f", event["origin_server_ts"], key)
            for (kind, key), event in self.rooms[space_id].state.items()
            if kind == "m.space.child" and event["content"].get("via")
        ]
        return [key for _, _, key in sorted(found)]

    async def history_raw(self, room_id: str) -> list[Event]:
        """All events of the room the person may see, oldest first, asked of the homeserver."""
        events: list[Event] = []
        query: dict[str, str | int] = {"dir": "f", "limit": 500}
        while True:
            page = await self.api.call("GET", "rooms", room_id, "messages", query=query)
            events += page["chunk"]
            if "end" not in page:
                break
            query["from"] = page["end"]
        await self._decrypt(room_id, events)
        return events

    async def history(self, room_id: str, sender: str | None = None) -> list[Message]:
        """All messages of the room by the homeserver's account: what to count for exactly-once."""
        raw = await self.history_raw(room_id)
        room = self.rooms.get(room_id) or RoomView(room_id, "leave")
        return [m for m in view.messages_of(room, raw) if sender in (None, m.sender)]

    # --- rooms --------------------------------------------------------------------------------

    async def create_room(self, **options: Any) -> str:
        """A room by the options of `createRoom`; returns when it was seen in full."""
        answer = await self.api.call("POST", "createRoom", json=options)
        room_id = str(answer["room_id"])
        # Its first sync may hold only its first events, and clients cannot tell.
        awaited = {("m.room.history_visibility", "")}
        awaited |= {(f"m.room.{key}", "") for key in ("name", "topic") if key in options}
        awaited |= {
            (event["type"], event.get("state_key", ""))
            for event in options.get("initial_state", ())
        }
        awaited |= {("m.room.member", user_id) for user_id in options.get("invite", ())}
        await self.until(
            lambda: awaited <= self.rooms[room_id].state.keys(),
            what=f"the new room {room_id} in full",
        )
        return room_id

    async def dm(self, user_id: str, *, encrypted: bool | None = None, **options: Any) -> str:
        """A direct room with another user, who is invited. Encrypted if the person's client does
        so by default (`CryptoPerson`)."""
        if encrypted is None:
            encrypted = self.makes_encrypted_rooms
        state = list(options.pop("initial_state", ()))
        if encrypted:
            content = {"algorithm": "m.megolm.v1.aes-sha2"}
            state.append({"type": "m.room.encryption", "state_key": "", "content": content})
        room_id = await self.create_room(
            is_direct=True,
            invite=[user_id],
            preset="trusted_private_chat",
            initial_state=state,
            **options,
        )
        direct = dict(self.account_data.get("m.direct", {}))
        direct[user_id] = [*direct.get(user_id, []), room_id]
        await self.api.call("PUT", "user", self.user_id, "account_data", "m.direct", json=direct)
        return room_id

    async def dm_joined(self, user_id: str, **options: Any) -> str:
        """`dm`, and wait until the other has come."""
        room_id = await self.dm(user_id, **options)
        await self.until_member(room_id, user_id)
        return room_id

    async def invite(self, room_id: str, user_id: str) -> None:
        await self.api.call("POST", "rooms", room_id, "invite", json={"user_id": user_id})

    async def kick(self, room_id: str, user_id: str) -> None:
        await self.api.call("POST", "rooms", room_id, "kick", json={"user_id": user_id})

    async def join(self, room_id: str) -> None:
        """Join; returns when the room's state was seen."""
        await self.api.call("POST", "join", room_id)
        await self.until(
            lambda: self.user_id in self.members(room_id) and room_id in self.joined(),
            what=f"being in {room_id}",
        )

    async def leave(self, room_id: str) -> None:
        """Leave, or decline an invitation."""
        await self.api.call("POST", "rooms", room_id, "leave")
        await self.until(
            lambda: self.rooms[room_id].membership == "leave", what=f"having left {room_id}"
        )

    async def until_member(
        self, room_id: str, user_id: str, membership: str = "join", *, timeout: float = TIMEOUT
    ) -> None:
        await self.until(
            lambda: user_id in self.members(room_id, membership),
            timeout=timeout,
            what=f"{user_id} to be {membership!r} in {room_id}",
        )

    async def accept_invites_from(
        self, user_id: str, *, count: int = 1, timeout: float = TIMEOUT
    ) -> list[str]:
        """Wait for (at least) `count` invitations by a user, accept all; the rooms in the order
        of the invitations."""
        await self.until(
            lambda: len(self.invites(user_id)) >= count,
            timeout=timeout,
            what=f"{count} invitation(s) by {user_id}",
        )
        rooms = [invite.room_id for invite in self.invites(user_id)]
        for room_id in rooms:
            await self.join(room_id)
        return rooms

    async def set_state(self, room_id: str, kind: str, content: Any, key: str = "") -> str:
        segments = ("rooms", room_id, "state", kind, key)
        return str((await self.api.call("PUT", *segments, json=content))["event_id"])

    async def set_display_name(self, name: str) -> None:
        segments = ("profile", self.user_id, "displayname")
        await self.api.call("PUT", *segments, json={"displayname": name})

    # --- talking ------------------------------------------------------------------------------

    async def send(
        self,
        room_id: str,
        text: str,
        *,
        reply_to: str | None = None,
        thread: str | None = None,
        msgtype: str = "m.text",
        txn: str | None = None,
        **extra: Any,
    ) -> str:
        """Say something; returns the event's id. `extra` goes into the content.

        Raises:
            MatrixError: the homeserver refused; nothing is sent again here.
        """
        content: dict[str, Any] = {"msgtype": msgtype, "body": text, **extra}
        relation: dict[str, Any] = {}
        if thread is not None:
            fallback = {"event_id": reply_to or thread}
            relation = {
                "rel_type": "m.thread",
                "event_id": thread,
                "is_falling_back": reply_to is None,
                "m.in_reply_to": fallback,
            }
        elif reply_to is not None:
            relation = {"m.in_reply_to": {"event_id": reply_to}}
        if relation:
            content["m.relates_to"] = relation
        return await self.send_event(room_id, "m.room.message", content, txn=txn)

    async def edit(self, room_id: str, event_id: str, text: str, *, msgtype: str = "m.text") -> str:
        """Change one's message, as clients do: a new event that replaces it."""
        content = {
            "msgtype": msgtype,
            "body": f"* {text}",
            "m.new_content": {"msgtype": msgtype, "body": text},
            "m.relates_to": {"rel_type": "m.replace", "event_id": event_id},
        }
        return await self.send_event(room_id, "m.room.message", content)

    async def react(self, room_id: str, event_id: str, key: str) -> str:
        relation = {"rel_type": "m.annotation", "event_id": event_id, "key": key}
        return await self._put(room_id, "m.reaction", {"m.relates_to": relation}, None)

    async def redact(self, room_id: str, event_id: str, reason: str = "") -> str:
        segments = ("rooms", room_id, "redact", event_id, self._next_txn())
        return str((await self.api.call("PUT", *segments, json={"reason": reason}))["event_id"])

    async def send_file(
        self,
        room_id: str,
        name: str,
        data: bytes,
        *,
        mime_type: str = "application/octet-stream",
        msgtype: str = "m.file",
        kind: str = "m.room.message",
        **extra: Any,
    ) -> str:
        """Send a file; encrypted where the room is. `extra` goes into the content: with a
        `filename`, `name` is the caption."""
        content: dict[str, Any] = {
            **({"msgtype": msgtype} if kind == "m.room.message" else {}),
            "body": name,
            "info": {"mimetype": mime_type, "size": len(data)},
            **extra,
        }
        if self.rooms[room_id].encrypted:
            ciphertext, keys = attachments.encrypt(data)
            uri = await self.api.upload(ciphertext, "application/octet-stream")
            content["file"] = {**keys, "url": uri}
        else:
            content["url"] = await self.api.upload(data, mime_type, name)
        return await self.send_event(room_id, kind, content)

    async def download(self, message: Message) -> bytes:
        """The file of a message, decrypted if it was encrypted (its hash is checked)."""
        if "file" in message.content:
            file = message.content["file"]
            return attachments.decrypt(await self.api.download(file["url"]), file)
        return await self.api.download(message.content["url"])

    async def send_event(
        self, room_id: str, kind: str, content: dict[str, Any], *, txn: str | None = None
    ) -> str:
        """Send any event, encrypted where the room is and the client can."""
        return await self._put(room_id, kind, content, txn)

    async def _put(self, room_id: str, kind: str, content: dict[str, Any], txn: str | None) -> str:
        segments = ("rooms", room_id, "send", kind, txn or self._next_txn())
        return str((await self.api.call("PUT", *segments, json=content))["event_id"])

    def _next_txn(self) -> str:
        return f"{self.login.device_id}.{next(self._txn)}"


async def log_in_by_password(url: str, user_id: str, password: str) -> Login:
    api = MatrixApi(url, None)
    try:
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": user_id},
            "password": password,
        }
        answer = await api.call("POST", "login", json=body)
    finally:
        await api.close()
    return Login(answer["user_id"], answer["device_id"], answer["access_token"])


def _matcher(
    saying: str | re.Pattern[str] | None, where: Callable[[Message], bool] | None
) -> Callable[[Message], bool]:
    def matches(message: Message) -> bool:
        if isinstance(saying, str) and saying not in message.body:
            return False
        if isinstance(saying, re.Pattern) and not saying.search(message.body):
            return False
        return where is None or where(message)

    return matches
