"""What the HTTP adapter adds to reading a platform's stream directly, and what 200 streams at once take.

    uv run python -m tests.bench.platform [--chats N] [--rounds N] [--json]

The platform is a process of its own. It puts the moment of sending into every word (the clock of
Linux is the same for all processes), so a word's delay is known to the reader. Read directly by httpx
and by the adapter in turns; then by the adapter in many chats at once.
"""

from __future__ import annotations

import asyncio
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from rich.progress import Progress

from config import HttpAgent
from surface.platform.http import HttpClient
from surface.platform.interface import Done, TextDelta, TurnRequest
from surface.platform.wire import EVENT_STREAM, frame
from tests.bench.alone import alone
from tests.bench.section import Figures, Section, Table, ms, times
from tests.rig.services import free_port

WORDS = 100
EVERY = 0.01
PROJECT = Path(__file__).parents[2]


async def _words(count: int, every: float) -> AsyncIterator[bytes]:
    place = 0
    for _ in range(count):
        word = f"{time.monotonic_ns()} "
        place += len(word)
        yield frame(place, TextDelta(word)).encode()
        await asyncio.sleep(every)
    yield frame(place + 1, Done()).encode()


def serve(port: int, words: int, every: float) -> None:
    """The platform: answers everything with stamped words, `every` seconds apart."""
    app = FastAPI()

    @app.post("/v1/chats/{chat}/messages")
    async def say(chat: str) -> StreamingResponse:
        return StreamingResponse(_words(words, every), media_type=EVENT_STREAM)

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


def age(text: str) -> float:
    """Milliseconds since the last word of a text was sent."""
    return (time.monotonic_ns() - int(text.rsplit(maxsplit=1)[-1])) / 1e6


async def directly(url: str) -> tuple[float, list[float]]:
    """First word and all words, read by httpx alone; milliseconds."""
    delays: list[float] = []
    async with httpx.AsyncClient(trust_env=False) as client:
        asked = time.monotonic()
        async with client.stream("POST", f"{url}/v1/chats/1/messages", json={}) as response:
            async for line in response.aiter_lines():
                if line.startswith('data: {"text"'):
                    if not delays:
                        first = (time.monotonic() - asked) * 1000
                    delays.append(age(json.loads(line[6:])["text"]))
    return first, delays


async def by_adapter(client: HttpClient, chat: int, number: int) -> tuple[float, list[float]]:
    """The same through the adapter."""
    request = TurnRequest(f"${chat}.{number}", "bench", "a", str(chat), "@a:b", "hello")
    delays: list[float] = []
    asked = time.monotonic()
    async for event in client.turn(request):
        if isinstance(event, TextDelta):
            if not delays:
                first = (time.monotonic() - asked) * 1000
            delays.append(age(event.text))
        else:
            assert isinstance(event, Done), event
    return first, delays


async def _measured(url: str, chats: int, rounds: int) -> Figures:
    """All figures; milliseconds and megabytes."""
    entry = HttpAgent(id="a", name="A", adapter="http", url=url)
    client = HttpClient(installation_id="bench", agent_id="a", options=entry)
    runs: dict[str, list[tuple[float, list[float]]]] = {"directly": [], "by the adapter": []}
    for number in range(-1, rounds):
        one, other = await directly(url), await by_adapter(client, 1, number)
        if number >= 0:  # the first are for warming up
            runs["directly"].append(one)
            runs["by the adapter"].append(other)
    figures: Figures = {
        name: {
            "first": round(statistics.median(first for first, _ in found), 2),
            "word p50": round(statistics.median(d for _, all_ in found for d in all_), 3),
            "word p95": round(
                statistics.quantiles([d for _, all_ in found for d in all_], n=20)[-1], 3
            ),
        }
        for name, found in runs.items()
    }
    before = _memory()
    began = time.monotonic()
    at_once = await asyncio.gather(*(by_adapter(client, chat, 0) for chat in range(2, chats + 2)))
    delays = [delay for _, all_ in at_once for delay in all_]
    figures["at once"] = {
        "chats": chats,
        "seconds": round(time.monotonic() - began, 2),
        "word p50": round(statistics.median(delays), 1),
        "memory": round(_memory() - before, 1),
    }
    await client.aclose()
    return figures


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@asynccontextmanager
async def platform(words: int = WORDS, every: float = EVERY) -> AsyncIterator[str]:
    """The platform as a process of its own; gives its URL."""
    port = free_port()
    module, numbers = "tests.bench.platform", (str(port), str(words), str(every))
    process = subprocess.Popen([sys.executable, "-m", module, "--serve", *numbers], cwd=PROJECT)
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            while True:
                try:
                    await client.get(url)
                    break
                except httpx.ConnectError:
                    assert process.poll() is None, "the platform ended"
                    await asyncio.sleep(0.05)
        yield url
    finally:
        process.kill()
        process.wait()


async def measure(progress: Progress, *, chats: int = 200, rounds: int = 5) -> Figures:
    """What the HTTP adapter adds to reading a platform's stream directly.

    Args:
        chats: streams at once.
        rounds: streams of each way, one after the other.
    """
    progress.add_task("streams", total=None)
    async with platform() as url:
        return await _measured(url, chats, rounds)


def section(figures: Figures) -> Section:
    """What the figures say."""
    base, many = figures["directly"], figures["at once"]
    rows = [
        (
            name,
            times(its["word p50"], base["word p50"]),
            times(its["first"], base["first"]),
            *(ms(its[what], 2) for what in ("first", "word p50", "word p95")),
        )
        for name, its in figures.items()
        if name != "at once"
    ]
    lasts = WORDS * EVERY
    notes = [
        f"{WORDS} words, {EVERY * 1000:.0f} ms apart. {many['chats']} chats at once: all complete after "
        f"{many['seconds'] / lasts:.1f} × what one stream lasts ({lasts:.0f} s), {many['memory']} MB more "
        "memory."
    ]
    headings = ("read", "× directly, a word", "× directly, the first", "first word", "p50", "p95")
    return Section([Table(headings, rows)], notes=notes)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
    else:
        sys.exit(alone(measure, section))
