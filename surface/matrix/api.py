"""One request to the homeserver, and what can come of it.

nio's own request methods retry without limit and repeat a POST whose response was lost. So everything
that the surface asks for goes through `Api.request`: one attempt, and one of three outcomes: the
response, `MatrixError` (the homeserver said no), or `Lost` (nobody knows whether it happened). What to
do about it is the caller's decision.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import ClientError, ClientResponse, ClientTimeout
from nio import AsyncClient

from surface.matrix.plain_json import parse

CLIENT = "/_matrix/client/v3"
UPLOAD = "/_matrix/media/v3/upload"

STALLED = 120.0
"""Seconds without a byte after which a download is given up; a homeserver may fetch it from another first."""
SLOWEST = 100_000
"""Bytes a second that an upload has to make."""
ERROR_BYTES = 65_536
"""Of a refusal, more is not read."""


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
    """No usable answer: not reached, cut off, too late, or not from a homeserver (a proxy's page).

    Attributes:
        status: the HTTP status of what was answered all the same; None if nothing was.
    """

    def __init__(self, why: str, status: int | None = None) -> None:
        self.status = status
        super().__init__(why)


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


class Download:
    """The body of a response, to be read once."""

    def __init__(self, response: ClientResponse) -> None:
        self._response = response
        self.size: int | None = response.content_length
        """In bytes, if the homeserver says."""

    async def pieces(self, most: int) -> AsyncIterator[bytes]:
        """The body, in pieces of at most so many bytes.

        Raises:
            Lost: it was cut off, or nothing came for a while.
        """
        try:
            async for piece in self._response.content.iter_chunked(most):
                yield piece
        except (ClientError, TimeoutError, OSError, ValueError) as error:
            raise _lost(error) from error


class Api:
    """The homeserver as the bot's account sees it."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self.server_time: float | None = None
        """What the homeserver's clock showed (HTTP: `Date`) when it answered last, in POSIX seconds."""
        self._noted = 0.0
        self._date: str | None = None

    @property
    def server_now(self) -> float | None:
        """What the homeserver's clock shows now, as far as ours has kept pace since it answered."""
        if self.server_time is None:
            return None
        return self.server_time + time.monotonic() - self._noted

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

    async def upload(self, pieces: AsyncIterator[bytes], size: int, mime_type: str) -> str:
        """Upload to the media repository, once; returns the `mxc://` address.

        Args:
            size: in bytes, of all pieces together.

        Raises:
            MatrixError, TokenDead, Lost: as for `request`.
        """
        seconds = 60 + size / SLOWEST
        answer = await self._exchange("POST", UPLOAD, pieces, mime_type, seconds, size)
        return told(answer, "content_uri")

    @asynccontextmanager
    async def download(self, where: str) -> AsyncIterator[Download]:
        """The body of a GET, as a stream; `where` is the path.

        Raises:
            MatrixError, TokenDead, Lost: as for `request`; the last also while it is read.
        """
        try:
            response = await self._client.send(
                "GET",
                where,
                headers=self._headers(),
                timeout=ClientTimeout(total=None, sock_connect=30, sock_read=STALLED),
            )
        except (ClientError, TimeoutError, OSError, ValueError) as error:
            raise _lost(error) from error
        async with response:
            self._note_time(response.headers.get("Date"))
            if response.status != 200:
                try:
                    raw = await response.content.read(ERROR_BYTES)
                except (ClientError, TimeoutError, OSError, ValueError) as error:
                    raise _lost(error) from error
                _read(response.status, raw)
                raise Lost(f"HTTP {response.status}", response.status)
            yield Download(response)

    def _headers(self) -> dict[str, str]:
        token = self._client.access_token
        return {"Authorization": f"Bearer {token}"} if token else {}

    async def _exchange(
        self,
        method: str,
        url: str,
        data: str | AsyncIterator[bytes] | None,
        mime_type: str,
        seconds: float,
        size: int | None = None,
    ) -> dict[str, Any]:
        headers = {"Content-Type": mime_type, **self._headers()}
        if size is not None:
            headers["Content-Length"] = str(size)
        try:
            async with asyncio.timeout(seconds):
                response = await self._client.send(
                    method, url, data, headers=headers, timeout=seconds + 5
                )
                async with response:
                    raw = await response.read()
                    self._note_time(response.headers.get("Date"))
        except (ClientError, TimeoutError, OSError, ValueError) as error:
            raise _lost(error) from error
        return _read(response.status, raw)

    def _note_time(self, date: str | None) -> None:
        if date != self._date:
            self._date = date
            with suppress(TypeError, ValueError):  # None, or not a date
                self.server_time = parsedate_to_datetime(date).timestamp()  # type: ignore[arg-type]
                self._noted = time.monotonic()


def _lost(error: Exception) -> Lost:
    return Lost(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


def _read(status: int, raw: bytes) -> dict[str, Any]:
    if status == 413:
        # Also where a proxy says so, in its own words.
        raise MatrixError(status, "M_TOO_LARGE", "too large to be uploaded")
    try:
        answer = parse(raw)
        if not isinstance(answer, dict):
            raise ValueError("not an object")
    except ValueError as error:
        why = f"HTTP {status}, and the body is not a Matrix response ({error})"
        raise Lost(why, status) from error
    if status == 200:
        return answer
    if status == 401 and "flows" in answer:
        raise AskedWho(answer)
    errcode = answer.get("errcode")
    if not isinstance(errcode, str) or status >= 500:
        raise Lost(f"HTTP {status} {errcode or ''}".strip(), status)
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
