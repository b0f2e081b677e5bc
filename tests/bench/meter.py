"""A stopwatch at a Matrix client: from the PUT of a message until somebody's /sync has its answer.

As little as a client can be, and the same for everything measured: one session, one sync loop, and a
future for each message waited for. What it costs itself is in the floor, too.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp

from surface.homeserver import Login

FILTER = json.dumps(
    {
        "presence": {"types": []},
        "account_data": {"types": []},
        "room": {
            "ephemeral": {"types": []},
            "account_data": {"types": []},
            "state": {"lazy_load_members": True},
            "timeline": {"limit": 50},
        },
    }
)


class Meter:
    """One user's client."""

    def __init__(self, url: str, login: Login) -> None:
        self.user_id = login.user_id
        self._url, self._token = url, login.access_token
        self._waiting: dict[tuple[str, str, str], asyncio.Future[float]] = {}
        self._texts = itertools.count(1)
        self.seen: Callable[[str, dict[str, Any]], None] = lambda _room, _event: None
        """Is told of every event of a timeline."""

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self._token}"}
        self._session = aiohttp.ClientSession(headers=headers)
        first = await self._call("GET", "/sync", params={"filter": FILTER})
        self._task = asyncio.create_task(self._follow(first["next_batch"]))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._session.close()

    async def round(self, room_id: str, answerer: str, *, at: Meter | None = None) -> float:
        """Send a message; the milliseconds until its text comes back from `answerer`.

        Args:
            at: who waits for it; oneself by default.
        """
        started = time.perf_counter()
        came = await self.say(room_id, answerer, at=at)
        async with asyncio.timeout(60):
            return (await came - started) * 1000

    async def say(
        self, room_id: str, answerer: str, *, at: Meter | None = None, text: str | None = None
    ) -> asyncio.Future[float]:
        """Send a message; when its text comes back from `answerer`, by `time.perf_counter`."""
        mark = f"round {next(self._texts)} of {self.user_id}"
        text = text or mark
        came = (at or self).expect(room_id, answerer, text)
        where = f"/rooms/{quote(room_id)}/send/m.room.message/{quote(mark)}"
        await self._call("PUT", where, json={"msgtype": "m.text", "body": text})
        return came

    def expect(self, room_id: str, sender: str, text: str) -> asyncio.Future[float]:
        """When a message comes."""
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting[(room_id, sender, text)] = future
        return future

    async def _follow(self, since: str) -> None:
        while True:
            params = {"filter": FILTER, "since": since, "timeout": "30000"}
            answer = await self._call("GET", "/sync", params=params)
            now, since = time.perf_counter(), answer["next_batch"]
            for room_id, room in answer.get("rooms", {}).get("join", {}).items():
                for event in room["timeline"]["events"]:
                    self.seen(room_id, event)
                    key = (room_id, event["sender"], event["content"].get("body", ""))
                    future = self._waiting.pop(key, None)
                    if future is not None:
                        future.set_result(now)

    async def _call(self, method: str, where: str, **how: Any) -> Any:
        url = f"{self._url}/_matrix/client/v3{where}"
        async with self._session.request(method, url, **how) as response:
            response.raise_for_status()
            return await response.json()
