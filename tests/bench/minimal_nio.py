"""The least that an echo bot on matrix-nio can be: what the bench compares this bot with.

It is what nio's own documentation shows: a password login, `sync_forever`, a callback, `room_send`. No
deduplication, nothing survives. With a STORE it encrypts. Run as a process of its own; it says `ready` when
it is.

    python -m tests.bench.minimal_nio URL USER_ID PASSWORD [STORE]
"""

from __future__ import annotations

import asyncio
import sys

from nio import AsyncClient, AsyncClientConfig, InviteMemberEvent, MatrixRoom, RoomMessageText


async def main(url: str, user_id: str, password: str, store: str | None = None) -> None:
    config = AsyncClientConfig(encryption_enabled=store is not None)
    client = AsyncClient(url, user_id, store_path=store, config=config)

    async def invited(room: MatrixRoom, event: InviteMemberEvent) -> None:
        if event.state_key == user_id and event.membership == "invite":
            await client.join(room.room_id)

    async def said(room: MatrixRoom, event: RoomMessageText) -> None:
        if event.sender != user_id:
            content = {"msgtype": "m.text", "body": event.body}
            await client.room_send(
                room.room_id, "m.room.message", content, ignore_unverified_devices=True
            )

    await client.login(password)
    if store is not None:
        await client.keys_upload()
    # What was said before is not answered; to encrypt it has to know who is in the rooms.
    await client.sync(timeout=0, full_state=store is not None)
    client.add_event_callback(invited, InviteMemberEvent)  # type: ignore[arg-type]
    client.add_event_callback(said, RoomMessageText)  # type: ignore[arg-type]
    print("ready", flush=True)
    try:
        await client.sync_forever(timeout=30_000)
    finally:
        await client.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
