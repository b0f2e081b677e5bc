"""End-to-end encryption: everything that nio's Olm machine needs, and its traps, in one place.

The surface stores ciphertext and decrypts when it takes an event up; what it sends is encrypted here and
put on the wire by the courier. Rule: a room that its document calls encrypted is never written to in
plain text, whatever nio believes about it. For each trap see FACTS in the design notes.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any
from uuid import uuid4

import structlog
from nio import AsyncClient, MegolmEvent, SyncResponse
from nio.events.misc import BadEvent, UnknownBadEvent
from nio.exceptions import EncryptionError, LocalProtocolError
from nio.responses import (
    ErrorResponse,
    KeysClaimResponse,
    KeysQueryResponse,
    KeysUploadResponse,
    Response,
    ToDeviceResponse,
)
from nio.rooms import MatrixRoom

from surface.matrix.api import Api, Lost, MatrixError, path

log = structlog.get_logger()


class Crypto:
    """The Olm machine of the bot's device."""

    def __init__(self, client: AsyncClient, api: Api) -> None:
        self._client, self._api = client, api
        self._locks: dict[str, asyncio.Lock] = {}
        # nio keeps the users whose devices changed in memory only: ask for all of them again.
        if client.olm is not None:
            client.olm.users_for_key_query.update(client.olm.device_store.users)

    async def take_sync(self, raw: dict[str, Any]) -> None:
        """Let nio see a sync response: to-device messages, membership, device lists.

        Timeline messages are left out: they are decrypted when they are taken up.
        """
        olm, counts = self._client.olm, raw.get("device_one_time_keys_count")
        left = counts.get("signed_curve25519") if isinstance(counts, dict) else None
        if olm is not None and isinstance(left, int):
            # By nio 0 is taken for "not told"; without new one-time keys nobody can write to us.
            olm.uploaded_key_count = left
        news = _for_nio(raw)
        if news is None:
            return
        response = SyncResponse.from_dict(news)
        if isinstance(response, SyncResponse):
            await self._client.receive_response(response)
        else:
            log.warning("sync.not_understood_by_nio", why=str(response))

    async def housekeeping(self) -> None:
        """Send what the Olm machine has to send: keys, key queries, claims. Called after each sync."""
        client, olm = self._client, self._client.olm
        if olm is None:
            return
        steps: tuple[tuple[bool, Callable[[], Awaitable[None]]], ...] = (
            (bool(olm.outgoing_to_device_messages), self._send_waiting),
            (client.should_upload_keys, self._upload),
            (client.should_query_keys, self._query),
            (
                client.should_claim_keys,
                lambda: self._claim(client.get_users_for_key_claiming()),
            ),
        )
        for needed, step in steps:
            try:
                if needed:
                    await step()
            except (Lost, MatrixError) as error:
                log.warning(
                    "crypto.housekeeping_put_off",
                    why=str(error),
                    hint="tried again after each sync",
                )

    def decrypt(self, room_id: str, event: dict[str, Any]) -> dict[str, Any] | None:
        """The plain event behind an `m.room.encrypted` one, or None if no key fits (yet)."""
        parsed = MegolmEvent.from_dict(copy.deepcopy(event))
        if isinstance(parsed, BadEvent | UnknownBadEvent) or self._client.olm is None:
            return None
        parsed.room_id = room_id
        try:
            plain = self._client.decrypt_event(parsed)
        except (EncryptionError, LocalProtocolError, ValueError, KeyError, TypeError):
            return None
        source = dict(plain.source)
        if source.get("sender") != event.get("sender"):
            return None
        # Spec: the relation stands in the clear part and may be missing from the encrypted one.
        outer, inner = event.get("content"), source.get("content")
        if isinstance(outer, dict) and isinstance(inner, dict) and "m.relates_to" in outer:
            source["content"] = {**inner, "m.relates_to": outer["m.relates_to"]}
        return source

    async def encrypt(self, room_id: str, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        """The content of the `m.room.encrypted` event that carries `content`.

        Raises:
            Lost: keys could not be shared now; try again.
            MatrixError: the homeserver refuses to name the room's members.
        """
        async with self._locks.setdefault(room_id, asyncio.Lock()):
            room = await self._ready(room_id)
            olm = self._client.olm
            assert olm is not None
            if olm.should_share_group_session(room_id):
                await self._share(room)
            try:
                _, encrypted = self._client.encrypt(room.room_id, kind, content)
            except (EncryptionError, LocalProtocolError) as error:
                raise Lost(f"cannot encrypt yet: {error}") from error
            return dict(encrypted)

    async def _ready(self, room_id: str) -> MatrixRoom:
        """A room nio may not have heard of since the restart: give it members and encryption."""
        room = self._client.rooms.get(room_id)
        if room is None:
            room = MatrixRoom(room_id, self._client.user_id, encrypted=True)
            self._client.rooms[room_id] = room
        room.encrypted = True
        if not room.members_synced:
            members = await self._api.request("GET", path("rooms", room_id, "joined_members"))
            for user_id, profile in (members.get("joined") or {}).items():
                name = profile.get("display_name") if isinstance(profile, dict) else None
                room.add_member(user_id, name if isinstance(name, str) else None, None)
            room.members_synced = True
            assert self._client.olm is not None
            self._client.olm.update_tracked_users(room)
        if self._client.should_query_keys:
            await self._query()
        return room

    async def _share(self, room: MatrixRoom) -> None:
        """Give the room's group session to every device in it that can take it.

        Not by nio's `share_group_session`: it calls a session shared whatever came of its requests, takes a
        proxy's error page for success, and hangs for ever after an exception.
        """
        olm, room_id = self._client.olm, room.room_id
        assert olm is not None
        missing = self._client.get_missing_sessions(room_id)
        if missing:
            await self._claim(missing)
        # What was given is remembered, so that a repetition goes on with the rest.
        for given, messages in olm.share_group_session_parallel(
            room_id, list(room.users), ignore_unverified_devices=True
        ):
            where = path("sendToDevice", "m.room.encrypted", uuid4().hex)
            await self._api.request("PUT", where, messages)
            olm.outbound_group_sessions[room_id].users_shared_with.update(given)
        olm.outbound_group_sessions[room_id].shared = True

    async def _send_waiting(self) -> None:
        olm = self._client.olm
        assert olm is not None
        for message in list(olm.outgoing_to_device_messages):
            where = path("sendToDevice", message.type, uuid4().hex)
            await self._api.request("PUT", where, message.as_dict())
            await self._client.receive_response(ToDeviceResponse(message))

    async def _upload(self) -> None:
        assert self._client.olm is not None
        await self._exchange("upload", self._client.olm.share_keys(), KeysUploadResponse)

    async def _query(self) -> None:
        body: dict[str, Any] = {"device_keys": {u: [] for u in self._client.users_for_key_query}}
        await self._exchange("query", body, KeysQueryResponse)

    async def _claim(self, wanted: Mapping[str, Iterable[str]]) -> None:
        keys = {user: dict.fromkeys(ids, "signed_curve25519") for user, ids in wanted.items()}
        await self._exchange("claim", {"one_time_keys": keys}, KeysClaimResponse)

    async def _exchange(self, what: str, body: dict[str, Any], kind: type[Response]) -> None:
        """One request about keys, whose answer nio gets only if it is one.

        Not by nio's own methods: they repeat themselves, and break on some answers that are none.
        """
        answer = await self._api.request("POST", path("keys", what), body)
        try:
            response = kind.from_dict(answer)  # type: ignore[attr-defined]
        except TypeError as error:
            raise Lost(f"the answer about keys cannot be understood: {error}") from error
        if isinstance(response, ErrorResponse):
            raise Lost(f"the answer about keys cannot be understood: {response}")
        await self._client.receive_response(response)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _for_nio(raw: dict[str, Any]) -> dict[str, Any] | None:
    """A copy for nio, which writes into what it parses, without the timeline's messages.

    None if nothing in it is news to the Olm machine, as in most syncs: nio would rewrite its tables.
    """
    slim = {k: v for k, v in raw.items() if k != "rooms"}
    rooms = _object(raw.get("rooms"))
    joined = {}
    for room_id, room in _object(rooms.get("join")).items():
        if not isinstance(room, dict):
            continue
        timeline = _object(room.get("timeline"))
        events = timeline.get("events")
        events = events if isinstance(events, list) else []
        states = [e for e in events if isinstance(e, dict) and "state_key" in e]
        if states or _object(room.get("state")).get("events"):
            joined[room_id] = {
                **room,
                "ephemeral": {"events": []},
                "account_data": {"events": []},
                "timeline": {**timeline, "events": states},
            }
    devices = _object(raw.get("device_lists"))
    told = _object(raw.get("to_device")).get("events"), devices.get("changed"), devices.get("left")
    if not joined and not any(told):
        return None
    slim["rooms"] = {"join": joined, "invite": {}, "leave": {}}
    return copy.deepcopy(slim)
