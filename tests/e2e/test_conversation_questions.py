"""Questions that are answered by yes or no: the bot's own, and an agent's."""

from __future__ import annotations

import pytest

from machines.dialog import NO, YES
from tests.e2e.conftest import Make
from tests.rig.bot import Bot
from tests.rig.desk import Desk, onboard
from tests.rig.view import Message

NOTHING = "Nothing is waiting for an answer."
DECLINED = "All right, nothing was done."
CLOSED_BY_TALK = "Something else was said, so this question is closed."


@pytest.fixture
async def desk(someone: Make, share_bot: Make, mode: str) -> Desk:
    return await onboard(await someone("alice"), await share_bot(encryption=mode == "encrypted"))


@pytest.fixture
async def plain(person: Make, share_bot: Make) -> Desk:
    return await onboard(await person("alice"), await share_bot(encryption=False))


async def tappable(desk: Desk, question: Message) -> None:
    keys = [(desk.bot.user_id, YES), (desk.bot.user_id, NO)]
    await desk.person.until(
        lambda: desk.person.reactions(desk.chat, question.event_id) == keys, what="✅ and ❌"
    )


async def asked(desk: Desk, words: str = "!archive") -> Message:
    question = await desk.command(desk.chat, words)
    assert "!yes or !no" in question.body
    await tappable(desk, question)
    return question


async def agent_asks(desk: Desk) -> tuple[str, Message]:
    said = await desk.person.send(desk.chat, "confirm")
    question = await desk.person.answer_to(desk.chat, said, saying="Shall I go on?")
    assert question.msgtype == "m.notice"
    await tappable(desk, question)
    return said, question


async def answered(desk: Desk, question: Message, way: str) -> str:
    if way.startswith("!"):
        return await desk.person.send(desk.chat, way)
    return await desk.person.react(desk.chat, question.event_id, way)


@pytest.mark.parametrize("way", ["!yes", YES])
async def test_yes_archives(desk: Desk, way: str) -> None:
    question = await asked(desk)
    assert question.body.startswith("Archive Chat 1?")
    assert desk.bot.room(desk.chat)["state"] == "bound"

    said = await answered(desk, question, way)

    done = await desk.person.answer_to(desk.chat, said)
    assert done.body.startswith("Archived.")
    assert desk.bot.room(desk.chat)["state"] == "archived"


@pytest.mark.parametrize("way", ["!no", NO])
async def test_no_does_nothing_and_a_later_yes_neither(desk: Desk, way: str) -> None:
    question = await asked(desk)
    said = await answered(desk, question, way)
    assert (await desk.person.answer_to(desk.chat, said)).body == DECLINED

    assert (await desk.command(desk.chat, "!yes")).body == NOTHING
    tap = await desk.person.react(desk.chat, question.event_id, YES)
    assert (await desk.person.answer_to(desk.chat, tap)).body == NOTHING
    assert desk.bot.room(desk.chat)["state"] == "bound"


async def test_something_else_closes_the_question_visibly(plain: Desk) -> None:
    desk, question = plain, await asked(plain)
    assert (await desk.say(desk.chat, "wait")).body == "wait"
    await desk.person.until(
        lambda: any(
            m.body == CLOSED_BY_TALK and m.event_id == question.event_id
            for m in desk.person.messages(desk.chat)
        )
    )
    assert (await desk.command(desk.chat, "!yes")).body == NOTHING
    assert desk.bot.room(desk.chat)["state"] == "bound"


async def test_only_the_owner_may_tap_and_only_the_question(plain: Desk, person: Make) -> None:
    desk, bob = plain, await person("bob")
    await desk.person.invite(desk.chat, bob.user_id)
    await bob.accept_invites_from(desk.me)
    await desk.person.message(desk.chat, "Now that somebody else is here")
    question = await asked(desk)
    taps = [
        await bob.react(desk.chat, question.event_id, YES),
        await bob.send(desk.chat, "!yes"),
        await desk.person.react(desk.chat, question.event_id, "👍"),
        await desk.person.react(desk.chat, question.event_id, "1️⃣"),
    ]
    await desk.person.until(
        lambda: {e["event_id"] for e in desk.person.messages_raw(desk.chat)} >= set(taps)
    )
    said = await desk.person.send(desk.chat, "!no")
    assert (await desk.person.answer_to(desk.chat, said)).body == DECLINED
    heard = desk.person.messages_after(desk.chat, taps[0], desk.bot.user_id)
    assert [m.body for m in heard] == [DECLINED]
    assert desk.bot.room(desk.chat)["state"] == "bound"


@pytest.mark.parametrize("words", ["!archive", "!forget"])
async def test_after_a_restart_nothing_is_pending(person: Make, make_bot: Make, words: str) -> None:
    bot: Bot = await make_bot()
    desk = await onboard(await person("alice"), bot)
    question = await asked(desk, words)
    bot.kill()
    await bot.start()

    tap = await desk.person.react(desk.chat, question.event_id, YES)
    assert (await desk.person.answer_to(desk.chat, tap)).body == NOTHING
    assert (await desk.command(desk.chat, "!yes")).body == NOTHING
    assert desk.bot.room(desk.chat)["state"] == "bound"
    assert (await desk.say(desk.chat, "still here?")).body == "still here?"
    question = await asked(desk)
    tap = await desk.person.react(desk.chat, question.event_id, YES)
    done = await desk.person.answer_to(desk.chat, tap)
    assert done.body.startswith("Archived.")


@pytest.mark.parametrize(
    "way,answer", [("!yes", "yes"), (YES, "yes"), ("!no", "no"), (NO, "no"), ("!да", "yes")]
)
async def test_an_agents_question_is_answered(desk: Desk, way: str, answer: str) -> None:
    said, question = await agent_asks(desk)

    await answered(desk, question, way)

    await desk.person.answer_to(desk.chat, said, where=lambda m: m.body == f"You said {answer}.")
    assert (await desk.command(desk.chat, "!yes")).body == NOTHING
    assert (await desk.say(desk.chat, "on")).body == "on"


async def test_an_agents_question_is_declined_by_going_on(plain: Desk) -> None:
    desk = plain
    said, _ = await agent_asks(desk)

    other = await desk.person.send(desk.chat, "something else")

    await desk.person.answer_to(
        desk.chat, other, where=lambda m: m.body == "something else" and m.msgtype == "m.text"
    )
    texts = [
        m.body
        for m in desk.person.messages_after(desk.chat, said, desk.bot.user_id)
        if m.msgtype == "m.text"
    ]
    assert texts == ["You said no.", "something else"]


async def test_stop_ends_a_turn_that_asks(plain: Desk) -> None:
    desk = plain
    said, _ = await agent_asks(desk)
    await desk.person.send(desk.chat, "!stop")
    await desk.person.answer_to(desk.chat, said, saying="Stopped.")
    assert (await desk.command(desk.chat, "!yes")).body == NOTHING
    assert (await desk.say(desk.chat, "on")).body == "on"
    heard = desk.person.messages_after(desk.chat, said, desk.bot.user_id)
    assert not [m.body for m in heard if "did not reach" in m.body]
    assert not [m.body for m in heard if m.body.startswith("You said")]


async def shown_as(desk: Desk, question: Message, words: str) -> None:
    """The question's own message says this now."""
    await desk.person.until(
        lambda: any(
            m.event_id == question.event_id and m.body == words
            for m in desk.person.messages(desk.chat)
        ),
        what=f"the question to say {words!r}",
    )


@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [("!yes", NO, "yes and no"), (NO, "!yes", "no and yes"), (YES, YES, "yes and yes")],
)
async def test_an_agent_that_asks_two_things_is_answered_both(
    plain: Desk, first: str, second: str, answer: str
) -> None:
    desk = plain
    said = await desk.person.send(desk.chat, "confirm twice")
    question = await desk.person.answer_to(desk.chat, said, saying="Shall I go on?")
    await tappable(desk, question)
    told = await answered(desk, question, first)
    other = await desk.person.answer_to(desk.chat, told, saying="And shall I tell the others?")
    await tappable(desk, other)

    await answered(desk, other, second)

    await desk.person.answer_to(
        desk.chat, told, where=lambda m: m.body == f"You said {answer}." and m.msgtype == "m.text"
    )
    assert (await desk.command(desk.chat, "!yes")).body == NOTHING


@pytest.mark.parametrize("way", ["!stop", "\U0001f6d1"])
async def test_stopping_a_turn_closes_what_it_asks_and_asks_no_more(plain: Desk, way: str) -> None:
    desk = plain
    said = await desk.person.send(desk.chat, "confirm twice")
    question = await desk.person.answer_to(desk.chat, said, saying="Shall I go on?")
    await tappable(desk, question)
    await answered(desk, question, way)
    await desk.person.answer_to(desk.chat, said, saying="Stopped.")
    await desk.person.until(
        lambda: any(
            m.event_id == question.event_id and "is closed" in m.body
            for m in desk.person.messages(desk.chat)
        )
    )
    assert (await desk.command(desk.chat, "!yes")).body == NOTHING
    heard = [m.body for m in desk.person.messages_after(desk.chat, said, desk.bot.user_id)]
    assert not [body for body in heard if "tell the others" in body]


async def test_an_agents_question_waits_for_the_list_that_is_open(
    person: Make, share_bot: Make
) -> None:
    """Who is about to choose from a list must not find that they have answered an agent."""
    hesitant = {"id": "hesitant", "name": "Hesitant", "adapter": "echo", "delay": 0.4}
    bot: Bot = await share_bot(default="hesitant", agents=[hesitant])
    desk = await onboard(await person("alice"), bot)
    await desk.say(desk.chat, "one")
    await desk.command(desk.chat, "!save Plan")
    said = await desk.person.send(desk.chat, "a b c d e")
    then = await desk.person.send(desk.chat, "confirm")
    await desk.command(desk.chat, "!load")
    await desk.person.answer_to(desk.chat, said, where=lambda m: m.body == "a b c d e")
    room = desk.person.rooms[desk.chat]
    await desk.person.until(
        lambda: room.receipts.get(bot.user_id) == then, what="the question to be taken up"
    )

    choice = await desk.person.send(desk.chat, "1")

    await desk.person.answer_to(desk.chat, choice, saying="Loaded Plan")
    question = await desk.person.answer_to(desk.chat, choice, saying="Shall I go on?")
    await tappable(desk, question)
    yes = await desk.person.send(desk.chat, "!yes")
    await desk.person.answer_to(desk.chat, yes, where=lambda m: m.body == "You said yes.")


@pytest.mark.parametrize("below", [False, True])
async def test_a_number_is_a_choice_unless_an_answer_stands_below_the_list(
    someone: Make, share_bot: Make, mode: str, below: bool
) -> None:
    """An answer that goes on growing above the list is not below it."""
    hesitant = {"id": "hesitant", "name": "Hesitant", "adapter": "echo", "delay": 0.4}
    bot: Bot = await share_bot(
        default="hesitant",
        agents=[hesitant],
        encryption=mode == "encrypted",
        # Without edits and placeholder the answer is posted when it is complete.
        settings={
            "answers": {"placeholder_after": 60, "edits": 0}
            if below
            else {"placeholder_after": 0.1}
        },
    )
    desk = await onboard(await someone("alice"), bot)
    await desk.say(desk.chat, "one")
    await desk.command(desk.chat, "!save Plan")
    said = await desk.person.send(desk.chat, "a b c d e")
    if not below:
        await desk.person.answer_to(desk.chat, said, saying="")
    await desk.command(desk.chat, "!load")
    await desk.person.answer_to(desk.chat, said, where=lambda m: m.body == "a b c d e")
    await bot.at_rest("turns")

    choice = await desk.person.send(desk.chat, "1")

    answer = await desk.person.answer_to(
        desk.chat, choice, where=lambda m: len(m.body) > 1 or below
    )
    assert ("Loaded Plan" in answer.body) is not below


async def test_a_list_that_another_question_replaces_says_so(person: Make, make_bot: Make) -> None:
    boss = await person("boss")
    settings = {"access": {"allow": ["@*:*"], "admins": [boss.user_id]}}
    desk = await onboard(await person("alice"), await make_bot(settings=settings))
    await desk.person.invite(desk.chat, boss.user_id)
    await boss.accept_invites_from(desk.me)
    _, question = await agent_asks_in_company(desk)
    archive = await boss.send(desk.chat, "!archive")
    await desk.person.answer_to(desk.chat, archive, saying="Archive Chat 1?")
    await shown_as(desk, question, "Another question was asked, so this one is closed.")
    await desk.person.answer_to(desk.chat, archive, where=lambda m: m.body == "You said no.")


async def agent_asks_in_company(desk: Desk) -> tuple[str, Message]:
    mention = {"m.mentions": {"user_ids": [desk.bot.user_id]}}
    said = await desk.person.send(desk.chat, "confirm", **mention)
    return said, await desk.person.answer_to(desk.chat, said, saying="Shall I go on?")


async def test_a_question_closed_before_it_is_there_says_so_too(plain: Desk) -> None:
    desk = plain
    for _ in range(3):
        said = await desk.person.send(desk.chat, "!archive")
        await desk.person.send(desk.chat, "no, wait")
        question = await desk.person.answer_to(
            desk.chat, said, where=lambda m, said=said: m.reply_to == said
        )
        await shown_as(desk, question, CLOSED_BY_TALK)


async def test_an_agents_question_survives_a_restart_of_its_turn(
    person: Make, make_bot: Make
) -> None:
    bot: Bot = await make_bot()
    desk = await onboard(await person("alice"), bot)
    await agent_asks(desk)
    bot.kill()
    await bot.start()
    # The turn runs again and its question is open again, under the message that is there already.
    await bot.decided("dialog idle --agent_asks--> confirming")

    yes = await desk.person.send(desk.chat, "!yes")

    await desk.person.answer_to(desk.chat, yes, where=lambda m: m.body == "You said yes.")
    assert (await desk.say(desk.chat, "on")).body == "on"
    history = await desk.person.history(desk.chat, bot.user_id)
    assert [m.body for m in history if m.msgtype == "m.text"] == ["You said yes.", "on"]
