"""Where the time of a round trip goes: with the homeserver, or in the bot; beside the least one, in one run.

    uv run python -m tests.bench.path [--rounds N] [--json]

Each bot reaches Synapse through a proxy that notes when the sync with the message passes, and when the
request with the answer does. The proxies take time of their own, so the whole is longer than in `roundtrip`;
what lies between the two is the bot's own, and is not.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import AsyncExitStack

from rich.progress import Progress

from surface.homeserver import Homeserver
from tests.bench.alone import alone
from tests.bench.meter import Meter
from tests.bench.section import Figures, Section, Table, ms, times
from tests.bench.shared import (
    LIMITS,
    WARM_UP,
    folder,
    homeserver_in_memory,
    in_turn,
    minimal_bot,
    spread,
)
from tests.rig.bot import Bot
from tests.rig.desk import onboard
from tests.rig.person import Person
from tests.rig.proxy import FaultProxy, Rewrite

OURS, MINIMAL = "this bot", "minimal"
PARTS = {
    "heard": "until the bot has the message",
    "answered": "in the bot",
    "read": "until its answer is read",
}


class Watch:
    """Sees a bot hear and answer."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.url = proxy.url
        self._heard: list[float] = []
        self._proxy = proxy
        proxy.arm("GET", r"/sync$", Rewrite(self._pass), times=None)

    async def round(self, meter: Meter, room_id: str, user_id: str) -> dict[str, float]:
        """The parts of one round trip, in milliseconds."""
        said, passed = time.perf_counter(), len(self._heard)
        took = await meter.round(room_id, user_id)
        heard = self._heard[passed]
        sent = next(r.at for r in self._proxy.requests if r.at > heard and "/send/" in r.path)
        self._proxy.requests.clear()
        parts = {"heard": heard - said, "answered": sent - heard, "read": said + took / 1000 - sent}
        return {part: seconds * 1000 for part, seconds in parts.items()} | {"all": took}

    def _pass(self, body: bytes) -> bytes:
        if b'"m.room.message"' in body:
            self._heard.append(time.perf_counter())
        return body


async def _watched(stack: AsyncExitStack, homeserver: Homeserver) -> Watch:
    return Watch(await stack.enter_async_context(FaultProxy(homeserver.url)))


async def measure(progress: Progress, *, rounds: int = 150) -> Figures:
    """Milliseconds of each part of a round trip.

    Args:
        rounds: round trips of each bot.
    """
    task = progress.add_task("round trips", total=WARM_UP + rounds)
    async with AsyncExitStack() as stack:
        homeserver = await homeserver_in_memory(stack)
        watches = {name: await _watched(stack, homeserver) for name in (OURS, MINIMAL)}
        root = folder(stack)
        bot = await Bot.register(homeserver, root, settings=LIMITS, url=watches[OURS].url)
        stack.callback(bot.kill)
        await bot.start()
        minimal = await minimal_bot(stack, homeserver, url=watches[MINIMAL].url)
        alice = await stack.enter_async_context(await Person.register(homeserver, "alice"))
        desk = await onboard(alice, bot)
        where = {
            OURS: (desk.chat, bot.user_id),
            MINIMAL: (await alice.dm_joined(minimal), minimal),
        }
        await alice.pause()
        meter = await stack.enter_async_context(Meter(homeserver.url, alice.login))
        taken: dict[str, list[dict[str, float]]] = {OURS: [], MINIMAL: []}
        for number in range(WARM_UP + rounds):
            for name in in_turn(list(taken), number):
                # What it still does after an answer is not to be taken for the next.
                await asyncio.sleep(0.05)
                parts = await watches[name].round(meter, *where[name])
                if number >= WARM_UP:
                    taken[name].append(parts)
            progress.advance(task)
        await bot.stop()
    return {
        name: {part: spread((each[part] for each in every), 2) for part in (*PARTS, "all")}
        for name, every in taken.items()
    }


def section(figures: Figures) -> Section:
    """What the figures say."""
    rows = []
    for part, told in (*PARTS.items(), ("all", "all")):
        ours, least = (figures[name][part]["p50"] for name in (OURS, MINIMAL))
        rows.append((told, times(ours, least), ms(ours), ms(least), ms(ours - least)))
    headings = ("p50", "× minimal", OURS, MINIMAL, "more")
    notes = [
        "Every message is said at rest. In the bot this one commits three times without waiting for the disk "
        "and once waiting, asks its agent, and takes four events through its machines (`profile`)."
    ]
    return Section([Table(headings, rows)], notes=notes)


if __name__ == "__main__":
    sys.exit(alone(measure, section))
