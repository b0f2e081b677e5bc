"""Documents that older versions wrote go on working."""

from pathlib import Path

from machines.effects import PLATFORM_CHAT_SEQ, Fresh
from store import Put, TinyStore
from store.batch import pack
from store.documents import VERSIONS, migrated
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
