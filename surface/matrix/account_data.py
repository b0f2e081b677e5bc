"""The bot's account data: private to its account, kept by the homeserver, and outliving the disk.

Synapse does not limit it, and nobody waits for it; so it does not stand in line with what people wait for
(`courier`), but goes one at a time beside it.
"""

from __future__ import annotations

from typing import Any

from surface.failpoints import Failpoints
from surface.matrix.api import Api, MatrixError, path


class AccountData:
    """Reads and writes account data, one attempt each."""

    def __init__(self, api: Api, failpoints: Failpoints, user_id: str) -> None:
        self._api, self._failpoints, self._user_id = api, failpoints, user_id

    async def read(self, kind: str, room_id: str | None = None) -> dict[str, Any] | None:
        """The account data of this kind, of a room or of the account; None if there is none.

        Raises:
            MatrixError, Lost, TokenDead: see `Api.request`.
        """
        try:
            return await self._api.request("GET", self._where(kind, room_id))
        except MatrixError as error:
            if error.status == 404:
                return None
            raise

    async def write(
        self, kind: str, content: dict[str, Any], room_id: str | None = None, *, point: str
    ) -> None:
        """Set account data; `{}` stands for deleted, which it cannot be.

        Raises:
            MatrixError, Lost, TokenDead: see `Api.request`.
        """
        self._failpoints.hit(f"request.{point}.before")
        await self._api.request("PUT", self._where(kind, room_id), content)
        self._failpoints.hit(f"request.{point}.after")

    def _where(self, kind: str, room_id: str | None) -> str:
        room = () if room_id is None else ("rooms", room_id)
        return path("user", self._user_id, *room, "account_data", kind)
