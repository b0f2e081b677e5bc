"""Looking into a store that is open elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from store import Put, StoreError, TinyStore
from store.peek import peek

BODY = {"v": 2, "value": "t1"}


async def test_a_peek_sees_what_an_open_store_has_committed(tmp_path: Path) -> None:
    store = TinyStore.open(tmp_path / "surface.db")
    await store.save([Put("meta", "next_batch", BODY, 0)])
    assert peek(tmp_path / "surface.db", "meta")["next_batch"] == BODY
    assert list(peek(tmp_path / "surface.db", "meta", prefix="next_")) == ["next_batch"]
    assert peek(tmp_path / "surface.db", "rooms") == {}
    await store.aclose()


async def test_a_peek_leaves_a_closed_store_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "surface.db"
    store = TinyStore.open(path)
    await store.save([Put("meta", "next_batch", BODY, 0)])
    await store.aclose()
    before = path.read_bytes()
    assert peek(path, "meta")["next_batch"] == BODY
    assert path.read_bytes() == before


def test_a_peek_makes_no_file(tmp_path: Path) -> None:
    assert peek(tmp_path / "surface.db", "rooms") == {}
    assert list(tmp_path.iterdir()) == []


def test_a_foreign_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "surface.db"
    path.write_text("not a database, but long enough to be looked at" * 10)
    with pytest.raises(StoreError, match=r"surface\.db"):
        peek(path, "rooms")
