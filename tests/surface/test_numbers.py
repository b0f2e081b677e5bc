"""What a bare number means: a choice directly after the list that is open, else talk."""

from __future__ import annotations

from dataclasses import replace

import pytest

from config.agents import EchoAgent, Registry
from machines.effects import LoadContext
from store.documents import room_key
from surface.inputs import Message
from tests.surface.place import BOB, ROOM, Place, Said, asking, place


async def with_list(room: str) -> Place:
    there = await place(room)
    asking(there, "load")
    return there


def loads(said: Said) -> bool:
    return any(isinstance(row.effect, LoadContext) for row in said.rows)


@pytest.mark.parametrize("room", ["bound", "company"])
async def test_directly_after_the_list_it_is_a_choice(room: str) -> None:
    there = await with_list(room)
    said = await there.say("1")
    assert loads(said) and not said.turns


async def test_after_an_agents_answer_it_is_talk_and_the_list_is_closed() -> None:
    there = await with_list("bound")
    said = await there.say("1", apart=True)
    assert said.turns and not loads(said)
    assert not there.memory.dialogs


async def test_in_company_it_is_nothing_after_an_agents_answer() -> None:
    there = await with_list("company")
    said = await there.say("1", apart=True)
    assert not said.turns and not said.rows


async def test_nobody_else_chooses() -> None:
    there = await with_list("company")
    said = await there.say("1", sender=BOB)
    assert not said.turns and not said.rows
    assert there.memory.dialogs


async def test_a_picture_closes_the_list() -> None:
    there = await with_list("bound")
    await there.receive(Message("$picture", ROOM, "@alice:hs", "cat.png", "m.image"))
    said = await there.say("1")
    assert said.turns and not loads(said)


async def test_an_agents_id_that_is_a_number_comes_before_its_place_in_the_list() -> None:
    there = await place("bound")
    named = tuple(EchoAgent(id=name, name=name.title(), adapter="echo") for name in ("2", "echo"))
    there.ledger.world = replace(there.ledger.world, agents=Registry(agents=named))
    await there.say("!agent 2")
    assert await agent(there) == "2"
    await there.say("!agent 3")
    assert await agent(there) == "2", "there are only two"
    await there.say("!agent 1")
    assert await agent(there) == "2", "the first of the list, for nobody is called so"
    await there.say("!agent echo")
    assert await agent(there) == "echo"


async def agent(there: Place) -> str:
    stored = await there.ledger.store.get("rooms", room_key(ROOM))
    assert stored is not None
    return str(stored.body["agent_id"])
