"""Saved contexts: `!save`, `!load` and every way to choose, as a person at a client does it."""

from __future__ import annotations

import pytest

from machines.dialog import KEYCAPS
from tests.e2e.conftest import Make
from tests.rig.bot import Bot
from tests.rig.desk import Desk, onboard
from tests.rig.view import Message

STALE = "That list is not open any more."
CLOSED_BY_TIME = "Nobody answered, so this question is closed."
CLOSED_BY_TALK = "Something else was said, so this question is closed."
NOTHING = "Nothing is waiting for an answer."


@pytest.fixture
async def desk(person: Make, share_bot: Make) -> Desk:
    return await onboard(await person("alice"), await share_bot())


def by_id(desk: Desk, room: str, event_id: str) -> Message:
    """A message as it is shown now."""
    return next(m for m in desk.person.messages(room) if m.event_id == event_id)


async def listed(desk: Desk, room: str, count: int) -> Message:
    """The list of saves, with the reactions under it."""
    asked = await desk.command(room, "!load")
    keys = [(desk.bot.user_id, key) for key in KEYCAPS[:count]]
    await desk.person.until(
        lambda: desk.person.reactions(room, asked.event_id) == keys, what="the numbers to tap"
    )
    return asked


async def closed(desk: Desk, room: str, question: Message, how: str) -> None:
    await desk.person.until(
        lambda: by_id(desk, room, question.event_id).body == how, what=f"the question says {how}"
    )


@pytest.mark.parametrize("way", ["number", "reply", "tap", "name", "number after !load"])
async def test_a_save_is_loaded_into_another_room(
    someone: Make, share_bot: Make, mode: str, way: str
) -> None:
    desk = await onboard(await someone("alice"), await share_bot(encryption=mode == "encrypted"))
    chat, second = desk.chat, await desk.new("Second")
    await desk.say(chat, "one")
    saved = await desk.command(chat, "!save My plan")
    assert saved.body.startswith("Saved as My plan.")
    await desk.say(chat, "two")
    await desk.command(chat, "!save")
    await desk.say(second, "elsewhere")
    before, old = desk.context(chat), desk.context(second)

    asked = await listed(desk, second, 2)
    lines = [line for line in asked.body.splitlines() if line[:2] in ("1.", "2.")]
    assert lines[0].endswith(" · 2 messages · just now"), "the newest first"
    assert lines[1] == "2. My plan · 1 message · just now"
    match way:
        case "number":
            loaded = await desk.command(second, "2")
        case "reply":
            loaded = await desk.command(second, "2", reply_to=asked.event_id)
        case "name":
            loaded = await desk.command(second, "!load my PLAN")
        case "number after !load":
            loaded = await desk.command(second, "!load 2")
        case _:
            tap = await desk.person.react(second, asked.event_id, KEYCAPS[1])
            loaded = await desk.person.answer_to(second, tap)
            assert loaded.reply_to == asked.event_id

    new = desk.context(second)
    assert loaded.body.startswith(f"Loaded My plan into the new context {new}.")
    assert int(new) > int(old)
    recalled = await desk.say(second, "what did I say?")
    assert recalled.body == "You said 1 thing:\n\n1. one"
    # The chat it was saved in goes on as it was.
    assert desk.context(chat) == before
    recalled = await desk.say(chat, "what did I say?")
    assert recalled.body == "You said 2 things:\n\n1. one\n2. two"
    if way == "tap":
        # Tapping once more finds nothing open, and loads nothing.
        tap = await desk.person.react(second, asked.event_id, KEYCAPS[0])
        assert (await desk.person.answer_to(second, tap)).body == NOTHING
        assert desk.context(second) == new


async def test_undo_goes_back_to_before_the_load(desk: Desk) -> None:
    await desk.say(desk.chat, "one")
    await desk.command(desk.chat, "!save Plan")
    await desk.say(desk.chat, "two")
    old = desk.context()
    await desk.command(desk.chat, "!load Plan")
    assert desk.context() != old

    undone = await desk.command(desk.chat, "!undo")

    assert undone.body == f"Undone: back in context {old}."
    recalled = await desk.say(desk.chat, "what did I say?")
    assert recalled.body == "You said 2 things:\n\n1. one\n2. two"
    await desk.command(desk.chat, "!load Plan")
    assert "1. one" in (await desk.say(desk.chat, "what did I say?")).body
    assert "nothing to undo" in (await desk.command(desk.chat, "!undo")).body


async def test_a_wrong_choice_says_what_there_is_and_loads_nothing(desk: Desk) -> None:
    none = await desk.command(desk.chat, "!load")
    assert none.body == "There are no saves of this agent yet. !save NAME makes one."
    await desk.say(desk.chat, "one")
    await desk.command(desk.chat, "!save *Plan* B")
    context = desk.context()
    for wrong in ("nobody", "0", "2", "99999999999"):
        refused = await desk.command(desk.chat, f"!load {wrong}")
        assert refused.body == f"There is no save called {wrong}. There are: *Plan* B."
    await listed(desk, desk.chat, 1)
    for number in ("0", "2", "999"):
        refused = await desk.command(desk.chat, number)
        assert refused.body == f"There is no {number} in the list; from 1 to 1."
    assert desk.context() == context
    # The list stayed open all along.
    assert (await desk.command(desk.chat, "1")).body.startswith("Loaded *Plan* B")
    # Names that cannot be are refused, and nothing is saved under them.
    assert "too long" in (await desk.command(desk.chat, "!save " + "x" * 81)).body
    assert "1. *Plan* B" in (await listed(desk, desk.chat, 1)).body


async def test_saves_are_their_owners_and_their_agents(
    desk: Desk, person: Make, share_bot: Make
) -> None:
    bob = await onboard(await person("bob"), await share_bot())
    await desk.say(desk.chat, "one")
    await desk.command(desk.chat, "!save Plan")
    for words in ("!load", "!load Plan", "!load 1"):
        assert "There are no saves" in (await bob.command(bob.chat, words)).body
    await desk.command(desk.chat, "!agent shout")
    assert "There are no saves" in (await desk.command(desk.chat, "!load")).body


@pytest.mark.parametrize("what", ["words", "a command"])
async def test_something_else_closes_the_list_visibly(desk: Desk, what: str) -> None:
    await desk.say(desk.chat, "one")
    await desk.command(desk.chat, "!save Plan")
    context = desk.context()
    asked = await listed(desk, desk.chat, 1)

    if what == "words":
        assert (await desk.say(desk.chat, "never mind")).body == "never mind"
    else:
        assert "Echo" in (await desk.command(desk.chat, "!context")).body

    await closed(desk, desk.chat, asked, CLOSED_BY_TALK)
    # A reply to it is told so; without one it is talk.
    stale = await desk.command(desk.chat, "1", reply_to=asked.event_id)
    assert stale.body.startswith(STALE)
    assert (await desk.say(desk.chat, "1")).body == "1"
    assert desk.context() == context


async def test_a_list_expires_and_says_so_each_time(person: Make, share_bot: Make) -> None:
    bot: Bot = await share_bot(settings={"dialog_timeout": 1})
    desk = await onboard(await person("alice"), bot)
    await desk.say(desk.chat, "one")
    await desk.command(desk.chat, "!save Plan")
    context = desk.context()
    for _ in range(2):
        asked = await desk.command(desk.chat, "!load")
        await closed(desk, desk.chat, asked, CLOSED_BY_TIME)
        late = await desk.command(desk.chat, "1")
        assert late.body.startswith(STALE)
    tap = await desk.person.react(desk.chat, asked.event_id, KEYCAPS[0])
    assert (await desk.person.answer_to(desk.chat, tap)).body == NOTHING
    assert desk.context() == context
    assert (await desk.say(desk.chat, "1")).body == "1"


async def test_a_restart_drops_the_list(someone: Make, make_bot: Make, mode: str) -> None:
    bot: Bot = await make_bot(encryption=mode == "encrypted")
    desk = await onboard(await someone("alice"), bot)
    await desk.say(desk.chat, "one")
    await desk.command(desk.chat, "!save Plan")
    asked = await listed(desk, desk.chat, 1)
    context = desk.context()
    bot.kill()
    await bot.start()

    assert (await desk.command(desk.chat, "1")).body.startswith(STALE)
    assert (await desk.command(desk.chat, "1", reply_to=asked.event_id)).body.startswith(STALE)
    tap = await desk.person.react(desk.chat, asked.event_id, KEYCAPS[0])
    assert (await desk.person.answer_to(desk.chat, tap)).body == NOTHING
    assert desk.context() == context
    assert (await desk.say(desk.chat, "hello")).body == "hello"
    await listed(desk, desk.chat, 1)
    assert (await desk.command(desk.chat, "1")).body.startswith("Loaded Plan")
    assert "1. one" in (await desk.say(desk.chat, "what did I say?")).body
