"""What came while the bot was down, and what it answers of it; and how far a room counts as answered.

A start without a sync token stands for a lost disk: the token alone is taken out of the database.
"""

from __future__ import annotations

import json
import signal
import sqlite3
from collections.abc import Callable, Collection
from contextlib import closing
from typing import Any

import pytest

from surface.failpoints import TRACE
from tests.crash.people import ask, new_chat, notices, onboarded, words
from tests.rig.api import MatrixApi, MatrixError
from tests.rig.bot import Bot
from tests.rig.fixtures import Make, MakeHomeserver
from tests.rig.person import Person
from tests.rig.proxy import FaultProxy, Refuse, Rewrite

AWAY, AWAY_RU = "While I was away", "Пока меня не было"
DAY_MS = 86_400_000
SLOW = {"id": "slow", "name": "Poet", "adapter": "echo", "delay": 0.1}
LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
SAID = ["one", "!rename Other", "two", "three"]


def rule(bot: Bot, **catch_up: Any) -> None:
    """Set what becomes of what comes while it is down."""
    bot.settings["catch_up"] = catch_up


async def send_all(person: Person, room_id: str, texts: Collection[str]) -> list[str]:
    return [await person.send(room_id, text) for text in texts]


@pytest.mark.parametrize(
    ("how", "answered", "told"),
    [
        ("answer", ["one", "two", "three"], None),
        (
            "latest",
            ["three"],
            "3 messages came that I do not answer any more; 1 of them is a command",
        ),
        ("skip", [], "4 messages came that I do not answer any more; 1 of them is a command"),
    ],
)
async def test_what_was_said_while_it_was_down(
    make_bot: Make, someone: Make, mode: str, how: str, answered: list[str], told: str | None
) -> None:
    bot, alice = await make_bot(encryption=mode == "encrypted"), await someone("alice")
    home, chat = await onboarded(bot, alice)
    greeted = len(await notices(bot, alice, home))
    await bot.stop()
    rule(bot, mode=how)
    await send_all(alice, chat, SAID)
    await alice.send(home, "!lang ru")
    for _ in range(2):
        await bot.start()
        await ask(alice, chat, "after", "after")
        await bot.stop()
    assert await words(bot, alice, chat) == [*answered, "after", "after"]
    name = bot.room(chat)["display_name"]
    assert name == ("Other" if how == "answer" else "Chat 1"), (
        "a command is a message like any other"
    )
    its = await notices(bot, alice, chat)
    if told is None:
        assert len(its) == 1 and its[0].startswith("C1 "), (
            "the command's answer, in either language"
        )
    else:
        assert len(its) == 1 and told in its[0]
    # The only message of its room is the last one there.
    at_home = (await notices(bot, alice, home))[greeted:]
    assert len(at_home) == 1
    assert at_home[0].startswith(AWAY) is (how == "skip")
    assert bot.user(alice.user_id)["locale"] == ("en" if how == "skip" else "ru")


async def test_what_is_too_old_is_counted_in_the_owners_language(
    make_bot: Make, person: Make
) -> None:
    bot, alice, bob = await make_bot(), await person("alice"), await person("bob")
    _, one = await onboarded(bot, alice)
    _, his = await onboarded(bot, bob)
    two = await new_chat(alice, one, "Two")
    await ask(alice, one, "!lang ru")
    before = {room: len(await notices(bot, alice, room)) for room in (one, two)}
    await bot.stop()
    rule(bot, max_age=0)
    await send_all(alice, one, ["a", "b", "!clear", "c", "d"])
    await send_all(alice, two, ["a"])
    await send_all(bob, his, ["a", "b"])
    await bot.start()
    for who, room in ((alice, one), (alice, two), (bob, his)):
        await ask(who, room, "after", "after")
        assert await words(bot, who, room) == ["after"]
    (told,) = (await notices(bot, alice, one))[before[one] :]
    assert told.startswith(AWAY_RU) and "5 сообщений" in told and "1 команда" in told
    (told,) = (await notices(bot, alice, two))[before[two] :]
    assert told.startswith(AWAY_RU) and "1 сообщение" in told and "команд" not in told
    (told,) = await notices(bot, bob, his)
    assert told.startswith(AWAY) and "2 messages" in told
    assert bot.room(one)["state"] == "bound", "the command was carried out"


@pytest.mark.parametrize("count", [5, 70], ids=["in one response", "with a gap"])
async def test_the_homeservers_clock_tells_what_is_old(
    make_bot: Make, person: Make, proxy: FaultProxy, count: int
) -> None:
    """Some messages are made a day and an hour old, on the way."""
    bot, alice = await make_bot(url=proxy.url), await person("alice")
    _, chat = await onboarded(bot, alice)
    await bot.stop()
    texts = [f"text {n}" for n in range(count)]
    events = await send_all(alice, chat, texts)
    old = events[:3]
    proxy.arm("GET", r"/(sync|messages)$", Rewrite(_aged(old)), times=None)
    await bot.start(timeout=60)
    await alice.answer_to(chat, events[-1], saying=texts[-1], timeout=60)
    assert await words(bot, alice, chat) == texts[3:]
    (told,) = await notices(bot, alice, chat)
    assert "3 messages" in told


@pytest.mark.parametrize(
    "point",
    [
        "commit.ingest.after",
        "commit.catch_up.before",
        "commit.catch_up.after",
        "request.notice.before",
        "request.notice.after",
    ],
)
async def test_killed_while_it_catches_up(make_bot: Make, person: Make, point: str) -> None:
    """Exactly one notice, and nothing answered."""
    bot, alice = await make_bot(), await person("alice")
    _, chat = await onboarded(bot, alice)
    await bot.stop()
    rule(bot, mode="skip")
    await send_all(alice, chat, SAID)
    bot.launch(failpoint=point)
    assert await bot.died() == -signal.SIGKILL
    await bot.start()
    await ask(alice, chat, "after", "after")
    assert await words(bot, alice, chat) == ["after"]
    (told,) = await notices(bot, alice, chat)
    assert "4 messages" in told and "1 of them is a command" in told


async def test_of_two_outages_only_the_last_message_counts(make_bot: Make, person: Make) -> None:
    bot, alice = await make_bot(), await person("alice")
    _, chat = await onboarded(bot, alice)
    await bot.stop()
    rule(bot, mode="latest")
    await send_all(alice, chat, ["one", "two"])
    bot.launch(failpoint="commit.ingest.after")
    assert await bot.died() == -signal.SIGKILL
    await alice.send(chat, "three")
    await bot.start()
    await ask(alice, chat, "after", "after")
    assert await words(bot, alice, chat) == ["three", "after"]
    (told,) = await notices(bot, alice, chat)
    assert "2 messages" in told


@pytest.mark.parametrize("point", ["commit.ingest.after", "commit.input.after", "platform.asked"])
async def test_what_was_received_before_the_crash_is_answered(
    make_bot: Make, person: Make, point: str
) -> None:
    """Whatever the setting says of what came later."""
    bot, alice = await make_bot(start=False), await person("alice")
    armed = bot.root / "armed"
    armed.parent.mkdir(parents=True, exist_ok=True)
    armed.write_text("")
    bot.env["SURFACE_FAILPOINT"] = f"@{armed}"
    rule(bot, mode="skip")
    await bot.start()
    _, chat = await onboarded(bot, alice)
    await ask(alice, chat, "before", "before")
    armed.write_text(point)
    await alice.send(chat, "cut off")
    assert await bot.died() == -signal.SIGKILL
    armed.write_text("")
    await alice.send(chat, "too late")
    await bot.start()
    await ask(alice, chat, "after", "after")
    assert await words(bot, alice, chat) == ["before", "cut off", "after"]
    (told,) = await notices(bot, alice, chat)
    assert "1 message came" in told


async def test_an_invite_that_is_skipped_is_declined(make_bot: Make, person: Make) -> None:
    bot, alice = await make_bot(start=False), await person("alice")
    rule(bot, mode="skip")
    await bot.start()
    await bot.stop()
    home = await alice.dm(bot.user_id)
    await bot.start()
    await alice.until_member(home, bot.user_id, "leave")
    assert bot.documents("users") == {}
    await alice.leave(home)
    await onboarded(bot, alice)


# How far a room counts as answered


async def test_the_read_marker_follows_what_is_answered(make_bot: Make, person: Make) -> None:
    """A command that overtakes an answer does not move it."""
    settings = {"answers": {"placeholder_after": 0.2, "edit_every": 0.2}, "shutdown_grace": 0}
    bot = await make_bot(agents=[SLOW], default="slow", settings=settings)
    alice = await person("alice")
    _, chat = await onboarded(bot, alice)
    first = await alice.send(chat, "hi")
    await alice.answer_to(chat, first, saying="hi")
    await bot.at_rest()
    await bot.stop()
    assert await read_marker(bot, chat) == first

    await bot.start()
    long = await alice.send(chat, LONG)
    await alice.answer_to(chat, long, where=lambda m: m.edits > 0)
    command = await alice.send(chat, "!help rename")
    await alice.answer_to(chat, command, saying="rename")
    await bot.stop()
    assert list(bot.documents("turns")) == [long], "the answer was finished too soon to show it"
    assert await read_marker(bot, chat) == first

    await bot.start()
    await alice.answer_to(chat, long, where=lambda m: m.body == LONG)
    await bot.at_rest()
    await bot.stop()
    assert await read_marker(bot, chat) == first, "only the next message tells how far it is"
    await bot.start()
    last = await alice.send(chat, "bye")
    await alice.answer_to(chat, last, saying="bye")
    await bot.at_rest()
    await bot.stop()
    assert await read_marker(bot, chat) == last


async def test_the_read_marker_is_not_moved_with_every_message(
    make_bot: Make, person: Make, proxy: FaultProxy
) -> None:
    bot, alice = await make_bot(url=proxy.url), await person("alice")
    _, chat = await onboarded(bot, alice)
    await bot.stop()
    texts = [f"text {n}" for n in range(40)]
    last = (await send_all(alice, chat, texts))[-1]
    await bot.start()
    await alice.answer_to(chat, last, saying=texts[-1], timeout=60)
    await bot.stop()
    assert 1 <= proxy.count("POST", "/read_markers$") < len(texts)
    assert await read_marker(bot, chat) == last


@pytest.mark.parametrize("count", [2, 70], ids=["in one response", "with a gap"])
async def test_without_a_token_what_stands_after_the_marker_is_answered(
    make_bot: Make, someone: Make, mode: str, count: int
) -> None:
    bot, alice = await make_bot(encryption=mode == "encrypted"), await someone("alice")
    _, one = await onboarded(bot, alice)
    quiet = await new_chat(alice, one, "Quiet")
    await ask(alice, one, "before", "before")
    before = await notices(bot, alice, one)
    await bot.stop()
    texts = [f"text {n}" for n in range(count)]
    last = (await send_all(alice, one, texts))[-1]
    first = await alice.send(quiet, "in a room where nothing was answered yet")
    lose_token(bot)
    await bot.start(timeout=60)
    await alice.answer_to(one, last, saying=texts[-1], timeout=60)
    await alice.answer_to(quiet, first, saying="in a room", timeout=60)
    await ask(alice, quiet, "after", "after")
    assert await words(bot, alice, one) == ["before", *texts]
    assert await words(bot, alice, quiet) == ["in a room where nothing was answered yet", "after"]
    assert await notices(bot, alice, one) == before


async def test_without_a_token_no_answer_is_given_twice(
    make_bot: Make, person: Make, proxy: FaultProxy
) -> None:
    """The marker had not been moved yet, but the answers are there: nobody is asked again."""
    bot, alice = await make_bot(url=proxy.url, start=False), await person("alice")
    traced(bot)
    await bot.start()
    _, chat = await onboarded(bot, alice)
    await ask(alice, chat, "one", "one")
    await until_marked(bot, chat)
    proxy.arm("POST", r"/read_markers$", Refuse(), times=None)
    for text in ("two", "!help rename", "three"):
        await ask(alice, chat, text, text.removeprefix("!help "))
    bot.kill()
    before = await notices(bot, alice, chat)
    missed = await alice.send(chat, "four")
    lose_token(bot)
    await bot.start()
    await alice.answer_to(chat, missed, saying="four")
    assert await words(bot, alice, chat) == ["one", "two", "three", "four"]
    assert await notices(bot, alice, chat) == before
    # The homeserver would take a second answer for the first one, sent again; the agent would not.
    assert asked(bot) == 4


async def test_a_first_sync_does_not_come_out_of_the_homeservers_cache(
    make_homeserver: MakeHomeserver, make_bot: Make, person: Make
) -> None:
    """As homeservers come: it would be minutes old, and what was handled since would come once more."""
    async with make_homeserver(sync_cache=True) as server:
        bot = await make_bot(on=server, start=False)
        alice = await person("alice", on=server)
        traced(bot)
        await bot.start()
        _, chat = await onboarded(bot, alice)
        for texts in (["one", "!help rename"], ["two"]):
            for text in texts:
                await ask(alice, chat, text, text.removeprefix("!help "))
            await bot.stop()
            lose_token(bot)
            await bot.start()
        before = await notices(bot, alice, chat)
        await bot.stop()
        missed = await alice.send(chat, "three")
        lose_token(bot)
        await bot.start()
        await alice.answer_to(chat, missed, saying="three")
        await ask(alice, chat, "four", "four")
        assert await words(bot, alice, chat) == ["one", "two", "three", "four"]
        assert await notices(bot, alice, chat) == before
        assert asked(bot) == 4
        await bot.stop()


def lose_token(bot: Bot) -> None:
    """What a lost disk loses of the position in /sync."""
    with closing(sqlite3.connect(bot.state_dir / "lambda_matrix.db")) as db, db:
        gone = db.execute("delete from documents where tbl = 'meta' and key = 'next_batch'")
        assert gone.rowcount == 1


def traced(bot: Bot) -> None:
    """Write down what the bot does, from its next start on; see `asked`."""
    bot.root.mkdir(parents=True, exist_ok=True)
    bot.env[TRACE] = str(bot.root / "trace")


def asked(bot: Bot) -> int:
    """How often an agent was asked, over all starts."""
    return (bot.root / "trace").read_text().split().count("platform.asked")


async def read_marker(bot: Bot, room_id: str) -> str | None:
    """Where the bot's read marker of a room is, by the homeserver's account."""
    api = MatrixApi(bot.url, bot.login.access_token)
    where = ("user", bot.user_id, "rooms", room_id, "account_data", "m.fully_read")
    try:
        return str((await api.call("GET", *where))["event_id"])
    except MatrixError as error:
        assert error.status == 404
        return None
    finally:
        await api.close()


async def until_marked(bot: Bot, room_id: str) -> None:
    """Wait for a room's first read marker; nothing tells when it comes, so the homeserver is asked."""
    api = MatrixApi(bot.url, bot.login.access_token)
    types = {"types": ["m.fully_read"]}
    its = {"room": {"rooms": [room_id], "account_data": types, "state": {"types": []}}}
    query: dict[str, str | int] = {"filter": json.dumps(its), "timeout": 20_000}
    try:
        while await read_marker(bot, room_id) is None:
            query["since"] = (await api.call("GET", "sync", query=query))["next_batch"]
    finally:
        await api.close()


def _aged(events: Collection[str]) -> Callable[[bytes], bytes]:
    """Makes these events a day and an hour older, wherever they stand in a response."""

    def change(value: Any) -> Any:
        if isinstance(value, list):
            return [change(inner) for inner in value]
        if not isinstance(value, dict):
            return value
        value = {key: change(inner) for key, inner in value.items()}
        if value.get("event_id") in events and "unsigned" in value:
            value["unsigned"]["age"] += DAY_MS + 3_600_000
        return value

    return lambda body: json.dumps(change(json.loads(body))).encode()
