"""Whatever comes from a platform or a model: a stream ends once, and all that is in it can be passed on.

A socket on loopback sends the bytes; the adapters are the real ones.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import HttpAgent, OpenAIAgent
from store.memory import MemoryStore
from surface.platform.http import HttpClient
from surface.platform.interface import (
    CallFailed,
    ConfirmationAsked,
    Done,
    FileOut,
    PlatformClient,
    PlatformError,
    Status,
    TextDelta,
    TurnEvent,
)
from surface.platform.openai import OpenAIClient
from surface.platform.wire import NAMES, data_of, joined, length
from tests.rig.bad_platform import HEAD, Wire, listening
from tests.rig.mutations import as_json, broken_bytes, many, mutated
from tests.surface.test_platform_conformance import a_chat, message

PATIENCE = 60.0
TURN = (
    TextDelta("Let me see. "),
    Status("looking"),
    ConfirmationAsked("q1", "Really?"),
    FileOut("a/b.txt", "b.txt", "text/plain"),
    TextDelta("There it is: é😀"),
    Done({"input_tokens": 3, "output_tokens": 5}),
)
FAILED = (TextDelta("Well"), PlatformError("broken", "It broke.", retryable=True))


def frames(events: tuple[TurnEvent, ...]) -> list[dict[str, Any]]:
    """A stream as a document: what each event says, and in which frame."""
    place, found = 0, []
    for event in events:
        place += length(event)
        found.append({"event": NAMES[type(event)], "id": place, "data": json.loads(data_of(event))})
    return found


def stream_of(found: Any) -> bytes:
    """The bytes of such a document, whatever has become of it."""
    whole = b""
    for frame in found if isinstance(found, list) else [found]:
        parts = frame.items() if isinstance(frame, dict) else [("data", frame)]
        for name, value in parts:
            line = as_json(value) if name == "data" else _plain(value)
            whole += _plain(name) + b": " + line + b"\n"
        whole += b"\n"
    return whole


def _plain(value: Any) -> bytes:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else as_json(value)


CHUNK = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "parrot"}
CHUNKS = [
    {**CHUNK, "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hello "}}]},
    {**CHUNK, "choices": [{"index": 0, "delta": {"content": "there"}}]},
    {**CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {
        **CHUNK,
        "choices": [],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    },
]


def chunks_of(found: Any) -> bytes:
    found = found if isinstance(found, list) else [found]
    return b"".join(b"data: " + as_json(chunk) + b"\n\n" for chunk in found) + b"data: [DONE]\n\n"


async def heard(client: PlatformClient) -> list[TurnEvent]:
    """A turn to its end, which comes once."""
    async with asyncio.timeout(PATIENCE), aclosing(client.turn(message("$1", "hello"))) as stream:
        events = [event async for event in stream]
    assert [e for e in events if isinstance(e, Done | PlatformError)] == events[-1:]
    for event in events:
        json.dumps(asdict(event), allow_nan=False, ensure_ascii=False).encode()
    return events


def http_client(port: int) -> HttpClient:
    entry = HttpAgent(
        id="echo", name="E", adapter="http", url=f"http://127.0.0.1:{port}", reconnect_timeout=0
    )
    return HttpClient(installation_id="inst", agent_id="echo", options=entry)


async def http_turn(data: bytes) -> list[TurnEvent]:
    async with listening(Wire([HEAD, data])) as port:
        client = http_client(port)
        try:
            return await heard(client)
        finally:
            await client.aclose()


async def openai_turn(data: bytes) -> list[TurnEvent]:
    store = MemoryStore()
    async with listening(Wire([HEAD, data])) as port:
        entry = OpenAIAgent(
            id="echo", name="P", adapter="openai", url=f"http://127.0.0.1:{port}/v1", model="parrot"
        )
        client = OpenAIClient(store, installation_id="inst", agent_id="echo", options=entry)
        try:
            events = await heard(client)
            known = await client.describe_context(a_chat())
        finally:
            await client.aclose()
    # The answer is remembered whole, or the message was never there.
    assert known.turns == isinstance(events[-1], Done)
    said = "".join(e.text for e in events if isinstance(e, TextDelta))
    for _, row in await store.scan("openai"):
        assert [kept["answer"] for kept in json.loads(row.body["messages"])] == [said]
    return events


@pytest.mark.parametrize("turn", [TURN, FAILED])
def test_a_whole_stream_is_heard(turn: tuple[TurnEvent, ...]) -> None:
    assert joined(asyncio.run(http_turn(stream_of(frames(turn))))) == joined(turn)


def test_a_whole_answer_is_heard() -> None:
    assert joined(asyncio.run(openai_turn(chunks_of(CHUNKS)))) == (
        TextDelta("Hello there"),
        Done({"input_tokens": 1, "output_tokens": 2}),
    )


@many(20)
@given(data=mutated([frames(TURN), frames(FAILED)]).map(stream_of))
def test_a_stream_of_a_platform_that_is_almost_one(data: bytes) -> None:
    asyncio.run(http_turn(data))


@many(10)
@given(data=broken_bytes(st.sampled_from([stream_of(frames(turn)) for turn in (TURN, FAILED)])))
def test_a_stream_of_a_platform_of_broken_bytes(data: bytes) -> None:
    asyncio.run(http_turn(data))


def test_half_a_letter_of_a_model_is_none() -> None:
    half = {**CHUNKS[0], "choices": [{"index": 0, "delta": {"content": "a\ud800b"}}]}
    assert asyncio.run(openai_turn(chunks_of([half, CHUNKS[2]])))[0] == TextDelta("a?b")


@many(20)
@given(data=mutated([CHUNKS]).map(chunks_of))
def test_an_answer_of_a_model_that_is_almost_one(data: bytes) -> None:
    asyncio.run(openai_turn(data))


@many(10)
@given(data=broken_bytes(st.just(chunks_of(CHUNKS))))
def test_an_answer_of_a_model_of_broken_bytes(data: bytes) -> None:
    asyncio.run(openai_turn(data))


SAVE = {
    "id": "s1",
    "name": "plans",
    "turns": 3,
    "summary": "Dinner",
    "saved_at": "2026-01-02T00:00:00Z",
}
CARD = {
    "id": "echo",
    "name": "E",
    "description": "",
    "abilities": {"confirmations": True, "saves": True, "files": True},
}
PROBLEM = {"title": "No", "status": 404, "code": "not_found", "detail": "No.", "retryable": False}
ANSWERS = [
    SAVE,
    [SAVE],
    [CARD],
    {"turns": 3, "summary": "", "saves": [SAVE], "loaded_from": "plans"},
    PROBLEM,
]
STATUSES = ["200 OK", "204 No", "301 Moved", "400 No", "401 No", "404 No", "409 No", "501 No"]


async def http_calls(status: str, body: bytes) -> None:
    head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    async with listening(Wire([head.encode() + body])) as port, asyncio.timeout(PATIENCE):
        client, chat = http_client(port), a_chat()
        try:
            await client.health()
            for call in (
                client.describe_context(chat),
                client.list_contexts("@a:hs"),
                client.save_context(chat, "plans", request_id="r1"),
                client.load_context(chat, "s1", request_id="r2"),
                client.cancel(chat, "$1", request_id="r3"),
            ):
                try:
                    await call
                except CallFailed as failed:
                    assert failed.error.code and failed.error.message
                    failed.error.message.encode()
        finally:
            await client.aclose()


@many(10)
@given(
    status=st.sampled_from(STATUSES),
    body=mutated([[a] for a in ANSWERS]).map(lambda d: as_json(d[0] if d else d)),
)
def test_an_answer_of_a_platform_to_other_calls(status: str, body: bytes) -> None:
    asyncio.run(http_calls(status, body))
