"""Rooms with more than one person, and rooms that the bot did not make."""

from __future__ import annotations

from typing import Any

import pytest

from machines.dialog import NO, YES
from tests.e2e.conftest import Make
from tests.rig.bot import Bot
from tests.rig.desk import Desk, onboard
from tests.rig.person import Person
from tests.rig.view import Message

ASKS = "Shall I answer in this room?"
ADMINS = {"access": {"admins": ["@boss*:*"]}}
NEEDS_SPACE = "Please invite me to a direct chat first"


@pytest.fixture
async def bot(share_bot: Make, mode: str) -> Bot:
    shared: Bot = await share_bot(encryption=mode == "encrypted", settings=ADMINS)
    return shared


@pytest.fixture
async def desk(someone: Make, bot: Bot) -> Desk:
    return await onboard(await someone("alice"), bot)


@pytest.fixture
async def plain(person: Make, share_bot: Make) -> Desk:
    bot = await share_bot(encryption=False, settings=ADMINS)
    return await onboard(await person("alice"), bot)


async def office(alice: Person, bot: Bot, *others: Person, encrypted: bool = False) -> str:
    """A room of alice's and others', into which she has invited the bot."""
    content = {"algorithm": "m.megolm.v1.aes-sha2"}
    state = [{"type": "m.room.encryption", "state_key": "", "content": content}]
    room = await alice.create_room(
        name="The office",
        invite=[other.user_id for other in others],
        initial_state=state if encrypted else [],
    )
    for other in others:
        await other.accept_invites_from(alice.user_id)
        await alice.until_member(room, other.user_id)
    await alice.invite(room, bot.user_id)
    await alice.until_member(room, bot.user_id)
    return room


async def question(alice: Person, room: str, bot: Bot, after: str | None = None) -> Message:
    if after is not None:
        return await alice.answer_to(room, after, sender=bot.user_id, saying=ASKS)
    return await alice.message(room, ASKS, sender=bot.user_id)


async def reply(who: Person, room: str, said: str, bot: Bot) -> Message:
    return await who.answer_to(room, said, sender=bot.user_id)


def mention(bot: Bot) -> dict[str, Any]:
    return {"m.mentions": {"user_ids": [bot.user_id]}}


@pytest.mark.parametrize("way", ["!yes", YES])
async def test_the_inviter_says_yes_and_the_room_is_a_chat(
    desk: Desk, someone: Make, bot: Bot, mode: str, way: str
) -> None:
    alice, bob = desk.person, await someone("bob")
    room = await office(alice, bot, bob, encrypted=mode == "encrypted")
    asked = await question(alice, room, bot)
    assert bot.room(room)["state"] == "unprovisioned"

    said = (
        await alice.send(room, way)
        if way.startswith("!")
        else await alice.react(room, asked.event_id, way)
    )

    done = await alice.answer_to(room, said, sender=bot.user_id)
    assert done.body.startswith("I answer here from now on, as your chat C2, with Echo.")
    kept = bot.room(room)
    assert (kept["state"], kept["chat_id"], kept["agent_id"]) == ("bound", "C2", "echo")
    assert "C2" in (await desk.command(desk.home, "!chats")).body
    assert alice.name(room) == "The office", "the room stays as it is"
    assert room not in alice.children(desk.space)
    # Only what is addressed to the bot is answered, by whomever it is said.
    unheard = await alice.send(room, "just us")
    await bob.send(room, "yes, just us")
    for who in (alice, bob):
        heard = await who.send(room, f"hello from {who.user_id}", **mention(bot))
        answer = await reply(alice, room, heard, bot)
        assert answer.body == f"hello from {who.user_id}"
        heard = await who.send(room, "and this", reply_to=answer.event_id)
        assert (await reply(alice, room, heard, bot)).body == "and this"
    # A reply to somebody else is not for it.
    await bob.send(room, "is that so?", reply_to=unheard)
    last = await alice.send(room, "the last", **mention(bot))
    await alice.answer_to(room, last, sender=bot.user_id, saying="the last")
    bodies = [m.body for m in alice.messages_after(room, unheard, bot.user_id)]
    assert len(bodies) == 5 and not {"just us", "yes, just us", "is that so?"} & set(bodies)


async def test_an_owner_who_invites_somebody_is_told_how_to_be_answered(
    plain: Desk, person: Make
) -> None:
    desk, bob = plain, await person("bob")
    await desk.person.invite(desk.chat, bob.user_id)
    await bob.accept_invites_from(desk.me)
    told = await desk.person.message(
        desk.chat, "Now that somebody else is here", sender=desk.bot.user_id
    )
    unheard = await desk.person.send(desk.chat, "hello?")
    heard = await desk.person.send(desk.chat, "hello!", **mention(desk.bot))
    answer = await desk.person.answer_to(desk.chat, heard, where=lambda m: m.body == "hello!")
    said = desk.person.messages_after(desk.chat, told.event_id, desk.bot.user_id)
    assert [m.event_id for m in said] == [answer.event_id], unheard


async def test_who_comes_or_goes_before_the_inviter_has_said_yes_counts(
    plain: Desk, person: Make
) -> None:
    alice, bob, carol, bot = plain.person, await person("bob"), await person("carol"), plain.bot
    room = await office(alice, bot, bob)
    await question(alice, room, bot)
    await alice.invite(room, carol.user_id)
    await carol.accept_invites_from(alice.user_id)
    await alice.kick(room, bob.user_id)
    await alice.until_member(room, carol.user_id)
    said = await alice.send(room, "!yes")
    await alice.answer_to(room, said, sender=bot.user_id, saying="I answer here from now on")
    assert bot.room(room)["others"] == [carol.user_id]


@pytest.mark.parametrize("way", ["!no", NO])
async def test_the_inviter_says_no_and_nothing_is_bound(
    plain: Desk, person: Make, way: str
) -> None:
    desk, alice, bob, bot = plain, plain.person, await person("bob"), plain.bot
    room = await office(alice, bot, bob)
    asked = await question(alice, room, bot)
    said = (
        await alice.send(room, way)
        if way.startswith("!")
        else await alice.react(room, asked.event_id, way)
    )
    assert (await reply(alice, room, said, bot)).body == "All right, nothing was done."
    await bob.send(room, "hello?", **mention(bot))
    unheard = await alice.send(room, "hello?")
    # She may change her mind: addressed by her, the bot asks again.
    again = await alice.send(room, "so?", **mention(bot))
    await question(alice, room, bot, after=again)
    heard = alice.messages_after(room, unheard, bot.user_id)
    assert len(heard) == 1 and bot.room(room)["state"] == "unprovisioned"
    assert desk.document()["next_chat_index"] == 2


async def test_nobody_else_can_say_yes(plain: Desk, person: Make) -> None:
    alice, bob, boss, bot = plain.person, await person("bob"), await person("boss"), plain.bot
    room = await office(alice, bot, bob, boss)
    asked = await question(alice, room, bot)
    for who in (bob, boss):
        await who.send(room, "!yes", **mention(bot))
        last = await who.react(room, asked.event_id, YES)
    await alice.until(lambda: last in [e["event_id"] for e in alice.messages_raw(room)])
    said = await alice.send(room, "!no")
    assert (await reply(alice, room, said, bot)).body == "All right, nothing was done."
    notices = alice.messages_after(room, asked.event_id, bot.user_id)
    assert len(notices) == 1 and bot.room(room)["state"] == "unprovisioned"


async def test_only_owner_and_admins_command_a_room(plain: Desk, person: Make) -> None:
    alice, bob, boss, bot = plain.person, await person("bob"), await person("boss"), plain.bot
    room = await office(alice, bot, bob, boss)
    await question(alice, room, bot)
    said = await alice.send(room, "!yes")
    await reply(alice, room, said, bot)
    context = plain.context(room)
    for words in ("!clear", "!context", "!help", "!archive", "!agent shout"):
        last = await bob.send(room, words, **mention(bot))
    seen = await boss.send(room, "!context")
    told = await reply(alice, room, seen, bot)
    assert "agent: Echo" in told.body and told.reply_to == seen
    first = next(m.event_id for m in alice.messages(room, bob.user_id))
    heard = [m.event_id for m in alice.messages_after(room, first, bot.user_id)]
    assert heard == [told.event_id], "nothing that bob commanded was answered"
    assert plain.context(room) == context
    by_alice = await alice.send(room, "!clear")
    assert (await reply(alice, room, by_alice, bot)).body.startswith("Cleared")
    assert last


async def test_a_guest_in_a_chat_room_makes_it_company(plain: Desk, person: Make) -> None:
    desk, alice, bob, bot = plain, plain.person, await person("bob"), plain.bot
    assert (await desk.say(desk.chat, "alone")).body == "alone"
    await alice.invite(desk.chat, bob.user_id)
    await bob.accept_invites_from(alice.user_id)
    await alice.message(desk.chat, "Now that somebody else is here", sender=bot.user_id)
    between = await alice.send(desk.chat, "between us")
    heard = await bob.send(desk.chat, "and you?", **mention(bot))
    assert (await reply(alice, desk.chat, heard, bot)).body == "and you?"
    assert len(alice.messages_after(desk.chat, between, bot.user_id)) == 1
    await bob.leave(desk.chat)
    await alice.until_member(desk.chat, bob.user_id, "leave")
    assert (await desk.say(desk.chat, "alone again")).body == "alone again"


async def test_without_a_space_there_is_nothing_to_bind(person: Make, share_bot: Make) -> None:
    bot: Bot = await share_bot(encryption=False, settings=ADMINS)
    alice, bob = await person("alice"), await person("bob")
    room = await office(alice, bot, bob)
    await question(alice, room, bot)
    said = await alice.send(room, "!yes")
    assert (await reply(alice, room, said, bot)).body.startswith(NEEDS_SPACE)
    assert bot.room(room)["state"] == "unprovisioned"
    desk = await onboard(alice, bot)
    again = await alice.send(room, "now?", **mention(bot))
    await question(alice, room, bot, after=again)
    said = await alice.send(room, "!yes")
    assert "as your chat C2" in (await reply(alice, room, said, bot)).body
    assert desk.document()["next_chat_index"] == 3


async def test_a_restart_forgets_the_question_and_asks_again(person: Make, make_bot: Make) -> None:
    bot: Bot = await make_bot()
    alice, bob = await person("alice"), await person("bob")
    desk = await onboard(alice, bot)
    room = await office(alice, bot, bob)
    asked = await question(alice, room, bot)
    bot.kill()
    await bot.start()

    tap = await alice.react(room, asked.event_id, YES)
    late = await alice.answer_to(room, tap, sender=bot.user_id)
    assert late.body == "Nothing is waiting for an answer."
    assert bot.room(room)["state"] == "unprovisioned"
    again = await alice.send(room, "hello?", **mention(bot))
    await question(alice, room, bot, after=again)
    said = await alice.send(room, "!yes")
    assert "as your chat C2" in (await reply(alice, room, said, bot)).body
    bot.kill()
    await bot.start()
    heard = await bob.send(room, "still?", **mention(bot))
    assert (await reply(alice, room, heard, bot)).body == "still?"
    assert (await desk.say(desk.chat, "on")).body == "on"
