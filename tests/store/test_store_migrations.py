"""Documents that older versions wrote go on working."""

from pathlib import Path

from machines.effects import PLATFORM_CHAT_SEQ, Fresh
from machines.room import Room
from machines.turn import Turn
from store import Put, TinyStore
from store.batch import pack
from store.documents import VERSIONS, migrated, read, room_key, written
from store.store import Stored


async def test_a_sequence_without_a_reserved_end_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "lambda_matrix.db"
    store = TinyStore.open(path)
    meta = store._writing.keyed("meta")
    with store._writing.transaction():
        meta.put(PLATFORM_CHAT_SEQ, pack(Stored(3, {"v": 1, "value": 7})))
    await store.aclose()

    store = TinyStore.open(path)
    try:
        stored = await store.get("meta", PLATFORM_CHAT_SEQ)
        assert stored is not None
        assert migrated("meta", stored.body) == {"v": VERSIONS["meta"], "value": 7}
        body = {"v": VERSIONS["echo"], "token": Fresh("x"), "sync": 1}
        saved = await store.save([Put("echo", "any", body, None)])
        assert saved.ids == {Fresh("x"): "8"}
    finally:
        await store.aclose()


async def test_turns_and_rooms_of_before_files_go_on(tmp_path: Path) -> None:
    turn = Turn("$said", "!room", "@alice:hs", "hello", "echo", "7", "1")
    room = Room("!room", room_type="chat", matrix_user_id="@alice:hs", failed_body="hello")
    old_turn = {**written("turns", turn, "waiting"), "v": 1}
    old_room = {**written("rooms", room, "bound"), "v": 1, "history": []}
    for field in ("files", "files_sent"):
        del old_turn[field]
    del old_room["failed_files"]
    path = tmp_path / "lambda_matrix.db"
    store = TinyStore.open(path)
    with store._writing.transaction():
        store._writing.keyed("turns").put("$said", pack(Stored(1, old_turn)))
        store._writing.keyed("rooms").put(room_key("!room"), pack(Stored(1, old_room)))
    await store.aclose()

    store = TinyStore.open(path)
    try:
        stored = await store.get("turns", "$said")
        assert read("turns", "$said", stored, Turn("", "", "", "", "", "", "")).record == turn
        stored = await store.get("rooms", room_key("!room"))
        assert read("rooms", "!room", stored, Room("")).record == room
    finally:
        await store.aclose()
