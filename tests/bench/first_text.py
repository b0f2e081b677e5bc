"""What stands between an agent's word and a person who reads it in a Matrix room.

    uv run python -m tests.bench.first_text [--rounds N] [--json]

The platform of `platform.py` puts the moment of sending into every word. So it is known of each message
and edit that a client gets by /sync how old its newest word is; beside that, the time from asking to the
first word, read directly from the platform and seen in the room. Both with the settings as they come and
with impatient ones.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from surface.homeserver import Homeserver
from surface.turn_run import THINKING
from tests.bench.meter import Meter
from tests.bench.platform import age, directly, platform
from tests.rig.bot import Bot
from tests.rig.desk import onboard
from tests.rig.person import Person

WORDS, EVERY = 200, 0.02
WAYS: dict[str, dict[str, float]] = {
    "as it comes": {},
    "impatient": {"placeholder_after": 0.1, "edit_every": 0.3},
}


class Reader:
    """What a person gets to see of the answers in a room."""

    def __init__(self, meter: Meter, room: str, bot: str) -> None:
        self._meter, self._room, self._bot = meter, room, bot
        self._asked = 0.0
        self.ages: list[float] = []
        meter.seen = self._seen

    async def round(self) -> float:
        """Ask, and read until the answer is whole; milliseconds until its first words."""
        loop = asyncio.get_running_loop()
        self._first, self._whole = loop.create_future(), loop.create_future()
        self._asked = time.monotonic()
        await self._meter.say(self._room, self._bot)
        async with asyncio.timeout(60):
            await self._whole
            return float(await self._first)

    def _seen(self, room_id: str, event: dict[str, Any]) -> None:
        content = event["content"].get("m.new_content", event["content"])
        body = content.get("body", "").strip()
        if (room_id, event["sender"]) != (self._room, self._bot) or body in ("", THINKING):
            return
        if not self._first.done():
            self._first.set_result((time.monotonic() - self._asked) * 1000)
        if len(body.split()) == WORDS:
            self._whole.set_result(None)
        else:
            self.ages.append(age(body))


async def main(rounds: int) -> dict[str, Any]:
    """All figures, in milliseconds."""
    async with AsyncExitStack() as stack:
        memory = Path("/dev/shm")
        root = Path(tempfile.mkdtemp(prefix="bench-", dir=memory if memory.is_dir() else None))
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        homeserver = await stack.enter_async_context(Homeserver(root / "hs"))
        url = await stack.enter_async_context(platform(WORDS, EVERY))
        read = [(await directly(url))[0] for _ in range(rounds + 1)][1:]
        figures: dict[str, Any] = {"directly": {"first": _median(read)}}
        for name, answers in WAYS.items():
            figures[name] = await _in_a_room(homeserver, url, root / name[:2], answers, rounds)
        return figures


async def _in_a_room(
    homeserver: Homeserver, url: str, root: Path, answers: dict[str, float], rounds: int
) -> dict[str, float]:
    agent = {"id": "a", "name": "A", "adapter": "http", "url": url}
    async with AsyncExitStack() as stack:
        bot = await Bot.register(
            homeserver, root, agents=[agent], default="a", settings={"answers": answers}
        )
        stack.callback(bot.kill)
        await bot.start()
        alice = await stack.enter_async_context(await Person.register(homeserver, "alice"))
        desk = await onboard(alice, bot)
        await alice.pause()
        meter = await stack.enter_async_context(Meter(homeserver.url, alice.login))
        reader = Reader(meter, desk.chat, bot.user_id)
        await reader.round()
        reader.ages.clear()
        first = [await reader.round() for _ in range(rounds)]
        await bot.stop()
        return {
            "first": _median(first),
            "age": _median(reader.ages),
            "oldest": round(max(reader.ages), 1),
            "steps": round(len(reader.ages) / rounds, 1),
        }


def _median(values: list[float]) -> float:
    return round(statistics.median(values), 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = asyncio.run(main(options.rounds))
    if options.json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        table = Table(
            "", "first words, ms", "newest word of a step, ms old", "oldest", "steps of an answer"
        )
        for name, its in found.items():
            columns = ("first", "age", "oldest", "steps")
            table.add_row(name, *(str(its.get(column, "")) for column in columns))
        Console().print(table)
