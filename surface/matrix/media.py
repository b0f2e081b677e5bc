"""The homeserver's media repository: what goes in and out is streamed, and sealed for encrypted rooms.

An upload has no transaction id: repeated after a lost answer it leaves a file behind that nothing refers to.
What makes a file appear once in a room is the transaction id of the message that refers to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

from surface.failpoints import Failpoints
from surface.matrix.api import Api, Download, MatrixError
from surface.matrix.attachments import Sealing

AUTHENTICATED, OLD = "/_matrix/client/v1/media", "/_matrix/media/v3"
"""Where media are since version 1.11 of the specification, and where they were before."""
SEALED = "application/octet-stream"
PIECE = 256 * 1024
"""Bytes that are read at once."""
REMEMBERED = 3600.0
"""Seconds for which the homeserver's limit is not asked for again."""


class Media:
    """The media repository as the bot's account sees it."""

    def __init__(self, api: Api, failpoints: Failpoints) -> None:
        self._api, self._failpoints = api, failpoints
        self._limit: tuple[float, int | None] | None = None

    async def limit(self) -> int | None:
        """Bytes that an upload may have; None if the homeserver does not say.

        Raises:
            MatrixError, Lost: see `Api.request`.
        """
        now = asyncio.get_running_loop().time()
        if self._limit is None or now > self._limit[0]:
            told = (await self._config()).get("m.upload.size")
            self._limit = now + REMEMBERED, told if isinstance(told, int) else None
        return self._limit[1]

    @asynccontextmanager
    async def download(self, url: str) -> AsyncIterator[Download]:
        """What is behind an `mxc://` address, as a stream.

        Raises:
            MatrixError: the homeserver refuses, or does not have it.
            Lost: it cannot be had now; also while it is read.
        """
        server, _, media_id = url.removeprefix("mxc://").partition("/")
        where = f"/download/{quote(server, safe='')}/{quote(media_id, safe='')}"
        self._failpoints.hit("request.download.before")
        try:
            async with self._api.download(AUTHENTICATED + where) as found:
                self._failpoints.hit("request.download.after")
                yield found
                return
        except MatrixError as error:
            if error.errcode != "M_UNRECOGNIZED":
                raise
        async with self._api.download(OLD + where) as found:
            yield found

    async def upload(
        self, pieces: AsyncIterator[bytes], size: int, mime_type: str, *, encrypted: bool
    ) -> dict[str, Any]:
        """Upload a file; returns what of the event's content refers to it.

        Args:
            pieces: all of it.
            size: in bytes; no more and no less must come.
            encrypted: the room is; the file is then sealed with a key of its own.

        Raises:
            MatrixError: refused, for instance as too large.
            Lost: there was no usable answer.
        """
        self._failpoints.hit("request.upload.before")
        if encrypted:
            sealing = Sealing()
            url = await self._api.upload(_sealed(pieces, sealing), size, SEALED)
        else:
            url = await self._api.upload(pieces, size, mime_type)
        self._failpoints.hit("request.upload.after")
        return {"file": sealing.file(url)} if encrypted else {"url": url}

    async def upload_bytes(self, data: bytes, mime_type: str, *, encrypted: bool) -> dict[str, Any]:
        """Upload what is in memory; as `upload`."""
        return await self.upload(_pieces(data), len(data), mime_type, encrypted=encrypted)

    async def _config(self) -> dict[str, Any]:
        try:
            return await self._api.request("GET", f"{AUTHENTICATED}/config")
        except MatrixError as error:
            if error.status not in (403, 404):
                raise
        try:
            return await self._api.request("GET", f"{OLD}/config")
        except MatrixError as error:
            if error.limited:
                raise
            return {}


def file_content(msgtype: str, name: str, info: dict[str, Any]) -> dict[str, Any]:
    """The content of a message that shows a file, but for where the file is."""
    return {"msgtype": msgtype, "body": name, "filename": name, "info": info, "m.mentions": {}}


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), PIECE):
        yield data[start : start + PIECE]


async def _sealed(pieces: AsyncIterator[bytes], sealing: Sealing) -> AsyncIterator[bytes]:
    async for piece in pieces:
        yield sealing.update(piece)
