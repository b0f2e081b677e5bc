"""What is recorded of a decision: what it came from and what it asked for, and nothing that was said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machines.effects import CreateRoom
from store.batch import to_json
from store.documents import room_key, user_key
from store.history import HISTORY, Cause, Step, Wanted, steps
from store.store import Table
from surface.aftermath import Result
from surface.inputs import Membership, Named
from surface.ops.recent import ROOMS, Recent
from surface.outbox import DROPPED, Outbox
from tests.surface.place import ALICE, ROOM, SPACE, Place, asking, place, running

SECRET = "xyzzy-plugh"


async def kept(there: Place, table: Table, key: str) -> Any:
    stored = await there.ledger.store.get(table, key)
    assert stored is not None
    return stored


async def of_room(there: Place) -> tuple[Step, ...]:
    return steps("room", (await kept(there, "rooms", room_key(ROOM))).body["history"])


async def of_person(there: Place) -> tuple[Step, ...]:
    return steps("user", (await kept(there, "users", user_key(ALICE))).body["history"])


async def test_a_step_names_its_event_and_its_effects() -> None:
    there = await place("bound")
    await there.say("!clear")
    (step,) = await of_room(there)
    assert (step.source, step.event, step.target) == ("bound", "clear", "cleared")
    assert step.cause == Cause("event", f"$input{there.count}")
    assert step.effects == (Wanted("DisconnectChat", "chat"), Wanted("Notice", "talk"))


async def test_what_is_decided_on_the_spot_has_no_lane() -> None:
    there = await place("cleared")
    await there.say("hello")
    (step,) = await of_room(there)
    assert (step.event, step.effects) == ("talk", (Wanted("AcceptTurn", None),))


async def test_a_plain_message_writes_neither_room_nor_person() -> None:
    there = await place("bound")
    before = [
        await kept(there, "rooms", room_key(ROOM)),
        await kept(there, "users", user_key(ALICE)),
    ]
    said = await there.say("hello")
    assert said.turns
    assert before == [
        await kept(there, "rooms", room_key(ROOM)),
        await kept(there, "users", user_key(ALICE)),
    ]


async def test_a_person_has_a_record_too() -> None:
    there = await place("bound")
    await there.receive(Membership(SPACE, ALICE, ALICE, "leave"))
    (step,) = await of_person(there)
    assert (step.machine, step.event, step.target) == ("user", "observed_left", "departed")
    await there.say("hello again")
    assert [step.event for step in await of_person(there)] == ["observed_left", "returned"]


async def test_an_effects_answer_is_the_bots_own_doing() -> None:
    there = await place("bound")
    said = await there.say("!new Kitchen")
    (row,) = said.asked
    assert isinstance(row.effect, CreateRoom)
    await there.settle(row, Result(refused="M_FORBIDDEN", reason="no"))
    asked, failed = await of_person(there)
    assert Wanted("CreateRoom", "create") in asked.effects
    assert (failed.event, failed.cause) == ("create_failed", Cause("bot", "CreateRoom"))


async def test_what_the_operator_drops_is_their_doing() -> None:
    there = await place("bound")

    async def refuse(_: object) -> Result:
        return Result(refused=DROPPED)

    outbox = Outbox(there.ledger, refuse)
    outbox.open()
    there.ledger.listen(outbox.on_decided)
    await there.say("!new Kitchen")
    await outbox.idle()
    assert (await of_person(there))[-1].cause == Cause("operator", "outbox drop")


async def test_transients_are_known_to_the_process_alone() -> None:
    there, recent = await place("bound"), Recent()
    there.ledger.listen(recent.on_decided)
    await running(there)
    asking(there, "agent_question")
    await there.say("!stop")
    turn = [step for step in recent.of(ROOM) if step.machine == "turn"]
    assert [(step.source, step.event, step.target) for step in turn] == [
        ("streaming", "stop", "stopped")
    ]
    assert turn[0].key == "$running" and Wanted("Answer", "talk") in turn[0].effects
    assert {step.machine for step in recent.of(ROOM)} == {"turn", "dialog"}
    assert await of_room(there) == ()


async def test_the_process_forgets_what_is_long_ago() -> None:
    there, recent = await place("bound"), Recent()
    heard: list[Any] = []
    there.ledger.listen(heard.append)
    for _ in range(HISTORY + 3):
        await there.say("!archive")
        await there.say("!no")
    for decided in heard:
        recent.on_decided(decided)
    assert len(recent.of(ROOM)) == HISTORY
    moving = next(d for d in heard if any(m.machine == "dialog" for m in d.moves))
    for number in range(ROOMS):
        moves = [replace(move, room_id=f"!{number}") for move in moving.moves]
        recent.on_decided(replace(moving, moves=moves))
    assert recent.of(ROOM) == () and recent.of("!0") != ()


async def test_of_who_is_forgotten_nothing_is_remembered() -> None:
    there, recent = await place("bound"), Recent()
    there.ledger.listen(recent.on_decided)
    await running(there)
    await there.say("!forget")
    assert {step.machine for step in recent.of(ROOM)} == {"dialog"}
    await there.say("!yes")
    assert recent.of(ROOM) == ()
    assert await there.ledger.store.get("rooms", room_key(ROOM)) is None


THINGS = (
    "!clear",
    "!undo",
    f"!rename {SECRET}",
    f"!new {SECRET}",
    "!archive",
    "!yes",
    "!no",
    "!agent shout",
    "!agent echo",
    f"!save {SECRET}",
    f"!load {SECRET}",
    "!restore C2",
    f"{SECRET} and more",
    "!lang ru",
    "1",
)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(THINGS), min_size=10, max_size=60))
async def test_nobody_fills_a_document_and_nothing_said_is_in_a_record(said: list[str]) -> None:
    there = await place("bound")
    for number, words in enumerate(said):
        await there.say(words)
        if number % 7 == 0:
            await there.receive(Named(ROOM, f"{SECRET} {number}"))
    for table in ("rooms", "users"):
        for _, stored in await there.ledger.store.scan(table):
            record = to_json({"history": stored.body["history"]})
            assert len(stored.body["history"]) <= HISTORY and len(record) < 16_000
            assert SECRET not in record


@pytest.mark.parametrize("locale", ["en", "ru"])
async def test_why_tells_of_it(locale: str) -> None:
    there = await place("bound", locale=locale)
    await there.say("!clear")
    await there.say("!why")
    body = there.heard[-1]["body"]
    assert "clear (bound → cleared)" in body and "DisconnectChat, Notice" in body
    assert ("after something in Matrix" if locale == "en" else "после события в Matrix") in body


async def test_why_in_a_home_room_tells_how_the_space_comes_to_be() -> None:
    there = await place("home", "departed")
    await there.say("hello again")
    await there.say("!why")
    assert ", you: invited (departed → ready)" in there.heard[-1]["body"]
