"""What a bare number means: a choice directly after the list that is open, else talk."""

from __future__ import annotations

import pytest

from machines.effects import LoadContext
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
