"""`!lang`, `!why`, `!forget`: what concerns the person."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from machines.dialog import YES
from tests.e2e.conftest import Make
from tests.rig.bot import Bot
from tests.rig.desk import Desk, onboard
from tests.rig.person import Person
from tests.rig.proxy import Delay, FaultProxy, Hold

TABLES = ("users", "rooms", "chats", "inbox", "turns", "outbox", "dirty", "echo", "meta")


@pytest.fixture
async def desk(person: Make, share_bot: Make) -> Desk:
    return await onboard(await person("alice"), await share_bot())


async def all_heard(bot: Bot) -> None:
    """Stop, with nothing left to do: what came in the moment of stopping is taken up at the next start."""
    await bot.stop()
    await bot.start()
    await bot.at_rest()
    await bot.stop()


def kept_of(bot: Bot, *about: str) -> dict[str, Any]:
    """Every document that names one of these."""
    found = {}
    for table in TABLES:
        for key, body in bot.documents(table).items():
            if any(
                word in f"{key} {json.dumps(body)}".replace("%40", "@").replace("%3A", ":")
                for word in about
            ):
                found[f"{table}/{key}"] = body
    return found


async def test_the_language_is_each_persons_own(desk: Desk, person: Make, share_bot: Make) -> None:
    bob = await onboard(await person("bob"), await share_bot())
    asked = await desk.command(desk.chat, "!lang")
    assert asked.body == "Say !lang and one of: en, ru. Now it is en."
    assert "Say !lang and one of" in (await desk.command(desk.chat, "!lang klingon")).body

    set_to = await desk.command(desk.chat, "!lang ru")

    assert set_to.body == "Теперь я говорю с вами по-русски."
    for room in (desk.chat, desk.home):
        assert "Что здесь можно делать" in (await desk.command(room, "!help")).body
    assert "не смог ответить" in (await desk.say(desk.chat, "fail")).body
    assert "What you can do here" in (await bob.command(bob.chat, "!help")).body
    assert (await desk.command(desk.chat, "!язык en")).body == (
        "I speak English with you from now on."
    )
    assert "What you can do here" in (await desk.command(desk.home, "!help")).body


async def test_why_tells_the_state_the_way_and_what_is_possible(desk: Desk) -> None:
    fresh = (await desk.command(desk.chat, "!why")).body
    assert fresh.startswith("This room is bound: what is said here goes to its agent.")
    assert "provision (unprovisioned → bound)" in fresh
    await desk.say(desk.chat, "hello")
    await desk.command(desk.chat, "!clear")

    told = (await desk.command(desk.chat, "!why")).body

    assert told.startswith("This room is cleared: the context is fresh")
    assert re.search(r"• \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC: clear \(bound → cleared\)", told)
    possible = told.splitlines()[-1]
    assert possible.startswith("Possible now: ")
    offered = (await desk.command(desk.chat, "!help")).body
    names = re.findall(r"^• (!\w+)", offered, re.M)
    assert re.findall(r"!\w+", possible) == names and "!undo" in names
    home = (await desk.command(desk.home, "!why")).body
    assert home.startswith("This room is home: here I take commands; nobody answers.")
    assert "greet (unprovisioned → home)" in home and "!clear" not in home
    for n in range(8):
        await desk.command(desk.chat, f"!rename Room {n}")
    assert (await desk.command(desk.chat, "!why")).body.count(" UTC: ") == 5


@pytest.mark.parametrize("way", ["!yes", YES])
async def test_forget_deletes_a_person_and_nobody_else(
    person: Make, make_bot: Make, way: str
) -> None:
    bot: Bot = await make_bot()
    alice, bob = await person("alice"), await person("bob")
    desk, other = await onboard(alice, bot), await onboard(bob, bot)
    second = await desk.new("Second")
    for who, room in ((desk, desk.chat), (desk, second), (other, other.chat)):
        await who.say(room, f"secret of {who.me}")
        await who.command(room, "!save Plan")
    await desk.command(second, "!agent shout")
    await desk.say(second, "more")
    await desk.archive(second)
    others = kept_of(bot, bob.user_id)
    assert len(kept_of(bot, alice.user_id)) >= 8

    asked = await desk.command(desk.chat, "!forget")
    assert "What I cannot delete are the messages themselves" in asked.body
    said = (
        await alice.send(desk.chat, way)
        if way.startswith("!")
        else await alice.react(desk.chat, asked.event_id, way)
    )

    last = await alice.answer_to(desk.chat, said, sender=bot.user_id)
    assert last.body.startswith("Forgotten.")
    rooms = (desk.home, desk.chat, second, desk.space)
    for room in rooms:
        await alice.until_member(room, bot.user_id, "leave")
        assert room in alice.joined(), "the rooms stay the person's"
    assert (await other.say(other.chat, "hello")).body == "hello"
    await all_heard(bot)
    assert kept_of(bot, alice.user_id, *rooms) == {}
    now = kept_of(bot, bob.user_id)
    assert now.keys() == others.keys()
    assert {k: v for k, v in now.items() if not k.startswith("echo/")} == {
        k: v for k, v in others.items() if not k.startswith("echo/")
    }
    await bot.start()
    # Who comes again is new; nothing of before is known.
    again = await alice.dm_joined(bot.user_id)
    await alice.message(again, "Welcome!", sender=bot.user_id)
    new = await alice.accept_invites_from(bot.user_id, count=2)
    assert not set(new) & set(rooms)
    chat = next(r["room_id"] for r in bot.rooms_of(alice.user_id))
    assert bot.rooms_of(alice.user_id)[0]["chat_id"] == "C1"
    fresh = Desk(alice, bot, again, next(r for r in new if r != chat), chat)
    assert (await fresh.say(chat, "what did I say?")).body == "You said nothing yet."
    assert "There are no saves" in (await fresh.command(chat, "!load")).body
    assert "1. Plan" in (await other.command(other.chat, "!load")).body


async def test_forget_is_asked_first_and_no_keeps_everything(desk: Desk) -> None:
    await desk.say(desk.chat, "keep me")
    for room in (desk.home, desk.chat):
        before = kept_of(desk.bot, desk.me)
        await desk.command(room, "!forget")
        assert (await desk.command(room, "!no")).body == "All right, nothing was done."
        assert kept_of(desk.bot, desk.me) == before
    assert "1. keep me" in (await desk.say(desk.chat, "what did I say?")).body


async def test_forget_while_an_answer_grows(person: Make, make_bot: Make) -> None:
    bot: Bot = await make_bot(default="slow", settings={"answers": {"placeholder_after": 0.1}})
    desk = await onboard(await person("alice"), bot)
    said = await desk.person.send(desk.chat, " ".join(["word"] * 100))
    await desk.person.answer_to(desk.chat, said, saying="word")
    await desk.person.send(desk.chat, "one that waits")
    await desk.command(desk.home, "!forget")
    await desk.person.send(desk.home, "!yes")
    await desk.person.answer_to(desk.chat, said, saying="Stopped.")
    rooms = (desk.home, desk.chat, desk.space)
    for room in rooms:
        await desk.person.until_member(room, bot.user_id, "leave")
    await all_heard(bot)
    assert not bot.events("effect.refused", runs=True)
    for room in rooms:
        members = await desk.person.api.call("GET", "rooms", room, "joined_members")
        assert set(members["joined"]) == {desk.me}
    assert kept_of(bot, desk.me, *rooms) == {}


async def made_after_all(bot: Bot, person: Person, proxy: FaultProxy, leaves: int) -> None:
    """The bot has left all that it made; nothing of the person is kept."""
    await all_heard(bot)
    assert await bot.made(person.user_id) == []
    assert kept_of(bot, person.user_id) == {}
    left = {r.path for r in proxy.requests if r.method == "POST" and r.path.endswith("/leave")}
    assert len(left) == leaves


@pytest.mark.parametrize("encrypted", [False, True])
async def test_forget_while_a_chat_is_being_made_leaves_that_too(
    person: Make, make_bot: Make, proxy: FaultProxy, encrypted: bool
) -> None:
    bot: Bot = await make_bot(url=proxy.url, encryption=encrypted)
    desk = await onboard(await person("alice"), bot)
    creating = proxy.arm("POST", r"/createRoom$", Hold())
    leaving = proxy.arm("POST", r"/leave$", Delay(0), times=4)
    await desk.person.send(desk.home, "!new Late")
    await creating.fired()
    await desk.command(desk.home, "!forget")
    await desk.person.send(desk.home, "!yes")
    await leaving.fired(3)

    creating.release()

    await leaving.fired(4)
    await made_after_all(bot, desk.person, proxy, 4)


async def test_forget_while_the_space_is_being_made_leaves_that_too(
    person: Make, make_bot: Make, proxy: FaultProxy
) -> None:
    bot: Bot = await make_bot(url=proxy.url)
    alice = await person("alice")
    creating = proxy.arm("POST", r"/createRoom$", Hold())
    leaving = proxy.arm("POST", r"/leave$", Delay(0), times=2)
    home = await alice.dm_joined(bot.user_id)
    await creating.fired()
    asked = await alice.send(home, "!forget")
    await alice.answer_to(home, asked, sender=bot.user_id, saying="Shall I forget you?")
    await alice.send(home, "!yes")
    await leaving.fired(1)

    creating.release()

    await leaving.fired(2)
    await made_after_all(bot, alice, proxy, 2)
    assert proxy.count("POST", r"/createRoom$") == 1


async def test_a_room_made_by_a_process_that_died_is_left_when_its_owner_was_forgotten(
    person: Make, make_bot: Make, proxy: FaultProxy
) -> None:
    bot: Bot = await make_bot(url=proxy.url)
    desk = await onboard(await person("alice"), bot)
    await bot.stop()
    await bot.start(failpoint="request.create.after")
    creating = proxy.arm("POST", r"/createRoom$", Hold())
    leaving = proxy.arm("POST", r"/leave$", Delay(0), times=4)
    await desk.person.send(desk.home, "!new Late")
    await creating.fired()
    await desk.command(desk.home, "!forget")
    await desk.person.send(desk.home, "!yes")
    await leaving.fired(3)
    creating.release()
    await bot.died()
    assert [made.chat_id for made in await bot.made(desk.me)] == ["C2"]

    await bot.start()

    await leaving.fired(4)
    await made_after_all(bot, desk.person, proxy, 4)


async def test_forget_forgets_also_rooms_that_were_not_decided_or_are_lost(
    person: Make, make_bot: Make
) -> None:
    bot: Bot = await make_bot()
    desk, bob = await onboard(await person("alice"), bot), await person("bob")
    office = await desk.person.create_room(name="Office", invite=[bob.user_id])
    await bob.accept_invites_from(desk.me)
    await desk.person.invite(office, bot.user_id)
    await desk.person.message(office, "Shall I answer in this room?", sender=bot.user_id)
    gone = await desk.person.create_room(name="Gone")
    await desk.person.invite(gone, bot.user_id)
    await desk.person.message(gone, "Here you can give commands too", sender=bot.user_id)
    await desk.person.kick(gone, bot.user_id)
    await desk.command(desk.home, "!forget")
    await desk.person.send(desk.home, "!yes")
    await desk.person.until_member(desk.home, bot.user_id, "leave")
    await desk.person.until_member(office, bot.user_id, "leave")
    await bot.stop()
    assert not bot.events("effect.refused")
    assert kept_of(bot, desk.me, office, gone) == {}
