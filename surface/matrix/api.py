"""One request to the homeserver, and what can come of it.

nio's own request methods retry without limit and repeat a POST whose response was lost. So everything
that the surface asks for goes through `Api.request`: one attempt, and one of three outcomes: the
response, `MatrixError` (the homeserver said no), or `Lost` (nobody knows whether it happened). What to
do about it is the caller's decision.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import ClientError
from nio import AsyncClient

CLIENT = "/_matrix/client/v3"
UPLOAD = "/_matrix/media/v3/upload"


class MatrixError(Exception):
    """The homeserver refused a request (spec: standard error response)."""

    def __init__(
        self, status: int, errcode: str, message: str, retry_after: float | None = None
    ) -> None:
        self.status, self.errcode, self.message = status, errcode, message
        self.retry_after = retry_after
        """Seconds to wait, when the homeserver limits us; else None."""
        super().__init__(f"{status} {errcode}: {message}")

    @property
    def limited(self) -> bool:
        """The homeserver's rate limit was hit: nothing happened, try later."""
        return self.status == 429

    @property
    def token_dead(self) -> bool:
        """The access token is no longer valid: no request will ever succeed again."""
        return self.errcode in ("M_UNKNOWN_TOKEN", "M_MISSING_TOKEN") and self.status == 401


class AskedWho(MatrixError):
    """The homeserver wants to know again who asks (spec, "User-Interactive Authentication")."""

    def __init__(self, answer: dict[str, Any]) -> None:
        flows = answer.get("flows")
        self.session = str(answer.get("session", ""))
        self.ways = {
            flow["stages"][0]
            for flow in (flows if isinstance(flows, list) else ())
            if isinstance(flow, dict) and isinstance(flow.get("stages"), list)
            if len(flow["stages"]) == 1 and isinstance(flow["stages"][0], str)
        }
        """What it takes alone as an answer."""
        said = str(answer.get("error") or f"one of {sorted(self.ways)} is wanted")
        super().__init__(401, str(answer.get("errcode") or "M_FORBIDDEN"), said)


class Lost(Exception):
    """No usable answer: not reached, cut off, too late, or not from a homeserver (a proxy's page)."""


class TokenDead(Exception):
    """The homeserver does not know our access token any more. Fatal."""


def path(*parts: str) -> str:
    """A client-server path with every part escaped."""
    return CLIENT + "".join("/" + quote(part, safe="") for part in parts)


def told(answer: dict[str, Any], key: str) -> str:
    """What a response must tell.

    Raises:
        Lost: it does not, so nobody knows what has happened.
    """
    value = answer.get(key)
    if not isinstance(value, str) or not value:
        raise Lost(f"the response has no {key}")
    return value


class Api:
    """The homeserver as the bot's account sees it."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self.server_time: float | None = None
        """What the homeserver's clock showed (HTTP: `Date`) when it answered last, in POSIX seconds."""

    async def request(
        self,
        method: str,
        where: str,
        body: dict[str, Any] | None = None,
        *,
        query: dict[str, str] | None = None,
        timeout: float = 60,  # noqa: ASYNC109
    ) -> dict[str, Any]:
        """Make one request; `timeout` in seconds bounds all of it.

        Raises:
            MatrixError: the homeserver refused.
            AskedWho: it wants the password, or so, besides the token.
            TokenDead: it does not know our token.
            Lost: there was no usable answer; the request may have been carried out.
        """
        url = f"{where}?{urlencode(query)}" if query else where
        data = json.dumps(body) if body is not None else ("{}" if method != "GET" else None)
        return await self._exchange(method, url, data, "application/json", timeout)

    async def upload(self, data: bytes, mime_type: str) -> str:
        """Upload to the media repository, once; returns the `mxc://` address.

        Raises:
            MatrixError, TokenDead, Lost: as for `request`.
        """
        seconds = 60 + len(data) / 100_000
        answer = await self._exchange("POST", UPLOAD, data, mime_type, seconds)
        return told(answer, "content_uri")

    async def _exchange(
        self, method: str, url: str, data: str | bytes | None, mime_type: str, seconds: float
    ) -> dict[str, Any]:
        headers = {"Content-Type": mime_type}
        if self._client.access_token:
            headers["Authorization"] = f"Bearer {self._client.access_token}"
        try:
            async with asyncio.timeout(seconds):
                response = await self._client.send(
                    method, url, data, headers=headers, timeout=seconds + 5
                )
                async with response:
                    raw = await response.read()
                    self._note_time(response.headers.get("Date"))
        except (ClientError, TimeoutError, OSError, ValueError) as error:
            raise Lost(
                f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            ) from error
        return _read(response.status, raw)

    def _note_time(self, date: str | None) -> None:
        with suppress(TypeError, ValueError):  # None, or not a date
            self.server_time = parsedate_to_datetime(date).timestamp()  # type: ignore[arg-type]


def _read(status: int, raw: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(raw)
        if not isinstance(answer, dict):
            raise ValueError("not an object")
    except ValueError as error:
        raise Lost(f"HTTP {status}, and the body is not a Matrix response ({error})") from error
    if status == 200:
        return answer
    if status == 401 and "flows" in answer:
        raise AskedWho(answer)
    errcode = answer.get("errcode")
    if not isinstance(errcode, str) or status >= 500:
        raise Lost(f"HTTP {status} {errcode or ''}".strip())
    problem = MatrixError(
        status, errcode, str(answer.get("error", "")), _retry_after(status, answer)
    )
    if problem.token_dead:
        raise TokenDead(str(problem))
    raise problem


def _retry_after(status: int, answer: dict[str, Any]) -> float | None:
    if status != 429:
        return None
    told = answer.get("retry_after_ms")
    return min(max(float(told), 50), 3_600_000) / 1000 if isinstance(told, int | float) else 5.0
