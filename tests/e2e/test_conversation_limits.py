"""Who may talk to the bot, and how much."""

from __future__ import annotations

from machines.dialog import YES
from tests.e2e.conftest import Make
from tests.rig.bot import Bot
from tests.rig.desk import Desk, onboard

NOTHING = "Nothing is waiting for an answer."
FAST = "That is more than 3 messages within a minute."
WORDS = " ".join(f"word{n}" for n in range(1, 31))


async def test_who_is_denied_is_not_heard(person: Make, make_bot: Make) -> None:
    bot: Bot = await make_bot()
    alice, bob = await person("alice"), await person("bob")
    desk, other = await onboard(alice, bot), await onboard(bob, bot)
    await bot.stop()
    bot.settings["access"] = {"deny": [alice.user_id]}
    await bot.start()

    said = await alice.send(desk.chat, "hello?")
    await alice.send(desk.chat, "!help")
    await alice.send(desk.home, "!help")
    room = await alice.dm(bot.user_id)
    await alice.until_member(room, bot.user_id, "leave")
    assert (await other.say(other.chat, "hello")).body == "hello"
    # What was denied is not made up for when it is allowed again.
    await bot.at_rest()
    await bot.stop()
    del bot.settings["access"]
    await bot.start()
    assert (await desk.say(desk.chat, "and now?")).body == "and now?"
    heard = alice.messages_after(desk.chat, said, bot.user_id)
    assert [m.body for m in heard] == ["and now?"]


async def test_too_many_messages_a_minute_are_told_once(person: Make, share_bot: Make) -> None:
    bot: Bot = await share_bot(settings={"limits": {"per_minute": 3}})
    desk, other = (
        await onboard(await person("alice"), bot),
        await onboard(await person("bob"), bot),
    )
    question = await desk.command(desk.chat, "!archive")
    await desk.command(desk.chat, "!no")
    assert (await desk.say(desk.chat, "third")).body == "third"

    told = await desk.command(desk.chat, "fourth")
    for words in ("fifth", "!help", "sixth"):
        await desk.person.send(desk.chat, words)
    # Taps are not counted, and are heard in the order of things.
    tap = await desk.person.react(desk.chat, question.event_id, YES)
    after = await desk.person.answer_to(desk.chat, tap, sender=bot.user_id)

    assert told.body.startswith(FAST)
    assert after.body == NOTHING
    heard = desk.person.messages_after(desk.chat, told.event_id, bot.user_id)
    assert [m.body for m in heard] == [NOTHING]
    # It is each person's own limit.
    assert (await other.say(other.chat, "hello")).body == "hello"


async def test_too_many_waiting_messages_are_told_once(person: Make, share_bot: Make) -> None:
    bot: Bot = await share_bot(settings={"limits": {"waiting": 2}}, default="slow")
    desk: Desk = await onboard(await person("alice"), bot)
    first = await desk.person.send(desk.chat, WORDS)
    await desk.person.send(desk.chat, "second")
    third = await desk.person.send(desk.chat, "third")
    for words in ("fourth", "fifth"):
        await desk.person.send(desk.chat, words)

    told = await desk.person.answer_to(desk.chat, third, where=lambda m: m.msgtype == "m.notice")
    await desk.person.answer_to(desk.chat, first, where=lambda m: m.body == "second")

    assert told.body.startswith("2 of your messages wait for an answer already.")
    assert told.reply_to == third
    assert (await desk.say(desk.chat, "sixth")).body == "sixth"
    heard = [m.body for m in desk.person.messages_after(desk.chat, first, bot.user_id)]
    assert sorted(heard) == sorted([told.body, WORDS, "second", "sixth"])


async def test_too_many_rooms_are_refused(person: Make, share_bot: Make) -> None:
    bot: Bot = await share_bot(settings={"limits": {"rooms": 2}})
    alice, bob = await person("alice"), await person("bob")
    desk = await onboard(alice, bot)
    await desk.new("Second")

    refused = await desk.command(desk.chat, "!new Third")

    assert refused.body == "You have 2 chats, and more are not allowed here."
    # A room that somebody else made counts too.
    room = await alice.create_room(name="Office", invite=[bob.user_id])
    await bob.accept_invites_from(alice.user_id)
    await alice.invite(room, bot.user_id)
    await alice.message(room, "Shall I answer", sender=bot.user_id)
    said = await alice.send(room, "!yes")
    assert (await alice.answer_to(room, said, sender=bot.user_id)).body == refused.body
    assert bot.room(room)["state"] == "unprovisioned"
    assert len(await bot.made(desk.me)) == 3
    assert desk.document()["next_chat_index"] == 3
