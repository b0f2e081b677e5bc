"""A bad network between the bot and its homeserver, on loopback, failing exactly as told.

One rule: what no armed rule matches passes through unchanged, long-polls and streams included; and
every request is written down, so that a test can count them and bound their rate.

    async with FaultProxy(homeserver.url) as proxy:
        rule = proxy.arm("PUT", r"/send/", DropResponse())
        ...                       # the bot uses proxy.url
        await rule.fired()
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeAlias, assert_never
from urllib.parse import unquote

import aiohttp
from aiohttp import web
from yarl import URL

TIMEOUT = 60.0
_OF_BODY = {"content-length", "content-encoding"}
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "host"}


@dataclass(frozen=True, slots=True)
class Refuse:
    """Close the connection; the homeserver never hears of the request."""


@dataclass(frozen=True, slots=True)
class DropResponse:
    """Let the homeserver carry the request out, then close the connection without an answer."""


@dataclass(frozen=True, slots=True)
class Status:
    """Answer in the homeserver's stead, by default as a reverse proxy whose server is away."""

    status: int = 502
    body: bytes = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
    content_type: str = "text/html"


@dataclass(frozen=True, slots=True)
class TooMany:
    """Answer 429 with `M_LIMIT_EXCEEDED`."""

    retry_after_ms: int = 200


@dataclass(frozen=True, slots=True)
class Truncate:
    """Forward; answer with the full `Content-Length` and half of the body."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """Forward; answer 200 with bytes that are neither UTF-8 nor JSON."""

    body: bytes = b'{"next_batch": "\xff\xfe\xc3'


@dataclass(frozen=True, slots=True)
class Delay:
    """Wait, then forward."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hold:
    """Wait until `Rule.release`: before forwarding, or with the answer in hand."""

    answered: bool = False


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Forward; answer with what this makes of the body."""

    change: Callable[[bytes], bytes]


Action: TypeAlias = (
    Refuse | DropResponse | Status | TooMany | Truncate | Garbage | Delay | Hold | Rewrite
)


@dataclass(slots=True)
class Request:
    """One request that reached the proxy."""

    method: str
    path: str
    """Decoded, without the query."""
    at: float
    """`time.monotonic` of its arrival."""
    query: str = ""
    """As it was sent."""
    failed: bool = False
    """Whether a rule has claimed it, or the homeserver was away."""


def _always() -> bool:
    return True


@dataclass
class Rule:
    """An armed fault: which requests it is for, and whether it has come to pass."""

    method: str
    pattern: re.Pattern[str]
    action: Action
    nth: int
    times: int | None
    when: Callable[[], bool] = _always
    latest: Request | None = None
    """The request that `when` is asked about."""
    matched: int = 0
    hits: int = 0
    """How many requests it has claimed."""
    done: int = 0
    """How often its effect was complete, as `fired` counts."""
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _released: asyncio.Event = field(default_factory=asyncio.Event)
    _disarmed: bool = False

    def claims(self, request: Request) -> bool:
        """Count a request; whether this one is to fail."""
        if self._disarmed or self.method not in ("*", request.method):
            return False
        if not self.pattern.search(request.path):
            return False
        self.matched += 1
        if self.matched < self.nth or (self.times is not None and self.hits >= self.times):
            return False
        self.latest = request
        if not self.when():
            return False
        self.hits += 1
        return True

    async def fired(self, times: int = 1, *, timeout: float = TIMEOUT) -> None:
        """Wait until the rule has fired (so often).

        A `DropResponse` has fired once the homeserver has answered, a `Hold` once it holds.

        Raises:
            AssertionError: not within `timeout` seconds.
        """
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(lambda: self.done >= times)
        except TimeoutError:
            raise AssertionError(
                f"{self.action} for {self.method} {self.pattern.pattern} fired {self.done} "
                f"time(s), not {times}, within {timeout} s"
            ) from None

    async def complete(self) -> None:
        """Count an effect, and wake those who wait for it."""
        self.done += 1
        async with self._changed:
            self._changed.notify_all()

    def release(self) -> None:
        """Let go what a `Hold` holds, now and from now on."""
        self._released.set()

    def disarm(self) -> None:
        """Fire no more."""
        self._disarmed = True
        self._released.set()

    async def released(self) -> None:
        await self._released.wait()


class FaultProxy:
    """Forwards to a homeserver, but for what is armed to fail.

    Args:
        upstream: base URL of the homeserver.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream.rstrip("/")
        self.requests: list[Request] = []
        self._rules: list[Rule] = []
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """The base URL to give to the bot."""
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{anything:.*}", self._handle)
        # A client that goes away takes its request to the homeserver along, as without a proxy.
        runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self._port)
        await site.start()
        self._port = runner.addresses[0][1]
        self._runner = runner
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),
            connector=aiohttp.TCPConnector(limit=0),
        )

    async def stop(self) -> None:
        """Close, with every connection; `start` comes back at the same port."""
        for rule in self._rules:
            rule.release()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    # --- faults -------------------------------------------------------------------------------

    def arm(
        self,
        method: str,
        path: str,
        action: Action,
        *,
        nth: int = 1,
        times: int | None = 1,
        when: Callable[[], bool] = _always,
    ) -> Rule:
        """Let requests fail.

        Args:
            method: `GET`, `PUT` …, or `*`.
            path: a pattern found in the decoded path.
            action: what happens to them.
            nth: the first of the matching requests, from now on, to fail.
            times: how many fail; None for all until `Rule.disarm`.
            when: asked of each that would; only if it says so, it does.
        """
        rule = Rule(method.upper(), re.compile(path), action, nth, times, when)
        self._rules.append(rule)
        return rule

    # --- counting -----------------------------------------------------------------------------

    def count(self, method: str = "*", path: str = "", *, since: float = 0.0) -> int:
        """How many requests came, optionally since a `time.monotonic`."""
        return len(self._found(method, path, since))

    def busiest(
        self,
        method: str = "*",
        path: str = "",
        *,
        window: float = 1.0,
        since: float = 0.0,
        failed: bool = False,
    ) -> int:
        """The most requests that came within any `window` seconds since a `time.monotonic`.

        Args:
            failed: count only those that failed: what a client that spins makes many of.
        """
        found = self._found(method, path, since)
        times = [request.at for request in found if request.failed or not failed]
        most = first = 0
        for last, at in enumerate(times):
            while times[first] < at - window:
                first += 1
            most = max(most, last - first + 1)
        return most

    def _found(self, method: str, path: str, since: float) -> list[Request]:
        pattern = re.compile(path)
        return [
            request
            for request in self.requests
            if method in ("*", request.method)
            and request.at >= since
            and pattern.search(request.path)
        ]

    # --- forwarding ---------------------------------------------------------------------------

    async def _handle(self, incoming: web.Request) -> web.StreamResponse:
        where, _, query = incoming.raw_path.partition("?")
        request = Request(incoming.method, unquote(where), time.monotonic(), query)
        self.requests.append(request)
        # The body first: a request that fails has arrived in full.
        body = await incoming.read()
        rule = next((rule for rule in self._rules if rule.claims(request)), None)
        if rule is None:
            return await self._forward(request, incoming, body)
        request.failed = True
        try:
            return await self._fail(request, incoming, body, rule)
        except aiohttp.ClientError:
            return _cut(incoming)

    async def _fail(
        self, request: Request, incoming: web.Request, body: bytes, rule: Rule
    ) -> web.StreamResponse:
        match rule.action:
            case Refuse():
                await rule.complete()
                return _cut(incoming)
            case DropResponse():
                await self._ask(incoming, body)
                await rule.complete()
                return _cut(incoming)
            case Status(status, answer, content_type):
                await rule.complete()
                return web.Response(status=status, body=answer, content_type=content_type)
            case TooMany(retry_after_ms):
                await rule.complete()
                error = {"errcode": "M_LIMIT_EXCEEDED", "error": "Too Many Requests"}
                return web.json_response({**error, "retry_after_ms": retry_after_ms}, status=429)
            case Truncate():
                upstream, answer = await self._ask(incoming, body)
                headers = {**_headers(upstream), "Content-Length": str(len(answer))}
                response = web.StreamResponse(status=upstream.status, headers=headers)
                await response.prepare(incoming)
                await response.write(answer[: len(answer) // 2])
                await rule.complete()
                return _cut(incoming, response)
            case Garbage(answer):
                await self._ask(incoming, body)
                await rule.complete()
                return web.Response(body=answer, content_type="application/json")
            case Delay(seconds):
                await rule.complete()
                await asyncio.sleep(seconds)
                return await self._forward(request, incoming, body)
            case Hold(answered=False):
                await rule.complete()
                await rule.released()
                return await self._forward(request, incoming, body)
            case Hold():
                upstream, answer = await self._ask(incoming, body)
                await rule.complete()
                await rule.released()
                return web.Response(status=upstream.status, body=answer, headers=_headers(upstream))
            case Rewrite(change):
                upstream, answer = await self._ask(incoming, body)
                await rule.complete()
                headers = {k: v for k, v in _headers(upstream).items() if k.lower() not in _OF_BODY}
                return web.Response(status=upstream.status, body=change(answer), headers=headers)
            case _ as never:
                assert_never(never)

    async def _forward(
        self, request: Request, incoming: web.Request, body: bytes
    ) -> web.StreamResponse:
        try:
            async with self._open(incoming, body) as upstream:
                response = web.StreamResponse(
                    status=upstream.status, reason=upstream.reason, headers=_headers(upstream)
                )
                await response.prepare(incoming)
                async for chunk in upstream.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
                return response
        except aiohttp.ClientError:
            # The homeserver is away: the client sees what it would without us.
            request.failed = True
            return _cut(incoming)

    async def _ask(
        self, incoming: web.Request, body: bytes
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        async with self._open(incoming, body) as upstream:
            return upstream, await upstream.read()

    def _open(self, incoming: web.Request, body: bytes) -> aiohttp.client._RequestContextManager:
        assert self._session is not None, "the proxy is stopped"
        headers = {k: v for k, v in incoming.headers.items() if k.lower() not in _HOP_BY_HOP}
        return self._session.request(
            incoming.method,
            URL(self.upstream + incoming.raw_path, encoded=True),
            headers=headers,
            data=body or None,
            allow_redirects=False,
        )


def _headers(upstream: aiohttp.ClientResponse) -> dict[str, str]:
    return {k: v for k, v in upstream.headers.items() if k.lower() not in _HOP_BY_HOP}


def _cut(incoming: web.Request, response: web.StreamResponse | None = None) -> web.StreamResponse:
    """Close the connection without (more of) an answer."""
    if incoming.transport is not None:
        incoming.transport.close()
    return response or web.Response()
