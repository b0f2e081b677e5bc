"""While an answer is made: signs of life, stop, retry, waiting messages, their edits and redactions."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Make
from tests.rig.bot import AGENTS, Bot
from tests.rig.desk import Desk, onboard
from tests.rig.proxy import Delay, FaultProxy, Hold
from tests.rig.view import Message, redacted_ids

WORDS = " ".join(f"word{n}" for n in range(1, 41))
SETTINGS = {"answers": {"placeholder_after": 0.2, "edit_every": 0.3}, "shutdown_grace": 1}
WAITS = "⏳"


@pytest.fixture
async def desk(someone: Make, share_bot: Make, mode: str) -> Desk:
    """Someone whose agent is slow: forty words take four seconds."""
    bot: Bot = await share_bot(
        encryption=mode == "encrypted", default="slow", settings=SETTINGS, agents=AGENTS
    )
    return await onboard(await someone("alice"), bot)


@pytest.fixture
async def plain(person: Make, share_bot: Make) -> Desk:
    bot = await share_bot(encryption=False, default="slow", settings=SETTINGS, agents=AGENTS)
    return await onboard(await person("alice"), bot)


async def growing(desk: Desk, text: str = WORDS) -> tuple[str, Message]:
    """A question, and the first words of its answer."""
    said = await desk.person.send(desk.chat, text)
    return said, await desk.person.answer_to(desk.chat, said, sender=desk.bot.user_id)


def words(desk: Desk, after: str) -> list[str]:
    """What the agent said after an event."""
    later = desk.person.messages_after(desk.chat, after, desk.bot.user_id)
    return [m.body for m in later if m.msgtype == "m.text"]


async def test_typing_and_the_read_receipt_show_that_it_is_at_work(desk: Desk) -> None:
    bot, room = desk.bot.user_id, desk.person.rooms[desk.chat]
    said = await desk.person.send(desk.chat, WORDS)

    await desk.person.until(lambda: bot in room.typing, what="typing")
    await desk.person.until(lambda: room.receipts.get(bot) == said, what="the read receipt")
    done = await desk.person.answer_to(desk.chat, said, where=lambda m: m.body == WORDS)
    await desk.person.until(lambda: bot not in room.typing, what="the end of typing")
    assert done.sender == bot


@pytest.mark.parametrize("way", ["!stop", "!стоп", "🛑 question", "🛑 answer"])
async def test_stop_ends_the_answer_and_says_so_in_it(desk: Desk, way: str) -> None:
    said, answer = await growing(desk)
    behind = await desk.person.send(desk.chat, "and then")
    if way.startswith("!"):
        await desk.person.send(desk.chat, way)
    else:
        target = said if way.endswith("question") else answer.event_id
        await desk.person.react(desk.chat, target, "🛑")

    stopped = await desk.person.answer_to(desk.chat, said, saying="Stopped.")

    assert stopped.event_id == answer.event_id and stopped.edits >= 1
    assert stopped.body.startswith("word1") and "word40" not in stopped.body
    await desk.person.answer_to(desk.chat, behind, where=lambda m: m.body == "and then")
    assert words(desk, said) == [stopped.body, "and then"]
    shown = next(m for m in desk.person.messages(desk.chat) if m.event_id == answer.event_id)
    assert shown.body == stopped.body, "nothing grows after the end"
    assert (await desk.command(desk.chat, "!stop")).body.startswith("Nothing is running")


async def test_stop_while_the_placeholder_is_under_way_leaves_none_behind(
    person: Make, share_bot: Make
) -> None:
    late = {"id": "late", "name": "Late", "adapter": "echo", "delay": 10}
    bot = await share_bot(
        default="late", agents=[late], settings={"answers": {"placeholder_after": 0}}
    )
    desk = await onboard(await person("alice"), bot)
    for _ in range(8):
        said = await desk.person.send(desk.chat, "one two")
        await desk.person.send(desk.chat, "!stop")
        # The message that will say so may be there before the command is.
        first = await desk.person.answer_to(
            desk.chat, said, where=lambda m: "Stopped." in m.body or "Nothing is" in m.body
        )
        if first.msgtype == "m.notice":  # It came before the turn was running.
            await desk.person.send(desk.chat, "!stop")
            await desk.person.answer_to(desk.chat, said, saying="Stopped.")
        await desk.command(desk.chat, "!context")
        (stopped,) = words(desk, said)
        assert stopped.endswith("*Stopped.*") or stopped == "Stopped."


async def test_a_failed_turn_says_why_and_is_asked_again(plain: Desk) -> None:
    desk = plain
    assert (await desk.command(desk.chat, "!retry")).body.startswith("Nothing has failed")
    failed = await desk.say(desk.chat, "fail")
    reason = "The agent could not answer: The agent was asked to fail. !retry asks again."
    assert failed.body.replace("`", "") == reason
    again = await desk.say(desk.chat, "!retry")
    assert again.body == failed.body and again.event_id != failed.event_id
    # Once something else was said, there is nothing to go back to.
    assert (await desk.say(desk.chat, "hello")).body == "hello"
    assert (await desk.command(desk.chat, "!retry")).body.startswith("Nothing has failed")


@pytest.mark.parametrize("left_by", ["!clear", "!agent shout"])
async def test_what_fails_where_the_room_is_no_more_is_not_offered_again(
    plain: Desk, left_by: str
) -> None:
    """A new agent, or a fresh context, is never asked what was meant for the one before."""
    desk = plain
    said, _ = await growing(desk)
    failing = await desk.person.send(desk.chat, "fail")
    await desk.command(desk.chat, left_by)

    await desk.person.answer_to(desk.chat, said, where=lambda m: m.body == WORDS)
    failed = await desk.person.answer_to(desk.chat, failing, saying="could not answer")

    assert failed.body == "The agent could not answer: The agent was asked to fail."
    assert (await desk.command(desk.chat, "!retry")).body.startswith("Nothing has failed")


async def test_what_was_cut_by_a_restart_is_answered_and_goes_on_in_its_message(
    person: Make, make_bot: Make
) -> None:
    bot: Bot = await make_bot(default="slow", settings=SETTINGS)
    desk = await onboard(await person("alice"), bot)
    said, answer = await growing(desk)
    bot.kill()
    await bot.start()
    whole = await desk.person.answer_to(desk.chat, said, where=lambda m: m.body == WORDS)
    assert whole.event_id == answer.event_id
    # Who stops after a restart, stops what runs now.
    said, answer = await growing(desk)
    bot.kill()
    await bot.start()
    stop = await desk.person.send(desk.chat, "!stop")
    await desk.person.until(
        lambda: any(
            "Stopped." in m.body or "Nothing is running" in m.body or m.body == WORDS
            for m in desk.person.messages_after(desk.chat, said, bot.user_id)
        )
    )
    assert (await desk.say(desk.chat, "hello")).body == "hello"
    assert stop


async def test_messages_wait_in_order_with_a_sign(desk: Desk) -> None:
    bot = desk.bot.user_id
    said, _ = await growing(desk)
    waiting = [await desk.person.send(desk.chat, f"then {n}") for n in range(3)]

    for event in waiting:
        await desk.person.until(
            lambda e=event: desk.person.reactions(desk.chat, e) == [(bot, WAITS)],
            what="the sign of waiting",
        )
    await desk.person.answer_to(desk.chat, said, where=lambda m: m.body == "then 2")

    assert words(desk, said) == [WORDS, "then 0", "then 1", "then 2"]
    for event in waiting:
        await desk.person.until(
            lambda e=event: desk.person.reactions(desk.chat, e) == [], what="the sign's end"
        )
    assert desk.person.reactions(desk.chat, said) == []


REACT = r"/send/m\.reaction/"


async def test_no_turn_waits_for_its_sign(person: Make, make_bot: Make, proxy: FaultProxy) -> None:
    bot: Bot = await make_bot(url=proxy.url, default="slow", settings=SETTINGS)
    desk = await onboard(await person("alice"), bot)
    held = proxy.arm("PUT", REACT, Hold())
    said, _ = await growing(desk)
    waiting = await desk.person.send(desk.chat, "and then")
    await held.fired()

    await desk.person.answer_to(desk.chat, said, where=lambda m: m.body == WORDS)
    await desk.person.answer_to(desk.chat, waiting, where=lambda m: m.body == "and then")

    redacted = proxy.arm("PUT", "/redact/", Delay(0))
    held.release()
    await redacted.fired()
    await desk.person.until(
        lambda: desk.person.reactions(desk.chat, waiting) == [], what="the sign's end"
    )


async def test_a_sign_that_comes_after_the_bot_has_left_harms_nothing(
    person: Make, make_bot: Make, proxy: FaultProxy
) -> None:
    bot: Bot = await make_bot(url=proxy.url, default="slow", settings=SETTINGS)
    desk = await onboard(await person("alice"), bot)
    held = proxy.arm("PUT", REACT, Hold(answered=True))
    await growing(desk)
    await desk.person.send(desk.chat, "and then")
    await held.fired()
    await desk.command(desk.home, "!forget")
    redacted = proxy.arm("PUT", "/redact/", Delay(0))
    await desk.person.send(desk.home, "!yes")
    await desk.person.until_member(desk.chat, bot.user_id, "leave")

    held.release()

    await redacted.fired()
    # It has made nothing of it: somebody else is served, and it stops at once.
    other = await onboard(await person("bob"), bot)
    assert (await other.say(other.chat, "hello")).body == "hello"
    await bot.stop()
    assert not bot.complaints() and not bot.pending()


async def test_a_sign_from_before_a_restart_is_taken_away(person: Make, make_bot: Make) -> None:
    bot: Bot = await make_bot(default="slow", settings={**SETTINGS, "shutdown_grace": 20})
    desk = await onboard(await person("alice"), bot)
    said, _ = await growing(desk)
    waiting = await desk.person.send(desk.chat, "and then")
    await desk.person.until(
        lambda: desk.person.reactions(desk.chat, waiting) == [(bot.user_id, WAITS)]
    )
    await bot.stop()
    await desk.person.until(
        lambda: words(desk, said) == [WORDS], what="what ran, finished; what waited waits"
    )
    await bot.start()
    await desk.person.answer_to(desk.chat, waiting, where=lambda m: m.body == "and then")
    await desk.person.until(
        lambda: desk.person.reactions(desk.chat, waiting) == [], what="the sign's end"
    )


async def test_edits_and_redactions_count_while_a_message_waits(desk: Desk) -> None:
    alice = desk.person
    said, _ = await growing(desk)
    first, second, third = [
        await alice.send(desk.chat, f"wait {word}") for word in ("first", "second", "third")
    ]
    await alice.edit(desk.chat, first, "better first")
    await alice.redact(desk.chat, second)
    # The running one is not changed any more.
    await alice.edit(desk.chat, said, "too late")

    await alice.answer_to(desk.chat, third, where=lambda m: m.body == "wait third")

    assert words(desk, said) == [WORDS, "better first", "wait third"]
    # Nor is an answered one.
    await alice.edit(desk.chat, first, "much later")
    await alice.redact(desk.chat, third)
    assert (await desk.say(desk.chat, "hello")).body.startswith("hello")
    recalled = await alice.send(desk.chat, "what did I say?")
    listed = await alice.answer_to(desk.chat, recalled, saying="4. hello")
    assert "2. better first\n3. wait third\n4. hello" in listed.body
    assert second in redacted_ids(alice.messages_raw(desk.chat))


async def test_only_the_sender_changes_a_waiting_message(plain: Desk, person: Make) -> None:
    desk, bob = plain, await person("bob")
    await desk.person.invite(desk.chat, bob.user_id)
    await bob.accept_invites_from(desk.me)
    mention = {"m.mentions": {"user_ids": [desk.bot.user_id]}}
    said = await desk.person.send(desk.chat, WORDS, **mention)
    await desk.person.answer_to(desk.chat, said)
    waiting = await desk.person.send(desk.chat, "mine", **mention)
    await bob.until(lambda: any(m.event_id == waiting for m in bob.messages(desk.chat)))
    await bob.edit(desk.chat, waiting, "bob's")
    await desk.person.answer_to(desk.chat, waiting, where=lambda m: m.body in ("mine", "bob's"))
    assert words(desk, said) == [WORDS, "mine"]
