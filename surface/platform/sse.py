"""Reads a turn's stream, and bears anything that may come instead of it.

One rule: memory is bounded whatever is sent. An event longer than `LONGEST_EVENT` ends the reading
before it is held; text that is no UTF-8, JSON that is not what its name promises, or a place that goes
backwards is `Garbled`, never guessed at.
"""

from __future__ import annotations

import codecs
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

import httpx
from httpx_sse import EventSource, SSEError

from .interface import TurnEvent
from .wire import EVENT_STREAM, event_from, length

LONGEST_EVENT: Final = 1_000_000
"""Bytes."""
LONGEST_BODY: Final = 4_000_000
"""Bytes of an answer that is no stream."""

_ENDS: Final = (b"\n\n", b"\r\n\r\n", b"\r\r")


class Garbled(Exception):
    """What was sent is not what the contract promises."""


async def read_events(
    response: httpx.Response, place: int
) -> AsyncGenerator[tuple[int, TurnEvent], None]:
    """Yield the events of a stream, each with the place behind it; what lies before `place` is left out.

    Args:
        response: its body is not read yet.
        place: how far the reader has come.

    Raises:
        Garbled: this is no such stream.
        httpx.TransportError: the connection broke, or there was silence for too long.
    """
    kind = response.headers.get("content-type", "").partition(";")[0].strip()
    if kind != EVENT_STREAM or response.headers.get("content-encoding", "identity") != "identity":
        raise Garbled(f"the answer is `{kind}`, not a stream of events")
    bounded = httpx.Response(
        200, headers={"content-type": EVENT_STREAM}, stream=_Bounded(response.aiter_raw())
    )
    try:
        async for sse in EventSource(bounded).aiter_sse():
            if not sse.data:
                continue
            here, event = _event(sse.event, sse.id, sse.data)
            if here <= place:
                continue
            if event is not None and here - place != length(event):
                raise Garbled(f"event {here} does not follow {place}")
            place = here
            if event is not None:
                yield here, event
    except SSEError as error:
        raise Garbled(str(error)) from error


async def read_body(response: httpx.Response) -> bytes:
    """Read an answer that is no stream.

    Raises:
        Garbled: it is too long.
        httpx.TransportError: the connection broke.
    """
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > LONGEST_BODY:
            raise Garbled("the answer is too long")
    return body


def _event(name: str, place: str, data: str) -> tuple[int, TurnEvent | None]:
    try:
        event = event_from(name, data)
        here = int(place)
    except ValueError:
        raise Garbled(f"event `{name[:40]}` is not what it should be") from None
    return here, event


class _Bounded(httpx.AsyncByteStream):
    """The bytes of a stream, as long as they are UTF-8 and its events have an end."""

    def __init__(self, raw: AsyncIterator[bytes]) -> None:
        self._raw = raw

    async def __aiter__(self) -> AsyncIterator[bytes]:
        decoder = codecs.getincrementaldecoder("utf-8")()
        unended, tail = 0, b""
        async for chunk in self._raw:
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                raise Garbled("the stream is not UTF-8 text") from None
            seen = tail + chunk
            ends = [at + len(end) for end in _ENDS if (at := seen.rfind(end)) >= 0]
            unended = len(seen) - max(ends) if ends else unended + len(chunk)
            if unended > LONGEST_EVENT:
                raise Garbled(f"an event is longer than {LONGEST_EVENT} bytes")
            tail = seen[-3:]
            yield chunk
