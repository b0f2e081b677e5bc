"""A client's memory: follows /sync in the background, and lets a test wait for what it brings.

One rule: nobody sleeps. What a test waits for is a condition on what was seen by now (`until`),
asked again with every change; a condition that never comes fails with everything that was seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from surface.homeserver import Login
from tests.rig import view
from tests.rig.api import MatrixApi, MatrixError
from tests.rig.view import Event, Invite, RoomView

T = TypeVar("T")

TIMEOUT = 60.0
"""Seconds after which a test gives up: generous, for a passing test never waits them out."""
RETRY_SECONDS = 0.1
_FILTER = {"room": {"timeline": {"limit": 100}}, "presence": {"types": []}}


class Follower:
    """Everything one device of a user sees, from the moment it starts.

    A homeserver that goes away is waited for; one that refuses the device ends the following, and
    every wait with it.
    """

    def __init__(self, url: str, login: Login) -> None:
        self.url = url
        self.login = login
        self.user_id = login.user_id
        self.rooms: dict[str, RoomView] = {}
        self.account_data: dict[str, dict[str, Any]] = {}
        self.auto_join_from: set[str] = set()
        """Invitations by these users are accepted as they come."""
        self.api = MatrixApi(url, login.access_token)
        self._changed = asyncio.Condition()
        self._since: str | None = None
        self._task: asyncio.Task[None] | None = None
        self._last_words: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to follow /sync; returns when all that is there by now was seen."""
        self.resume()
        await self.until(lambda: self._since, what="the first /sync")

    async def stop(self) -> None:
        await self.pause()
        await self.api.close()

    def resume(self) -> None:
        """Follow /sync from where it was left."""
        self._task = asyncio.create_task(self._follow(), name=f"sync of {self.user_id}")

    async def pause(self) -> None:
        """See nothing more until `resume`: a closed laptop."""
        if self._task is not None:
            while not self._task.done():
                self._task.cancel()
                # Why it ended, if it did, every wait has told already. Asked again: a request that
                # ends just as it is cancelled may swallow that.
                await asyncio.wait([self._task], timeout=1)
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def until(
        self,
        predicate: Callable[[], T],
        *,
        timeout: float = TIMEOUT,
        what: str = "the condition",
    ) -> T:
        """Wait until `predicate()` is truthy, and return its value.

        It is asked again after every change of what the person sees. A `LookupError` in it means
        "not yet" (there is no such room, no such message).

        Raises:
            AssertionError: not within `timeout` seconds; with all that was seen.
        """
        problem: LookupError | None = None

        def now() -> T | None:
            nonlocal problem
            try:
                return predicate()
            except LookupError as error:
                problem = error
                return None

        try:
            async with asyncio.timeout(timeout), self._changed:
                while not (value := now()):
                    self._check_task()
                    await self._changed.wait()
                return value
        except TimeoutError:
            seen = view.transcript(self.rooms.values())
            hint = f"\nthe last error in the condition: {problem!r}" if problem else ""
            raise AssertionError(
                f"{self.user_id} waited {timeout} s in vain for {what}.{hint}\n"
                f"What {self.user_id} saw:\n{seen}"
            ) from None

    def invites(self, sender: str | None = None) -> list[Invite]:
        """The open invitations, oldest first."""
        invited = (room for room in self.rooms.values() if room.membership == "invite")
        every = [view.invite_of(room, self.user_id) for room in invited]
        return [invite for invite in every if sender in (None, invite.sender)]

    def _check_task(self) -> None:
        """A dead loop would otherwise look like a silent bot."""
        if self._task is not None and self._task.done():
            error = None if self._task.cancelled() else self._task.exception()
            raise RuntimeError(f"{self.user_id} no longer follows /sync") from error

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _follow(self) -> None:
        try:
            while True:
                query: dict[str, str | int] = {"filter": json.dumps(_FILTER)}
                if self._since is not None:
                    query |= {"since": self._since, "timeout": 30_000}
                try:
                    answer = await self.api.call("GET", "sync", query=query)
                    await self._take(answer)
                except (httpx.TransportError, ValueError):
                    # The homeserver is away, which some tests intend. Nothing tells of its return.
                    await asyncio.sleep(RETRY_SECONDS)
                except MatrixError as error:
                    if error.status < 500 and error.status != 429:
                        raise
                    await asyncio.sleep(max(RETRY_SECONDS, error.retry_after_ms / 1000))
        except BaseException:
            # Those who wait must hear of it, from outside this task: it is not done yet.
            self._last_words = asyncio.create_task(self._notify())
            raise

    async def _take(self, answer: dict[str, Any]) -> None:
        """Fill what is missing first: what a sync brings becomes visible all at once."""
        rooms: dict[str, dict[str, Any]] = answer.get("rooms", {})
        gaps: dict[str, list[Event]] = {}
        for section in ("join", "leave"):
            for room_id, data in rooms.get(section, {}).items():
                timeline = data.get("timeline", {})
                if timeline.get("limited") and self._knows(room_id):
                    gaps[room_id] = await self._gap(room_id, timeline["prev_batch"])
                await self._decrypt(room_id, gaps.get(room_id, []) + timeline.get("events", []))
        for section in ("join", "invite", "leave"):
            for room_id, data in rooms.get(section, {}).items():
                self._apply(section, room_id, data, gaps.get(room_id, []))
        for event in answer.get("account_data", {}).get("events", ()):
            self.account_data[event["type"]] = event["content"]
        self._since = answer["next_batch"]
        await self._notify()
        for invite in self.invites():
            if invite.sender in self.auto_join_from:
                with contextlib.suppress(MatrixError):
                    await self.api.call("POST", "join", invite.room_id)

    def _apply(self, section: str, room_id: str, data: dict[str, Any], gap: list[Event]) -> None:
        room = self._room(room_id)
        if section == "invite":
            # An invitation is new each time: last in the order of rooms.
            self.rooms[room_id] = self.rooms.pop(room_id)
            room.membership = "invite"
            room.stripped = data["invite_state"]["events"]
            return
        room.membership = "join" if section == "join" else "leave"
        for event in data.get("state", {}).get("events", ()):
            room.set_state(event)
        room.add(gap)
        room.add(data.get("timeline", {}).get("events", ()))
        for event in data.get("account_data", {}).get("events", ()):
            room.account_data[event["type"]] = event["content"]
        for event in data.get("ephemeral", {}).get("events", ()):
            if event["type"] == "m.typing":
                room.typing = frozenset(event["content"]["user_ids"])
            elif event["type"] == "m.receipt":
                for event_id, kinds in event["content"].items():
                    for user_id in kinds.get("m.read", {}):
                        room.receipts[user_id] = event_id

    def _room(self, room_id: str) -> RoomView:
        return self.rooms.setdefault(room_id, RoomView(room_id, "leave"))

    def _knows(self, room_id: str) -> bool:
        return room_id in self.rooms and bool(self.rooms[room_id].timeline)

    async def _gap(self, room_id: str, prev_batch: str) -> list[Event]:
        """What a limited timeline left out: back to the first event already seen."""
        known = {event["event_id"] for event in self.rooms[room_id].timeline}
        missed: list[Event] = []
        token: str | None = prev_batch
        while token is not None:
            query: dict[str, str | int] = {"dir": "b", "limit": 200, "from": token}
            page = await self.api.call("GET", "rooms", room_id, "messages", query=query)
            for event in page["chunk"]:
                if event["event_id"] in known:
                    return missed[::-1]
                missed.append(event)
            token = page.get("end")
        return missed[::-1]

    async def _decrypt(self, room_id: str, events: list[Event]) -> None:
        """A client without keys decrypts nothing."""
