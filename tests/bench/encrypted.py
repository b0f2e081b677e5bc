"""What encryption costs: plain and encrypted round trips, this bot beside the least one, in one run.

    uv run python -m tests.bench.encrypted [--rounds N] [--json]

The person is a nio client that encrypts and decrypts; what that costs is in all figures of encrypted rooms.
The rounds take turns, so that a drift of the machine hits all alike.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import shutil
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from nio import AsyncClient, AsyncClientConfig, MatrixRoom, RoomMessageText
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from surface.homeserver import Homeserver
from tests.bench.shared import WARM_UP, machine, minimal_bot, spread
from tests.rig.bot import Bot
from tests.rig.desk import onboard
from tests.rig.person import PASSWORD, Person

GOAL = 10.0
"""Milliseconds (p50) by which this bot may be slower than the minimal one, encrypted."""


class Talker:
    """A person's encrypting client, with a stopwatch."""

    def __init__(self, url: str, user_id: str, store: Path) -> None:
        config = AsyncClientConfig(encryption_enabled=True)
        self._client = AsyncClient(url, user_id, store_path=str(store), config=config)
        self._client.add_event_callback(self._heard, RoomMessageText)  # type: ignore[arg-type]
        self._awaited: dict[tuple[str, str], asyncio.Future[float]] = {}
        self._numbers = itertools.count(1)

    async def __aenter__(self) -> Self:
        await self._client.login(PASSWORD)
        await self._client.keys_upload()
        await self._client.sync(timeout=0, full_state=True)
        self._task = asyncio.create_task(self._client.sync_forever(timeout=30_000))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._client.close()

    async def round(self, room_id: str, answerer: str) -> float:
        """Say something; milliseconds until it comes back readable from `answerer`."""
        text = f"round {next(self._numbers)}"
        came: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._awaited[(answerer, text)] = came
        started = time.perf_counter()
        content = {"msgtype": "m.text", "body": text}
        await self._client.room_send(
            room_id, "m.room.message", content, ignore_unverified_devices=True
        )
        async with asyncio.timeout(60):
            return (await came - started) * 1000

    async def _heard(self, _: MatrixRoom, event: RoomMessageText) -> None:
        now = time.perf_counter()
        if (came := self._awaited.pop((event.sender, event.body), None)) is not None:
            came.set_result(now)


async def main(rounds: int, progress: Progress) -> dict[str, Any]:
    """Milliseconds by who answered, and in what kind of room."""
    async with AsyncExitStack() as stack:

        def folder(where: str | None = None) -> Path:
            made = Path(tempfile.mkdtemp(prefix="bench-", dir=where))
            stack.callback(shutil.rmtree, made, ignore_errors=True)
            return made

        memory = Path("/dev/shm")
        homeserver = Homeserver(folder(str(memory) if memory.is_dir() else None))
        await stack.enter_async_context(homeserver)
        rooms: dict[str, tuple[Talker, str, str]] = {}
        limits = {"waiting": 1_000, "per_minute": 10_000}
        for kind in ("plain", "encrypted"):
            sealed = kind == "encrypted"
            alice = await stack.enter_async_context(await Person.register(homeserver, "alice"))
            user = await minimal_bot(stack, homeserver, store=folder() if sealed else None)
            room = await alice.dm(user, encrypted=sealed)
            await alice.until_member(room, user)
            bot = await Bot.register(
                homeserver, folder(), encryption=sealed, settings={"limits": limits}
            )
            stack.callback(bot.kill)
            await bot.start()
            chat = (await onboard(alice, bot)).chat
            await alice.pause()
            talker = Talker(homeserver.url, alice.user_id, folder())
            await stack.enter_async_context(talker)
            rooms[f"{kind}, minimal"] = (talker, room, user)
            rooms[f"{kind}, this bot"] = (talker, chat, bot.user_id)
        taken: dict[str, list[float]] = {name: [] for name in rooms}
        names = list(rooms)
        task = progress.add_task("round trips", total=WARM_UP + rounds)
        for number in range(WARM_UP + rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                talker, *where = rooms[name]
                milliseconds = await talker.round(*where)
                if number >= WARM_UP:
                    taken[name].append(milliseconds)
            progress.advance(task)
    return {name: spread(values) for name, values in taken.items()}


def run() -> int:
    parser = argparse.ArgumentParser(description="What encryption costs.")
    parser.add_argument("--rounds", type=int, default=100, help="round trips of each (100)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    about = machine()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        figures = asyncio.run(main(options.rounds, progress))
    added = {
        kind: round(figures[f"{kind}, this bot"]["p50"] - figures[f"{kind}, minimal"]["p50"], 1)
        for kind in ("plain", "encrypted")
    }
    if options.json:
        print(json.dumps({"machine": about, "added": added, "sequential": figures}, indent=1))
        return 0
    table = Table("", "p10", "p50", "p95", "n", title="Round trips, in milliseconds")
    for name, its in figures.items():
        table.add_row(name, f"{its['p10']}", f"{its['p50']}", f"{its['p95']}", f"{its['n']}")
    out = Console()
    out.print(table)
    out.print(", ".join(f"{key} {value}" for key, value in about.items()))
    verdict = "reached" if added["encrypted"] < GOAL else "missed"
    out.print(
        f"Goal: encrypted, less than {GOAL:.0f} ms more than the minimal bot (p50); {verdict}: {added}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(run())
