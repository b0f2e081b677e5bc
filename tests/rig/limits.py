"""Lets single users through the rate limits of a homeserver that has a stock server's (`limits`).

For the people of a test, never for the bot: how it lives with the limits is what is tested.
"""

from __future__ import annotations

import secrets

from surface.homeserver import Homeserver
from tests.rig.api import MatrixApi


async def lift_message_limit(homeserver: Homeserver, *user_ids: str) -> None:
    """Let users send as fast as they like. Their room creations and logins stay limited."""
    admin = await homeserver.register(f"admin-{secrets.token_hex(4)}", "pw", admin=True)
    api = MatrixApi(homeserver.url, admin.access_token)
    try:
        for user_id in user_ids:
            # 0 is "no limit" here, unlike in the configuration.
            await api.call(
                "POST",
                "users",
                user_id,
                "override_ratelimit",
                prefix="/_synapse/admin/v1",
                json={"messages_per_second": 0, "burst_count": 0},
            )
    finally:
        await api.close()
