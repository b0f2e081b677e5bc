"""Asks the homeserver for the picture: one request, whatever the number of rooms.

A sync from the beginning, with a filter that leaves almost everything out, and that nobody has used before:
homeservers answer such a sync from a cache. It has no token, and so acknowledges nothing: a sync that went on
from it would make the homeserver delete the keys that wait for the bot.
"""

from __future__ import annotations

import json
import secrets

from surface.matrix.api import CLIENT, Api
from surface.reconcile.observe import FILTER, Picture, picture

PATIENCE = 300.0
"""Seconds that a busy homeserver may take for the state of all rooms."""


async def look(api: Api, me: str) -> Picture:
    """What all rooms look like now.

    Raises:
        MatrixError, Lost, TokenDead: see `Api.request`.
    """
    never_seen = {"types": [f"lambda.surface.{secrets.token_hex(8)}"]}
    asked = json.dumps({**FILTER, "account_data": never_seen})
    query = {"filter": asked, "timeout": "0", "set_presence": "offline"}
    answer = await api.request("GET", f"{CLIENT}/sync", query=query, timeout=PATIENCE)
    return picture(me, [answer])
