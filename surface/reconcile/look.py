"""Asks the homeserver for the picture: two requests, whatever the number of rooms.

The first is a sync from the beginning, with a filter that leaves almost everything out; the second asks what
came since, because homeservers answer the first one from a cache. Neither touches the bot's own place in
the stream of events.
"""

from __future__ import annotations

import json
from typing import Any

from surface.matrix.api import CLIENT, Api, Lost
from surface.reconcile.observe import FILTER, Picture, picture

PATIENCE = 300.0
"""Seconds that a busy homeserver may take for the state of all rooms."""


async def look(api: Api, me: str) -> Picture:
    """What all rooms look like now.

    Raises:
        MatrixError, Lost, TokenDead: see `Api.request`.
    """
    first = await _ask(api, None)
    return picture(me, [first, await _ask(api, first["next_batch"])])


async def _ask(api: Api, since: str | None) -> dict[str, Any]:
    query = {"filter": json.dumps(FILTER), "timeout": "0", "set_presence": "offline"}
    if since is not None:
        query["since"] = since
    answer = await api.request("GET", f"{CLIENT}/sync", query=query, timeout=PATIENCE)
    if not isinstance(answer.get("next_batch"), str):
        raise Lost("the sync response has no next_batch")
    return answer
