"""The connections of one HTTP agent: one line per live chat.

One rule: a line lives while it is used, is dropped when its chat is left (`!clear`) or has been idle
for a while, and is never taken from under a stream that still runs on it.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import httpx

IDLE: Final = 60.0
"""Seconds after which an unused line is dropped."""


class _Line:
    def __init__(self, client: httpx.AsyncClient, now: float) -> None:
        self.client, self.used = client, now
        self.users = 0
        self.dropped = False


class Lines:
    """The lines to one platform.

    Args:
        url: where it is.
        headers: sent with every call.
        timeout: of connecting, and of silence.
        now: a clock that only goes forward, in seconds.
    """

    def __init__(
        self,
        url: str,
        headers: dict[str, str],
        timeout: httpx.Timeout,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url, self._headers, self._timeout, self._now = url, headers, timeout, now
        self._lines: dict[str, _Line] = {}
        # Reading the certificates takes a moment; all lines share them.
        self._tls: ssl.SSLContext | bool = (
            ssl.create_default_context() if url.startswith("https") else False
        )

    def __len__(self) -> int:
        return len(self._lines)

    @asynccontextmanager
    async def line(self, chat: str) -> AsyncIterator[httpx.AsyncClient]:
        """Lend the line of a chat."""
        await self._sweep()
        line = self._lines.get(chat)
        if line is None:
            line = self._lines[chat] = _Line(self._open(), self._now())
        line.users += 1
        try:
            yield line.client
        finally:
            line.users -= 1
            line.used = self._now()
            if line.dropped and not line.users:
                await line.client.aclose()

    async def drop(self, chat: str) -> None:
        """Let go of the line of a chat, as soon as nothing runs on it."""
        line = self._lines.pop(chat, None)
        if line is not None:
            line.dropped = True
            if not line.users:
                await line.client.aclose()

    async def aclose(self) -> None:
        """Let go of all lines."""
        for chat in list(self._lines):
            await self.drop(chat)

    async def _sweep(self) -> None:
        before = self._now() - IDLE
        for chat, line in list(self._lines.items()):
            if not line.users and line.used < before:
                await self.drop(chat)

    def _open(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self._url,
            headers=self._headers,
            timeout=self._timeout,
            verify=self._tls,
            trust_env=False,
            limits=httpx.Limits(keepalive_expiry=IDLE),
        )
