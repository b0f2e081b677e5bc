"""How each effect is carried out: from an outbox row to requests, and back to a `Result`.

Every deed bears repeating: messages by their transaction id, states and invites by looking first, a room by
its nonce.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, assert_never

import structlog

from config import Registry
from machines.effects import (
    AcceptTurn,
    Amend,
    Answer,
    AnswerQuestion,
    CreateRoom,
    DisconnectChat,
    Effect,
    EndTurns,
    FetchFile,
    FollowUpgrade,
    ForgetUser,
    InviteUser,
    JoinRoom,
    LeaveRoom,
    LinkChild,
    LoadContext,
    Notice,
    OfferAgents,
    Placeholder,
    PostFile,
    RefuseFile,
    RenameRoom,
    SaveContext,
    SendFile,
    SetParent,
    SettleQuestion,
    SetTopic,
    SignStaged,
    StopTurn,
    Text,
    UnlinkChild,
    UnsignStaged,
    WriteMirrors,
)
from store.documents import room_key, user_key
from store.store import Store
from surface import keys, render, texts
from surface.aftermath import Result
from surface.case import Row
from surface.failpoints import Failpoints
from surface.files.inbox import Inbox
from surface.files.outcome import ENCRYPTED_SINCE, STAGED
from surface.files.outgoing import Outgoing
from surface.matrix.api import Lost, MatrixError
from surface.matrix.courier import Urgency
from surface.matrix.media import Media, file_content
from surface.matrix.rooms import DIALOG, SOURCE, NewRoom, Rooms
from surface.platform.directory import Directory
from surface.platform.interface import CallFailed, ChatRef, ConfirmationGone
from surface.reasons import reason
from surface.turn_run import THINKING

log = structlog.get_logger()

BRIEF = 1_000
"""Characters that are rendered at once; more could hold up everybody else."""

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
        inbox: Inbox,
        outgoing: Outgoing,
        store: Store,
        agents: Registry,
        directory: Directory,
        failpoints: Failpoints,
        *,
        encryption: bool,
        installation_id: str,
        chat_idle: Callable[[str], Awaitable[None]],
        answer_shown: Callable[[str], Awaitable[None]],
        write_mirrors: Callable[[], Awaitable[None]],
    ) -> None:
        self._rooms, self._media = rooms, media
        self._inbox, self._outgoing = inbox, outgoing
        self._store, self.agents = store, agents
        self._directory, self._failpoints = directory, failpoints
        self._encryption, self._installation_id = encryption, installation_id
        self._chat_idle, self._write_mirrors = chat_idle, write_mirrors
        self._answer_shown = answer_shown
        self._asked: dict[str, str] = {}
        """By room, the last question that was put into it."""
        self._forgotten: dict[str, set[str]] = {}
        """By row, the agents that have forgotten a person already."""

    async def perform(self, row: Row) -> Result:
        """Carry one effect out.

        Raises:
            MatrixError, Lost: see `Api.request`.
        """
        match row.effect:
            case JoinRoom(room_id, inviter):
                return await self._join(room_id, inviter)
            case FollowUpgrade(room_id, successor):
                await self._rooms.join(successor)
                return Result(
                    encrypted=await self._rooms.is_encrypted(successor),
                    predecessor=await self._rooms.predecessor(successor),
                    others=await self._rooms.others(successor, ""),
                )
            case LeaveRoom(room_id):
                await self._rooms.leave(room_id)
            case CreateRoom() as wanted:
                return await self._create(row, wanted)
            case InviteUser(room_id, user_id):
                await self._rooms.invite(room_id, user_id)
            case LinkChild(space_id, room_id, order):
                await self._rooms.set_child(space_id, room_id, order)
            case UnlinkChild(space_id, room_id):
                await self._rooms.set_child(space_id, room_id, None)
            case SetParent(room_id, space_id, linked):
                await self._rooms.set_parent(room_id, space_id, linked=linked)
            case WriteMirrors():
                await self._write_mirrors()
            case RenameRoom(room_id, name):
                await self._rooms.put_state(room_id, "m.room.name", "", {"name": name})
            case SetTopic(room_id, agent_id):
                topic = self._topic(row.locale, agent_id)
                await self._rooms.put_state(room_id, "m.room.topic", "", {"topic": topic})
            case Notice():
                return await self._notice(row, row.effect)
            case Amend():
                return await self._amend(row, row.effect)
            case Placeholder(room_id, _, body, thread, reply_to):
                content = await asyncio.to_thread(render.preview, body)
                content = render.placed(content, thread, reply_to)
                return await self._say(row, room_id, content, Urgency.FINAL, "placeholder")
            case Answer():
                return await self._answer(row, row.effect)
            case FetchFile():
                return Result(why=await self._inbox.fetch(row.effect))
            case SignStaged(fetched):
                return await self._sign(fetched)
            case UnsignStaged(room_id, sign_id):
                await self._rooms.unsign(room_id, sign_id)
            case SendFile() as file:
                return await self._upload(file)
            case PostFile():
                return await self._post(row, row.effect)
            case RefuseFile(turn_id=turn_id):
                await self._answer_shown(turn_id)
            case DisconnectChat(agent_id, chat):
                assert isinstance(chat, str)
                await self._disconnect(row, agent_id, chat)
            case SaveContext() | LoadContext() | AnswerQuestion():
                return await self._tell_platform(row, row.effect)
            case ForgetUser(user_id):
                await self._forget(row, user_id)
            case OfferAgents() | AcceptTurn() | EndTurns() | StopTurn() | SettleQuestion():
                raise AssertionError(f"{row.effect} belongs to a decision, not to the outbox")
            case _:
                assert_never(row.effect)
        return Result()

    async def is_encrypted(self, room_id: str) -> bool:
        """Whether the room's document says so, or whoever else knows."""
        stored = await self._store.get("rooms", room_key(room_id))
        if stored is not None and stored.body["encrypted"]:
            return True
        return await self._rooms.is_sealed(room_id)

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

    async def _sign(self, fetched: FetchFile) -> Result:
        sign = await self._rooms.sign(fetched.room_id, fetched.file.event_id, STAGED)
        return Result(event_id=sign)

    async def _upload(self, file: SendFile) -> Result:
        encrypted = await self.is_encrypted(file.room_id)
        done = await self._outgoing.upload(file, encrypted=encrypted)
        return Result(why=done) if isinstance(done, Text) else Result(content=done)

    async def _post(self, row: Row, post: PostFile) -> Result:
        content: dict[str, Any] = json.loads(post.content)
        room_id, thread = post.file.room_id, post.file.thread
        if "url" in content and await self.is_encrypted(room_id):
            return Result(refused=ENCRYPTED_SINCE)
        placed = render.placed(content, thread, None)
        return await self._say(row, room_id, placed, Urgency.FINAL, "file")

    async def _notice(self, row: Row, notice: Notice) -> Result:
        content = render.notice(row.locale, notice.text.key, _linked(notice.text))
        content = render.placed(content, notice.thread, notice.reply_to)
        if notice.dialog:
            content[DIALOG] = row.boot
            self._asked.pop(notice.room_id, None)
        result = await self._say(row, notice.room_id, content, Urgency.NOTICE, "notice")
        if notice.dialog and result.event_id is not None:
            self._asked[notice.room_id] = result.event_id
        for tap in notice.taps if result.event_id else ():
            # For convenience only: dropped when the homeserver limits us.
            await self._rooms.react(notice.room_id, str(result.event_id), tap)
        return result

    async def _amend(self, row: Row, amend: Amend) -> Result:
        event_id = amend.event_id or self._asked.get(amend.room_id)
        if event_id is None:
            return Result()
        text = amend.text
        edit = render.edit(render.notice(row.locale, text.key, _linked(text)), event_id)
        if text.key == "dialog-expired":
            # A bare number just after it answers the list that has closed.
            edit[DIALOG] = row.boot
        return await self._say(row, amend.room_id, edit, Urgency.NOTICE, "notice")

    async def _answer(self, row: Row, answer: Answer) -> Result:
        """The last words: one message, several, or a file when it would be too many."""
        room_id = answer.room_id
        edits = answer.edits or (await self._placeholder(row, answer) if answer.placed else None)
        words = _with_ending(answer.body, answer.ending, row.locale)
        work = partial(render.parts, words, edits=edits, most=MOST_PARTS + 1)
        contents = work() if len(words) < BRIEF else await asyncio.to_thread(work)
        if len(contents) > MOST_PARTS:
            # Why it ends is told in the room as well: nobody looks for that in a file.
            hint = texts.say(row.locale, "answer-as-file")
            hint = _with_ending(hint, answer.ending, row.locale)
            encrypted = await self.is_encrypted(room_id)
            data, kind = words.encode("utf-8", "replace"), "text/markdown"
            where = await self._media.upload_bytes(data, kind, encrypted=encrypted)
            info = {"mimetype": kind, "size": len(data)}
            file = {**file_content("m.file", "answer.md", info), **where}
            contents = [*render.parts(hint, edits=edits), file]
        if not edits:
            contents[0] = render.placed(contents[0], answer.thread, answer.reply_to)
        contents[1:] = [render.placed(part, answer.thread, None) for part in contents[1:]]
        for n, content in enumerate(contents[:-1]):
            part = replace(row, key=f"{row.key}.{n}")
            await self._say(part, room_id, content, Urgency.FINAL, "answer")
        # The last part goes under the row's own transaction id: its echo means that all are there.
        return await self._say(row, room_id, contents[-1], Urgency.FINAL, "answer")

    async def _placeholder(self, row: Row, answer: Answer) -> str | None:
        """The placeholder of a turn that ended while that was under way, whichever process sent it.

        It is sent once more under its own transaction id: the homeserver says which event that was.
        """
        placing = replace(row, key=keys.effect_key(keys.placing(answer.turn_id)))
        content = render.placed(render.preview(THINKING), answer.thread, answer.reply_to)
        try:
            found = await self._say(placing, answer.room_id, content, Urgency.FINAL, "placeholder")
        except MatrixError as error:
            if error.limited:
                raise
            return None  # It was refused then, too.
        return found.event_id

    async def _join(self, room_id: str, inviter: str) -> Result:
        await self._rooms.join(room_id)
        space = await self._rooms.is_space(room_id)
        return Result(
            encrypted=await self._rooms.is_encrypted(room_id),
            predecessor=await self._rooms.predecessor(room_id),
            space=space,
            owner=await self._rooms.owner(room_id) if space else None,
            others=await self._rooms.others(room_id, inviter),
            display_name=await self._rooms.display_name(inviter),
        )

    async def _create(self, row: Row, wanted: CreateRoom) -> Result:
        encrypted = self._encryption and wanted.kind == "chat"
        user = await self._store.get("users", user_key(wanted.owner))
        still_wanted = user is not None and wanted.nonce in user.body["creations"]
        if not row.fresh:
            # It may have been made already: by the process before, or by a request whose answer was lost.
            found = await self._rooms.find_by_nonce(wanted.nonce, await self._known_rooms())
            if found is not None:
                log.info("room.found_again", kind=wanted.kind, room=found)
                return Result(room_id=found, encrypted=encrypted)
        if not still_wanted:
            return Result()
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
        stored_rooms = [stored.body for _, stored in await self._store.scan("rooms")]
        # Of a room without an owner nothing may be known but that it is encrypted.
        rooms = {room["room_id"] for room in stored_rooms if room["matrix_user_id"]}
        users = {stored.body["space_id"] for _, stored in await self._store.scan("users")}
        return frozenset(rooms | {space for space in users if space})

    async def _disconnect(self, row: Row, agent_id: str, chat: str) -> None:
        await self._chat_idle(chat)
        try:
            client = self._directory.client_for(agent_id)
            ref = ChatRef(self._installation_id, agent_id, chat, "")
            await client.disconnect_chat(ref, request_id=row.transaction)
        except CallFailed as error:
            log.info("platform.disconnect_skipped", agent=agent_id, why=str(error))
        self._failpoints.hit("platform.disconnected")

    async def _tell_platform(
        self, row: Row, effect: SaveContext | LoadContext | AnswerQuestion
    ) -> Result:
        assert isinstance(effect.platform_chat_id, str)
        chat = ChatRef(
            self._installation_id, effect.agent_id, effect.platform_chat_id, effect.user_id
        )
        try:
            client, request = self._directory.client_for(effect.agent_id), row.transaction
            match effect:
                case SaveContext(name=name):
                    await self._chat_idle(effect.platform_chat_id)
                    await client.save_context(chat, name, request_id=request)
                case LoadContext(save_id=save):
                    await client.load_context(chat, save, request_id=request)
                case AnswerQuestion(question_id=question, accepted=accepted):
                    await client.answer_confirmation(chat, question, accepted, request_id=request)
        except CallFailed as error:
            if isinstance(error, ConfirmationGone) and _declines(effect):
                return Result()
            return Result(refused=error.error.code, reason=reason(row.locale, error.error))
        self._failpoints.hit("platform.told")
        return Result()

    async def _forget(self, row: Row, user_id: str) -> None:
        """Let every agent forget, and delete the files; what cannot be done now is tried again."""
        done, away = self._forgotten.setdefault(row.key, set()), []
        for agent in self.agents.agents:
            if agent.id in done:
                continue  # What was said to it since is not to be forgotten.
            try:
                client = self._directory.client_for(agent.id)
                await client.forget_user(user_id, request_id=row.transaction)
            except CallFailed as failed:
                if failed.error.retryable:
                    away.append(agent.id)
                    continue
                log.error("platform.not_forgotten", agent=agent.id, user=user_id, why=str(failed))
            done.add(agent.id)
        try:
            await self._inbox.forget(user_id)
        except OSError as error:
            away.append(f"the workspace ({error.strerror})")
        if away:
            raise Lost(f"not forgotten yet by {', '.join(away)}")
        del self._forgotten[row.key]
        self._failpoints.hit("platform.forgotten")

    def _topic(self, locale: str, agent_id: str | None) -> str:
        agent = self.agents.get(agent_id) if agent_id else None
        if agent is None:
            return texts.plain(locale, "room-topic-plain")
        return texts.plain(locale, "room-topic", {"agent": agent.name})


def _declines(effect: Effect) -> bool:
    """A no that nobody waits for any more comes to the same."""
    return isinstance(effect, AnswerQuestion) and not effect.accepted


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
