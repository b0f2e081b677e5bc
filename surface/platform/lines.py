"""The connections of one HTTP agent: one line per live chat.

One rule: a line lives while it is used, is dropped when its chat is left (`!clear`) or has been idle
for a while, and is never taken from under a stream that still runs on it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx

IDLE: Final = 60.0
"""Seconds after which an unused line is dropped."""


class _Line:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.users = 0
        self.dropped = False
        self.resting: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        if self.resting is not None:
            self.resting.cancel()
            self.resting = None


class Lines:
    """The lines to one platform.

    Args:
        url: where it is.
        headers: sent with every call.
        timeout: of connecting, and of silence.
        idle: seconds after which an unused line is dropped.
    """

    def __init__(
        self, url: str, headers: dict[str, str], timeout: httpx.Timeout, idle: float = IDLE
    ) -> None:
        self._url, self._headers, self._timeout, self._idle = url, headers, timeout, idle
        self._lines: dict[str, _Line] = {}
        self._dropping: set[asyncio.Task[None]] = set()
        # Reading the certificates takes a moment; all lines share them.
        self._tls: ssl.SSLContext | bool = (
            ssl.create_default_context() if url.startswith("https") else False
        )

    def __len__(self) -> int:
        return len(self._lines)

    @asynccontextmanager
    async def line(self, chat: str) -> AsyncIterator[httpx.AsyncClient]:
        """Lend the line of a chat."""
        line = self._lines.get(chat)
        if line is None:
            line = self._lines[chat] = _Line(self._open())
        line.wake()
        line.users += 1
        try:
            yield line.client
        finally:
            line.users -= 1
            if line.dropped and not line.users:
                await line.client.aclose()
            elif not line.users:
                loop = asyncio.get_running_loop()
                line.resting = loop.call_later(self._idle, self._drop_soon, chat)

    async def drop(self, chat: str) -> None:
        """Let go of the line of a chat, as soon as nothing runs on it."""
        line = self._lines.pop(chat, None)
        if line is not None:
            line.wake()
            line.dropped = True
            if not line.users:
                await line.client.aclose()

    async def aclose(self) -> None:
        """Let go of all lines."""
        for chat in list(self._lines):
            await self.drop(chat)
        await asyncio.gather(*self._dropping)

    def _drop_soon(self, chat: str) -> None:
        task = asyncio.create_task(self.drop(chat), name=f"drop line {chat}")
        self._dropping.add(task)
        task.add_done_callback(self._dropping.discard)

    def _open(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self._url,
            headers=self._headers,
            timeout=self._timeout,
            verify=self._tls,
            trust_env=False,
            limits=httpx.Limits(keepalive_expiry=self._idle),
        )
