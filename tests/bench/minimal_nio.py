"""The least that an echo bot on matrix-nio can be: what the bench compares this bot with.

It is what nio's own documentation shows: a password login, `sync_forever`, a callback, `room_send`. No
store, no deduplication, nothing survives. Run as a process of its own; it says `ready` when it is.

    python -m tests.bench.minimal_nio URL USER_ID PASSWORD
"""

from __future__ import annotations

import asyncio
import sys

from nio import AsyncClient, InviteMemberEvent, MatrixRoom, RoomMessageText


async def main(url: str, user_id: str, password: str) -> None:
    client = AsyncClient(url, user_id)

    async def invited(room: MatrixRoom, event: InviteMemberEvent) -> None:
        if event.state_key == user_id and event.membership == "invite":
            await client.join(room.room_id)

    async def said(room: MatrixRoom, event: RoomMessageText) -> None:
        if event.sender != user_id:
            content = {"msgtype": "m.text", "body": event.body}
            await client.room_send(room.room_id, "m.room.message", content)

    await client.login(password)
    await client.sync(timeout=0)  # what was said before is not answered
    client.add_event_callback(invited, InviteMemberEvent)  # type: ignore[arg-type]
    client.add_event_callback(said, RoomMessageText)  # type: ignore[arg-type]
    print("ready", flush=True)
    try:
        await client.sync_forever(timeout=30_000)
    finally:
        await client.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
