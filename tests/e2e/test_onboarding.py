"""Meeting the bot: from an invite to a Space with a first chat, once and only for those allowed."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import unquote

import pytest

from tests.e2e.conftest import Make
from tests.rig.bot import Bot
from tests.rig.desk import Desk, onboard
from tests.rig.person import Person

MARKER = "lambda.surface.room"
PLAIN = pytest.mark.parametrize("mode", ["plain"])
"""What encryption has no part in is not tested twice."""


def links(formatted: str | None) -> list[str]:
    """The rooms that a message links to."""
    return [unquote(m) for m in re.findall(r'href="https://matrix.to/#/([^"?]+)', formatted or "")]


async def test_an_invite_gets_a_space_with_a_first_room(someone: Make, bot: Bot, mode: str) -> None:
    alice: Person = await someone("alice")
    await alice.set_display_name("Алиса *А* <b>")

    desk = await onboard(alice, bot)

    space, chat = desk.space, desk.chat
    await alice.until(lambda: alice.state(chat, "m.space.parent", space))
    await alice.until(lambda: "Echo" in (alice.state(chat, "m.room.topic") or {})["topic"])
    assert alice.name(space) == "Lambda — Алиса *А* <b>"
    assert alice.name(chat) == "Chat 1"
    assert alice.children(space) == [chat]
    child = alice.state(space, "m.space.child", chat)
    assert child is not None and child["via"] == ["localhost"] and child["order"]
    assert alice.state(chat, "m.space.parent", space) == {"via": ["localhost"], "canonical": True}

    for room, kind, chat_id in ((space, "space", None), (chat, "chat", "C1")):
        marker = alice.rooms[room].state[MARKER, ""]
        assert marker["sender"] == bot.user_id
        assert marker["content"]["owner"] == alice.user_id
        assert (marker["content"]["kind"], marker["content"].get("chat_id")) == (kind, chat_id)
        assert alice.members(room) == {alice.user_id, bot.user_id}
        powers = alice.state(room, "m.room.power_levels")
        assert powers is not None
        assert powers["users"][alice.user_id] == 50
        assert powers["events"][MARKER] == 100
        assert (alice.state(room, "m.room.join_rules") or {})["join_rule"] == "invite"
    nonces = [(alice.state(room, MARKER) or {})["nonce"] for room in (space, chat)]
    assert len(set(nonces)) == 2

    encrypted = mode == "encrypted"
    assert alice.rooms[chat].encrypted == encrypted
    assert not alice.rooms[space].encrypted
    assert bot.room(chat)["encrypted"] == encrypted
    (welcome,) = alice.messages(desk.home, bot.user_id)
    assert welcome.msgtype == "m.notice"
    assert welcome.encrypted == encrypted
    assert links(welcome.formatted) == [space, chat]

    assert bot.room(desk.home)["state"] == "home"
    assert bot.room(chat)["state"] == "bound"
    assert bot.room(chat)["agent_id"] == "echo"
    user = desk.document()
    assert (user["state"], user["space_id"], user["home_rooms"]) == ("ready", space, [desk.home])
    assert (user["next_chat_index"], user["creations"]) == (2, {})
    assert {m.room_id for m in await bot.made(alice.user_id)} == {space, chat}
    assert list(bot.documents("chats")) == [
        key for key in bot.documents("chats") if alice.user_id not in key
    ] + [f"chat:{alice.user_id}:C1"]
    assert (await desk.say(chat, "good morning")).body == "good morning"


async def test_names_and_texts_are_in_the_bots_language(person: Make, share_bot: Make) -> None:
    bot = await share_bot(locale="ru")
    alice = await person("alice")

    desk = await onboard(alice, bot)

    assert alice.name(desk.space) == f"Lambda — {alice.user_id[1:].partition(':')[0]}"
    assert alice.name(desk.chat) == "Чат 1"
    assert "Добро пожаловать" in alice.messages(desk.home, bot.user_id)[0].body
    second = await desk.person.send(desk.home, "!new")
    assert "Чат 2" in (await alice.answer_to(desk.home, second)).body


async def test_a_second_invite_makes_a_home_room_and_no_second_space(
    someone: Make, bot: Bot
) -> None:
    desk = await onboard(await someone("alice"), bot)

    second = await desk.person.dm(bot.user_id)

    greeting = await desk.person.message(second, "!help", sender=bot.user_id)
    assert links(greeting.formatted) == [desk.chat]
    assert desk.document()["home_rooms"] == [desk.home, second]
    assert bot.room(second)["state"] == "home"
    chats = await desk.command(second, "!chats")
    assert "C1" in chats.body
    assert {m.room_id for m in await bot.made(desk.me)} == {desk.space, desk.chat}


async def test_two_invites_in_a_race_make_one_space(someone: Make, bot: Bot) -> None:
    alice = await someone("alice")

    homes = await asyncio.gather(*(alice.dm(bot.user_id) for _ in range(3)))

    await alice.accept_invites_from(bot.user_id, count=2)
    for home in homes:
        await alice.until_member(home, bot.user_id)
        said = await alice.send(home, "!chats")
        assert "Chat 1" in (await alice.answer_to(home, said, saying="Your chats:")).body
    assert sorted(m.kind or "" for m in await bot.made(alice.user_id)) == ["chat", "space"]
    assert sorted(bot.user(alice.user_id)["home_rooms"]) == sorted(homes)
    assert len(alice.spaces()) == 1 and not alice.invites(bot.user_id)


async def test_people_do_not_share_a_space(person: Make, share_bot: Make) -> None:
    bot = await share_bot()
    alice, bob = await person("alice"), await person("bob")

    one, other = await asyncio.gather(onboard(alice, bot), onboard(bob, bot))

    assert not {one.space, one.chat} & {other.space, other.chat}
    assert one.document()["space_id"] == one.space
    assert other.document()["space_id"] == other.space
    assert one.context() != other.context()


async def test_who_is_not_allowed_is_declined_and_forgotten(person: Make, share_bot: Make) -> None:
    access = {"allow": ["@friend*:localhost", "@foe*:localhost"], "deny": ["@foe*:localhost"]}
    bot = await share_bot(settings={"access": access})
    stranger, foe, friend = [await person(name) for name in ("stranger", "foe", "friend")]

    for unwanted in (stranger, foe):
        home = await unwanted.dm(bot.user_id)
        await unwanted.until_member(home, bot.user_id, "leave")
    desk = await onboard(friend, bot)

    assert (await desk.say(desk.chat, "hello")).body == "hello"
    for unwanted in (stranger, foe):
        assert not unwanted.invites() and not await bot.made(unwanted.user_id)
        for table in ("users", "rooms", "chats"):
            kept = str(bot.documents(table))
            assert unwanted.user_id not in kept
            assert not any(room in kept for room in unwanted.rooms)


async def test_who_leaves_the_space_is_invited_to_the_same_one_again(
    someone: Make, bot: Bot
) -> None:
    desk = await onboard(await someone("alice"), bot)
    bob = await onboard(await someone("bob"), bot)
    alice = desk.person

    await alice.leave(desk.space)
    # Answered after the bot has heard that alice left: a message of hers would bring her back.
    await bob.say(bob.chat, "have you heard?")
    assert desk.document()["state"] == "departed"
    assert not alice.invites(bot.user_id)
    said = await alice.send(desk.home, "hello again")

    await alice.answer_to(desk.home, said, saying="your Space again")
    assert await alice.accept_invites_from(bot.user_id) == [desk.space]
    assert desk.document()["state"] == "ready"
    assert (await desk.say(desk.chat, "here I am")).body == "here I am"
    assert {m.room_id for m in await bot.made(desk.me)} == {desk.space, desk.chat}


@pytest.mark.parametrize("version", ["11", "12"])
async def test_rooms_are_of_the_version_that_is_set(
    person: Make, share_bot: Make, version: str
) -> None:
    bot = await share_bot(settings={"room_version": version})
    alice = await person("alice")

    desk = await onboard(alice, bot)
    another = await desk.new("Another")

    for room in (desk.space, desk.chat, another):
        assert (alice.state(room, "m.room.create") or {})["room_version"] == version
        assert (":" in room) == (version == "11")
        users = (alice.state(room, "m.room.power_levels") or {})["users"]
        # From 12 on the creator's power is beyond the list.
        expected = {alice.user_id: 50} | ({bot.user_id: 100} if version == "11" else {})
        assert users == expected
    assert (await desk.say(another, "hello")).body == "hello"
    await desk.archive(desk.chat)
    await alice.until(lambda: alice.children(desk.space) == [another])


async def test_a_room_with_others_is_asked_about_and_nothing_is_bound(
    someone: Make, bot: Bot
) -> None:
    alice, bob = await someone("alice"), await someone("bob")
    room = await alice.create_room(name="The office", invite=[bob.user_id])
    await bob.accept_invites_from(alice.user_id)

    await alice.invite(room, bot.user_id)

    question = await alice.message(room, "Shall I answer in this room?", sender=bot.user_id)
    assert question.msgtype == "m.notice"
    unheard = await alice.send(room, "not for you")
    unheard = await bob.send(room, "hello?")
    # The bot hears in the order of things: what comes later, elsewhere, is answered.
    desk = await onboard(alice, bot)
    assert (await desk.say(desk.chat, "hello")).body == "hello"
    assert not alice.messages_after(room, unheard, bot.user_id)
    assert bot.room(room)["state"] == "unprovisioned" and bot.room(room)["agent_id"] is None
    assert f"matrix_user:{bob.user_id}" not in bot.documents("users")
    assert alice.name(room) == "The office"


# --- choosing an agent: several, and none is the default ------------------------------------------


@pytest.fixture
async def undecided(someone: Make, share_bot: Make, mode: str) -> Desk:
    """Someone who has met a bot with three agents and no default."""
    bot = await share_bot(encryption=mode == "encrypted", default=None)
    desk = await onboard(await someone("alice"), bot)
    await desk.person.message(desk.home, "Which agent", sender=bot.user_id)
    await desk.person.message(desk.chat, "Which agent", sender=bot.user_id)
    return desk


def list_in(desk: Desk, room: str) -> str:
    """The event id of the list of agents in a room."""
    lists = [m for m in desk.person.messages(room, desk.bot.user_id) if "Which agent" in m.body]
    return lists[-1].event_id


async def assert_bound(desk: Desk, agent_id: str, name: str, answer: str) -> None:
    """The first room is bound to the agent, answers, and says so."""
    room, user = desk.bot.room(desk.chat), desk.document()
    assert (room["state"], room["agent_id"]) == ("bound", agent_id)
    assert (user["state"], user["selected_agent_id"]) == ("ready", agent_id)
    assert room["platform_chat_id"]
    person = desk.person
    await person.until(lambda: name in (person.state(desk.chat, "m.room.topic") or {})["topic"])
    assert (await desk.say(desk.chat, "good day")).body == answer


async def test_without_a_default_the_person_is_asked(undecided: Desk) -> None:
    desk = undecided
    for room in (desk.home, desk.chat):
        asked = next(
            m
            for m in desk.person.messages(room, desk.bot.user_id)
            if m.event_id == list_in(desk, room)
        )
        assert asked.msgtype == "m.notice"
        for line in ("1. Echo (echo)", "2. Poet (slow)", "3. Crier (shout)"):
            assert line in asked.body
    assert desk.document()["state"] == "choosing"
    assert desk.document()["selected_agent_id"] is None
    room = desk.bot.room(desk.chat)
    assert (room["state"], room["agent_id"], room["platform_chat_id"]) == ("unbound", None, None)
    assert "Agent" not in (desk.person.state(desk.chat, "m.room.topic") or {}).get("topic", "")
    # Whatever is said is not lost on nobody: it asks again.
    said = await desk.person.send(desk.chat, "hello")
    assert "Which agent" in (await desk.person.answer_to(desk.chat, said)).body


@PLAIN
async def test_choosing_by_number_at_home_binds_the_first_room(undecided: Desk) -> None:
    chosen = await undecided.command(undecided.home, "3")
    assert "Crier" in chosen.body
    await assert_bound(undecided, "shout", "Crier", "GOOD DAY")


async def test_choosing_by_number_in_the_chat_room(undecided: Desk) -> None:
    chosen = await undecided.command(undecided.chat, "3.")
    assert "Crier" in chosen.body
    await assert_bound(undecided, "shout", "Crier", "GOOD DAY")


@pytest.mark.parametrize("word", ["!agent shout", "!agent 3", "!AGENT `Shout`"])
@PLAIN
async def test_choosing_by_command(undecided: Desk, word: str) -> None:
    await undecided.command(undecided.home, word)
    await assert_bound(undecided, "shout", "Crier", "GOOD DAY")


async def test_choosing_by_a_reply_to_the_list(undecided: Desk) -> None:
    desk = undecided
    chosen = await desk.command(desk.home, "1", reply_to=list_in(desk, desk.home))
    assert "Echo" in chosen.body
    await assert_bound(desk, "echo", "Echo", "good day")


@PLAIN
async def test_a_number_outside_the_list_keeps_it_open(undecided: Desk) -> None:
    desk = undecided
    for number in ("0", "4", "99"):
        refused = await desk.command(desk.home, number)
        assert number in refused.body and "from 1 to 3" in refused.body
    assert desk.document()["state"] == "choosing"
    await desk.command(desk.home, "1")
    await assert_bound(desk, "echo", "Echo", "good day")


@PLAIN
async def test_a_number_is_talk_once_the_choice_is_made(undecided: Desk) -> None:
    desk = undecided
    await desk.command(desk.chat, "1")
    assert (await desk.say(desk.chat, "2")).body == "2"
    assert desk.bot.room(desk.chat)["agent_id"] == "echo"


@PLAIN
async def test_a_number_in_reply_to_another_message_is_no_choice(undecided: Desk) -> None:
    desk = undecided
    own = await desk.person.send(desk.home, "hm")
    await desk.person.answer_to(desk.home, own, saying="Which agent")
    said = await desk.person.send(desk.home, "1", reply_to=own)
    await desk.person.answer_to(desk.home, said, saying="Which agent")
    assert desk.document()["selected_agent_id"] is None
