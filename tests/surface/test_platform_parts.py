"""The small parts of the HTTP adapter: places in a stream, the breaker, the lines, the extras."""

from __future__ import annotations

import asyncio
import builtins

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import HttpAgent, OpenAIAgent, Registry
from store.memory import MemoryStore
from surface.platform import breaker as breakers
from surface.platform.breaker import Breaker
from surface.platform.directory import AdapterMissing, Directory
from surface.platform.interface import Done, FileOut, Status, TextDelta
from surface.platform.lines import Lines
from surface.platform.wire import after, event_from, frame, joined, length

some_events = st.lists(
    st.builds(TextDelta, st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=5))
    | st.builds(Status, st.just("busy"))
    | st.builds(FileOut, st.just("a/b"), st.just("b"), st.just("text/plain")),
    max_size=12,
)


@given(some_events, st.integers(0, 80))
def test_from_any_place_the_stream_goes_on_as_if_it_had_not_broken(events, place):
    whole = (*events, Done())
    total = sum(length(event) for event in whole)
    # However it was cut before and after the break: what was read and what comes is the whole.
    read = [event for here, event in after(joined(whole), 0) if here <= place]
    here = sum(length(event) for event in read)
    rest = [event for _, event in after(whole, here)]
    assert joined((*read, *rest)) == joined(whole)
    assert [there for there, _ in after(whole, here)][-1:] == ([total] if here < total else [])


@given(some_events)
def test_an_event_is_read_as_it_was_written(events):
    for event in events:
        name, place, data = (line.partition(": ")[2] for line in frame(7, event).split("\n")[:3])
        assert place == "7"
        assert event_from(name, data) == event


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_breaker_opens_after_some_failures_and_waits_longer_each_time():
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(breakers.PATIENCE - 1):
        breaker.failed()
    assert breaker.wait == 0
    waits = []
    for _ in range(20):
        breaker.failed()
        waits.append(breaker.wait)
        clock.now += breaker.wait
        assert breaker.wait == 0, "one may try"
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (breakers.SHORTEST, breakers.LONGEST)
    breaker.succeeded()
    breaker.failed()
    assert breaker.wait == 0


async def test_a_line_is_kept_while_its_chat_lives_and_dropped_when_idle():
    gone = asyncio.Event()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 Done\r\n\r\n")
        await reader.read()
        gone.set()
        writer.close()

    server = await asyncio.start_server(served, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    lines = Lines(url, {}, httpx.Timeout(30), idle=0.05)
    async with lines.line("2") as used:
        async with lines.line("1") as first, lines.line("1") as same:
            assert first is same
            await first.get("/")
        await gone.wait()
        assert first.is_closed
        assert not used.is_closed
        assert len(lines) == 1
    await lines.aclose()
    assert used.is_closed
    assert len(lines) == 0
    server.close()


async def test_a_dropped_line_outlives_what_runs_on_it():
    lines = Lines("http://127.0.0.1:9", {}, httpx.Timeout(1))
    async with lines.line("1") as line:
        await lines.drop("1")
        assert not line.is_closed
    assert line.is_closed


@pytest.mark.parametrize(
    ("entry", "module", "extra"),
    [
        (HttpAgent(id="a", name="A", adapter="http", url="http://x"), "httpx", "platform"),
        (OpenAIAgent(id="a", name="A", adapter="openai", model="m"), "openai", "openai"),
    ],
)
def test_a_missing_extra_is_named(monkeypatch, entry, module, extra):
    for name in ("http", "openai", "model", "lines", "sse"):
        monkeypatch.delitem(__import__("sys").modules, f"surface.platform.{name}", raising=False)
    real = builtins.__import__

    def without(name: str, *args: object, **kwargs: object) -> object:
        if (
            name.partition(".")[0] == module
            and not kwargs.get("level")
            and not args[3:][0:1] == (1,)
        ):
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    directory = Directory(Registry(agents=(entry,)), MemoryStore(), "inst")
    with pytest.raises(AdapterMissing, match=rf"matrix-surface\[{extra}\]"):
        directory.client_for("a")
