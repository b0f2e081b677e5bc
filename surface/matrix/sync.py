"""The project's own sync loop: one response at a time, and the next only when this one is kept.

nio's `sync_forever` stores the token before its callbacks run, spins on errors and dies of a bad body.
Here the token moves only after `keep` has committed everything the response brought; a failure waits, with
exponential backoff and jitter, and says so; a dead token ends the loop.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeGuard

import structlog

from surface.matrix.api import CLIENT, Api, Lost, MatrixError, path
from surface.matrix.crypto import Crypto

log = structlog.get_logger()

TIMEOUT = 30.0
"""Seconds the homeserver may hold a sync open (spec: `timeout`)."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
"""Seconds to wait after the first failure, and at most."""
LONGEST_TOKEN = 4_096
"""Characters of a sync token or a filter's id; it goes into the address of the next request."""

FILTER: dict[str, Any] = {
    "presence": {"types": []},
    "account_data": {"types": []},
    "room": {
        "ephemeral": {"types": []},
        "account_data": {"types": []},
        "timeline": {"limit": 50},
        "state": {"lazy_load_members": False},
    },
}

FIRST_ACCOUNT_DATA = ["m.fully_read"]
"""Room account data that only a sync without a token brings: later it would wake the loop for nothing."""

Keep = Callable[[dict[str, Any], str | None], Awaitable[None]]
"""Takes a response and the token it was asked with; returns when everything in it is committed."""


def backoff(failures: int) -> float:
    """Seconds to wait after so many failures in a row; never the same for two bots."""
    return float(
        min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(failures - 1, 10)) * random.uniform(0.5, 1)
    )


async def _at_once() -> None:
    """Nothing to wait for."""


class SyncLoop:
    """Reads /sync for the whole life of the process."""

    def __init__(self, api: Api, me: str, crypto: Crypto, keep: Keep, since: str | None) -> None:
        self._api, self._me, self._crypto, self._keep = api, me, crypto, keep
        self._filter: str | None = None
        """`FILTER` as requests name it: by its id, or all of it; None: not known yet."""
        self.since = since
        self.succeeded: float | None = None
        """When a response was last kept, by `time.monotonic`; None: never yet."""
        self.tried: float | None = None
        """When an attempt last ended, well or not."""
        self.healthy = asyncio.Event()
        """Set while the last sync succeeded."""
        self.answered: Callable[[], Awaitable[None]] = _at_once
        """Waits, not long, until what a response brought is answered."""
        self.on_keys: Callable[[], None] = lambda: None
        """Called when to-device messages came: what could not be decrypted may be now."""

    async def once(self, *, wait: float = 0) -> None:
        """One sync, retried until it succeeds; `wait` seconds may pass on the homeserver.

        Raises:
            TokenDead: the session is over.
        """
        failures = 0
        while True:
            try:
                await self._step(wait)
            except (Lost, MatrixError) as error:
                failures, self.tried = failures + 1, time.monotonic()
                delay = backoff(failures)
                if isinstance(error, MatrixError) and error.retry_after:
                    delay = max(delay, error.retry_after)
                self.healthy.clear()
                log.warning(
                    "sync.failed",
                    why=str(error),
                    again_in=round(delay, 1),
                    failures=failures,
                    hint="is the homeserver up?" if failures > 1 else None,
                )
                await asyncio.sleep(delay)
            else:
                if failures:
                    log.info("sync.recovered", failures=failures)
                self.succeeded = self.tried = time.monotonic()
                self.healthy.set()
                return

    async def run(self) -> None:
        """Sync until cancelled.

        Raises:
            TokenDead: the session is over.
        """
        while True:
            await self.once(wait=TIMEOUT)
            # A homeserver that is asked for news meanwhile is slower to take the answers.
            await self.answered()

    async def _step(self, wait: float) -> None:
        query = {"timeout": str(int(wait * 1000))}
        if self.since is None:
            query["filter"] = _first_filter()
        else:
            query |= {"since": self.since, "filter": await self._later_filter()}
        try:
            # An initial or a first sync may take a busy homeserver minutes; a held one its timeout and more.
            raw = await self._api.request("GET", f"{CLIENT}/sync", query=query, timeout=wait + 120)
        except MatrixError as error:
            if not error.limited:
                self._filter = (
                    _WHOLE  # It may be the id that the homeserver does not know any more.
                )
            raise
        token = raw.get("next_batch")
        if not _is_token(token):
            raise Lost("the sync response has no next_batch, or none that could be sent back")
        # To-device messages are deleted on the homeserver by the next sync, so nio keeps them first.
        await self._crypto.take_sync(raw)
        await self._keep(raw, self.since)
        self.since = token
        to_device = raw.get("to_device")
        if isinstance(to_device, dict) and to_device.get("events"):
            self.on_keys()
        await self._crypto.housekeeping()

    async def _later_filter(self) -> str:
        """`FILTER` by the id that the homeserver gives it (spec, "Filtering"): Synapse checks one that comes
        with a request anew each time, which takes it longer than to see that there is nothing new."""
        if self._filter is None:
            try:
                answer = await self._api.request("POST", path("user", self._me, "filter"), FILTER)
                name = answer.get("filter_id")
                self._filter = name if _is_token(name) else _WHOLE
            except (Lost, MatrixError) as error:
                log.info("sync.filter_not_kept", why=str(error))
                self._filter = _WHOLE
        return self._filter


def _is_token(value: Any) -> TypeGuard[str]:
    """Whether the next request can carry it; an empty sync token would begin anew."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_TOKEN and value.isprintable()


def _first_filter() -> str:
    """What the first sync is to bring.

    Synapse keeps responses for two minutes, by token and filter: a second start without a token would get
    what the first one got, and after it every response since, one by one. A filter of its own, with a type
    that nobody uses, gets what is true now.
    """
    types = [*FIRST_ACCOUNT_DATA, f"lambda.surface.{secrets.token_hex(8)}"]
    return json.dumps({**FILTER, "room": {**FILTER["room"], "account_data": {"types": types}}})


_WHOLE = json.dumps(FILTER)
