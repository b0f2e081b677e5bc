"""Uploads to the homeserver's media repository, encrypted for encrypted rooms.

An upload has no transaction id: repeated after a lost answer it leaves a file behind that nothing refers to.
What makes a file appear once in a room is the transaction id of the message that refers to it.
"""

from __future__ import annotations

from typing import Any

from nio.crypto.attachments import encrypt_attachment

from surface.matrix.api import Api


class Media:
    """The homeserver's media repository."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def file_content(
        self, data: bytes, name: str, mime_type: str, *, encrypted: bool
    ) -> dict[str, Any]:
        """Upload a file and make the `m.file` content that refers to it.

        Args:
            encrypted: the room is; the file is then encrypted with a key of its own.

        Raises:
            MatrixError: refused, for instance as too large.
            Lost: there was no usable answer.
        """
        content: dict[str, Any] = {
            "msgtype": "m.file",
            "body": name,
            "filename": name,
            "info": {"mimetype": mime_type, "size": len(data)},
            "m.mentions": {},
        }
        if encrypted:
            sealed, keys = encrypt_attachment(data)
            url = await self._api.upload(sealed, "application/octet-stream")
            content["file"] = {**keys, "url": url}
        else:
            content["url"] = await self._api.upload(data, mime_type)
        return content
