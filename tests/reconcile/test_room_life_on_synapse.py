"""What people do to rooms in their own client, while the bot is up and while it is down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.crash.people import ask, new_chat, onboarded
from tests.reconcile.test_disaster_on_synapse import leaves
from tests.rig.bot import POLL, TIMEOUT, Bot
from tests.rig.fixtures import Make
from tests.rig.person import Person


@asynccontextmanager
async def meanwhile(bot: Bot, down: bool) -> AsyncIterator[None]:
    """What happens inside happens while the bot is up, or while it is down."""
    if down:
        await bot.stop()
    yield
    if down:
        await bot.start()


async def becomes(bot: Bot, alice: Person, talk_in: str, done: Callable[[], bool]) -> None:
    """The bot has heard of it: /sync keeps the order, so it has when it answers what was said after."""
    for n in range(20):
        await ask(alice, talk_in, f"probe {n}", f"probe {n}")
        if done():
            return
    raise AssertionError("it never heard of it")


async def departed(bot: Bot, alice: Person) -> None:
    """The bot has heard of it; nothing may be said meanwhile, that would bring the person back."""
    async with asyncio.timeout(TIMEOUT):
        while bot.user(alice.user_id)["state"] != "departed":
            await asyncio.sleep(POLL)  # SQLite tells no other process of a change.


both = pytest.mark.parametrize("down", [False, True], ids=["up", "down"])


@both
async def test_a_room_taken_out_of_its_space_is_archived(
    down: bool, make_bot: Make, person: Make
) -> None:
    bot, alice = await make_bot(), await person("alice")
    _, one = await onboarded(bot, alice)
    two = await new_chat(alice, one, "Two")
    space = bot.user(alice.user_id)["space_id"]
    async with meanwhile(bot, down):
        await alice.set_state(space, "m.space.child", {}, two)
    await becomes(bot, alice, one, lambda: bot.room(two)["state"] == "archived")
    await ask(alice, one, "!restore C2", "C2 is back")
    await ask(alice, two, "hello", "hello")
    await alice.until(lambda: two in alice.children(space), what="the link")


@both
async def test_names_given_in_a_client_are_followed(
    down: bool, make_bot: Make, person: Make
) -> None:
    bot, alice = await make_bot(), await person("alice")
    _, one = await onboarded(bot, alice)
    space = bot.user(alice.user_id)["space_id"]
    async with meanwhile(bot, down):
        await alice.set_state(one, "m.room.name", {"name": "Kitchen"})
        await alice.set_state(space, "m.room.name", {"name": "House"})
    await becomes(bot, alice, one, lambda: bot.room(one)["display_name"] == "Kitchen")
    await becomes(bot, alice, one, lambda: bot.user(alice.user_id)["space_name"] == "House")
    assert f"matrix_room:{space}" not in bot.documents("rooms"), "a Space is no room of ours"


@both
async def test_a_bot_that_was_removed_and_is_invited_again_goes_on(
    down: bool, make_bot: Make, person: Make
) -> None:
    bot, alice = await make_bot(settings={"room_version": "11"}), await person("alice")
    _, one = await onboarded(bot, alice)
    two = await new_chat(alice, one, "Two")
    await ask(alice, two, "remember", "remember")
    before = bot.room(two)
    async with meanwhile(bot, down):
        await leaves(bot, two)
    await becomes(bot, alice, one, lambda: bot.room(two)["state"] == "lost")
    async with meanwhile(bot, down):
        await alice.invite(two, bot.user_id)
    await alice.until_member(two, bot.user_id)
    assert "remember" in await ask(alice, two, "what did I say?", "You said 1 thing")
    after = bot.room(two)
    assert after["platform_chat_id"] == before["platform_chat_id"]


async def test_whoever_declines_the_space_is_departed(make_bot: Make, person: Make) -> None:
    bot, alice = await make_bot(), await person("alice")
    home = await alice.dm(bot.user_id)
    await alice.message(home, "Welcome!", sender=bot.user_id)
    space = bot.user(alice.user_id)["space_id"]
    await alice.until(lambda: any(i.room_id == space for i in alice.invites()), what="the invite")
    await alice.leave(space)
    await departed(bot, alice)
    # The next word in the home room invites to the same Space again.
    await ask(alice, home, "hello?", "")
    await alice.until(lambda: any(i.room_id == space for i in alice.invites()), what="the invite")
    assert len([room for room in await bot.made() if room.kind == "space"]) == 1


@both
async def test_an_upgraded_room_keeps_its_binding(down: bool, make_bot: Make, person: Make) -> None:
    bot, alice, bob = await make_bot(), await person("alice"), await person("bob")
    _, mine = await onboarded(bot, alice)
    team = await alice.create_room(name="Team", preset="private_chat", invite=[bob.user_id])
    await bob.join(team)
    await alice.invite(team, bot.user_id)
    await alice.message(team, "!yes", sender=bot.user_id)
    await ask(alice, team, "!yes", "C2")
    before = bot.room(team)
    async with meanwhile(bot, down):
        body = {"new_version": "11"}
        answer = await alice.api.call("POST", "rooms", team, "upgrade", json=body)
        new = str(answer["replacement_room"])
        await alice.invite(new, bot.user_id)
    await alice.until_member(new, bot.user_id)
    await becomes(bot, alice, mine, lambda: f"matrix_room:{new}" in bot.documents("rooms"))
    after = bot.room(new)
    same = ("chat_id", "agent_id", "platform_chat_id", "matrix_user_id", "foreign", "state")
    assert [after[k] for k in same] == [before[k] for k in same]
    assert bot.room(team)["state"] == "lost"
    await ask(alice, new, "hello", "hello")


@both
async def test_a_home_room_is_left_when_its_owner_leaves(
    down: bool, make_bot: Make, person: Make
) -> None:
    bot, alice, bob = await make_bot(), await person("alice"), await person("bob")
    home, one = await onboarded(bot, alice)
    await alice.invite(home, bob.user_id)
    await bob.join(home)
    async with meanwhile(bot, down):
        await alice.leave(home)
    await bob.until_member(home, bot.user_id, "leave")
    await becomes(bot, alice, one, lambda: bot.room(home)["state"] == "lost")
    assert bot.user(alice.user_id)["home_rooms"] == []


async def test_invited_into_a_space_the_bot_goes_again_and_says_why(
    make_bot: Make, person: Make
) -> None:
    bot, alice = await make_bot(), await person("alice")
    home, one = await onboarded(bot, alice)
    before = bot.user(alice.user_id)
    space = await alice.create_room(
        name="Mine", preset="private_chat", creation_content={"type": "m.space"}
    )
    await alice.invite(space, bot.user_id)
    await alice.message(home, "Nobody talks in a Space", sender=bot.user_id)
    await alice.until_member(space, bot.user_id, "leave")
    same = ("space_id", "home_rooms", "state")
    assert [bot.user(alice.user_id)[k] for k in same] == [before[k] for k in same]
    await ask(alice, one, "hello", "hello")  # What was before it has been heard of, too.
    await bot.at_rest()
    known = bot.documents("rooms").get(f"matrix_room:{space}")
    assert known is None or known["state"] == "lost", "its name may have been heard of"


async def test_invited_back_into_the_space_it_made(make_bot: Make, person: Make) -> None:
    bot, alice = await make_bot(), await person("alice")
    _, one = await onboarded(bot, alice)
    space = bot.user(alice.user_id)["space_id"]
    await leaves(bot, space)
    await departed(bot, alice)
    assert bot.user(alice.user_id)["space_id"] is None
    await alice.invite(space, bot.user_id)
    await alice.until_member(space, bot.user_id)
    await bot.at_rest()
    await alice.until(lambda: alice.children(space) == [one], what="the link")
    user = bot.user(alice.user_id)
    assert (user["space_id"], user["state"]) == (space, "ready")
    assert len([room for room in await bot.made() if room.kind == "space"]) == 1
