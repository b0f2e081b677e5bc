"""End-to-end encryption: everything that nio's Olm machine needs, and its traps, in one place.

The surface stores ciphertext and decrypts when it takes an event up; what it sends is encrypted here and
put on the wire by the courier. Rule: a room that its document calls encrypted is never written to in
plain text, whatever nio believes about it. For each trap see FACTS in the design notes.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import structlog
from nio import AsyncClient, ForwardedRoomKeyEvent, MegolmEvent, SyncResponse
from nio.event_builders import RoomKeyRequestMessage
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
from peewee import PeeweeException

from store.store import StoreError
from surface.failpoints import Failpoints
from surface.matrix.api import Api, Lost, MatrixError, path

log = structlog.get_logger()

_HOSTILE = (
    EncryptionError,
    LocalProtocolError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What nio and vodozemac raise at keys and messages that are none. Not what a disk that is full says: then
the same sync is to come again."""


class OtherDevice(Exception):
    """The homeserver has other keys for this device than we: what is sent to it, we could never read."""


class Crypto:
    """The Olm machine of the bot's device."""

    def __init__(self, client: AsyncClient, api: Api, failpoints: Failpoints) -> None:
        self._client, self._api, self._failpoints = client, api, failpoints
        self._locks: dict[str, asyncio.Lock] = {}
        self._encrypted = set(client.encrypted_rooms)
        self._wants_fallback = False
        self._pieces = 0
        self.own_messages: Callable[[dict[str, Any]], None] = lambda event: None
        """Takes the to-device messages that this device has sent to itself."""
        assert client.olm is not None
        self._olm = olm = client.olm
        # nio keeps the users whose devices changed in memory only: ask for all of them again.
        olm.users_for_key_query.update(olm.device_store.users)
        # nio takes keys that were asked for from other devices of its own user only, of which we have none.
        olm._should_accept_forward = self._is_given_again  # type: ignore[method-assign]
        # Anybody may send us anything, and the same sync would come again after the next start.
        self._to_device = olm.handle_to_device_event
        olm.handle_to_device_event = self._take_to_device  # type: ignore[method-assign]

    async def publish(self) -> dict[str, Any]:
        """See to it that the homeserver has this device's keys; returns all that it has of the account.

        Raises:
            OtherDevice: it has others for this device.
            MatrixError, Lost, TokenDead: see `Api.request`.
            StoreError: new keys cannot be written down.
        """
        me, device_id = self._client.user_id, self._olm.device_id
        for _ in range(2):
            body: dict[str, Any] = {"device_keys": {me: []}}
            known = await self._api.request("POST", path("keys", "query"), body)
            device = _object(_object(_object(known.get("device_keys")).get(me)).get(device_id))
            if keys := _object(device.get("keys")):
                ours = self._olm.account.identity_keys
                if any(keys.get(f"{kind}:{device_id}") != key for kind, key in ours.items()):
                    raise OtherDevice(device_id)
                return known
            self._olm.account.shared = False
            with self._on_disk():
                await self._upload()
        raise Lost("the homeserver does not tell this device's keys")

    def is_encrypted(self, room_id: str) -> bool:
        """Whether a room is known to be encrypted; no means nothing."""
        return room_id in self._encrypted

    def note_encrypted(self, room_id: str) -> None:
        """A room is encrypted, from now on for ever."""
        self._encrypted.add(room_id)

    async def take_sync(self, raw: dict[str, Any]) -> None:
        """Let nio see a sync response: to-device messages, membership, device lists.

        Timeline messages are left out: they are decrypted when they are taken up.

        Raises:
            StoreError: the keys in it cannot be written down.
        """
        left = _object(raw.get("device_one_time_keys_count")).get("signed_curve25519")
        if type(left) is int and left >= 0:
            # By nio 0 is taken for "not told"; without new one-time keys nobody can write to us.
            self._olm.uploaded_key_count = left
        unused = raw.get("device_unused_fallback_key_types")
        if isinstance(unused, list):
            self._wants_fallback = "signed_curve25519" not in unused
        with self._on_disk():
            await self._take_keys(raw)

    async def _take_keys(self, raw: dict[str, Any]) -> None:
        if new := _newly_encrypted(raw) - self._client.encrypted_rooms:
            self._encrypted.update(new)
            self._client.encrypted_rooms.update(new)
            assert self._client.store is not None
            self._client.store.save_encrypted_rooms(new)
        for event in _list(_object(raw.get("to_device")).get("events")):
            if isinstance(event, dict) and self._is_own(event):
                self.own_messages(event)
        for piece in _for_nio(raw, self._is_own, self._client.rooms):
            if not await self._give(piece):
                for smaller in _event_by_event(piece):
                    await self._give(smaller)

    async def _give(self, piece: dict[str, Any]) -> bool:
        """Let nio see a part of a sync response; False if it breaks on it."""
        self._pieces += 1
        # Nio passes over a response whose token it has seen.
        whole = {**copy.deepcopy(piece), "next_batch": str(self._pieces)}
        with _unharmed("sync"):
            response = SyncResponse.from_dict(whole)
            if isinstance(response, SyncResponse):
                await self._client.receive_response(response)
                return True
            log.warning("sync.not_understood_by_nio", why=str(response))
        return False

    async def housekeeping(self) -> None:
        """Send what the Olm machine has to send: keys, key queries, claims. Called after each sync.

        Raises:
            StoreError: the keys cannot be written down.
        """
        client, olm = self._client, self._olm
        # What is to be sent comes last: claimed keys make a message, and the next sync may be long.
        steps: tuple[tuple[Callable[[], bool], Callable[[], Awaitable[None]]], ...] = (
            (lambda: client.should_upload_keys or self._wants_fallback, self._upload),
            (lambda: client.should_query_keys, self._query),
            (
                lambda: client.should_claim_keys,
                lambda: self._claim(client.get_users_for_key_claiming()),
            ),
            (lambda: bool(olm.outgoing_to_device_messages), self._send_waiting),
        )
        for is_needed, step in steps:
            try:
                if is_needed():
                    with self._on_disk():
                        await step()
            except (Lost, MatrixError) as error:
                log.warning(
                    "crypto.housekeeping_put_off",
                    why=str(error),
                    hint="tried again after each sync",
                )

    @contextmanager
    def _on_disk(self) -> Iterator[None]:
        """Tell in the store's words that keys cannot be read or written down."""
        try:
            yield
        except PeeweeException as error:
            why = f"{self._olm.store.store_path}: no keys were saved: {error}."
            raise StoreError(f"{why} Check that disk and the space on it.") from error

    def decrypt(self, room_id: str, event: dict[str, Any]) -> dict[str, Any] | None:
        """The plain event behind an `m.room.encrypted` one, or None if no key fits (yet)."""
        if (parsed := self._parsed(room_id, event)) is None:
            return None
        try:
            plain = self._client.decrypt_event(parsed)
        except _HOSTILE:
            return None
        source = dict(plain.source)
        if source.get("sender") != event.get("sender"):
            return None
        # Spec: the relation stands in the clear part and may be missing from the encrypted one.
        outer, inner = event.get("content"), source.get("content")
        if isinstance(outer, dict) and isinstance(inner, dict) and "m.relates_to" in outer:
            source["content"] = {**inner, "m.relates_to": outer["m.relates_to"]}
        return source

    async def ask_for_key(self, room_id: str, event: dict[str, Any]) -> bool:
        """Ask the device that sent an undecryptable event for its key; False if it was asked already.

        Raises:
            MatrixError, Lost, TokenDead: see `Api.request`; it is sent with the next housekeeping.
            StoreError: that it was asked for cannot be written down.
        """
        parsed, olm = self._parsed(room_id, event), self._olm
        if parsed is None or parsed.session_id in olm.outgoing_key_requests:
            return False
        asks = parsed.as_key_request(parsed.sender, olm.device_id, None, parsed.device_id)
        waiting = [
            m for m in olm.outgoing_to_device_messages if isinstance(m, RoomKeyRequestMessage)
        ]
        if all(message.session_id != parsed.session_id for message in waiting):
            olm.outgoing_to_device_messages.append(asks)
        with self._on_disk():
            await self._send_waiting()
        return True

    def _parsed(self, room_id: str, event: dict[str, Any]) -> MegolmEvent | None:
        """An encrypted event for nio, which wants to be told what the specification lets clients omit."""
        event = copy.deepcopy(event)
        content = _object(event.get("content"))
        session_id = content.get("session_id")
        for session in self._olm.inbound_group_store if "sender_key" not in content else ():
            if session.id == session_id and session.room_id == room_id:
                content["sender_key"] = session.sender_key
        content.setdefault("sender_key", "unknown")
        content.setdefault("device_id", "*")
        parsed = MegolmEvent.from_dict(event)
        if not isinstance(parsed, MegolmEvent):
            return None
        parsed.room_id = room_id
        return parsed

    def _is_given_again(self, sender: str, sender_key: str, event: ForwardedRoomKeyEvent) -> bool:
        """Whether a key that came is one we asked for, from the very device that made it."""
        asked = self._olm.outgoing_key_requests.get(event.session_id)
        device = self._olm.device_store.device_from_sender_key(sender, sender_key)
        told = event.source["content"]
        return (
            asked is not None
            and (asked.room_id, asked.algorithm) == (event.room_id, event.algorithm)
            and device is not None
            and told.get("sender_key") == sender_key
            and told.get("sender_claimed_ed25519_key") == device.ed25519
        )

    def _take_to_device(self, event: Any) -> Any:
        """One to-device message; one that nio breaks on is left out, and those beside it are not."""
        with _unharmed("to-device message", sender=getattr(event, "sender", None)):
            return self._to_device(event)
        return None

    def _is_own(self, event: dict[str, Any]) -> bool:
        """Whether a to-device message comes from this very device."""
        content = _object(event.get("content"))
        ours = self._olm.account.identity_keys["curve25519"]
        return (
            event.get("sender") == self._client.user_id
            and event.get("type") == "m.room.encrypted"
            and content.get("sender_key") == ours
        )

    async def encrypt(self, room_id: str, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        """The content of the `m.room.encrypted` event that carries `content`.

        Raises:
            Lost: keys could not be shared now; try again.
            MatrixError: the homeserver refuses to name the room's members.
            StoreError: the keys cannot be written down; nothing is written to the room without.
        """
        async with self._locks.setdefault(room_id, asyncio.Lock()):
            with self._on_disk():
                return await self._encrypted_for(room_id, kind, content)

    async def _encrypted_for(
        self, room_id: str, kind: str, content: dict[str, Any]
    ) -> dict[str, Any]:
        room = await self._ready(room_id)
        if self._olm.should_share_group_session(room_id):
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
        self.note_encrypted(room_id)
        if not room.members_synced:
            members = await self._api.request("GET", path("rooms", room_id, "joined_members"))
            for user_id, profile in (members.get("joined") or {}).items():
                name = profile.get("display_name") if isinstance(profile, dict) else None
                room.add_member(user_id, name if isinstance(name, str) else None, None)
            room.members_synced = True
            self._olm.update_tracked_users(room)
        if self._client.should_query_keys:
            await self._query()
        return room

    async def _share(self, room: MatrixRoom) -> None:
        """Give the room's group session to every device in it that can take it.

        Not by nio's `share_group_session`: it calls a session shared whatever came of its requests, takes a
        proxy's error page for success, and hangs for ever after an exception.
        """
        olm, room_id = self._olm, room.room_id
        missing = self._client.get_missing_sessions(room_id)
        if missing:
            await self._claim(missing)
        # What was given is remembered, so that a repetition goes on with the rest.
        for given, messages in olm.share_group_session_parallel(
            room_id, list(room.users), ignore_unverified_devices=True
        ):
            where = path("sendToDevice", "m.room.encrypted", uuid4().hex)
            self._failpoints.hit("request.share.before")
            await self._api.request("PUT", where, messages)
            self._failpoints.hit("request.share.after")
            olm.outbound_group_sessions[room_id].users_shared_with.update(given)
        olm.outbound_group_sessions[room_id].shared = True

    async def _send_waiting(self) -> None:
        for message in list(self._olm.outgoing_to_device_messages):
            where = path("sendToDevice", message.type, uuid4().hex)
            await self._api.request("PUT", where, message.as_dict())
            await self._client.receive_response(ToDeviceResponse(message))

    async def _upload(self) -> None:
        """Give the homeserver one-time keys, and a fallback key: it hands that out when they are used up."""
        olm = self._olm
        account: Any = olm.account._account  # its fallback key is not among its types
        body = olm.share_keys() if olm.should_upload_keys else {}
        if self._wants_fallback or not olm.account.shared:
            if not account.fallback_key:
                account.generate_fallback_key()
            for name, key in account.fallback_key.items():
                value: dict[str, Any] = {"key": key.to_base64(), "fallback": True}
                signature = {f"ed25519:{olm.device_id}": olm.sign_json(value)}
                value["signatures"] = {self._client.user_id: signature}
                body["fallback_keys"] = {f"signed_curve25519:{name}": value}
        # Before others can have the public halves, the private ones must be on the disk. And a key is
        # offered once, whatever comes of it: one that was claimed meanwhile must not be handed out again,
        # and after the return of an older store the homeserver knows others by these names.
        olm.mark_keys_as_published()
        olm.save_account()
        self._failpoints.hit("request.keys.before")
        await self._exchange("upload", body, KeysUploadResponse)
        self._failpoints.hit("request.keys.after")
        self._wants_fallback = False

    async def _query(self) -> None:
        body: dict[str, Any] = {"device_keys": {u: [] for u in self._client.users_for_key_query}}
        await self._exchange("query", body, KeysQueryResponse, _user_by_user)

    async def _claim(self, wanted: Mapping[str, Iterable[str]]) -> None:
        keys = {user: dict.fromkeys(ids, "signed_curve25519") for user, ids in wanted.items()}
        await self._exchange("claim", {"one_time_keys": keys}, KeysClaimResponse, _key_by_key)

    async def _exchange(
        self,
        what: str,
        body: dict[str, Any],
        kind: type[Response],
        split: Callable[[dict[str, Any]], Iterable[dict[str, Any]]] = lambda answer: (answer,),
    ) -> None:
        """One request about keys, whose answer nio gets only if it is one.

        What the keys of one device are is its owner's word: an answer is `split`, so that keys nio breaks
        on are left out, and those of others are not.

        Not by nio's own methods: they repeat themselves, and break on some answers that are none.
        """
        answer = await self._api.request("POST", path("keys", what), body)
        for part in split(answer):
            try:
                response = kind.from_dict(part)  # type: ignore[attr-defined]
            except TypeError as error:
                raise Lost(f"the answer about keys cannot be understood: {error}") from error
            if isinstance(response, ErrorResponse):
                raise Lost(f"the answer about keys cannot be understood: {response}")
            with _unharmed(f"keys {what}"):
                await self._client.receive_response(response)


@contextmanager
def _unharmed(what: str, **about: Any) -> Iterator[None]:
    """What somebody has sent may be worth nothing; it must not end the bot."""
    try:
        yield
    except _HOSTILE as error:
        log.warning("crypto.not_understood", what=what, why=type(error).__name__, **about)


def _user_by_user(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The devices of one user after the other, without those whose description is none."""
    users = answer.get("device_keys")
    if not isinstance(users, dict):
        yield answer
        return
    for user_id, devices in users.items():
        sound = {k: _named(v) for k, v in _object(devices).items() if _is_device(v)}
        yield {"device_keys": {user_id: sound}, "failures": {}}


def _key_by_key(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The one-time key of one device after the other, without those that are none."""
    users = answer.get("one_time_keys")
    if not isinstance(users, dict):
        yield answer
        return
    for user_id, devices in users.items():
        for device_id, keys in _object(devices).items():
            if _object(keys):
                one = {"one_time_keys": {user_id: {device_id: keys}}, "failures": {}}
                yield one


def _is_device(value: Any) -> bool:
    """Whether nio can keep a device; it looks at its signature, not at what it is made of."""
    device = _object(value)
    keys = _object(device.get("keys"))
    told = (device.get("user_id"), device.get("device_id"), *keys.values())
    return all(isinstance(text, str) for text in told)


def _named(device: dict[str, Any]) -> dict[str, Any]:
    """A device whose name, which is not signed, is one or left out."""
    if isinstance(_object(device.get("unsigned")).get("device_display_name"), str):
        return device
    return {key: value for key, value in device.items() if key != "unsigned"}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _newly_encrypted(raw: dict[str, Any]) -> set[str]:
    """The rooms in which a sync response shows that encryption is on."""
    found = set()
    for room_id, room in _object(_object(raw.get("rooms")).get("join")).items():
        for part in ("state", "timeline"):
            events = _list(_object(_object(room).get(part)).get("events"))
            if any(_object(event).get("type") == "m.room.encryption" for event in events):
                found.add(room_id)
    return found


def _for_nio(
    raw: dict[str, Any], left_out: Callable[[dict[str, Any]], bool], known: Container[str]
) -> Iterator[dict[str, Any]]:
    """What is news to the Olm machine, without the timeline's messages, in pieces: somebody's event that nio
    breaks on must not keep another's membership, keys or devices from it.

    Nothing, as in most syncs: nio would rewrite its tables.

    Args:
        known: the rooms that nio has to know. It keeps 20 kB of each it hears of; those that the bot sends
            into by encryption it is told of then (`_ready`).
    """
    for event in _list(_object(raw.get("to_device")).get("events")):
        if isinstance(event, dict) and not left_out(event):
            yield {"to_device": {"events": [event]}}
    for room_id, room in _object(_object(raw.get("rooms")).get("join")).items():
        if not isinstance(room, dict) or room_id not in known:
            continue
        told = [*_states(room.get("state")), *_states(room.get("timeline"))]
        if told:
            yield _of_room(room_id, told)
    # Last: whose devices matter depends on who is in the rooms.
    devices = _object(raw.get("device_lists"))
    changed, left = (
        [user for user in _list(devices.get(kind)) if isinstance(user, str)]
        for kind in ("changed", "left")
    )
    if changed or left:
        yield {"device_lists": {"changed": changed, "left": left}}


def _event_by_event(piece: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a piece tells of a room, in pieces of one event."""
    for room_id, room in _object(piece.get("rooms")).get("join", {}).items():
        for event in room["timeline"]["events"]:
            yield _of_room(room_id, [event])


def _of_room(room_id: str, states: list[dict[str, Any]]) -> dict[str, Any]:
    timeline = {"events": states, "limited": False, "prev_batch": ""}
    return {"rooms": {"join": {room_id: {"timeline": timeline}}, "invite": {}, "leave": {}}}


def _states(part: Any) -> list[dict[str, Any]]:
    events = _list(_object(part).get("events"))
    return [event for event in events if isinstance(event, dict) and "state_key" in event]
