"""Keys that cannot be written down are a `StoreError`, whoever needs them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from store import StoreError
from surface import unreadable
from surface.failpoints import Failpoints
from surface.inbox import InboxRow
from surface.matrix.api import Api
from surface.matrix.crypto import Crypto
from surface.matrix.health import CryptoHealth
from surface.matrix.session import Session, open_session
from surface.unreadable import Unreadable

ME, ROOM = "@bot:hs", "!room:hs"
UNREADABLE = {
    "type": "m.room.encrypted",
    "event_id": "$e:hs",
    "sender": "@alice:hs",
    "origin_server_ts": 1,
    "content": {
        "algorithm": "m.megolm.v1.aes-sha2",
        "ciphertext": "AwgA",
        "session_id": "none",
        "sender_key": "key",
        "device_id": "DEVICE",
    },
}


class Homeserver:
    """Knows nobody but the bot, and agrees to everything."""

    async def request(self, method: str, where: str, body: Any = None) -> dict[str, Any]:
        if where.endswith("joined_members"):
            return {"joined": {ME: {}}}
        if where.endswith("keys/upload"):
            return {"one_time_key_counts": {"signed_curve25519": 50}}
        return {"device_keys": {}, "failures": {}} if where.endswith("keys/query") else {}


@pytest.fixture
async def crypto(tmp_path: Path) -> AsyncIterator[Crypto]:
    """On a disk that takes nothing."""
    tmp_path.joinpath("keys").mkdir()
    session = Session("http://127.0.0.1:1", ME, "DEVICE", "token", "pickle")
    client = open_session(session, tmp_path / "keys")
    crypto = Crypto(client, cast("Api", Homeserver()), Failpoints(None))
    assert client.store is not None
    client.store.database.execute_sql("pragma query_only=on")
    yield crypto
    await client.close()


@pytest.mark.parametrize(
    "work",
    [
        pytest.param(lambda c: c.encrypt(ROOM, "m.room.message", {}), id="to encrypt"),
        pytest.param(lambda c: c.ask_for_key(ROOM, UNREADABLE), id="to ask for a key"),
        pytest.param(lambda c: c.publish(), id="to publish keys"),
        pytest.param(lambda c: c.housekeeping(), id="housekeeping"),
    ],
)
async def test_keys_that_cannot_be_written_down_are_told_in_the_stores_words(
    crypto: Crypto, work: Callable[[Crypto], Awaitable[object]]
) -> None:
    with pytest.raises(StoreError, match="no keys were saved: attempt to write a readonly"):
        await work(crypto)


async def test_who_cannot_ask_for_a_key_gives_up_as_if_it_had_not_come(
    crypto: Crypto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unreadable, "PATIENCE", 0)
    asked: list[str] = []

    class Actors:
        def parked_in(self, room_id: str) -> list[InboxRow]:
            asked.append(room_id)
            return []

    none = cast("Any", None)
    row = InboxRow("$e:hs", ROOM, "1", "event", UNREADABLE)
    await Unreadable(none, cast("Any", Actors()), crypto, none, CryptoHealth())._see_to(row)
    assert asked == [ROOM]
