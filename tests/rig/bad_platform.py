"""A platform that does not keep the contract: a socket that sends what it is told, byte by byte."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypeAlias

from surface.platform.interface import Done, TextDelta
from surface.platform.wire import frame

Step: TypeAlias = "bytes | Callable[[Wire, asyncio.StreamWriter], Awaitable[None]]"

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
WHOLE = frame(2, TextDelta("hi")).encode() + frame(3, Done()).encode()


class Wire:
    """A platform that sends what it is told; one script a connection, the last one again and again.

    Attributes:
        seen: the requests, head and body.
    """

    def __init__(self, *scripts: list[Step]) -> None:
        self.scripts = list(scripts)
        self.seen: list[str] = []
        self.sent = 0

    def script(self, _request: str) -> list[Step]:
        """What is sent in answer to a request."""
        return self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = (line.partition(":") for line in head.lower().splitlines())
            length = next((int(v) for k, _, v in lines if k == "content-length"), 0)
            self.seen.append(head + (await reader.readexactly(length)).decode())
            for step in self.script(self.seen[-1]):
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


def answered(status: str, body: str = "", *headers: str) -> list[Step]:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers]
    return ["\r\n".join([*lines, "", body]).encode()]


def problem(status: str, code: str, *, retryable: bool = False) -> list[Step]:
    body = {
        "title": code,
        "status": int(status[:3]),
        "code": code,
        "detail": f"It is {code}.",
        "retryable": retryable,
    }
    return answered(status, json.dumps(body), "content-type: application/problem+json")


@asynccontextmanager
async def listening(wire: Wire) -> AsyncIterator[int]:
    """Let a platform listen on loopback; gives the port."""
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(wire.answer(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


FAULTS: Mapping[str, tuple[list[Step], str, dict[str, float]]] = {
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
"""By name: what is sent, the code of the error it must end in, and limits that make it quick."""
