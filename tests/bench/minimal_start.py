"""The least that a bot on matrix-nio does before it can hear: import, log in, one sync.

What the restart bench compares this bot's start with. Run as a process of its own; says `synced` when it is.

    python -m tests.bench.minimal_start URL USER_ID PASSWORD [SINCE]
"""

from __future__ import annotations

import asyncio
import sys

from nio import AsyncClient, SyncResponse


async def main(url: str, user_id: str, password: str, since: str | None = None) -> None:
    client = AsyncClient(url, user_id)
    try:
        await client.login(password)
        response = await client.sync(timeout=0, since=since)
        assert isinstance(response, SyncResponse), response
        print("synced", flush=True)
    finally:
        await client.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
