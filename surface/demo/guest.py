"""The user's side of the demo: a small Matrix client of its own, on raw HTTP.

Rule: it is a client like any other. It knows nothing that a person's Element would not be told, accepts
what the bot invites it to, and waits for what it sees (`until`), never for time to pass.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import secrets
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

import httpx

from surface.demo.errors import DemoError
from surface.demo.rooms import Room
from surface.homeserver import Login

T = TypeVar("T")

_V3: Final = "/_matrix/client/v3"
_POLL_MS: Final = 30_000
_RETRY_SECONDS: Final = 0.5
_SYNC_FILTER: Final = json.dumps(
    {"room": {"timeline": {"limit": 100}}, "presence": {"types": []}}, separators=(",", ":")
)


class Refused(DemoError):
    """The homeserver said no."""


class Guest:
    """A user of the demo's homeserver, on one device.

    Args:
        url: the homeserver's.
        login: the device.
        bot: the bot's user id.
    """

    def __init__(self, url: str, login: Login, bot: str) -> None:
        self.user_id, self.bot = login.user_id, bot
        self.rooms: dict[str, Room] = {}
        self.account_data: dict[str, dict[str, Any]] = {}
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {login.access_token}"},
            timeout=httpx.Timeout(_POLL_MS / 1000 + 30),
            trust_env=False,
        )
        self._since: str | None = None
        self._transactions = (f"{secrets.token_hex(6)}.{n}" for n in itertools.count(1))
        self._changed = asyncio.Condition()
        self._following: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._sync()
        except BaseException:
            await self._http.aclose()
            raise
        self._following = asyncio.create_task(self._follow(), name="sync of the guest")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self._http.aclose()

    def joined(self) -> list[Room]:
        """The rooms the guest is in, Spaces included."""
        return [room for room in self.rooms.values() if room.membership == "join"]

    async def send(self, room_id: str, text: str) -> str:
        """Say something; returns the event id.

        Raises:
            DemoError: the homeserver refused it, or does not answer.
        """
        content = {"msgtype": "m.text", "body": text}
        where = ("rooms", room_id, "send", "m.room.message", next(self._transactions))
        try:
            return str((await self._call("PUT", *where, body=content))["event_id"])
        except httpx.TransportError as error:
            raise DemoError(f"The homeserver does not answer: {error!r}") from None

    async def invite_bot(self) -> str:
        """Open a direct room with the bot in it, as clients do; returns its id."""
        room = await self._call(
            "POST",
            "createRoom",
            body={"is_direct": True, "invite": [self.bot], "preset": "trusted_private_chat"},
        )
        room_id = str(room["room_id"])
        direct = {**self.account_data.get("m.direct", {})}
        direct[self.bot] = [*direct.get(self.bot, []), room_id]
        await self._call("PUT", "user", self.user_id, "account_data", "m.direct", body=direct)
        return room_id

    def homes(self) -> list[str]:
        """The direct rooms with the bot, oldest first."""
        direct = self.account_data.get("m.direct", {}).get(self.bot, [])
        return [
            room_id
            for room_id in direct
            if (room := self.rooms.get(room_id)) is not None
            and room.membership == "join"
            and room.content("m.room.member", self.bot).get("membership") in ("join", "invite")
        ]

    async def until(self, predicate: Callable[[], T], seconds: float | None = None) -> T:
        """Wait until `predicate()` is truthy; it is asked again with every change.

        Raises:
            TimeoutError: not within `seconds`.
            DemoError: the homeserver does not know the guest any more.
        """
        async with asyncio.timeout(seconds), self._changed:
            while not (value := predicate()):
                if self._following is not None and self._following.done():
                    self._following.result()
                await self._changed.wait()
            return value

    async def changed(self) -> None:
        """Wait for the next change."""
        async with self._changed:
            await self._changed.wait()

    async def _follow(self) -> None:
        try:
            while True:
                try:
                    await self._sync()
                except httpx.TransportError:
                    # The homeserver is away; should it have ended, the demo ends too.
                    await asyncio.sleep(_RETRY_SECONDS)
                    continue
                await self._notify()
        except DemoError:
            # Those who wait must hear of it; they look at this task once it is done.
            asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(self._notify()))
            raise

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _sync(self) -> None:
        query: dict[str, str | int] = {"filter": _SYNC_FILTER}
        if self._since is not None:
            query |= {"since": self._since, "timeout": _POLL_MS}
        answer = await self._call("GET", "sync", query=query)
        rooms = answer.get("rooms", {})
        for section in ("join", "invite", "leave"):
            for room_id, news in rooms.get(section, {}).items():
                self._take(section, room_id, news)
        for event in answer.get("account_data", {}).get("events", ()):
            self.account_data[event["type"]] = event["content"]
        self._since = answer["next_batch"]
        for room in list(self.rooms.values()):
            if room.membership == "invite" and room.invited_by == self.bot:
                with contextlib.suppress(Refused):  # taken back already
                    await self._call("POST", "join", room.room_id, body={})

    def _take(self, section: str, room_id: str, news: dict[str, Any]) -> None:
        room = self.rooms.setdefault(room_id, Room(room_id))
        room.membership = section
        if section == "invite":
            stripped = news["invite_state"]["events"]
            mine = [event for event in stripped if event.get("state_key") == self.user_id]
            room.invited_by = mine[-1]["sender"] if mine else None
            return
        room.take(news.get("state", {}).get("events", ()), bot=self.bot)
        room.take(news.get("timeline", {}).get("events", ()), bot=self.bot)

    async def _call(
        self,
        method: str,
        *segments: str,
        body: dict[str, Any] | None = None,
        query: dict[str, str | int] | None = None,
    ) -> dict[str, Any]:
        path = _V3 + "".join("/" + quote(segment, safe="") for segment in segments)
        response = await self._http.request(method, path, json=body, params=query)
        if not response.is_success:
            raise Refused(
                f"The homeserver refused {method} {path}: {response.status_code} {response.text}"
            )
        answer: dict[str, Any] = response.json()
        return answer
