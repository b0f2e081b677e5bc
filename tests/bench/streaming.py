"""Twenty rooms stream at once: how many edits an answer takes, how many events that makes, and whether
anything is lost when the homeserver allows two messages a second.

    uv run python -m tests.bench.streaming [--rooms N] [--json]

One run without limits, one with `rc_message` at 2 a second after a burst of 10. The person is not limited.
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
from tests.rig.bot import Bot
from tests.rig.desk import onboard
from tests.rig.limits import lift_message_limit
from tests.rig.person import Person

WORDS = 60
DELAY = 0.15
AGENTS = [{"id": "slow", "name": "Poet", "adapter": "echo", "delay": DELAY}]
LIMITED = {"rc_message": {"per_second": 2, "burst_count": 10}}


async def measure(rooms: int, limits: dict[str, Any]) -> dict[str, float]:
    """One run: every room is asked at once for an answer of `WORDS` words."""
    async with AsyncExitStack() as stack:
        memory = Path("/dev/shm")
        root = Path(tempfile.mkdtemp(prefix="bench-", dir=memory if memory.is_dir() else None))
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        homeserver = await stack.enter_async_context(Homeserver(root / "hs", settings=limits))
        bot = await Bot.register(homeserver, root / "bot", agents=AGENTS, default="slow")
        stack.callback(bot.kill)
        await bot.start()
        alice = await stack.enter_async_context(await Person.register(homeserver, "alice"))
        if limits:
            await lift_message_limit(homeserver, alice.user_id)
        desk = await onboard(alice, bot)
        chats = [desk.chat, *[await desk.new(f"R{n}") for n in range(1, rooms)]]
        texts = {chat: " ".join(f"w{n}" for n in range(WORDS)) for chat in chats}
        started = time.monotonic()
        asked = {chat: await alice.send(chat, text) for chat, text in texts.items()}
        for chat, event in asked.items():
            await alice.answer_to(
                chat,
                event,
                sender=bot.user_id,
                where=lambda m, t=texts[chat]: m.body == t,
                timeout=240,
            )
        seconds = time.monotonic() - started
        events, edits, complete = 0, [], 0
        for chat, event in asked.items():
            (answer,) = [
                m for m in alice.messages_after(chat, event, bot.user_id) if m.msgtype == "m.text"
            ]
            edits.append(answer.edits)
            events += 1 + answer.edits
            complete += answer.body == texts[chat]
        await bot.stop()
        return {
            "rooms": rooms,
            "complete": complete,
            "seconds": round(seconds, 1),
            "answer_lasts": round(WORDS * DELAY, 1),
            "edits_per_answer_median": statistics.median(edits),
            "edits_per_answer_most": max(edits),
            "events_per_second": round(events / seconds, 1),
        }


async def main(rooms: int) -> dict[str, dict[str, float]]:
    """Both runs."""
    return {
        "no limits": await measure(rooms, {}),
        "2 messages/s": await measure(rooms, LIMITED),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rooms", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = asyncio.run(main(options.rooms))
    if options.json:
        print(json.dumps(figures))
    else:
        table = Table("", *figures)
        for row in next(iter(figures.values())):
            table.add_row(row, *(str(run[row]) for run in figures.values()))
        Console().print(table)
    sys.exit(any(run["complete"] != run["rooms"] for run in figures.values()))
