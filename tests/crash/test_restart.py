"""The bot as its own process, killed or stopped and started again: nothing is lost, nothing twice."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from tests.crash.people import ask, new_chat, notices, onboarded, words
from tests.rig.api import MatrixApi
from tests.rig.bot import ECHO, SHOUT, Bot
from tests.rig.fixtures import Make
from tests.rig.person import Person
from tests.rig.proxy import DropResponse, FaultProxy, Hold

SLOW = {"id": "slow", "name": "Poet", "adapter": "echo", "delay": 0.1}
LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"


async def restarted(bot: Bot) -> None:
    """SIGKILL, and up again."""
    bot.kill()
    assert bot.returncode == -signal.SIGKILL
    await bot.start()


async def test_choices_bindings_and_labels_survive(make_bot: Make, person: Make) -> None:
    bot, alice = await make_bot(), await person("alice")
    _, one = await onboarded(bot, alice)
    two = await new_chat(alice, one, "Two")
    await ask(alice, two, "!agent shout", "Crier")
    await ask(alice, one, "remember this", "remember this")
    await ask(alice, two, "louder", "LOUDER")
    await ask(alice, two, "!clear", "Cleared")

    def kept() -> dict[str, Any]:
        tables = {table: bot.documents(table) for table in ("users", "rooms", "chats")}
        return {**tables, "sequence": bot.documents("meta")["PLATFORM_CHAT_SEQ"]}

    before = kept()
    await restarted(bot)
    assert kept() == before
    assert bot.user(alice.user_id)["selected_agent_id"] == "shout"
    assert [(r["chat_id"], r["agent_id"], r["state"]) for r in bot.rooms_of(alice.user_id)] == [
        ("C1", "echo", "bound"),
        ("C2", "shout", "cleared"),
    ]

    assert "remember this" in await ask(alice, one, "what did I say?", "You said 1 thing")
    await ask(alice, two, "!undo", "Undone")
    assert "louder" in await ask(alice, two, "what did I say?", "You said 1 thing")
    three = await new_chat(alice, one, "Three")
    await ask(alice, three, "hello", "HELLO")
    rooms = bot.rooms_of(alice.user_id)
    assert [room["chat_id"] for room in rooms] == ["C1", "C2", "C3"]
    in_use = {room["platform_chat_id"] for room in rooms}
    assert len(in_use) == 3
    assert int(bot.room(three)["platform_chat_id"]) > before["sequence"]["value"]


async def test_a_message_sent_while_it_was_down(make_bot: Make, someone: Make, mode: str) -> None:
    bot, alice = await make_bot(encryption=mode == "encrypted"), await someone("alice")
    _, chat = await onboarded(bot, alice)
    await ask(alice, chat, "before", "before")
    bot.kill()
    missed = await alice.send(chat, "are you there?")
    await bot.start()
    await alice.answer_to(chat, missed, saying="are you there?")
    await ask(alice, chat, "after", "after")
    await restarted(bot)
    await ask(alice, chat, "at last", "at last")
    assert await words(bot, alice, chat) == ["before", "are you there?", "after", "at last"]


async def test_a_timeline_with_a_gap(make_bot: Make, person: Make) -> None:
    """More than a sync response holds, a command among what it leaves out."""
    bot, alice = await make_bot(), await person("alice")
    _, chat = await onboarded(bot, alice)
    bot.kill()
    early = [f"early {n}" for n in range(20)]
    late = [f"late {n}" for n in range(110)]
    for text in (*early, "!clear", *late):
        last = await alice.send(chat, text)
    await bot.start(timeout=60)
    at_start = bot.events()[: bot.events().index(bot.events("bot.ready")[0])]
    # The room's own beginning may have been a gap, too, and the kill have come before it was filled.
    filled = [
        line
        for line in at_start
        if line["event"] == "gap.filled" and line["room"] == chat and line["inputs"]
    ]
    assert len(filled) == 1, "no gap (send more), or filled twice"
    await alice.answer_to(chat, last, saying=late[-1], timeout=60)
    recalled = await ask(alice, chat, "what did I say?", "You said")
    assert await words(bot, alice, chat) == [*early, *late, recalled]
    assert len(await notices(bot, alice, chat)) == 1
    assert recalled.startswith(f"You said {len(late)} things"), "the clear was not in its place"


async def test_a_gap_in_which_the_bot_was_renamed(make_bot: Make, person: Make) -> None:
    """To the room a new name of the bot looks like its coming, before which nothing is for it."""
    bot, alice = await make_bot(), await person("alice")
    _, chat = await onboarded(bot, alice)
    await bot.stop()
    texts = [f"text {n}" for n in range(70)]
    for text in texts[:5]:
        await alice.send(chat, text)
    api = MatrixApi(bot.url, bot.login.access_token)
    named = ("profile", bot.user_id, "displayname")
    await api.call("PUT", *named, json={"displayname": "Lambda the Second"})
    await api.close()
    for text in texts[5:]:
        last = await alice.send(chat, text)
    await bot.start(timeout=60)
    await alice.answer_to(chat, last, saying=texts[-1])
    await ask(alice, chat, "done", "done")
    assert await words(bot, alice, chat) == [*texts, "done"]


async def test_a_store_that_fails_in_an_answer_delays_it(make_bot: Make, person: Make) -> None:
    """Somebody else holds the database for longer than the bot waits for it."""
    settings = {"answers": {"placeholder_after": 0.2, "edit_every": 0.2}}
    bot = await make_bot(agents=[SLOW], default="slow", settings=settings, may_complain=True)
    alice = await person("alice")
    _, chat = await onboarded(bot, alice)
    await bot.at_rest()
    event = await alice.send(chat, LONG)
    await alice.answer_to(chat, event, saying="two")
    with closing(sqlite3.connect(bot.state_dir / "lambda_matrix.db")) as database:
        database.execute("begin immediate")
        await bot.logged("store.failed")
        database.rollback()
    await alice.answer_to(chat, event, where=lambda m: m.body == LONG)
    await ask(alice, chat, "bye", "bye")
    assert await words(bot, alice, chat) == [LONG, "bye"]


async def test_killed_while_a_gap_is_filled(
    make_bot: Make, person: Make, proxy: FaultProxy
) -> None:
    bot, alice = await make_bot(url=proxy.url), await person("alice")
    _, chat = await onboarded(bot, alice)
    bot.kill()
    texts = [f"text {n}" for n in range(80)]
    for text in texts:
        last = await alice.send(chat, text)
    rule = proxy.arm("GET", r"/messages$", DropResponse(), times=None)
    bot.launch()
    await rule.fired()
    bot.kill()
    rule.disarm()
    assert bot.documents("dirty"), "the gap was not written down"
    await bot.start(timeout=60)
    await alice.answer_to(chat, last, saying=texts[-1], timeout=60)
    await ask(alice, chat, "done", "done")
    assert await words(bot, alice, chat) == [*texts, "done"]
    await bot.at_rest("dirty")


async def test_the_session_is_kept(make_bot: Make, person: Make) -> None:
    bot, alice = await make_bot(), await person("alice")
    _, chat = await onboarded(bot, alice)
    file = bot.state_dir / "matrix_store" / "session.json"
    before, devices = file.read_text(), await _devices(bot)
    for n in range(3):
        await restarted(bot)
        await ask(alice, chat, f"round {n}", f"round {n}")
    assert file.read_text() == before
    assert await _devices(bot) == devices, "it has logged in again"


@pytest.mark.parametrize("nth", [1, 2, 3], ids=["space", "first chat", "new"])
async def test_a_lost_answer_to_create_room(
    nth: int, make_bot: Make, person: Make, proxy: FaultProxy
) -> None:
    bot, alice = await make_bot(url=proxy.url), await person("alice")
    rule = proxy.arm("POST", r"/createRoom$", DropResponse(), nth=nth)
    _, chat = await onboarded(bot, alice)
    await new_chat(alice, chat, "Two")
    await rule.fired()
    await ask(alice, chat, "hello", "hello")
    assert len(bot.rooms_of(alice.user_id)) == 2
    assert await _rooms_the_bot_is_in(bot) == set(alice.joined())
    assert len(alice.spaces()) == 1
    assert len(alice.joined()) == 4


@pytest.mark.parametrize("text", ["hello", "!help", LONG], ids=["answer", "notice", "streaming"])
async def test_a_lost_answer_to_a_message(
    text: str, make_bot: Make, person: Make, proxy: FaultProxy
) -> None:
    settings = {"answers": {"placeholder_after": 0.2, "edit_every": 0.2}}
    bot = await make_bot(url=proxy.url, agents=[SLOW], default="slow", settings=settings)
    alice = await person("alice")
    _, chat = await onboarded(bot, alice)
    rule = proxy.arm("PUT", r"/send/", DropResponse())
    event = await alice.send(chat, text)
    wanted = "!new" if text == "!help" else text
    await alice.answer_to(chat, event, saying=wanted)
    await rule.fired()
    await ask(alice, chat, "bye", "bye")
    said = await alice.history(chat, sender=bot.user_id)
    assert len(said) == 2
    assert wanted in said[0].body


@pytest.mark.parametrize("down", [False, True], ids=["live", "while down"])
async def test_two_invites_at_once(down: bool, make_bot: Make, person: Make) -> None:
    bot, alice = await make_bot(start=not down), await person("alice")
    alice.auto_join_from.add(bot.user_id)
    homes = await asyncio.gather(*(alice.dm(bot.user_id) for _ in range(3)))
    if down:
        await bot.start()
    for home in homes:
        await alice.message(home, "!help", sender=bot.user_id)
    await alice.until(lambda: len(alice.joined()) == 5, what="3 home rooms, Space and chat")
    chat = bot.rooms_of(alice.user_id)[0]["room_id"]
    await restarted(bot)
    await ask(alice, chat, "hello", "hello")
    assert len(alice.spaces()) == 1
    assert len(bot.rooms_of(alice.user_id)) == 1
    assert set(alice.joined()) == await _rooms_the_bot_is_in(bot)
    assert alice.invites() == []
    for home in homes:
        assert len(await notices(bot, alice, home)) == 1


async def test_an_old_list_of_choices(make_bot: Make, person: Make) -> None:
    """A number answers a list only as long as the process that posted it lives."""
    bot, alice = await make_bot(default=None), await person("alice")
    _, chat = await onboarded(bot, alice)
    offer = await alice.message(chat, "Which agent", sender=bot.user_id)
    await restarted(bot)

    assert "not open any more" in await ask(alice, chat, "1"), "directly after the old list"
    assert bot.room(chat)["state"] == "unbound"
    assert "not open any more" in await ask(alice, chat, "2", reply_to=offer.event_id)
    assert bot.room(chat)["state"] == "unbound"

    await ask(alice, chat, "hello", "Which agent")
    assert "Crier" in await ask(alice, chat, "3"), "a list of this process"
    assert bot.room(chat)["agent_id"] == "shout"

    shouted = await ask(alice, chat, "hello", "HELLO")
    assert await ask(alice, chat, "2") == "2", "not after a list: talk"
    last = (await alice.history(chat, sender=bot.user_id))[-1]
    assert await ask(alice, chat, "1", reply_to=last.event_id) == "1", "a reply to no list: talk"
    assert "not open any more" in await ask(alice, chat, "2", reply_to=offer.event_id)
    assert bot.room(chat)["agent_id"] == "shout"
    assert await words(bot, alice, chat) == [shouted, "2", "1"]


async def test_a_list_that_was_not_posted_yet_is_dropped(make_bot: Make, person: Make) -> None:
    """A question whose dialog is gone is never posted."""
    bot, alice = await make_bot(default=None), await person("alice")
    _, chat = await onboarded(bot, alice)
    await alice.message(chat, "Which agent", sender=bot.user_id)
    await bot.stop()
    event = await alice.send(chat, "hello")
    bot.launch(failpoint="request.notice.before")
    assert await bot.died() == -signal.SIGKILL
    assert len(bot.documents("outbox")) == 1
    await bot.start()
    await ask(alice, chat, "!context", "no agent is chosen yet")
    said = await alice.history(chat, sender=bot.user_id)
    assert [m.reply_to for m in said if m.reply_to == event] == []
    await bot.at_rest()


@pytest.mark.parametrize("grace", [20, 0], ids=["finished in time", "parked"])
async def test_sigterm_while_an_answer_streams(grace: int, make_bot: Make, person: Make) -> None:
    settings = {
        "answers": {"placeholder_after": 0.2, "edit_every": 0.2},
        "shutdown_grace": grace,
    }
    bot = await make_bot(agents=[SLOW], default="slow", settings=settings)
    alice = await person("alice")
    _, chat = await onboarded(bot, alice)
    event = await alice.send(chat, LONG)
    # It has begun to grow.
    await alice.answer_to(chat, event, saying="two", where=lambda m: m.edits > 0)
    await bot.stop()
    if grace:
        assert await words(bot, alice, chat) == [LONG]
    else:
        assert await words(bot, alice, chat) != [LONG]
        assert list(bot.documents("turns")) == [event]
    await bot.start()
    await alice.answer_to(chat, event, where=lambda m: m.body == LONG)
    await ask(alice, chat, "bye", "bye")
    assert await words(bot, alice, chat) == [LONG, "bye"]


async def test_a_turn_that_was_stopped_before_its_placeholder_was_known(
    make_bot: Make, person: Make, proxy: FaultProxy
) -> None:
    """Who sent the placeholder dies before the last words are sent: the next process puts them into it."""
    settings = {"answers": {"placeholder_after": 0.1}}
    bot = await make_bot(url=proxy.url, agents=[SLOW], default="slow", settings=settings)
    alice = await person("alice")
    _, chat = await onboarded(bot, alice)
    sending = r"/send/m\.room\.message/"
    placing = proxy.arm("PUT", sending, Hold(answered=True))
    answering = proxy.arm("PUT", sending, Hold())
    said = await alice.send(chat, LONG)
    await placing.fired()
    await alice.send(chat, "!stop")
    await bot.at_rest("turns", "inbox")
    placing.release()
    await answering.fired()
    bot.kill()
    await bot.start()
    stopped = await alice.answer_to(chat, said, saying="Stopped.")
    assert stopped.edits == 1
    await ask(alice, chat, "!context", "context")
    assert await words(bot, alice, chat) == [stopped.body]


async def test_killed_at_any_moment_while_people_talk(make_bot: Make, person: Make) -> None:
    """Whatever it is doing: everything is answered once, in order."""
    chance = random.Random(7)
    settings = {"answers": {"placeholder_after": 0.1, "edit_every": 0.1}}
    quick = ECHO | {"delay": 0.02}
    bot = await make_bot(agents=[quick, SHOUT], settings=settings)
    people = [await person("alice") for _ in range(3)]
    chats = [(await onboarded(bot, one))[1] for one in people]
    said: dict[str, list[str]] = {chat: [] for chat in chats}

    async def talk(one: Person, chat: str) -> None:
        for n in range(12):
            text = f"{n}" + " word" * chance.randrange(12) + "."
            said[chat].append(text)
            event = await one.send(chat, text)
            if n % 4 == 3:
                await one.answer_to(chat, event, where=lambda m, t=text: m.body == t, timeout=60)  # type: ignore[misc]

    talking = asyncio.gather(*(talk(*pair) for pair in zip(people, chats, strict=True)))
    for _ in range(8):
        await bot.logged("bot.ready")
        # Any moment: nothing is waited for, that is the point.
        await asyncio.sleep(chance.uniform(0, 0.8))
        await restarted(bot)
    await talking
    for one, chat in zip(people, chats, strict=True):
        await ask(one, chat, "bye", "bye")
        assert await words(bot, one, chat) == [*said[chat], "bye"]


async def _rooms_the_bot_is_in(bot: Bot) -> set[str]:
    return set((await _as_the_bot(bot, "joined_rooms"))["joined_rooms"])


async def _devices(bot: Bot) -> set[str]:
    return {device["device_id"] for device in (await _as_the_bot(bot, "devices"))["devices"]}


async def _as_the_bot(bot: Bot, *segments: str) -> dict[str, Any]:
    session = json.loads((bot.state_dir / "matrix_store" / "session.json").read_text())
    api = MatrixApi(bot.url, session["access_token"])
    try:
        answer: dict[str, Any] = await api.call("GET", *segments)
    finally:
        await api.close()
    return answer
