"""Mirrors: what they say of a document, what can be read back, and when they are written."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines.effects import PLATFORM_CHAT_SEQ, Fresh
from machines.room import Room
from machines.user import User
from store import MemoryStore, Put, SequenceSpent, StoreError
from store.documents import VERSIONS, room_key, written
from surface.failpoints import Failpoints
from surface.installation import BLOCK, Sequence
from surface.matrix.api import Lost, MatrixError
from surface.mirrors.content import (
    BINDING,
    INSTALLATION,
    PROFILE,
    Binding,
    Installation,
    Profile,
    Unreadable,
    binding_of,
    mirror,
    profile_of,
    read_binding,
    read_installation,
    read_profile,
    says,
)
from surface.mirrors.writer import MirrorWriter
from tests.surface.place import ALICE, ROOM, ROOMS, SPACE, USERS, Place, chat, json_values, place


def document(table: Any, record: Any, state: str) -> dict[str, Any]:
    return written(table, record, state)


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_comes_back_from_its_mirror(name: str) -> None:
    room, state = ROOMS[name]
    body = document("rooms", room, state)
    content = binding_of(body)
    read = read_binding(mirror(content, 3))
    if state == "lost" or (state == "unprovisioned" and not room.inviter):
        assert content == {} and read is None
    else:
        assert isinstance(read, Binding) and read.rev == 3
        assert {k: v for k, v in vars(read).items() if k != "rev"} == content
        assert says(mirror(content, 3), content)


@pytest.mark.parametrize("name", USERS)
def test_a_person_comes_back_from_their_mirror(name: str) -> None:
    body = document("users", *USERS[name])
    content = profile_of(body, SPACE)
    assert (content == {}) == (body["space_id"] != SPACE)
    if content:
        read = read_profile(mirror(content, 9))
        assert isinstance(read, Profile) and (read.rev, read.user_id) == (9, ALICE)


def test_what_people_said_is_not_in_a_mirror() -> None:
    body = document("rooms", chat(failed_body="a secret"), "bound")
    assert "a secret" not in str(binding_of(body))


GOOD = mirror(binding_of(document("rooms", chat(), "bound")), 1)
PERSON = mirror(profile_of(document("users", *USERS["ready"]), SPACE), 1)


@given(st.sampled_from([*GOOD, "new"]), json_values)
def test_a_malformed_binding_is_unreadable_and_never_an_error(key: str, value: Any) -> None:
    read = read_binding({**GOOD, key: value})
    assert isinstance(read, Binding | Unreadable)
    if isinstance(read, Binding) and read.state in ("bound", "cleared"):
        assert read.agent_id is not None and read.platform_chat_id is not None


@given(st.sampled_from([*PERSON, "new"]), json_values)
def test_a_malformed_profile_is_unreadable_and_never_an_error(key: str, value: Any) -> None:
    assert isinstance(read_profile({**PERSON, key: value}), Profile | Unreadable)


@given(json_values)
def test_anything_may_lie_in_account_data(value: Any) -> None:
    for read in (read_binding, read_profile, read_installation):
        found = read(value)
        assert found is None or isinstance(found, Unreadable)


def test_a_newer_mirror_is_not_guessed_at() -> None:
    read = read_binding({**GOOD, "v": 2})
    assert isinstance(read, Unreadable) and read.newer


class Account:
    """Account data, as the homeserver keeps it."""

    def __init__(self) -> None:
        self.data: dict[tuple[str, str | None], dict[str, Any]] = {}
        self.writes: list[tuple[str, str | None]] = []
        self.fails: list[Exception] = []

    async def read(self, kind: str, room_id: str | None = None) -> dict[str, Any] | None:
        return self.data.get((kind, room_id))

    async def write(
        self, kind: str, content: dict[str, Any], room_id: str | None = None, *, point: str
    ) -> None:
        if self.fails:
            raise self.fails.pop()
        self.writes.append((kind, room_id))
        self.data[kind, room_id] = content


async def flushed(there: Place, account: Account) -> None:
    writer = MirrorWriter(there.ledger, account, pause=0)  # type: ignore[arg-type]
    await writer.start()
    await writer.aclose()


async def test_a_commit_that_changes_a_room_is_mirrored_once() -> None:
    there, account = await place(), Account()
    await there.say("!clear")
    await there.say("hello")
    await flushed(there, account)
    assert account.writes == [(BINDING, ROOM)]
    stored = await there.ledger.store.get("rooms", room_key(ROOM))
    assert stored is not None
    assert account.data[BINDING, ROOM] == mirror(binding_of(stored.body), stored.rev)
    assert await there.ledger.store.scan("mirrors") == []


async def test_a_message_that_changes_nothing_writes_nothing() -> None:
    there, account = await place(), Account()
    await there.say("hello")
    await there.say("!context")
    assert await there.ledger.store.scan("mirrors") == []
    await flushed(there, account)
    assert account.writes == []


async def test_a_choice_is_mirrored_in_the_space() -> None:
    there, account = await place(), Account()
    await there.say("!agent shout")
    await there.say("!lang ru")
    await flushed(there, account)
    assert sorted(account.writes) == [(BINDING, "!idle"), (BINDING, ROOM), (PROFILE, SPACE)]
    assert account.data[PROFILE, SPACE]["selected_agent_id"] == "shout"
    assert account.data[PROFILE, SPACE]["locale"] == "ru"


async def test_a_mirror_that_was_not_written_is_written_by_the_next_process() -> None:
    there, account = await place(), Account()
    await there.say("!clear")
    account.fails = [Lost("gone")]
    await flushed(there, account)
    assert account.writes == [] and len(await there.ledger.store.scan("mirrors")) == 1
    await flushed(there, account)
    assert account.writes == [(BINDING, ROOM)]


async def test_a_refused_mirror_is_not_tried_for_ever() -> None:
    there, account = await place(), Account()
    await there.say("!clear")
    account.fails = [MatrixError(403, "M_FORBIDDEN", "no")]
    await flushed(there, account)
    assert await there.ledger.store.scan("mirrors") == []


async def test_whoever_is_forgotten_has_no_mirror() -> None:
    there, account = await place(), Account()
    await there.say("!forget")
    await there.say("!yes")
    await flushed(there, account)
    assert account.data[BINDING, ROOM] == {} and account.data[PROFILE, SPACE] == {}
    assert ALICE not in str(account.data)


async def test_writers_that_are_stopped_leave_nothing_behind() -> None:
    there, account = await place("home"), Account()
    writer = MirrorWriter(there.ledger, account, pause=3600)  # type: ignore[arg-type]
    there.ledger.listen(writer.on_decided)
    await writer.start()
    await there.say("!agent shout")
    await writer.aclose()
    assert (PROFILE, SPACE) in account.writes


# The sequence


async def take(store: MemoryStore, name: str) -> int:
    saved = await store.save([Put("echo", name, {"v": VERSIONS["echo"], "id": Fresh(name)}, None)])
    return int(saved.ids[Fresh(name)])


def sequence(store: MemoryStore, account: Account) -> Sequence:
    return Sequence(store, account, Failpoints(None))


async def test_ids_are_in_matrix_before_they_are_issued() -> None:
    store, account = MemoryStore(), Account()
    own = await sequence(store, account).settle()
    assert account.data[INSTALLATION, None] == {"v": 1, "installation_id": own, "reserved": BLOCK}
    for n in range(1, BLOCK + 1):
        assert await take(store, f"n{n}") == n
    with pytest.raises(SequenceSpent):
        await take(store, "one more")
    await sequence(store, account).more()
    assert await take(store, "one more") == BLOCK + 1


async def test_a_lost_database_goes_on_after_the_reserved_end() -> None:
    account, before = Account(), MemoryStore()
    own = await sequence(before, account).settle()
    last = await take(before, "a")
    after = MemoryStore()
    assert await sequence(after, account).settle() == own
    stored = await after.get("meta", "installation_id")
    assert stored is not None and stored.body["value"] == own
    assert await take(after, "b") == BLOCK + 1 > last


async def test_an_old_copy_of_the_database_goes_on_after_the_reserved_end() -> None:
    store, account = MemoryStore(), Account()
    own = await sequence(store, account).settle()
    content = {"v": 1, "installation_id": own, "reserved": 5 * BLOCK}
    account.data[INSTALLATION, None] = content
    await sequence(store, account).settle()
    assert await take(store, "a") == 5 * BLOCK + 1


async def test_a_database_from_before_there_were_mirrors_keeps_its_place() -> None:
    store, account = MemoryStore(), Account()
    first = await take(store, "a")
    stored = await store.get("meta", "installation_id")
    assert stored is not None
    assert await sequence(store, account).settle() == stored.body["value"]
    assert await take(store, "b") == first + 1


async def test_a_start_that_needs_nothing_writes_nothing() -> None:
    store, account = MemoryStore(), Account()
    await sequence(store, account).settle()
    before = await store.scan("meta"), len(account.writes)
    await sequence(store, account).settle()
    assert (await store.scan("meta"), len(account.writes)) == before


async def test_whoever_needs_an_id_waits_for_the_reservation() -> None:
    there, account = await place(), Account()
    ids = sequence(there.ledger.store, account)  # type: ignore[arg-type]
    await ids.settle()
    spent = await there.ledger.store.get("meta", PLATFORM_CHAT_SEQ)
    assert spent is not None
    body = {**spent.body, "value": spent.body["reserved"]}
    await there.ledger.store.save([Put("meta", PLATFORM_CHAT_SEQ, body, spent.rev)])
    there.ledger.more_ids = ids.more
    said = await there.say("!clear")
    assert said.words == ["cleared"]
    room = await there.ledger.store.get("rooms", room_key(ROOM))
    assert room is not None and int(room.body["platform_chat_id"]) == spent.body["reserved"] + 1


async def test_more_is_reserved_when_half_is_issued() -> None:
    there, account = await place(), Account()
    ids = sequence(there.ledger.store, account)  # type: ignore[arg-type]
    await ids.settle()
    there.ledger.listen(ids.on_decided)
    for _ in range(BLOCK // 2 + 1):
        await there.say("!clear")
        await there.say("hello")
    while len(account.writes) < 2:
        await asyncio.sleep(0)
    found = read_installation(account.data[INSTALLATION, None])
    assert isinstance(found, Installation) and found.reserved == 100 + 2 * BLOCK
    await ids.aclose()


@pytest.mark.parametrize("found", [{"v": 2, "end": 9}, {"v": 1, "reserved": "many"}, {"v": "x"}])
async def test_a_lost_database_does_not_guess_what_is_reserved(found: dict[str, Any]) -> None:
    store, account = MemoryStore(), Account()
    account.data[INSTALLATION, None] = found
    with pytest.raises(StoreError, match="cannot be read"):
        await sequence(store, account).settle()
    assert account.data[INSTALLATION, None] == found, "left as it is"


async def test_a_damaged_mirror_is_mended_by_a_database_that_knows() -> None:
    store, account = MemoryStore(), Account()
    own = await sequence(store, account).settle()
    account.data[INSTALLATION, None] = {"v": 1, "reserved": "many"}
    await sequence(store, account).settle()
    found = read_installation(account.data[INSTALLATION, None])
    assert found == Installation(own, 2 * BLOCK)


def test_blank_documents_have_no_mirror() -> None:
    assert binding_of(None) == {} == profile_of(None, SPACE)
    assert binding_of(document("rooms", Room("!new"), "unprovisioned")) == {}
    assert profile_of(document("users", User(ALICE), "unprovisioned"), SPACE) == {}
