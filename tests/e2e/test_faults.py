"""A bad network and a bad homeserver: the bot waits, says so, goes on, and loses and repeats nothing.

Every request of the bot passes through the fault proxy, which counts. A fault is armed for a number of
requests, so the bot must repeat itself to get through, and may not do so faster than `AT_MOST`.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from surface.homeserver import Homeserver
from tests.e2e.conftest import Make, MakeHomeserver
from tests.rig.api import MatrixApi
from tests.rig.bot import Bot
from tests.rig.cli import surface
from tests.rig.desk import Desk, onboard
from tests.rig.person import Person
from tests.rig.proxy import (
    Action,
    DropResponse,
    FaultProxy,
    Garbage,
    Refuse,
    Rewrite,
    Status,
    TooMany,
    Truncate,
)

PATIENCE = 150.0
"""Seconds for an answer that has to get through several failures in a row: the waits double."""
AT_MOST = 30
"""Failing requests of the bot in any second, whatever happens and of whatever kind."""
BUSY = 400
"""Requests of the bot in any second: a backlog makes hundreds, a bot that spins thousands."""
RETRIES = 8
"""Repetitions of one request in any second."""

SEND = r"/rooms/[^/]+/send/"

PROXY_PAGE = Status(502)
BAD_BODIES: dict[str, Action] = {
    "502": PROXY_PAGE,
    "truncated": Truncate(),
    "not UTF-8": Garbage(),
}
NO_ANSWERS: dict[str, Action] = {**BAD_BODIES, "cut before": Refuse(), "cut after": DropResponse()}
STORM: dict[str, Action] = {
    "429": TooMany(retry_after_ms=300),
    "429 page": Status(429, b"<html>slow down</html>"),
}


@pytest.fixture
async def bot(make_bot: Make, proxy: FaultProxy) -> AsyncIterator[Bot]:
    """A bot behind the proxy; whatever a test does to it, it stays below the bound.

    No placeholders: on a busy machine one would be a request more than a test expects.
    """
    bot: Bot = await make_bot(url=proxy.url, settings={"answers": {"placeholder_after": 60}})
    yield bot
    does_not_spin(proxy)


def does_not_spin(proxy: FaultProxy, since: float = 0.0) -> None:
    """The bot kept below both bounds."""
    assert proxy.busiest(since=since, failed=True) <= AT_MOST
    assert proxy.busiest(since=since) <= BUSY


@pytest.fixture
async def desk(person: Make, bot: Bot) -> Desk:
    return await onboard(await person("alice"), bot)


async def answered(desk: Desk, *texts: str) -> None:
    """All of these, and nothing else, were answered in the chat: in order, each once."""
    last = texts[-1]
    await desk.person.message(desk.chat, last, sender=desk.bot.user_id, timeout=PATIENCE)
    # After the answer to one more, nothing late can come of those before.
    end = f"the end of {len(texts)}"
    await desk.person.send(desk.chat, end)
    await desk.person.message(desk.chat, end, sender=desk.bot.user_id, timeout=PATIENCE)
    history = await desk.person.history(desk.chat, desk.bot.user_id)
    assert [message.body for message in history] == [*texts, end]
    await desk.bot.at_rest("turns", "inbox")


async def onboard_slowly(person: Person, bot: Bot) -> Desk:
    """`onboard` with patience."""
    person.auto_join_from.add(bot.user_id)
    home = await person.dm(bot.user_id)
    await person.message(home, "Welcome", sender=bot.user_id, timeout=PATIENCE)
    await person.until(lambda: len(person.joined()) == 3, timeout=PATIENCE, what="three rooms")
    (space,) = person.spaces()
    (chat,) = (room for room in person.joined() if room not in (space, home))
    await person.until(
        lambda: person.children(space) == [chat], timeout=PATIENCE, what="the link in the Space"
    )
    return Desk(person, bot, home, space, chat)


async def no_room_too_many(bot: Bot, people: int) -> None:
    """What the bot has in Matrix: of each person a home room, one Space and one chat."""
    session = json.loads((bot.state_dir / "matrix_store" / "session.json").read_text())
    api = MatrixApi(bot.url, session["access_token"])
    try:
        joined = (await api.call("GET", "joined_rooms"))["joined_rooms"]
    finally:
        await api.close()
    assert len(joined) == 3 * people
    for user in bot.documents("users").values():
        assert not user["creations"]
        assert [room["chat_id"] for room in bot.rooms_of(user["user_id"])] == ["C1"]


# --- /sync ------------------------------------------------------------------------------------


async def test_syncs_fail(desk: Desk, proxy: FaultProxy) -> None:
    said: list[str] = []
    for name, fault in {**BAD_BODIES, **STORM}.items():
        seen, since = len(desk.bot.events("sync.failed")), time.monotonic()
        rule = proxy.arm("GET", r"/sync$", fault, times=2)
        said += [f"{name}, one", f"{name}, two"]
        await desk.person.send(desk.chat, said[-2])  # ends the sync that was waiting
        await rule.fired()
        await desk.person.send(desk.chat, said[-1])
        await desk.person.message(desk.chat, said[-1], timeout=PATIENCE, sender=desk.bot.user_id)
        failures = desk.bot.events("sync.failed")[seen:]
        assert [line["failures"] for line in failures] == [1, 2], name
        assert all(line["why"] and line["again_in"] > 0 for line in failures), name
        assert failures[1]["hint"] == "is the homeserver up?"
        assert proxy.busiest("GET", r"/sync$", since=since) <= RETRIES, name
    await answered(desk, *said)
    assert len(desk.bot.events("sync.recovered")) == 5


async def test_a_429_that_names_no_time_is_waited_for(desk: Desk, proxy: FaultProxy) -> None:
    limited = b'{"errcode": "M_LIMIT_EXCEEDED", "error": "Too Many Requests"}'
    for method, where in (("GET", r"/sync$"), ("PUT", SEND)):
        rule = proxy.arm(method, where, Status(429, limited, "application/json"))
        await desk.person.send(desk.chat, f"{method}.")
        await rule.fired()
    await answered(desk, "GET.", "PUT.")
    assert desk.bot.events("sync.failed")[0]["again_in"] == 5
    assert desk.bot.events("courier.limited")[0]["seconds"] == 5


async def test_a_sync_without_a_token_moves_nothing(desk: Desk, proxy: FaultProxy) -> None:
    empty = Status(200, b"{}", "application/json")
    rule = proxy.arm("GET", r"/sync$", empty, times=2)
    await desk.person.send(desk.chat, "one")
    await rule.fired(2)
    await answered(desk, "one")
    assert "next_batch" in desk.bot.events("sync.failed")[0]["why"]


def whole_filters(proxy: FaultProxy) -> list[bool]:
    """Of each /sync since a token is known: whether the filter came with it."""
    asked = [r.query for r in proxy.requests if r.path.endswith("/sync") and "since=" in r.query]
    return ["%7B" in query for query in asked]


async def test_the_homeserver_keeps_the_filter_of_syncs(desk: Desk, proxy: FaultProxy) -> None:
    await desk.person.send(desk.chat, "one")
    await answered(desk, "one")
    assert proxy.count("POST", r"/user/[^/]+/filter$") == 1
    asked = whole_filters(proxy)
    assert asked and not any(asked)


@pytest.mark.parametrize(
    "refusal",
    [
        Status(
            404, b'{"errcode": "M_UNRECOGNIZED", "error": "no filters here"}', "application/json"
        ),
        Status(200, b'{"filter_id": ""}', "application/json"),
        Status(200, b'{"filter_id": {"$ne": 1}}', "application/json"),
        PROXY_PAGE,
    ],
)
async def test_a_homeserver_that_keeps_no_filter_is_told_it_each_time(
    person: Make, make_bot: Make, proxy: FaultProxy, refusal: Status
) -> None:
    refused = proxy.arm("POST", r"/filter$", refusal, times=None)
    desk = await onboard(await person("alice"), await make_bot(url=proxy.url))
    await desk.person.send(desk.chat, "one")
    await answered(desk, "one")
    assert refused.hits == 1
    assert all(whole_filters(proxy))


async def test_a_filter_that_the_homeserver_does_not_know_any_more(
    desk: Desk, proxy: FaultProxy
) -> None:
    gone = b'{"errcode": "M_NOT_FOUND", "error": "No such filter"}'
    rule = proxy.arm(
        "GET",
        r"/sync$",
        Status(404, gone, "application/json"),
        times=None,
        when=lambda: rule.latest is not None and "%7B" not in rule.latest.query,
    )
    await desk.person.send(desk.chat, "one")  # ends the sync that was waiting
    await rule.fired()
    await answered(desk, "one")
    assert rule.hits == 1
    assert len(desk.bot.events("sync.failed")) == 1


# --- sending ----------------------------------------------------------------------------------


async def test_sends_fail(desk: Desk, proxy: FaultProxy) -> None:
    said: list[str] = []
    for name, fault in {**NO_ANSWERS, **STORM}.items():
        since = time.monotonic()
        rule = proxy.arm("PUT", SEND, fault, times=2)
        said += [f"{name}, one", f"{name}, two"]
        for text in said[-2:]:
            await desk.person.send(desk.chat, text)
        await rule.fired(2, timeout=PATIENCE)
        await desk.person.message(desk.chat, said[-1], timeout=PATIENCE, sender=desk.bot.user_id)
        told = desk.bot.events("effect.put_off") + desk.bot.events("courier.limited")
        assert told, name
        assert proxy.busiest("PUT", SEND, since=since) <= RETRIES, name
    await answered(desk, *said)
    # Whatever was repeated was repeated under its own transaction id.
    sends = {
        r.path
        for r in proxy.requests
        if r.method == "PUT" and f"{desk.chat}/send/m.room.message" in r.path
    }
    assert len(sends) == len(said) + 1


@pytest.mark.parametrize("answer", [b"{}", b'{"event_id": null}', b'{"event_id": 7}'])
async def test_a_send_that_is_answered_with_nonsense_is_repeated(
    desk: Desk, proxy: FaultProxy, answer: bytes
) -> None:
    rule = proxy.arm("PUT", SEND, Status(200, answer, "application/json"))
    await desk.person.send(desk.chat, "one")
    await rule.fired()
    await answered(desk, "one")


@pytest.mark.parametrize(
    "rooms",
    [b"[]", b'{"join": []}', b'{"join": {"!a:b": 7}}', b'{"join": {"!a:b": {"timeline": 3}}}'],
)
async def test_a_sync_of_the_wrong_shape_harms_nothing(
    desk: Desk, proxy: FaultProxy, rooms: bytes
) -> None:
    def change(body: bytes) -> bytes:
        return json.dumps({**json.loads(body), "rooms": json.loads(rooms)}).encode()

    # The one that waits comes home with nothing in it; the next one is changed, and what it brought is lost.
    rule = proxy.arm("GET", r"/sync$", Rewrite(change))
    await desk.person.set_display_name("Alice the Second")
    await rule.fired()
    await desk.person.send(desk.chat, "one")
    await answered(desk, "one")


async def test_sends_that_are_never_answered_say_what_to_look_at(
    desk: Desk, proxy: FaultProxy
) -> None:
    rule = proxy.arm("PUT", SEND, PROXY_PAGE, times=None)
    await desk.person.send(desk.chat, "one")
    line = await desk.bot.logged(
        "effect.put_off", hint="is the other side up? tried until it answers", timeout=PATIENCE
    )
    assert line["effect"] == "Answer"
    assert "502" in line["why"]
    rule.disarm()
    await answered(desk, "one")


async def test_a_growing_answer_survives_failing_sends(
    person: Make, make_bot: Make, proxy: FaultProxy
) -> None:
    quick = {"answers": {"placeholder_after": 0.2, "edit_every": 0.2}}
    bot = await make_bot(url=proxy.url, default="slow", settings=quick)
    desk = await onboard(await person("alice"), bot)
    words = " ".join(f"word{n}" for n in range(25))
    for nth, fault in enumerate(NO_ANSWERS.values()):
        proxy.arm("PUT", SEND, fault, nth=2 * nth + 1)
    await desk.person.send(desk.chat, words)
    await answered(desk, words)


# --- onboarding -------------------------------------------------------------------------------


async def test_createroom_fails(person: Make, bot: Bot, proxy: FaultProxy) -> None:
    for people, (name, fault) in enumerate({**NO_ANSWERS, **STORM}.items(), 1):
        seen, since = len(bot.events()), time.monotonic()
        # Where the homeserver hears nothing, two attempts to make the Space; else the only one, and the
        # only one to make the chat.
        rules = [proxy.arm("POST", r"/createRoom$", fault) for _ in range(2)]
        await onboard_slowly(await person("alice"), bot)
        assert all(rule.done for rule in rules), name
        told = {line["event"] for line in bot.events()[seen:]}
        assert told & {"effect.put_off", "courier.limited"}, name
        assert proxy.busiest("POST", r"/createRoom$", since=since) <= RETRIES, name
        await no_room_too_many(bot, people)


@pytest.mark.slow
async def test_some_of_all_requests_fail(person: Make, bot: Bot, proxy: FaultProxy) -> None:
    """First contacts and a first talk, while one to eight requests pass between those that fail."""
    everything = {
        "502": PROXY_PAGE,
        "429": TooMany(retry_after_ms=100),
        "truncated": Truncate(),
        "cut after": DropResponse(),
    }
    for people, fault in enumerate(everything.values(), 1):
        since = time.monotonic()
        where = r"/(rooms|join|createRoom|profile|joined_rooms)"
        # A rule counts all the requests that those before it have let pass. An effect that takes five
        # begins anew when one of them fails.
        passing = itertools.accumulate((1, 2, 4, 8) * 3)
        rules = [proxy.arm("*", where, fault, nth=count + 1) for count in passing]
        desk = await onboard_slowly(await person("alice"), bot)
        await desk.person.send(desk.chat, "one")
        await answered(desk, "one")
        for rule in rules:
            rule.disarm()
        await no_room_too_many(bot, people)
        does_not_spin(proxy, since)


async def test_a_gap_is_filled_though_history_fails(desk: Desk, proxy: FaultProxy) -> None:
    await desk.bot.stop()
    texts = [f"message {n}." for n in range(60)]  # more than one sync brings
    for text in texts:
        await desk.person.send(desk.chat, text)
    faults = (PROXY_PAGE, TooMany(retry_after_ms=300), Truncate())
    rules = [proxy.arm("GET", r"/messages$", fault) for fault in faults]
    await desk.bot.start(timeout=PATIENCE)
    await answered(desk, *texts)
    assert all(rule.done for rule in rules)
    assert len(desk.bot.events("gap.put_off")) == 3


# --- keys -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("where", ["keys/upload", "keys/query", "keys/claim", "sendToDevice"])
async def test_exchanging_keys_fails(
    crypto_person: Make, make_bot: Make, proxy: FaultProxy, where: str
) -> None:
    faults = (PROXY_PAGE, Garbage(), TooMany(300), Refuse())
    rules = [proxy.arm("*", rf"/{where}", fault) for fault in faults]
    bot = await make_bot(url=proxy.url, encryption=True)
    desk = await onboard_slowly(await crypto_person("alice"), bot)
    await desk.person.send(desk.chat, "one")
    await answered(desk, "one")
    assert all(m.encrypted for m in await desk.person.history(desk.chat, bot.user_id))
    assert all(rule.done for rule in rules)
    assert proxy.busiest("*", rf"/{where}") <= 20  # after each sync, of which there are many
    does_not_spin(proxy)


# --- the homeserver itself --------------------------------------------------------------------


@pytest.fixture
async def own_homeserver(make_homeserver: MakeHomeserver) -> Homeserver:
    server = make_homeserver()
    await server.start()
    return server


async def test_the_homeserver_is_down(
    own_homeserver: Homeserver, person: Make, make_bot: Make
) -> None:
    """Down in the middle of an answer, down at a start, and back both times."""
    async with FaultProxy(own_homeserver.url) as proxy:
        quick = {"answers": {"placeholder_after": 0.2, "edit_every": 0.2}}
        bot = await make_bot(on=own_homeserver, url=proxy.url, default="slow", settings=quick)
        desk = await onboard(await person("alice", on=own_homeserver), bot)
        words = " ".join(f"word{n}" for n in range(40))
        said = await desk.person.send(desk.chat, words)
        await desk.person.answer_to(desk.chat, said, saying="word3")
        own_homeserver.kill()
        down = await bot.logged("sync.failed", failures=3)
        assert down["hint"] == "is the homeserver up?"
        assert bot.pid is not None
        await own_homeserver.start()
        await desk.person.message(desk.chat, words, sender=bot.user_id, timeout=PATIENCE)
        await desk.person.send(desk.chat, "two")
        await answered(desk, words, "two")

        # At a start with a stored session the bot waits, and says for what.
        await bot.stop()
        await desk.person.send(desk.chat, "three")
        own_homeserver.kill()
        bot.launch()
        line = await bot.logged("homeserver.not_reached")
        assert line["homeserver"] == proxy.url
        assert "waiting for it" in line["hint"]
        assert not bot.events("bot.ready")
        await own_homeserver.start()
        await bot.logged("bot.ready", timeout=PATIENCE)
        await answered(desk, words, "two", "the end of 2", "three")
        does_not_spin(proxy)


async def test_stopping_while_the_homeserver_is_down(desk: Desk, proxy: FaultProxy) -> None:
    """What is not sent when the bot stops is sent by the next process, once."""
    desk.bot.settings["shutdown_grace"] = 1
    await desk.bot.stop()
    await desk.bot.start()
    rule = proxy.arm("PUT", SEND, Refuse(), times=None)
    await desk.person.send(desk.chat, "one")
    await rule.fired()
    await desk.bot.stop(timeout=10)
    assert len(desk.bot.documents("outbox")) == 1
    rule.disarm()
    await desk.bot.start()
    await answered(desk, "one")


async def test_a_first_login_needs_the_homeserver(make_bot: Make, proxy: FaultProxy) -> None:
    bot: Bot = await make_bot(start=False, url=proxy.url, may_complain=True)
    proxy.arm("POST", r"/login$", PROXY_PAGE)
    bot.launch()
    assert await bot.died() == 1
    (said,) = bot.events(level="raw")
    assert said["event"].startswith(f"error: homeserver {proxy.url} cannot be reached: HTTP 502")
    assert "Check `homeserver`" in said["event"]
    assert not bot.state_dir.exists()
    assert proxy.count("POST", "/login$") == 1
    await bot.start()


# --- the token --------------------------------------------------------------------------------


async def test_a_revoked_token_ends_the_bot_and_login_brings_all_back(
    someone: Make, make_bot: Make, proxy: FaultProxy, mode: str, homeserver: Homeserver
) -> None:
    encrypted = mode == "encrypted"
    bot = await make_bot(url=proxy.url, encryption=encrypted, may_complain=True)
    desk = await onboard(await someone("alice"), bot)
    other = await desk.new("Other")
    for room in (desk.chat, other):
        await desk.say(room, "before")
    await bot.stop()  # so that the documents below are those at rest
    await bot.start()
    kept = {table: bot.documents(table) for table in ("users", "rooms", "chats")}
    old = json.loads((bot.state_dir / "matrix_store" / "session.json").read_text())
    api = MatrixApi(homeserver.url, old["access_token"])
    await api.call("POST", "logout")
    await api.close()

    assert await bot.died() == 1
    (said,) = [line["event"] for line in bot.events(level="raw")]
    assert said.startswith(f"error: the homeserver does not know the access token of {bot.user_id}")
    assert "Run `surface login`" in said
    # Again the same, at a start: it is told at once, not tried for ever.
    bot.launch()
    assert await bot.died() == 1
    assert "Run `surface login`" in bot.events(level="raw")[0]["event"]

    config = str(bot.root / "surface.yaml")
    done = await surface("login", "--config", config)
    assert done.returncode == 0, done.stderr
    new = json.loads((bot.state_dir / "matrix_store" / "session.json").read_text())
    assert new["device_id"] != old["device_id"]
    await bot.start()
    for room in (desk.chat, other):
        answer = await desk.say(room, "after")
        assert (answer.body, answer.encrypted) == ("after", encrypted)
        history = await desk.person.history(room, bot.user_id)
        assert [m.body for m in history] == ["before", "after"]
    now: dict[str, Any] = {table: bot.documents(table) for table in kept}
    assert now["chats"] == kept["chats"]
    for key, room_now in now["rooms"].items():
        for field in ("state", "chat_id", "agent_id", "platform_chat_id", "encrypted"):
            assert room_now[field] == kept["rooms"][key][field]
    does_not_spin(proxy)


# --- the disk ---------------------------------------------------------------------------------


async def test_keys_that_cannot_be_written_down_end_the_bot_with_one_word(
    person: Make, make_bot: Make
) -> None:
    bot: Bot = await make_bot(may_complain=True)
    alice = await person("alice")
    device = {bot.user_id: {bot.device_id: "signed_curve25519"}}
    (keys,) = bot.crypto_dir.glob("*.db")
    other = sqlite3.connect(keys, isolation_level=None)
    other.execute("begin exclusive")
    # Somebody takes one of its keys, so that it has to make another; and it hears of that at once.
    await alice.api.call("POST", "keys", "claim", json={"one_time_keys": device})
    dummy = {"messages": {bot.user_id: {bot.device_id: {}}}}
    await alice.api.call("PUT", "sendToDevice", "m.dummy", "1", json=dummy)
    assert await bot.died() == 1
    (said,) = [line["event"] for line in bot.events(level="raw") if line["event"]]
    assert said.startswith("error: ") and "no keys were saved" in said
    other.close()
    await bot.start()
