"""How each effect is carried out: from an outbox row to requests, and back to a `Result`.

Every deed bears repeating: messages by their transaction id, states and invites by looking first, a room by
its nonce.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, assert_never

import structlog

from config import Registry
from machines.effects import (
    AcceptTurn,
    Answer,
    CreateRoom,
    DisconnectChat,
    EndTurns,
    InviteUser,
    JoinRoom,
    LeaveRoom,
    LinkChild,
    Notice,
    OfferAgents,
    Placeholder,
    RenameRoom,
    SetTopic,
    Text,
    UnlinkChild,
)
from store.documents import room_key, user_key
from store.store import Store
from surface import render, texts
from surface.aftermath import Result
from surface.case import Row
from surface.failpoints import Failpoints
from surface.matrix.courier import Urgency
from surface.matrix.media import Media
from surface.matrix.rooms import DIALOG, SOURCE, NewRoom, Rooms
from surface.platform.directory import AgentMissing, Directory
from surface.platform.interface import CallFailed, ChatRef

log = structlog.get_logger()

MOST_PARTS = 5
"""Messages that one answer may take; a longer one is sent as a file."""

LINKS = {"room": "name", "space": "space_name"}
"""Gaps of texts that hold a room id and become links; and the gap that holds their name."""


class Deeds:
    """Carries effects out, one call each."""

    def __init__(
        self,
        rooms: Rooms,
        media: Media,
        store: Store,
        agents: Registry,
        directory: Directory,
        failpoints: Failpoints,
        *,
        encryption: bool,
        installation_id: str,
        chat_idle: Callable[[str], Awaitable[None]],
    ) -> None:
        self._rooms, self._media = rooms, media
        self._store, self._agents = store, agents
        self._directory, self._failpoints = directory, failpoints
        self._encryption, self._installation_id = encryption, installation_id
        self._chat_idle = chat_idle

    async def perform(self, row: Row) -> Result:
        """Carry one effect out.

        Raises:
            MatrixError, Lost: see `Api.request`.
        """
        match row.effect:
            case JoinRoom(room_id, inviter):
                return await self._join(room_id, inviter)
            case LeaveRoom(room_id):
                await self._rooms.leave(room_id)
            case CreateRoom() as wanted:
                return await self._create(row, wanted)
            case InviteUser(room_id, user_id):
                await self._rooms.invite(room_id, user_id)
            case LinkChild(space_id, room_id, order):
                await self._rooms.link(space_id, room_id, order)
            case UnlinkChild(space_id, room_id):
                await self._rooms.unlink(space_id, room_id)
            case RenameRoom(room_id, name):
                await self._rooms.put_state(room_id, "m.room.name", "", {"name": name})
            case SetTopic(room_id, agent_id):
                topic = self._topic(row.locale, agent_id)
                await self._rooms.put_state(room_id, "m.room.topic", "", {"topic": topic})
            case Notice(room_id, text, reply_to, dialog):
                content = render.notice(row.locale, text.key, _linked(text), reply_to)
                if dialog:
                    content[DIALOG] = row.boot
                return await self._say(row, room_id, content, Urgency.NOTICE, "notice")
            case Placeholder(room_id, _, body):
                return await self._say(
                    row, room_id, render.answer(body), Urgency.FINAL, "placeholder"
                )
            case Answer(room_id, _, body, edits, ending):
                words = _with_ending(body, ending, row.locale)
                return await self._answer(row, room_id, words, edits)
            case DisconnectChat(agent_id, chat):
                assert isinstance(chat, str)
                await self._disconnect(row, agent_id, chat)
            case OfferAgents() | AcceptTurn() | EndTurns():
                raise AssertionError(f"{row.effect} belongs to a decision, not to the outbox")
            case _:
                assert_never(row.effect)
        return Result()

    async def is_encrypted(self, room_id: str) -> bool:
        """Whether the room's document says so; a room we know nothing of is asked about."""
        stored = await self._store.get("rooms", room_key(room_id))
        if stored is not None:
            return bool(stored.body["encrypted"])
        return await self._rooms.is_encrypted(room_id)

    async def _say(
        self, row: Row, room_id: str, content: dict[str, Any], urgency: Urgency, point: str
    ) -> Result:
        event_id = await self._rooms.send(
            room_id,
            {**content, SOURCE: row.transaction},
            row.transaction,
            encrypted=await self.is_encrypted(room_id),
            urgency=urgency,
            point=point,
        )
        return Result(event_id=event_id)

    async def _answer(self, row: Row, room_id: str, words: str, edits: str | None) -> Result:
        """The last words: one message, several, or a file when it would be too many."""
        contents = render.parts(words, edits=edits)
        if len(contents) > MOST_PARTS:
            hint = texts.say(row.locale, "answer-as-file")
            encrypted = await self.is_encrypted(room_id)
            data, name = words.encode("utf-8", "replace"), "answer.md"
            file = await self._media.file_content(data, name, "text/markdown", encrypted=encrypted)
            contents = [*render.parts(hint, edits=edits), file]
        for n, content in enumerate(contents[:-1]):
            part = replace(row, key=f"{row.key}.{n}")
            await self._say(part, room_id, content, Urgency.FINAL, "answer")
        # The last part goes under the row's own transaction id: its echo means that all are there.
        return await self._say(row, room_id, contents[-1], Urgency.FINAL, "answer")

    async def _join(self, room_id: str, inviter: str) -> Result:
        await self._rooms.join(room_id)
        return Result(
            encrypted=await self._rooms.is_encrypted(room_id),
            direct=await self._rooms.nobody_else(room_id),
            display_name=await self._rooms.display_name(inviter),
        )

    async def _create(self, row: Row, wanted: CreateRoom) -> Result:
        encrypted = self._encryption and wanted.kind == "chat"
        if not row.fresh:
            # It may have been made already: by the process before, or by a request whose answer was lost.
            user = await self._store.get("users", user_key(wanted.owner))
            if user is None or wanted.nonce not in user.body["creations"]:
                return Result()
            found = await self._rooms.find_by_nonce(wanted.nonce, await self._known_rooms())
            if found is not None:
                log.info("room.found_again", kind=wanted.kind, room=found)
                return Result(room_id=found, encrypted=encrypted)
        room_id = await self._rooms.create(
            NewRoom(
                kind=wanted.kind,
                owner=wanted.owner,
                nonce=wanted.nonce,
                name=wanted.name,
                topic=self._topic(row.locale, wanted.agent_id) if wanted.kind == "chat" else None,
                space_id=wanted.space_id,
                chat_id=wanted.chat_id,
                encrypted=encrypted,
            )
        )
        return Result(room_id=room_id, encrypted=encrypted)

    async def _known_rooms(self) -> frozenset[str]:
        rooms = {stored.body["room_id"] for _, stored in await self._store.scan("rooms")}
        users = {stored.body["space_id"] for _, stored in await self._store.scan("users")}
        return frozenset(rooms | {space for space in users if space})

    async def _disconnect(self, row: Row, agent_id: str, chat: str) -> None:
        await self._chat_idle(chat)
        try:
            client = self._directory.client_for(agent_id)
            ref = ChatRef(self._installation_id, agent_id, chat, "")
            await client.disconnect_chat(ref, request_id=row.transaction)
        except (AgentMissing, CallFailed) as error:
            log.info("platform.disconnect_skipped", agent=agent_id, why=str(error))
        self._failpoints.hit("platform.disconnected")

    def _topic(self, locale: str, agent_id: str | None) -> str:
        agent = self._agents.get(agent_id) if agent_id else None
        if agent is None:
            return texts.plain(locale, "room-topic-plain")
        return texts.plain(locale, "room-topic", {"agent": agent.name})


def _linked(text: Text) -> dict[str, str | int]:
    params: dict[str, str | int] = {}
    for name, value in text.params.items():
        assert isinstance(value, str | int)
        if name in LINKS and isinstance(value, str) and value.startswith("!"):
            label = text.params.get(LINKS[name])
            params[name] = render.link(value, label if isinstance(label, str) else None)
        else:
            params[name] = value
    return params


def _with_ending(body: str, ending: Text | None, locale: str) -> str:
    if ending is None:
        return body
    words = texts.say(locale, ending.key, _linked(ending))
    return f"{body}\n\n*{words}*" if body.strip() else words
