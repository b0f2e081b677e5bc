"""Talking to agents: whole answers, in order, to the right people, with the right memory."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from tests.e2e.conftest import Make
from tests.rig.bot import AGENTS, Bot
from tests.rig.desk import Desk, onboard
from tests.rig.view import Event

WORDS = " ".join(f"word{n}" for n in range(1, 16))


@pytest.fixture
async def bot(mode: str, share_bot: Make) -> Bot:
    """A bot whose answers grow fast: these tests watch them."""
    answers = {"placeholder_after": 0.2, "edit_every": 0.3}
    mirror = {"id": "mirror", "name": "Mirror", "adapter": "echo", "style": "reverse"}
    shared: Bot = await share_bot(
        encryption=mode == "encrypted", agents=(*AGENTS, mirror), settings={"answers": answers}
    )
    return shared


@pytest.fixture
async def desk(someone: Make, bot: Bot) -> Desk:
    return await onboard(await someone("alice"), bot)


def raw_from(desk: Desk, room: str, sender: str) -> list[Event]:
    """Every message event of a sender as it can be read, edits included, in order."""
    view = desk.person.rooms[room]
    shown = [view.shown(event) for event in view.timeline if event["sender"] == sender]
    return [event for event in shown if event["type"] == "m.room.message"]


def replaces(event: Event) -> str | None:
    relation = event["content"].get("m.relates_to") or {}
    return relation.get("event_id") if relation.get("rel_type") == "m.replace" else None


async def test_a_quick_answer_is_one_message(desk: Desk, mode: str) -> None:
    answer = await desk.say(desk.chat, "Hello *there* <b>you</b> <script>x")

    assert answer.body == "Hello *there* <b>you</b> <script>x"
    assert answer.formatted == "<p>Hello <em>there</em> <b>you</b> &lt;script&gt;x</p>"
    assert answer.content["m.mentions"] == {}
    assert answer.encrypted == (mode == "encrypted")
    # What follows is answered after it: nothing else came of the first.
    await desk.say(desk.chat, "and again")
    said = [e["content"]["body"] for e in raw_from(desk, desk.chat, desk.bot.user_id)]
    assert said == ["Hello *there* <b>you</b> <script>x", "and again"]
    assert [m.body for m in await desk.person.history(desk.chat, desk.bot.user_id)] == said
    await desk.bot.at_rest("turns")


async def test_a_slow_answer_grows_by_edits_of_one_message(desk: Desk) -> None:
    await desk.command(desk.chat, "!agent slow")
    said = await desk.person.send(desk.chat, WORDS)

    answer = await desk.person.answer_to(desk.chat, said, saying="word15")

    assert answer.body == WORDS
    assert answer.msgtype == "m.text"
    raw = raw_from(desk, desk.chat, desk.bot.user_id)
    first = next(n for n, event in enumerate(raw) if event["event_id"] == answer.event_id)
    edits = raw[first + 1 :]
    assert answer.original_body == raw[first]["content"]["body"] != WORDS
    assert [replaces(edit) for edit in edits] == [answer.event_id] * len(edits)
    grown = [edit["content"]["m.new_content"]["body"] for edit in edits]
    assert len(grown) >= 3 and grown[-1] == WORDS
    for less, more in itertools.pairwise(grown):
        assert more.startswith(less) and len(more) > len(less)
    assert all(edit["content"]["m.new_content"]["m.mentions"] == {} for edit in edits)


async def test_a_command_is_answered_while_an_answer_grows(desk: Desk) -> None:
    await desk.command(desk.chat, "!agent slow")
    said = await desk.person.send(desk.chat, WORDS)
    growing = await desk.person.answer_to(desk.chat, said)

    context = await desk.command(desk.chat, "!context")

    assert "Poet" in context.body
    assert "word15" not in growing.body
    seen = next(m for m in desk.person.messages(desk.chat) if m.event_id == growing.event_id)
    assert "word15" not in seen.body, "the answer was there before the command was answered"
    await desk.person.answer_to(desk.chat, said, where=lambda m: m.body == WORDS)


async def test_answers_come_in_the_order_of_the_messages(desk: Desk) -> None:
    sent = [f"message {n}" for n in range(12)]

    await asyncio.gather(*(desk.person.send(desk.chat, text) for text in sent))

    me, bot = desk.me, desk.bot.user_id
    await desk.person.until(lambda: len(desk.person.messages(desk.chat, bot)) == len(sent))
    heard = [m.body for m in desk.person.messages(desk.chat, me)]
    assert sorted(heard) == sorted(sent)
    assert [m.body for m in desk.person.messages(desk.chat, bot)] == heard


async def test_slow_answers_do_not_overtake_each_other(desk: Desk) -> None:
    await desk.command(desk.chat, "!agent slow")
    for text in ("one two three four", "five", "six seven"):
        last = await desk.person.send(desk.chat, text)

    await desk.person.answer_to(desk.chat, last, saying="six seven")

    answers = [m.body for m in desk.person.messages(desk.chat, desk.bot.user_id)][-3:]
    assert answers == ["one two three four", "five", "six seven"]
    # Each is finished before the next begins.
    raw = raw_from(desk, desk.chat, desk.bot.user_id)
    owners = [replaces(event) or event["event_id"] for event in raw]
    assert list(dict.fromkeys(owners)) == [
        owner for n, owner in enumerate(owners) if n == 0 or owners[n - 1] != owner
    ]


async def test_rooms_do_not_wait_for_each_other(desk: Desk, someone: Make, bot: Bot) -> None:
    other = await onboard(await someone("bob"), bot)
    await desk.command(desk.chat, "!agent slow")
    said = await desk.person.send(desk.chat, WORDS)
    growing = await desk.person.answer_to(desk.chat, said)

    quick = await other.say(other.chat, "meanwhile")

    assert quick.body == "meanwhile"
    done = await desk.person.answer_to(desk.chat, said, where=lambda m: m.body == WORDS)
    assert done.event_id == growing.event_id
    last = raw_from(desk, desk.chat, bot.user_id)[-1]
    assert last["origin_server_ts"] > quick.ts


async def test_notices_edits_and_reactions_are_not_answered(desk: Desk) -> None:
    alice, chat = desk.person, desk.chat
    for room in (chat, desk.home):
        notice = await alice.send(room, "I am a bot as well", msgtype="m.notice")
        await alice.send(room, "!help", msgtype="m.notice")
        await desk.ignored(room, notice)
    answer = await desk.say(chat, "typo")
    said = next(m for m in alice.messages(chat, alice.user_id) if m.body == "typo")
    await alice.edit(chat, said.event_id, "no typo")
    await alice.edit(chat, said.event_id, "!clear")
    await alice.react(chat, answer.event_id, "👍")
    last = await alice.send(chat, " \n\t ")
    await desk.ignored(chat, last)
    turns = await desk.command(chat, "!context")
    assert "1 message in it" in turns.body


async def test_the_bot_does_not_answer_itself(desk: Desk) -> None:
    await desk.command(desk.chat, "!agent mirror")

    # Were its own words heard, this would make a room.
    answer = await desk.say(desk.chat, "em wen!")

    assert answer.body == "!new me"
    assert "1 message in it" in (await desk.command(desk.chat, "!context")).body
    assert desk.document()["next_chat_index"] == 2


async def test_other_people_in_the_room_are_not_answered(
    desk: Desk, someone: Make, bot: Bot
) -> None:
    bob = await someone("bob")
    await desk.say(desk.chat, "before")
    await desk.person.invite(desk.chat, bob.user_id)
    await bob.accept_invites_from(desk.me)
    await desk.person.message(desk.chat, "Now that somebody else is here", sender=bot.user_id)
    before = desk.context()

    first = await bob.send(desk.chat, "what did I say?")
    for text in ("!clear", "!agent shout", "!archive", "1", "!new Bob's"):
        await bob.send(desk.chat, text)
    await desk.person.until(lambda: len(desk.person.messages(desk.chat, bob.user_id)) == 6)

    await desk.ignored(desk.chat, first)
    # In company the bot is spoken to by mentioning it.
    to_bot = {"m.mentions": {"user_ids": [bot.user_id]}}
    assert (await desk.say(desk.chat, "after", **to_bot)).body == "after"
    assert desk.context() == before
    assert f"matrix_user:{bob.user_id}" not in bot.documents("users")
    recalled = await desk.say(desk.chat, "what did I say?", **to_bot)
    assert recalled.body == "You said 2 things:\n\n1. before\n2. after"


async def test_nobody_sees_the_context_of_another_room_or_person(
    desk: Desk, someone: Make, bot: Bot
) -> None:
    bob = await onboard(await someone("bob"), bot)
    second = await desk.new("Second")
    places = [(desk, desk.chat), (desk, second), (bob, bob.chat)]
    for number, (who, room) in enumerate(places):
        await who.say(room, f"secret {number}")

    for number, (who, room) in enumerate(places):
        recalled = await who.say(room, "what did I say?")
        assert recalled.body == f"You said 1 thing:\n\n1. secret {number}"
    contexts = [who.context(room) for who, room in places]
    assert len(set(contexts)) == len(contexts)


async def test_clear_in_one_room_leaves_all_others_alone(
    desk: Desk, someone: Make, bot: Bot
) -> None:
    bob = await onboard(await someone("bob"), bot)
    second = await desk.new("Second")
    for who, room in ((desk, desk.chat), (desk, second), (bob, bob.chat)):
        await who.say(room, "remember me")
    before = {room: desk.bot.room(room) for room in (desk.chat, second, bob.chat)}

    await desk.command(desk.chat, "!clear")

    assert desk.context() != before[desk.chat]["platform_chat_id"]
    assert bot.room(second) == before[second]
    assert bot.room(bob.chat) == before[bob.chat]
    assert (await desk.say(desk.chat, "what did I say?")).body == "You said nothing yet."
    for who, room in ((desk, second), (bob, bob.chat)):
        assert "1. remember me" in (await who.say(room, "what did I say?")).body


async def test_a_message_before_clear_is_answered_in_the_old_context(desk: Desk) -> None:
    await desk.command(desk.chat, "!agent slow")
    said = await desk.person.send(desk.chat, "one two three four five six")
    cleared = await desk.person.send(desk.chat, "!clear")

    await desk.person.answer_to(desk.chat, said, saying="five six")
    await desk.person.answer_to(desk.chat, cleared, saying="Cleared")

    assert "nothing was said" in (await desk.command(desk.chat, "!context")).body
    await desk.command(desk.chat, "!undo")
    assert "1 message in it" in (await desk.command(desk.chat, "!context")).body


async def test_an_agent_that_fails_says_so_and_the_room_goes_on(desk: Desk) -> None:
    failed = await desk.person.send(desk.chat, "fail")

    answer = await desk.person.answer_to(desk.chat, failed)

    assert "could not answer" in answer.body and "asked to fail" in answer.body
    assert (await desk.say(desk.chat, "and now?")).body == "and now?"


async def test_emotes_are_talk_and_locations_are_declined(desk: Desk) -> None:
    assert (await desk.say(desk.chat, "waves", msgtype="m.emote")).body == "waves"
    declined = await desk.command(desk.chat, "here", msgtype="m.location", geo_uri="geo:1,2")
    assert declined.body == "I cannot take locations, only text and files."


@pytest.mark.parametrize("agent", ["echo", "slow"])
async def test_long_and_odd_words_come_back_whole(desk: Desk, agent: str) -> None:
    if agent == "slow":
        await desk.command(desk.chat, "!agent slow")
    for text in (
        "😀 é \u202eright to left\u202c \u200b zero",
        "a\n\n```python\nprint('*not* bold')\n```\n| a | b |\n|---|---|\n| 1 | 2 |",
        "x" * 15_000,
    ):
        said = await desk.person.send(desk.chat, text)
        answer = await desk.person.answer_to(
            desk.chat, said, where=lambda m, t=text: m.body == t.strip()
        )
        assert answer.msgtype == "m.text"
