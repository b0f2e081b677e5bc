"""What may come between surface and platform: every fault ends in one clear error or in the whole answer.

The counterpart is a socket that sends what the test says, byte by byte. Time limits are short here, and
no test asserts how long anything took.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import pytest

from config import HttpAgent
from surface.platform.http import HttpClient
from surface.platform.interface import CallFailed, Done, PlatformError, TextDelta
from surface.platform.wire import frame
from tests.rig.services import free_port

from .test_platform_conformance import a_chat, events, message, text_of

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
WHOLE = frame(2, TextDelta("hi")).encode() + frame(3, Done()).encode()


class Wire:
    """A platform that sends what it is told; one script a connection, the last one again and again.

    Attributes:
        seen: the requests, head and body.
    """

    def __init__(self, *scripts: list[bytes | Callable]) -> None:
        self.scripts = list(scripts)
        self.seen: list[str] = []
        self.sent = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = (line.partition(":") for line in head.lower().splitlines())
            length = next((int(v) for k, _, v in lines if k == "content-length"), 0)
            self.seen.append(head + (await reader.readexactly(length)).decode())
            script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
            for step in script:
                if callable(step):
                    await step(self, writer)
                else:
                    writer.write(step)
                    await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def hang(_: Wire, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def reset(_: Wire, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def pings_for_ever(_: Wire, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b": ping\n\n")
        await writer.drain()
        await asyncio.sleep(0.01)


async def words_for_ever(wire: Wire, writer: asyncio.StreamWriter) -> None:
    place = 0
    while True:
        place += 10_000
        writer.write(frame(place, TextDelta("x" * 10_000)).encode())
        await writer.drain()
        wire.sent = place


async def one_endless_line(wire: Wire, writer: asyncio.StreamWriter) -> None:
    writer.write(b"data: ")
    for _ in range(1000):
        writer.write(b"x" * 100_000)
        await writer.drain()
        wire.sent += 100_000


async def endless_event(wire: Wire, writer: asyncio.StreamWriter) -> None:
    for _ in range(10_000):
        writer.write(b"data: " + b"x" * 10_000 + b"\n")
        await writer.drain()
        wire.sent += 10_000


def answered(status: str, body: str = "", *headers: str) -> list[bytes | Callable]:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers]
    return ["\r\n".join([*lines, "", body]).encode()]


def problem(status: str, code: str, *, retryable: bool = False) -> list[bytes | Callable]:
    body = {
        "title": code,
        "status": int(status[:3]),
        "code": code,
        "detail": f"It is {code}.",
        "retryable": retryable,
    }
    return answered(status, json.dumps(body), "content-type: application/problem+json")


@asynccontextmanager
async def wired(*scripts: list[bytes | Callable], **options: float) -> AsyncIterator:
    wire = Wire(*scripts)
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(wire.answer(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = made(port, **options)
    try:
        yield client, wire
    finally:
        await client.aclose()
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def made(port: int, **options: float) -> HttpClient:
    limits = {"reconnect_timeout": 0.5} | options
    entry = HttpAgent(id="echo", name="E", adapter="http", url=f"http://127.0.0.1:{port}", **limits)
    return HttpClient(installation_id="inst", agent_id="echo", options=entry)


FAULTS = {
    "silence before the head": ([hang], "silent", {"silence_timeout": 0.3}),
    "silence before the first event": ([HEAD, hang], "silent", {"silence_timeout": 0.3}),
    "silence after a word": ([HEAD, WHOLE[:40], hang], "silent", {"silence_timeout": 0.3}),
    "pings and no answer": ([HEAD, pings_for_ever], "timeout", {"first_timeout": 0.5}),
    "reset": ([reset], "broken_off", {}),
    "reset in the middle": ([HEAD, frame(2, TextDelta("hi")).encode(), reset], "broken_off", {}),
    "the end without an end": ([HEAD, frame(2, TextDelta("hi")).encode()], "broken_off", {}),
    "half a frame": ([HEAD, WHOLE[:30]], "broken_off", {}),
    "no HTTP": ([b"SSH-2.0-OpenSSH_9.6\r\n"], "broken_off", {}),
    "not UTF-8": ([HEAD, b"data: \xff\xfe\n\n"], "garbled", {}),
    "not JSON": ([HEAD, b"event: delta\nid: 2\ndata: {oh no\n\n"], "garbled", {}),
    "other JSON": ([HEAD, b'event: delta\nid: 2\ndata: {"text": 7}\n\n'], "garbled", {}),
    "no place": ([HEAD, b'event: delta\ndata: {"text": "hi"}\n\n'], "garbled", {}),
    "a place too far": ([HEAD, b'event: delta\nid: 9\ndata: {"text": "hi"}\n\n'], "garbled", {}),
    "no stream": (answered("200 OK", "{}", "content-type: application/json"), "garbled", {}),
    "a 100 MB line": ([HEAD, one_endless_line], "garbled", {}),
    "a 100 MB event": ([HEAD, endless_event], "garbled", {}),
    "an endless answer": ([HEAD, words_for_ever], "too_long", {}),
    "401": (answered("401 No"), "unauthorized", {}),
    "403": (problem("403 No", "forbidden"), "unauthorized", {}),
    "404 with a problem": (problem("404 No", "agent_unknown"), "agent_unknown", {}),
    "429": (answered("429 Busy"), "busy", {}),
    "500": (answered("500 Broken"), "broken", {}),
    "500 with a page": (answered("500 Broken", "<html>" * 1000), "broken", {}),
    "503 for now": (problem("503 Later", "store_failed", retryable=True), "broken", {}),
    "302": (answered("302 Elsewhere", "", "location: http://127.0.0.1:1/"), "http_302", {}),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_fault_is_one_clear_error_and_nothing_is_stuck(fault):
    script, code, options = FAULTS[fault]
    async with wired(script, **options) as (client, wire):
        stream = await events(client, message("$1", "hello"))
        assert isinstance(stream[-1], PlatformError)
        assert stream[-1].code == code
        assert len(stream[-1].message) < 300
        assert not any(isinstance(event, PlatformError | Done) for event in stream[:-1])
        assert wire.sent < 20_000_000, "it was read on and on"


async def test_a_refused_connection_is_told():
    client = made(free_port())
    stream = await events(client, message("$1", "hello"))
    assert [event.code for event in stream] == ["unreachable"]
    assert stream[-1].retryable
    await client.aclose()


BROKEN = {
    "reset": [reset],
    "500": answered("500 Broken"),
    "429": answered("429 Busy", "", "retry-after: 0"),
    "cut before the first event": [HEAD],
    "cut after a word": [HEAD, frame(1, TextDelta("h")).encode()],
    "cut in a frame": [
        HEAD,
        frame(1, TextDelta("h")).encode(),
        frame(2, TextDelta("i")).encode()[:9],
    ],
}


@pytest.mark.parametrize("fault", BROKEN)
async def test_what_broke_goes_on_where_it_was(fault):
    rest = [HEAD, WHOLE]
    if fault.startswith(("cut after", "cut in")):
        rest = [HEAD, frame(2, TextDelta("i")).encode(), frame(3, Done()).encode()]
    async with wired(BROKEN[fault], rest, reconnect_timeout=30) as (client, wire):
        stream = await events(client, message("$1", "hello"))
        assert text_of(stream) == "hi"
        assert isinstance(stream[-1], Done)
        first, again = wire.seen
        place = 1 if "word" in fault or "frame" in fault else 0
        assert "last-event-id" not in first.lower()
        assert f"last-event-id: {place}\r\n" in again.lower()
        assert first.splitlines()[-1] == again.splitlines()[-1], "the same message, word for word"


async def test_what_was_read_before_is_left_out_and_unknown_events_are_passed_over():
    new = b'event: mood\nid: 3\ndata: {"mood": "good"}\n\n'
    twice = frame(2, TextDelta("hi")).encode() * 2 + new + frame(4, Done()).encode()
    async with wired([HEAD, b": ping\n\n", twice]) as (client, _):
        assert await events(client, message("$1", "x")) == [TextDelta("hi"), Done()]


async def test_who_cannot_be_reached_is_left_alone_for_a_while():
    async with wired([reset], reconnect_timeout=0) as (client, wire):
        for number in range(3):
            await events(client, message(f"${number}", "hello"))
        asked = len(wire.seen)
        (event,) = await events(client, message("$9", "hello"))
        assert event.code == "unreachable"
        assert "tried again in" in event.message
        with pytest.raises(CallFailed, match="tried again in"):
            await client.save_context(a_chat(), "x", request_id="r")
        assert len(wire.seen) == asked


async def test_refusals_do_not_open_the_breaker():
    async with wired(problem("404 No", "agent_unknown")) as (client, wire):
        for number in range(5):
            await events(client, message(f"${number}", "hello"))
        assert len(wire.seen) == 5


@pytest.mark.parametrize("fault", ["reset", "500", "429"])
async def test_a_call_that_was_not_answered_is_made_again_under_its_request_id(fault):
    saved = json.dumps({"id": "x", "name": "x", "turns": 1, "summary": ""})
    async with wired(BROKEN[fault], answered("200 OK", saved)) as (client, wire):
        assert (await client.save_context(a_chat(), "x", request_id="r7")).turns == 1
        assert [json.loads(seen.splitlines()[-1])["request_id"] for seen in wire.seen] == ["r7"] * 2


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (answered("200 OK", "oh no"), "garbled"),
        (answered("200 OK", '{"id": 7}'), "garbled"),
        (answered("200 OK", "x" * 5_000_000), "garbled"),
        (answered("401 No"), "unauthorized"),
        (answered("500 Broken"), "broken"),
        (problem("501 No", "unsupported"), "unsupported"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_call_that_fails_says_why(script, code):
    async with wired(script) as (client, _):
        with pytest.raises(CallFailed) as caught:
            await client.save_context(a_chat(), "x", request_id="r")
        assert caught.value.error.code == code


async def test_stopping_ends_a_stream_that_hangs():
    begun = frame(2, TextDelta("hi")).encode()
    async with (
        wired([HEAD, begun, hang]) as (client, _),
        aclosing(client.turn(message("$1", "x"))) as stream,
    ):
        assert await anext(stream) == TextDelta("hi")
        reading = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
