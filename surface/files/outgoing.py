"""Files of agents, from the workspace into a room: uploaded first, then posted.

What an agent says of a file is not trusted: its path is walked inside the workspace only, and nothing is
read that lies in the inbox of another room. What was uploaded comes back as the content of a message, which
is committed before it is sent: so a crash may upload a file twice, but shows it once.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import structlog

from machines.effects import SendFile, Text
from surface.files.kinds import Kind, Thumbnail, look_at
from surface.files.names import file_name, is_of_room, parts_of
from surface.files.sizes import shown
from surface.files.workspace import NotInside, Workspace
from surface.matrix.api import Lost, MatrixError
from surface.matrix.media import PIECE, Media, file_content

log = structlog.get_logger()


class _Changed(Exception):
    """The file became shorter while it was read."""


class Outgoing:
    """Uploads files of answers."""

    def __init__(self, workspace: Workspace, media: Media) -> None:
        self._workspace, self._media = workspace, media

    async def upload(self, wanted: SendFile, *, encrypted: bool) -> str | Text:
        """Upload a file; returns the content of its message as JSON, or why it cannot be shown.

        Args:
            encrypted: the room is.

        Raises:
            MatrixError, Lost: see `Api.request`.
        """
        name = file_name(wanted.name)
        try:
            handle = await asyncio.to_thread(self._open, wanted)
        except NotInside:
            log.warning("file.not_sent", why="outside", path=wanted.path)
            return Text("file-out-forbidden", {"name": name})
        except OSError as error:
            log.warning("file.not_sent", why=str(error), path=wanted.path)
            return Text("file-out-missing", {"name": name})
        try:
            size, limit = os.fstat(handle).st_size, await self._media.limit()
            if limit is not None and size > limit:
                return Text("file-out-too-large", {"name": name, "most": shown(limit)})
            content = await self._uploaded(handle, size, name, wanted.mime_type, encrypted)
        except _Changed:
            return Text("file-out-missing", {"name": name})
        except MatrixError as error:
            if error.limited:
                raise
            log.warning("file.not_sent", why=str(error), path=wanted.path)
            return Text("file-out-refused", {"name": name, "reason": error.message})
        finally:
            os.close(handle)
        return json.dumps(content)

    def _open(self, wanted: SendFile) -> int:
        parts = parts_of(wanted.path)
        if parts is None or not is_of_room(parts, wanted.room_id):
            raise NotInside(wanted.path)
        return self._workspace.open_file(wanted.path)

    async def _uploaded(
        self, handle: int, size: int, name: str, claimed: str, encrypted: bool
    ) -> dict[str, Any]:
        kind = await asyncio.to_thread(look_at, handle, claimed)
        reading = _Reading(handle, size)
        try:
            where = await self._media.upload(
                reading.pieces(), size, kind.mime_type, encrypted=encrypted
            )
        except Lost:
            if reading.changed:
                raise _Changed from None
            raise
        info = {**kind.info, "size": size, **await self._small(kind, encrypted)}
        return {**file_content(kind.msgtype, name, info), **where}

    async def _small(self, kind: Kind, encrypted: bool) -> dict[str, Any]:
        """The thumbnail, where there is one: for convenience only, so that no trouble with it counts."""
        small: Thumbnail | None = kind.thumbnail
        if small is None:
            return {}
        try:
            where = await self._media.upload_bytes(small.data, small.mime_type, encrypted=encrypted)
        except (MatrixError, Lost) as error:
            log.info("thumbnail.not_uploaded", why=str(error))
            return {}
        return {
            **{f"thumbnail_{key}": value for key, value in where.items()},
            "thumbnail_info": {
                "mimetype": small.mime_type,
                "w": small.width,
                "h": small.height,
                "size": len(small.data),
            },
        }


class _Reading:
    """A file as it was when it was opened, a piece at a time: what is added meanwhile is left out."""

    def __init__(self, handle: int, size: int) -> None:
        self._handle, self._size = handle, size
        self.changed = False

    async def pieces(self) -> AsyncIterator[bytes]:
        place = 0
        while place < self._size:
            wanted = min(PIECE, self._size - place)
            piece = await asyncio.to_thread(os.pread, self._handle, wanted, place)
            if not piece:
                self.changed = True
                raise OSError("the file became shorter while it was read")
            place += len(piece)
            yield piece
