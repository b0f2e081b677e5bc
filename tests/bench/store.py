"""What a durable commit costs, beside plain sqlite3 that writes the same bytes as durably.

    uv run python -m tests.bench.store [--rounds N] [--documents N] [--json]

The store with many rooms in it, on the disk; beside it a bare connection to a file of the same content,
with the same table and the same pragmas, that runs the very statements which the store's last commit of the
kind came down to. They take turns (A B C, B C A, …). *Small* is one row of the inbox; *message* is what
accepting a message commits: the room with its history, the turn, and the input settled. To check revisions
and shapes, to make JSON and to go to the writer's thread is what the store adds; *on a thread* is plain
sqlite3 that goes there, too.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, closing
from pathlib import Path

from rich.progress import Progress

from machines.turn import Turn
from store import Delete, Put, TinyStore
from store.documents import room_key, written
from store.store import Changes, Write
from surface.inbox import InboxRow, encode_row, position
from tests.bench.alone import alone
from tests.bench.scrape import filled
from tests.bench.section import Figures, Goal, Plot, Section, Table, ms, times
from tests.bench.shared import WARM_UP, folder, in_turn, spread

GOAL = 2.0
UPSERT = """insert into documents values (?, ?, ?)
    on conflict (tbl, key) do update set json = excluded.json"""
DELETE = "delete from documents where tbl = ? and key = ?"
LOOK = "select json from documents where tbl = ? and key = ?"
WAYS = {"plain": "sqlite3", "on a thread": "sqlite3 on a thread", "store": "this store"}
Statement = tuple[str, tuple[str, ...]]


async def measure(progress: Progress, *, rounds: int = 500, documents: int = 10_000) -> Figures:
    """What a durable commit costs.

    Args:
        rounds: commits of each kind and way.
        documents: rooms that the store holds.
    """
    async with AsyncExitStack() as stack:
        root = folder(stack)
        progress.add_task(f"filling a store with {documents} rooms", total=None)
        await filled(root / "a.db", documents)
        with closing(sqlite3.connect(root / "a.db")) as full:
            for name in ("plain", "threaded"):
                full.execute("vacuum into ?", (str(root / f"{name}.db"),))
        store = TinyStore.open(root / "a.db")
        stack.push_async_callback(store.aclose)
        plain = stack.enter_context(closing(_plain(root / "plain.db")))
        threaded = stack.enter_context(closing(_plain(root / "threaded.db")))
        looking = stack.enter_context(closing(sqlite3.connect(root / "a.db")))
        writer = stack.enter_context(ThreadPoolExecutor(max_workers=1))
        loop = asyncio.get_running_loop()
        taken: dict[str, dict[str, list[float]]] = {}
        came_to: dict[str, list[Statement]] = {}
        task = progress.add_task("commits", total=WARM_UP + rounds)
        for number in range(WARM_UP + rounds):
            for kind, changes in (await _commits(store, number, documents)).items():
                its = taken.setdefault(kind, {way: [] for way in WAYS})
                statements = came_to.get(kind, [])
                for way in in_turn(list(WAYS), number):
                    started = time.perf_counter()
                    if way == "store":
                        await store.save(changes)
                    elif way == "plain":
                        _run(plain, statements)
                    else:
                        await loop.run_in_executor(writer, _run, threaded, statements)
                    its[way].append(time.perf_counter() - started)
                came_to[kind] = [_statement(looking, change) for change in changes]
            progress.advance(task)
    figures: Figures = {"documents": documents}
    for kind, its in taken.items():
        size = sum(len(values[-1]) for _, values in came_to[kind])
        times_ = {way: [t * 1000 for t in every[WARM_UP:]] for way, every in its.items()}
        spreads = {way: spread(every, digits=4) for way, every in times_.items()}
        figures[kind] = {"bytes": size, **spreads}
    return figures


async def _commits(store: TinyStore, number: int, rooms: int) -> dict[str, Sequence[Write]]:
    event_id = f"${number:043d}"
    room_id = f"!{number * 7 % rooms}:hs"
    sent, text = 1_767_225_600_000 + number, "What is the weather going to be like? " * 3
    raw = {
        "type": "m.room.message",
        "event_id": event_id,
        "sender": "@0:hs",
        "origin_server_ts": sent,
        "content": {"msgtype": "m.text", "body": text},
    }
    order = position(number, 0)
    row = InboxRow(event_id, room_id, order, "event", raw, sent=sent)
    room = await store.get("rooms", room_key(room_id))
    assert room is not None
    turn = Turn(event_id, room_id, "@0:hs", text, "echo", "1", order)
    accepted: Changes = (
        Put("rooms", room_key(room_id), room.body, room.rev),
        Put("turns", event_id, written("turns", turn, "waiting"), 0),
        Delete("inbox", event_id),
    )
    return {"small": (encode_row(row),), "message": accepted}


def _plain(path: Path) -> sqlite3.Connection:
    """The same durability, and nothing else."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for pragma in ("journal_mode=wal", "synchronous=full", "secure_delete=on"):
        connection.execute(f"pragma {pragma}")
    return connection


def _statement(looking: sqlite3.Connection, change: Write) -> Statement:
    at = (change.table, change.key)
    if isinstance(change, Delete):
        return DELETE, at
    (text,) = looking.execute(LOOK, at).fetchone()
    return UPSERT, (*at, text)


def _run(connection: sqlite3.Connection, statements: Sequence[Statement]) -> None:
    connection.execute("begin immediate")
    for statement, values in statements:
        connection.execute(statement, values)
    connection.execute("commit")


def section(figures: Figures) -> Section:
    """What the figures say."""
    kinds = [kind for kind in figures if kind != "documents"]
    rows = []
    for kind in kinds:
        base = figures[kind]["plain"]
        for way, name in WAYS.items():
            its = figures[kind][way]
            rows.append(
                (
                    f"{kind} ({figures[kind]['bytes']:,} bytes), {name}",
                    times(its["p50"], base["p50"]),
                    times(its["p95"], base["p95"]),
                    ms(its["p50"], 2),
                    ms(its["p95"], 2),
                )
            )
    series = {name: [figures[kind][way]["p50"] for kind in kinds] for way, name in WAYS.items()}
    goals = [
        Goal(
            f"Durable commit ({kind}), p50",
            figures[kind]["store"]["p50"] / figures[kind]["plain"]["p50"],
            GOAL,
            "× plain sqlite3",
        )
        for kind in kinds
    ]
    table = Table(
        ("commit", "× plain, p50", "× plain, p95", "p50", "p95"),
        rows,
        f"A store of {figures['documents']:,} rooms, {figures['small']['store']['n']} commits each",
    )
    plot = Plot("store", "A durable commit, p50, milliseconds", "bars", kinds, series)
    return Section([table], [plot], goals)


if __name__ == "__main__":
    sys.exit(alone(measure, section))
