"""What encryption costs: plain and encrypted round trips, this bot beside the least one, in one run.

    uv run python -m tests.bench.encrypted [--rounds N] [--json]

The person is a nio client that encrypts and decrypts; what that costs is in all figures of encrypted rooms,
and in the *floor*: a message until another such client can read it. The rounds take turns, so that a drift
of the machine hits all alike.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from nio import AsyncClient, AsyncClientConfig, MatrixRoom, RoomMessageText
from rich.progress import Progress

from tests.bench.alone import alone
from tests.bench.section import Figures, Goal, Plot, Section, Table, ms, times
from tests.bench.shared import (
    LIMITS,
    WARM_UP,
    folder,
    homeserver_in_memory,
    minimal_bot,
    spread,
)
from tests.rig.bot import Bot
from tests.rig.desk import onboard
from tests.rig.person import PASSWORD, Person

GOAL = 10.0
"""Milliseconds (p50) by which this bot may be slower than the minimal one, encrypted."""
KINDS = ("plain", "encrypted")


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

    async def round(self, room_id: str, answerer: str, *, at: Talker | None = None) -> float:
        """Say something; milliseconds until it comes back readable from `answerer`.

        Args:
            at: who waits for it; oneself by default.
        """
        text = f"round {next(self._numbers)} of {self._client.user_id}"
        came: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        (at or self)._awaited[(answerer, text)] = came
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


async def measure(progress: Progress, *, rounds: int = 100) -> Figures:
    """What encryption costs: milliseconds by who answered, and in what kind of room."""
    async with AsyncExitStack() as stack:
        homeserver = await homeserver_in_memory(stack)
        rooms: dict[str, tuple[Talker, str, str, Talker]] = {}
        for kind in KINDS:
            sealed = kind == "encrypted"
            alice = await stack.enter_async_context(await Person.register(homeserver, "alice"))
            bob = await stack.enter_async_context(await Person.register(homeserver, "bob"))
            user = await minimal_bot(stack, homeserver, store=folder(stack) if sealed else None)
            room = await alice.dm(user, encrypted=sealed)
            await alice.until_member(room, user)
            between = await alice.dm(bob.user_id, encrypted=sealed)
            await bob.join(between)
            bot = await Bot.register(homeserver, folder(stack), encryption=sealed, settings=LIMITS)
            stack.callback(bot.kill)
            await bot.start()
            chat = (await onboard(alice, bot)).chat
            await alice.pause()
            await bob.pause()
            talker, reader = [
                await stack.enter_async_context(
                    Talker(homeserver.url, person.user_id, folder(stack))
                )
                for person in (alice, bob)
            ]
            rooms[f"{kind}, floor"] = (talker, between, alice.user_id, reader)
            rooms[f"{kind}, minimal"] = (talker, room, user, talker)
            rooms[f"{kind}, this bot"] = (talker, chat, bot.user_id, talker)
        taken: dict[str, list[float]] = {name: [] for name in rooms}
        names = list(rooms)
        task = progress.add_task("round trips", total=WARM_UP + rounds)
        for number in range(WARM_UP + rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                talker, room, answerer, reader = rooms[name]
                milliseconds = await talker.round(room, answerer, at=reader)
                if number >= WARM_UP:
                    taken[name].append(milliseconds)
            progress.advance(task)
    return {name: spread(values) for name, values in taken.items()}


def section(figures: Figures) -> Section:
    """What the figures say."""
    rows = []
    for kind in KINDS:
        least, floor = figures[f"{kind}, minimal"]["p50"], figures[f"{kind}, floor"]["p50"]
        for who in ("floor", "minimal", "this bot"):
            its = figures[f"{kind}, {who}"]
            rows.append(
                (
                    f"{kind}, {who}",
                    times(its["p50"], least),
                    times(its["p50"], floor),
                    *(ms(its[p]) for p in ("p10", "p50", "p95")),
                )
            )
    more = {
        who: figures[f"encrypted, {who}"]["p50"] / figures[f"plain, {who}"]["p50"]
        for who in ("floor", "minimal", "this bot")
    }
    added = figures["encrypted, this bot"]["p50"] - figures["encrypted, minimal"]["p50"]
    told = ", ".join(f"{who} {ratio:.2f}" for who, ratio in more.items())
    series = {what: [its[what] for its in figures.values()] for what in ("p50", "p95")}
    return Section(
        [Table(("", "× minimal", "× floor", "p10", "p50", "p95"), rows)],
        [
            Plot(
                "encrypted",
                "Plain and encrypted round trip, milliseconds",
                "bars",
                [*figures],
                series,
            )
        ],
        [Goal("Encrypted, p50", added, GOAL, "ms more than the minimal nio bot", 1)],
        [f"Encrypted × plain, p50: {told}."],
    )


if __name__ == "__main__":
    sys.exit(alone(measure, section))
