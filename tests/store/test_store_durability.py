"""Killed at any instant, the store opens again with all that was acknowledged and nothing halved.

A child process writes as fast as it can and says so on a pipe after each save; it is killed with
SIGKILL at a random moment and the file is examined, two hundred times over on one file.
"""

import asyncio
import os
import random
import select
import signal
import struct
import time

import pytest

from machines.effects import Fresh
from store import Delete, Put, Stored, TinyStore
from tests.store.store_rules import Lenient

KILLS = 200
PADDING = "x" * 900  # several pages per save, so that a torn one would show

ACK = struct.Struct("<qq")


async def write_on(store: TinyStore, ack: int) -> None:
    """Count up for ever: two documents that stay equal, one row per fresh id, old rows go."""
    left = await store.get("rooms", "left")
    count = 0 if left is None else left.body["count"]
    rev = 0 if left is None else left.rev
    while True:
        count += 1
        body = {"count": count, "id": Fresh("x"), "label": "C1", "padding": PADDING}
        saved = await store.save(
            [
                Put("rooms", "left", body, rev),
                Put("users", "right", body, rev),
                Put("turns", f"turn {count}", {"count": count, "id": Fresh("x")}, 0),
                Delete("turns", f"turn {count - 50}"),
            ]
        )
        # Of the process's end every save is safe, whether it waits for the disk or not.
        await store.save([Put("dirty", "after", {"count": count}, None)], durable=False)
        rev += 1
        os.write(ack, ACK.pack(count, int(saved.ids[Fresh("x")])))


def child(path, ack: int) -> None:
    """Never returns into the test that forked it."""
    try:
        asyncio.run(write_on(TinyStore.open(path, rules=Lenient()), ack))
    finally:
        os._exit(1)


def run_and_kill(path, seconds: float) -> list[tuple[int, int]]:
    """Let a writer live for that long; return what it acknowledged."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        child(path, writer)
    os.close(writer)
    received = b""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if select.select([reader], [], [], left)[0]:
            received += os.read(reader, 65536)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), "the writer ended by itself"
    while more := os.read(reader, 65536):
        received += more
    os.close(reader)
    return list(ACK.iter_unpack(received))


async def examine(path) -> tuple[Stored | None, int, dict[str, dict], int]:
    store = TinyStore.open(path, rules=Lenient())
    try:
        left, right = await store.get("rooms", "left"), await store.get("users", "right")
        chat, sequence = (
            await store.get("chats", "C1"),
            await store.get("meta", "PLATFORM_CHAT_SEQ"),
        )
        turns = {key: stored.body for key, stored in await store.scan("turns")}
        after = await store.get("dirty", "after")
    finally:
        await store.aclose()
    assert left == right, "half a save was kept"
    assert (left is None) == (chat is None) == (sequence is None)
    assert left is None or left.rev == chat.rev == sequence.rev == left.body["count"]
    hasty = 0 if after is None else after.body["count"]
    return left, hasty, turns, 0 if sequence is None else sequence.body["value"]


@pytest.mark.slow
def test_two_hundred_kills_lose_nothing_and_repeat_no_id(tmp_path):
    path = tmp_path / "lambda_matrix.db"
    moments = random.Random(20_240_601)
    issued: dict[int, int] = {}  # id: the count it was given to
    acknowledged = busy = 0
    for _ in range(KILLS):
        acks = run_and_kill(path, moments.uniform(0.0, 0.12))
        for count, number in acks:
            assert issued.setdefault(number, count) == count, "an id was given out twice"
        busy += bool(acks)
        acknowledged = max([acknowledged, *(count for count, _ in acks)])
        left, hasty, turns, last = asyncio.run(examine(path))
        count = 0 if left is None else left.body["count"]
        assert count >= hasty >= acknowledged, "an acknowledged save is gone"
        assert last == count
        assert set(turns) == {f"turn {n}" for n in range(max(1, count - 49), count + 1)}
        for turn in turns.values():
            assert issued.setdefault(int(turn["id"]), turn["count"]) == turn["count"]
        acknowledged = hasty  # what was seen after a crash is there for good as well
    assert busy > KILLS / 4, "the writers died before they wrote; the test proved nothing"
    assert sorted(issued) == list(range(1, count + 1))


def test_a_cancelled_save_is_still_whole(tmp_path):
    async def scenario() -> None:
        store = TinyStore.open(tmp_path / "lambda_matrix.db", rules=Lenient())
        cancelled = 0
        for n in range(1, 101):
            saving = asyncio.ensure_future(
                store.save([Put("rooms", "a", {"n": n}, None), Put("users", "a", {"n": n}, None)])
            )
            for _ in range(n % 3):
                await asyncio.sleep(0)
            saving.cancel()
            cancelled += isinstance(
                (await asyncio.gather(saving, return_exceptions=True))[0], asyncio.CancelledError
            )
        await store.save([Put("turns", "after", {}, 0)])  # behind all of them in the queue
        room, user = await store.get("rooms", "a"), await store.get("users", "a")
        assert cancelled
        assert room == user
        await store.aclose()

    asyncio.run(scenario())


def test_closing_waits_for_the_saves_under_way(tmp_path):
    path = tmp_path / "lambda_matrix.db"

    async def scenario() -> None:
        store = TinyStore.open(path, rules=Lenient())
        saving = [
            asyncio.ensure_future(store.save([Put("rooms", str(n), {}, 0)])) for n in range(20)
        ]
        await asyncio.sleep(0)  # all of them are in the queue
        await store.aclose()
        await asyncio.gather(*saving)
        store = TinyStore.open(path, rules=Lenient())
        assert len(await store.scan("rooms")) == 20
        await store.aclose()

    asyncio.run(scenario())


def test_a_save_does_not_hold_up_the_event_loop(tmp_path):
    """While a rule keeps the writer waiting, the loop still reads, committed data only."""

    async def scenario() -> None:
        loop, begun = asyncio.get_running_loop(), asyncio.Event()
        may_go_on, release = os.pipe()

        class Slow(Lenient):
            def check(self, table, key, body):
                loop.call_soon_threadsafe(begun.set)
                os.read(may_go_on, 1)

        store = TinyStore.open(tmp_path / "lambda_matrix.db", rules=Slow())
        saving = asyncio.ensure_future(store.save([Put("rooms", "a", {}, 0)]))
        await begun.wait()
        assert await store.get("rooms", "a") is None
        os.write(release, b".")
        await saving
        assert await store.get("rooms", "a") == Stored(1, {})
        await store.aclose()
        os.close(may_go_on)
        os.close(release)

    asyncio.run(scenario())
