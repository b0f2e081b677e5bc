"""Combinations of findings, each once found by `test_model`: one plan settles them."""

from __future__ import annotations

import pytest

from surface.reconcile import run
from surface.reconcile.run import reconcile
from tests.reconcile.model import BOT, NO_DEFAULT, ONE, Model

ALICE = "@alice:hs"


async def onboarded() -> Model:
    """Alice has a home room `!r1`, a Space `!r2` and a chat `!r3`, and is in all."""
    model = Model()
    await model.boot()
    model.dm(ALICE)
    await model.settle_down()
    for room_id in ("!r2", "!r3"):
        model.goes(room_id, ALICE, "join", heard=True)
    await model.settle_down()
    return model


async def state_of(model: Model, room_id: str) -> str:
    stored = await model.store.get("rooms", f"matrix_room:{room_id}")
    assert stored is not None
    return str(stored.body["state"])


async def space_of(model: Model, user_id: str = ALICE) -> str | None:
    stored = await model.store.get("users", f"matrix_user:{user_id}")
    assert stored is not None
    space_id: str | None = stored.body["space_id"]
    return space_id


def upgraded(model: Model, room_id: str) -> str:
    """The room is upgraded and the bot is in its successor, but knows nothing of it."""
    new = model.upgrades(room_id, ALICE, invited=False, heard=False)
    model.homeserver.member(new, BOT, "join")
    return new


async def test_a_space_that_went_while_its_first_chat_was_made() -> None:
    model = Model()
    await model.boot()
    model.dm(ALICE)
    await model.hear_all()
    await model.carry_out(2)
    assert await space_of(model) == "!r2"
    model.removes_bot("!r2", heard=False)
    await model.lost_response()
    await model.boot()
    await model.reconciled()
    assert await state_of(model, "!r3") == "bound", "what was made is adopted without a Space"
    await model.comes_to_rest()


async def test_a_renamed_space_does_not_hide_a_vanished_agent() -> None:
    model = await onboarded()
    model.names("!r2", ALICE, "Kitchen", heard=False)
    model.agents = ONE
    await model.boot()
    await model.reconciled()
    stored = await model.store.get("users", f"matrix_user:{ALICE}")
    assert stored is not None
    assert (stored.body["state"], stored.body["space_name"]) == ("choosing", "Kitchen")
    await model.comes_to_rest()


async def test_an_upgraded_space_takes_the_rooms_along() -> None:
    model = await onboarded()
    new = upgraded(model, "!r2")
    await model.boot()
    await model.reconciled()
    assert await space_of(model) == new
    await model.comes_to_rest()
    assert model.homeserver.rooms[new].content("m.space.child", "!r3").get("via")
    assert model.homeserver.rooms["!r2"].membership(BOT) == "leave"


async def test_of_two_upgrades_the_last_counts() -> None:
    model = await onboarded()
    last = upgraded(model, upgraded(model, "!r2"))
    chat = upgraded(model, upgraded(model, "!r3"))
    await model.boot()
    await model.reconciled()
    assert await space_of(model) == last
    assert await state_of(model, chat) == "bound"
    await model.comes_to_rest()


async def test_an_upgraded_space_and_a_lost_database() -> None:
    model = await onboarded()
    new = upgraded(model, "!r2")
    await model.lose_database()
    await model.reconciled()
    assert await space_of(model) == new, "not the older of two"
    await model.comes_to_rest()
    assert await state_of(model, "!r3") == "bound"


async def test_a_successor_that_was_lost_again() -> None:
    model = await onboarded()
    new = upgraded(model, "!r2")
    await model.boot()
    await model.reconciled()
    model.removes_bot(new, heard=False)
    await model.boot()
    await model.reconciled()
    await model.comes_to_rest()


async def test_back_in_a_chat_whose_owner_has_left() -> None:
    model = await onboarded()
    model.homeserver.member("!r3", "@bob:hs", "join")
    model.removes_bot("!r3", heard=True)
    model.goes("!r3", ALICE, "leave", heard=True)
    await model.settle_down()
    model.invites_bot("!r3", "@bob:hs")
    await model.settle_down()
    assert await state_of(model, "!r3") == "archived"
    await model.comes_to_rest()


async def test_back_in_a_chat_whose_space_was_upgraded_meanwhile() -> None:
    model = await onboarded()
    model.removes_bot("!r3", heard=True)
    await model.settle_down()
    new = model.upgrades("!r2", ALICE, invited=True, heard=True)
    await model.settle_down()
    assert await space_of(model) == new
    model.invites_bot("!r3", ALICE)
    await model.settle_down()
    assert await state_of(model, "!r3") == "bound"
    assert model.homeserver.rooms[new].content("m.space.child", "!r3").get("via")
    await model.comes_to_rest()


async def test_agents_that_come_back_to_a_lost_database() -> None:
    model = await onboarded()
    model.agents = NO_DEFAULT
    await model.lose_database()
    await model.reconciled()
    assert await state_of(model, "!r3") == "bound"
    await model.comes_to_rest()


async def test_a_room_that_went_before_anybody_said_whose_it_is() -> None:
    model = await onboarded()
    team = model.homeserver.create(ALICE)
    model.homeserver.member(team, "@bob:hs", "join")
    model.invites_bot(team, ALICE)
    await model.settle_down()
    assert await state_of(model, team) == "unprovisioned"
    model.removes_bot(team, heard=False)
    await model.boot()
    await model.reconciled()
    assert await state_of(model, team) == "lost"
    await model.comes_to_rest()


async def test_an_upgraded_chat_whose_successor_is_closed_is_still_mended() -> None:
    model = await onboarded()
    model.upgrades("!r3", ALICE, invited=False, heard=True)
    await model.settle_down()
    new = upgraded(model, "!r2")
    await model.boot()
    await model.reconciled()
    await model.comes_to_rest()
    model.homeserver.rooms[new].put(ALICE, "m.space.child", {"via": "nobody"}, "!r3")
    await model.reconciled()
    await model.comes_to_rest()
    assert model.homeserver.rooms[new].content("m.space.child", "!r3")["via"] == ["hs"]


@pytest.mark.parametrize("lost", [False, True], ids=["database kept", "database lost"])
@pytest.mark.parametrize("heard", [False, True], ids=["unheard", "heard"])
async def test_a_home_room_that_its_owner_has_left_is_left(heard: bool, lost: bool) -> None:
    model = await onboarded()
    model.goes("!r1", ALICE, "leave", heard=heard)
    if lost:
        await model.lose_database()
    await model.hear_all()
    await model.reconciled()
    await model.comes_to_rest()
    assert model.homeserver.rooms["!r1"].membership(BOT) == "leave"
    stored = await model.store.get("users", f"matrix_user:{ALICE}")
    assert stored is not None
    assert stored.body["home_rooms"] == []


async def test_a_space_of_somebodys_own_is_no_home_room() -> None:
    model = await onboarded()
    space = model.homeserver.create(ALICE, type="m.space")
    model.invites_bot(space, ALICE)
    await model.settle_down()
    assert model.homeserver.rooms[space].membership(BOT) == "leave"
    stored = await model.store.get("users", f"matrix_user:{ALICE}")
    assert stored is not None
    assert (stored.body["home_rooms"], stored.body["space_id"]) == (["!r1"], "!r2")
    await model.comes_to_rest()


async def test_invited_back_into_the_space_it_made() -> None:
    model = await onboarded()
    model.removes_bot("!r2", heard=True)
    await model.settle_down()
    assert await space_of(model) is None
    model.invites_bot("!r2", ALICE)
    await model.settle_down()
    assert await space_of(model) == "!r2"
    await model.comes_to_rest()
    assert model.homeserver.rooms["!r2"].content("m.space.child", "!r3").get("via")


@pytest.mark.parametrize("lost", [False, True], ids=["database kept", "database lost"])
@pytest.mark.parametrize("room_id", ["!r1", "!r2", "!r3"], ids=["home", "Space", "chat"])
async def test_upgrades_that_bite_their_own_tail_are_none(room_id: str, lost: bool) -> None:
    """Only a homeserver that lies can show this: each room is the other's successor."""
    model = await onboarded()
    other = upgraded(model, room_id)
    rooms = model.homeserver.rooms
    rooms[room_id].content("m.room.create")["predecessor"] = {"room_id": other}
    rooms[other].put(ALICE, "m.room.tombstone", {"replacement_room": room_id})
    if lost:
        await model.lose_database()
    await model.reconciled()
    await model.comes_to_rest()
    assert await space_of(model) == "!r2"
    assert [await state_of(model, each) for each in ("!r1", "!r3")] == ["home", "bound"]


async def test_how_many_are_left_is_told_down_to_none() -> None:
    model = await onboarded()
    await model.lose_database()
    await model.boot()
    told: list[int] = []
    await reconcile(model.ledger, model.look(), me=BOT, left=told.append)
    assert told[0] == len(told) - 2 > 1
    assert told == [*range(told[0], -1, -1), 0]


async def test_what_keeps_moving_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    model = await onboarded()
    await model.lose_database()
    await model.boot()
    monkeypatch.setattr(run, "ROUNDS", 0)
    told: list[int] = []
    await reconcile(model.ledger, model.look(), me=BOT, left=told.append)
    assert told and told[-1] > 0
