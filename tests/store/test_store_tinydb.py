"""TinyDB's side: the extension points the store stands on are still there, and still used."""

import pytest
import tinydb
from tinydb import where
from tinydb.table import Document

from store import Put, TinyStore
from store.keyed_table import KeyedDB, KeyedTable
from store.sqlite_storage import SqliteRows
from tests.store.store_rules import Lenient


@pytest.fixture
def database(tmp_path):
    with KeyedDB(tmp_path / "tiny.db") as database:
        yield database


def test_tinydb_still_goes_through_the_two_methods_we_replace(database, monkeypatch):
    calls = []
    for name in ("_read_table", "_update_table"):
        ours = getattr(KeyedTable, name)
        assert hasattr(tinydb.table.Table, name), f"TinyDB {tinydb.__version__} has no {name}"
        monkeypatch.setattr(
            KeyedTable,
            name,
            lambda self, *args, name=name, ours=ours: calls.append(name) or ours(self, *args),
        )
    table = database.table("rooms")
    for action, method in {
        "insert": lambda: table.insert(Document({"n": 1}, "a")),
        "update": lambda: table.update({"n": 2}, doc_ids=["a"]),
        "remove": lambda: table.remove(doc_ids=["a"]),
        "truncate": table.truncate,
    }.items():
        calls.clear()
        method()
        assert "_update_table" in calls, action
    for action, method in {
        "get": lambda: table.get(doc_id="a"),
        "search": lambda: table.search(where("n") == 1),
        "len": lambda: len(table),
        "iter": lambda: list(table),
    }.items():
        calls.clear()
        method()
        assert calls == ["_read_table"] * len(calls) != [], action


async def test_the_store_really_is_a_tinydb(tmp_path):
    path = tmp_path / "lambda_matrix.db"
    store = TinyStore.open(path, rules=Lenient())
    await store.save([Put("rooms", key, {"state": key}, 0) for key in ("bound", "lost")])
    with KeyedDB(path, readonly=True) as database:
        assert isinstance(database, tinydb.TinyDB)
        assert isinstance(database.storage, SqliteRows)
        (found,) = database.table("rooms").search(where("state") == "lost")
        assert (found.doc_id, found) == ("lost", {"rev": 1, "state": "lost"})
        assert database.tables() == {"meta", "rooms"}
    await store.aclose()


def test_tinydbs_own_methods_work_on_keys(database):
    table = database.table("rooms")
    table.insert_multiple([Document({"n": n}, f"k{n}") for n in range(5)])
    table.update({"seen": True}, where("n") > 2)
    table.update(lambda row: row["list"].append(1) if "list" in row else None)
    table.upsert(Document({"n": 9}, "k0"))
    table.upsert(Document({"n": 7}, "k7"))
    table.remove(where("n") == 1)
    assert {row.doc_id: dict(row) for row in table} == {
        "k0": {"n": 9},
        "k2": {"n": 2},
        "k3": {"n": 3, "seen": True},
        "k4": {"n": 4, "seen": True},
        "k7": {"n": 7},
    }
    with pytest.raises(ValueError, match="already exists"):
        table.insert(Document({}, "k2"))
    database.table("users").insert(Document({}, "u"))
    database.drop_table("rooms")
    assert database.tables() == {"users"}
    database.drop_tables()
    assert database.tables() == set()


def test_a_transaction_over_two_tables_is_undone_as_one(database):
    with pytest.raises(RuntimeError), database.transaction():
        database.keyed("rooms").put("a", {})
        database.keyed("users").put("b", {})
        assert database.keyed("rooms").find("a") == {}
        raise RuntimeError
    assert database.tables() == set()


def test_touching_one_document_reads_and_writes_one_row(database):
    table = database.keyed("rooms")
    with database.transaction():
        for n in range(100):
            table.put(f"k{n}", {"n": n})
    statements: list[str] = []
    database.storage._sqlite.set_trace_callback(statements.append)
    table.find("k5")
    table.put("k5", {"n": 6})
    table.drop("k6")
    assert len(statements) < 12
    assert not [text for text in statements if "k7" in text or "where tbl = 'rooms' order" in text]


def test_a_second_view_sees_each_commit_at_once(database, tmp_path):
    with KeyedDB(tmp_path / "tiny.db", readonly=True) as view:
        for n in range(3):
            database.keyed("rooms").put("a", {"n": n})
            assert view.table("rooms").search(where("n") >= 0) == [{"n": n}]
