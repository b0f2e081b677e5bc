"""The raw client-server API, as any client would speak it: one request, one answer, no retries.

Not nio: what the bot is tested against must not share its library's mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

V3 = "/_matrix/client/v3"


class MatrixError(Exception):
    """The homeserver refused a request."""

    def __init__(self, request: str, status: int, answer: Any) -> None:
        self.status = status
        self.answer: dict[str, Any] = answer if isinstance(answer, dict) else {}
        self.errcode = str(self.answer.get("errcode", ""))
        self.retry_after_ms = int(self.answer.get("retry_after_ms") or 0)
        super().__init__(f"{request}: {status} {self.errcode} {self.answer.get('error', answer)}")


class MatrixApi:
    """One device's access to a homeserver. `close` it in the end."""

    def __init__(self, url: str, token: str | None) -> None:
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx.Timeout(60.0),
            trust_env=False,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def call(
        self,
        method: str,
        *segments: str,
        json: Any = None,
        content: bytes | None = None,
        prefix: str = V3,
        headers: dict[str, str] | None = None,
        query: Mapping[str, str | int] | None = None,
    ) -> Any:
        """One request; the path's segments are quoted here.

        Raises:
            MatrixError: any status but 2xx.
            httpx.TransportError: no answer.
        """
        response = await self._send(method, segments, prefix, json, content, headers, query or {})
        return response.json()

    async def download(self, mxc: str) -> bytes:
        """The bytes behind an `mxc://` URI."""
        found = re.fullmatch(r"mxc://([^/]+)/(.+)", mxc)
        assert found, f"not an mxc URI: {mxc!r}"
        segments = ("media", "download", found[1], found[2])
        response = await self._send("GET", segments, "/_matrix/client/v1", None, None, None, {})
        return response.content

    async def upload(self, data: bytes, mime_type: str, name: str | None = None) -> str:
        query: dict[str, str | int] = {"filename": name} if name else {}
        answer = await self.call(
            "POST",
            "upload",
            content=data,
            prefix="/_matrix/media/v3",
            headers={"Content-Type": mime_type},
            query=query,
        )
        return str(answer["content_uri"])

    async def _send(
        self,
        method: str,
        segments: tuple[str, ...],
        prefix: str,
        json: Any,
        content: bytes | None,
        headers: dict[str, str] | None,
        query: Mapping[str, str | int],
    ) -> httpx.Response:
        path = prefix + "".join("/" + quote(segment, safe="") for segment in segments)
        if json is None and content is None and method in ("POST", "PUT"):
            json = {}
        response = await self._http.request(
            method, path, json=json, content=content, headers=headers, params=query
        )
        if not response.is_success:
            try:
                answer = response.json()
            except ValueError:
                answer = response.text
            raise MatrixError(f"{method} {path}", response.status_code, answer)
        return response
