"""What may come between surface and platform: every fault ends in one clear error or in the whole answer.

Time limits are short here, and no test asserts how long anything took.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest

from config import HttpAgent
from surface.platform.http import HttpClient
from surface.platform.interface import CallFailed, ConfirmationAsked, Done, PlatformError, TextDelta
from surface.platform.wire import frame
from tests.rig.bad_platform import (
    FAULTS,
    HEAD,
    WHOLE,
    Step,
    Wire,
    answered,
    hang,
    listening,
    problem,
    reset,
    words_for_ever,
)
from tests.rig.services import free_port

from .test_platform_conformance import a_chat, events, message, text_of


@asynccontextmanager
async def wired(*scripts: list[Step], **options: float) -> AsyncIterator:
    wire = Wire(*scripts)
    async with listening(wire) as port:
        client = made(port, **options)
        try:
            yield client, wire
        finally:
            await client.aclose()


def made(port: int, **options: float) -> HttpClient:
    limits = {"reconnect_timeout": 0.5} | options
    entry = HttpAgent(id="echo", name="E", adapter="http", url=f"http://127.0.0.1:{port}", **limits)
    return HttpClient(installation_id="inst", agent_id="echo", options=entry)


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


async def test_a_person_may_take_their_time_also_after_a_break():
    async def some_pings(_, writer):
        for _ in range(50):
            writer.write(b": ping\n\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    asked = ConfirmationAsked("q", "Really?")
    scripts = [HEAD, frame(1, asked).encode()], [HEAD, some_pings, frame(2, Done()).encode()]
    async with wired(*scripts, first_timeout=0.3, reconnect_timeout=30) as (client, _):
        assert await events(client, message("$1", "hello")) == [asked, Done()]


async def test_an_endless_answer_is_ended_on_the_platform_too():
    async with wired([HEAD, words_for_ever], answered("204 Done")) as (client, wire):
        await events(client, message("$1", "hello"))
        assert "/v1/chats/1/cancel" in wire.seen[1]
        assert json.loads(wire.seen[1].splitlines()[-1])["message_id"] == "$1"


async def test_a_call_that_trickles_in_is_given_up():
    async def trickle(_, writer):
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n"
    async with wired([head, trickle], first_timeout=0.3) as (client, _):
        with pytest.raises(CallFailed) as caught:
            await client.save_context(a_chat(), "x", request_id="r")
        assert caught.value.error.code == "silent"


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
