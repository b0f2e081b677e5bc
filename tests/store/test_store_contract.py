"""What every store keeps, whatever lies underneath."""

import asyncio
from enum import StrEnum

import pytest

from machines.effects import PLATFORM_CHAT_SEQ, Fresh
from store import (
    Conflict,
    Delete,
    DocumentError,
    MemoryStore,
    Put,
    SequenceSpent,
    Store,
    Stored,
    StoreError,
    TinyStore,
)
from tests.store.store_rules import Lenient


class Hasty(TinyStore):
    """Waits for the disk only when it is asked to."""

    async def save(self, changes, *, durable=False):
        return await super().save(changes, durable=durable)


@pytest.fixture(params=["memory", "tiny", "tiny, not waiting"])
async def store(request, tmp_path):
    if request.param == "memory":
        made = MemoryStore(rules=Lenient())
    else:
        kind = TinyStore if request.param == "tiny" else Hasty
        made = kind.open(tmp_path / "lambda_matrix.db", rules=Lenient())
    yield made
    await made.aclose()


async def everything(store: Store):
    tables = [
        "users",
        "rooms",
        "chats",
        "meta",
        "inbox",
        "turns",
        "outbox",
        "dirty",
        "mirrors",
        "echo",
    ]
    return {table: await store.scan(table) for table in tables}


async def test_what_was_saved_is_read_back(store):
    saved = await store.save([Put("rooms", "a", {"v": 1, "name": "Привет 🎈"}, 0)])
    assert saved.revs == {("rooms", "a"): 1}
    assert await store.get("rooms", "a") == Stored(1, {"v": 1, "name": "Привет 🎈"})


async def test_what_is_not_there_is_none(store):
    assert await store.get("rooms", "a") is None
    assert await store.scan("rooms") == []


async def test_tables_do_not_share_keys(store):
    await store.save([Put("rooms", "a", {"in": "rooms"}, 0), Put("users", "a", {"in": "users"}, 0)])
    assert (await store.get("rooms", "a")).body == {"in": "rooms"}
    assert (await store.get("users", "a")).body == {"in": "users"}


async def test_a_write_replaces_the_whole_body(store):
    await store.save([Put("rooms", "a", {"old": 1}, 0)])
    await store.save([Put("rooms", "a", {"new": 1}, 1)])
    assert await store.get("rooms", "a") == Stored(2, {"new": 1})


async def test_expecting_nothing_where_something_is_conflicts(store):
    await store.save([Put("rooms", "a", {"n": 1}, 0)])
    with pytest.raises(Conflict) as caught:
        await store.save([Put("rooms", "a", {"n": 2}, 0)])
    assert caught.value.moved == (("rooms", "a"),)
    assert await store.get("rooms", "a") == Stored(1, {"n": 1})


@pytest.mark.parametrize("expect", [1, 3])
async def test_expecting_another_revision_conflicts(store, expect):
    await store.save([Put("rooms", "a", {"n": 1}, None)])
    await store.save([Put("rooms", "a", {"n": 2}, None)])
    with pytest.raises(Conflict):
        await store.save([Put("rooms", "a", {"n": 3}, expect)])
    assert await store.get("rooms", "a") == Stored(2, {"n": 2})


async def test_expecting_a_revision_where_nothing_is_conflicts(store):
    with pytest.raises(Conflict):
        await store.save([Put("rooms", "a", {"n": 1}, 1)])
    assert await store.get("rooms", "a") is None


async def test_expecting_none_writes_over_whatever_is_there(store):
    for n in (1, 2):
        saved = await store.save([Put("rooms", "a", {"n": n}, None)])
        assert saved.revs["rooms", "a"] == n


async def test_a_conflict_names_all_that_moved_and_writes_nothing(store):
    await store.save([Put("rooms", "a", {"n": 1}, 0), Put("users", "b", {"n": 1}, 0)])
    before = await everything(store)
    with pytest.raises(Conflict) as caught:
        await store.save(
            [
                Put("turns", "new", {"id": Fresh("x")}, 0),
                Put("rooms", "a", {"n": 2}, 7),
                Delete("users", "b", 9),
                Put("outbox", "free", {}, None),
            ]
        )
    assert caught.value.moved == (("rooms", "a"), ("users", "b"))
    assert await everything(store) == before


async def test_a_delete_removes(store):
    await store.save([Put("rooms", "a", {}, 0)])
    await store.save([Delete("rooms", "a", 1)])
    assert await store.get("rooms", "a") is None
    assert await store.scan("rooms") == []


async def test_removing_what_is_not_there_is_no_error(store):
    assert (await store.save([Delete("rooms", "a")])).revs == {}


async def test_removing_what_is_not_there_at_a_revision_conflicts(store):
    with pytest.raises(Conflict):
        await store.save([Delete("rooms", "a", 1)])


async def test_an_empty_save_changes_nothing(store):
    before = await everything(store)
    saved = await store.save([])
    assert (saved.revs, saved.ids) == ({}, {})
    assert await everything(store) == before


async def test_of_two_writers_at_one_revision_one_wins(store):
    await store.save([Put("rooms", "a", {"n": 0}, 0)])
    outcomes = await asyncio.gather(
        *(store.save([Put("rooms", "a", {"n": n}, 1)]) for n in range(1, 9)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 7
    assert (await store.get("rooms", "a")).rev == 2


async def test_one_document_is_not_written_twice_in_a_save(store):
    with pytest.raises(DocumentError, match="rooms/a"):
        await store.save([Put("rooms", "a", {"n": 1}, None), Delete("rooms", "a")])
    assert await store.get("rooms", "a") is None


# Fresh ids


async def test_fresh_ids_start_at_one_and_grow(store):
    for n in ("1", "2", "3"):
        saved = await store.save([Put("rooms", "a", {"chat": {"id": Fresh("x")}}, None)])
        assert saved.ids == {Fresh("x"): n}
        assert (await store.get("rooms", "a")).body == {"chat": {"id": n}}
    assert (await store.get("meta", PLATFORM_CHAT_SEQ)).body == {"v": 1, "value": 3}


async def test_one_name_is_one_id_within_a_save(store):
    saved = await store.save(
        [
            Put("rooms", "a", {"id": Fresh("x"), "other": Fresh("y")}, 0),
            Put("turns", "b", {"id": Fresh("x")}, 0),
        ]
    )
    assert saved.ids == {Fresh("x"): "1", Fresh("y"): "2"}
    assert (await store.get("turns", "b")).body == {"id": "1"}


async def test_sequences_do_not_share_numbers(store):
    saved = await store.save([Put("rooms", "a", {"p": Fresh("x"), "q": Fresh("x", "OTHER")}, 0)])
    assert saved.ids == {Fresh("x"): "1", Fresh("x", "OTHER"): "1"}


async def test_a_fresh_is_found_deep_inside_a_body(store):
    await store.save([Put("outbox", "a", {"args": [{"to": (Fresh("x"), [Fresh("y")])}]}, 0)])
    assert (await store.get("outbox", "a")).body == {"args": [{"to": ["1", ["2"]]}]}


async def test_a_body_that_only_looks_like_a_fresh_is_left_alone(store):
    body = {"name": "x", "sequence": PLATFORM_CHAT_SEQ, "in": {"name": "x", "sequence": "s"}}
    saved = await store.save([Put("inbox", "a", body, 0)])
    assert saved.ids == {}
    assert (await store.get("inbox", "a")).body == body
    assert await store.get("meta", PLATFORM_CHAT_SEQ) is None


async def test_a_failed_save_issues_nothing(store):
    with pytest.raises(DocumentError):
        await store.save([Put("rooms", "a", {"id": Fresh("x"), "refuse": True}, 0)])
    assert await store.get("meta", PLATFORM_CHAT_SEQ) is None
    assert (await store.save([Put("rooms", "a", {"id": Fresh("x")}, 0)])).ids == {Fresh("x"): "1"}


async def test_an_id_does_not_come_back_when_its_document_goes(store):
    await store.save([Put("rooms", "a", {"id": Fresh("x")}, 0)])
    await store.save([Delete("rooms", "a")])
    saved = await store.save([Put("rooms", "a", {"id": Fresh("x")}, 0)])
    assert saved.ids == {Fresh("x"): "2"}


async def test_raising_a_sequence_skips_ids_even_in_the_same_save(store):
    saved = await store.save(
        [
            Put("rooms", "a", {"id": Fresh("x")}, 0),
            Put("meta", PLATFORM_CHAT_SEQ, {"v": 1, "value": 40}, 0),
        ]
    )
    assert saved.ids == {Fresh("x"): "41"}
    assert (await store.get("meta", PLATFORM_CHAT_SEQ)).body == {"v": 1, "value": 41}


async def test_a_sequences_own_document_may_hold_what_it_issues(store):
    body = {"v": 1, "value": 4, "newest": Fresh("x")}
    await store.save([Put("meta", PLATFORM_CHAT_SEQ, body, 0)])
    await store.save([Put("rooms", "a", {"id": Fresh("x")}, 0)])
    stored = await store.get("meta", PLATFORM_CHAT_SEQ)
    assert stored == Stored(2, {"v": 1, "value": 6, "newest": "5"})


@pytest.mark.parametrize(
    "write",
    [
        Put("meta", PLATFORM_CHAT_SEQ, {"v": 1, "value": 0}, None),
        Put("meta", PLATFORM_CHAT_SEQ, {"v": 1, "value": "9"}, None),
        Put("meta", PLATFORM_CHAT_SEQ, {"v": 1}, None),
        Delete("meta", PLATFORM_CHAT_SEQ),
    ],
)
async def test_a_sequence_never_goes_back(store, write):
    await store.save([Put("rooms", "a", {"id": Fresh("x")}, 0)])
    with pytest.raises(DocumentError, match=PLATFORM_CHAT_SEQ):
        await store.save([write])
    saved = await store.save([Put("rooms", "b", {"id": Fresh("x")}, 0)])
    assert saved.ids == {Fresh("x"): "2"}


async def test_no_id_is_issued_beyond_the_reserved_end(store):
    await store.save([Put("meta", PLATFORM_CHAT_SEQ, {"v": 1, "value": 4, "reserved": 5}, 0)])
    saved = await store.save([Put("rooms", "a", {"id": Fresh("x")}, 0)])
    assert saved.ids == {Fresh("x"): "5"}
    before = await everything(store)
    with pytest.raises(SequenceSpent):
        await store.save([Put("rooms", "b", {"id": Fresh("x")}, 0)])
    assert await everything(store) == before, "all or nothing"
    more = {"v": 1, "value": 5, "reserved": 6}
    saved = await store.save(
        [Put("meta", PLATFORM_CHAT_SEQ, more, 2), Put("rooms", "b", {"id": Fresh("x")}, 0)]
    )
    assert saved.ids == {Fresh("x"): "6"}
    assert (await store.get("meta", PLATFORM_CHAT_SEQ)).body == {**more, "value": 6}


async def test_a_lost_document_goes_on_with_a_later_revision(store):
    saved = await store.save([Put("rooms", "a", {}, 0, least_rev=7)])
    assert saved.revs == {("rooms", "a"): 7}
    await store.save([Put("rooms", "a", {}, 7, least_rev=3)])
    assert (await store.get("rooms", "a")).rev == 8, "it never goes back"


# Bodies


async def test_changing_a_written_body_afterwards_changes_nothing(store):
    body = {"list": [1]}
    saving = asyncio.ensure_future(store.save([Put("rooms", "a", body, 0)]))
    await asyncio.sleep(0)  # the save has begun, its body may be on its way to another thread
    body["list"].append(2)
    await saving
    body["list"].append(3)
    assert (await store.get("rooms", "a")).body == {"list": [1]}


async def test_changing_a_read_body_changes_nothing(store):
    await store.save([Put("rooms", "a", {"list": [1]}, 0)])
    (await store.get("rooms", "a")).body["list"].append(2)
    (await store.scan("rooms"))[0][1].body["list"].append(2)
    assert (await store.get("rooms", "a")).body == {"list": [1]}


class Colour(StrEnum):
    RED = "red"


def nested(levels: int) -> list:
    value: list = []
    for _ in range(levels):
        value = [value]
    return value


async def test_values_are_read_back_as_plain_json(store):
    await store.save([Put("rooms", "a", {"enum": Colour.RED, "tuple": (1, 2.5, True, None)}, 0)])
    body = (await store.get("rooms", "a")).body
    assert body == {"enum": "red", "tuple": [1, 2.5, True, None]}
    assert type(body["enum"]) is str


@pytest.mark.parametrize(
    "value",
    [{1, 2}, b"x", object(), float("nan"), float("inf"), {1: "x"}, [{None: 1}], nested(5000)],
    ids=["set", "bytes", "object", "nan", "inf", "int key", "None key", "too deep"],
)
async def test_what_json_cannot_hold_is_refused_by_name(store, value):
    with pytest.raises(DocumentError, match="rooms/b: field `odd`"):
        await store.save([Put("rooms", "a", {}, 0), Put("rooms", "b", {"odd": value}, 0)])
    assert await store.scan("rooms") == []


async def test_the_field_rev_is_the_stores_own(store):
    with pytest.raises(DocumentError, match="`rev`"):
        await store.save([Put("rooms", "a", {"rev": 7}, 0)])


async def test_odd_text_survives(store):
    body = {"text": 'nul \0 lone \ud800 line \u2028 quote " back \\', "ключ \0": {"": ""}}
    await store.save([Put("inbox", "a", body, 0)])
    assert (await store.get("inbox", "a")).body == body


# Scanning


async def test_a_scan_is_ordered_by_key(store):
    keys = ["b", "a", "B", "ä", "", "aa", "😀", "\uffff", "a\0", "Z" * 100_000]
    await store.save([Put("rooms", key, {"key": key}, 0) for key in keys])
    found = await store.scan("rooms")
    assert [key for key, _ in found] == sorted(keys)
    assert all(stored.body == {"key": key} for key, stored in found)


ODD = ["%", "_", "\\", "*", "?", "[", "'", '"', "\0", "a\0b", "é", "e\u0301", "😀", "\uffff", "a"]


@pytest.mark.parametrize("prefix", [*ODD, "a%", "chat:@alice:hs:", "x" * 50_000], ids=ascii)
async def test_a_prefix_means_itself(store, prefix):
    keys = {
        base + end for base in [*ODD, prefix, "chat:@bob:hs:"] for end in ["", "1", "\U0010ffff"]
    }
    await store.save([Put("chats", key, {}, 0) for key in sorted(keys)])
    found = [key for key, _ in await store.scan("chats", prefix=prefix)]
    assert found == sorted(key for key in keys if key.startswith(prefix))
    assert found


async def test_a_key_that_is_not_unicode_is_refused_and_never_found(store):
    with pytest.raises(DocumentError, match="inbox"):
        await store.save([Put("inbox", "\ud800", {}, 0)])
    assert await store.get("inbox", "\ud800") is None
    assert await store.scan("inbox", prefix="\ud800") == []


# Rules


async def test_a_refused_document_takes_the_whole_save_with_it(store):
    before = await everything(store)
    with pytest.raises(DocumentError, match="rooms/b"):
        await store.save([Put("rooms", "a", {}, 0), Put("rooms", "b", {"refuse": True}, 0)])
    assert await everything(store) == before


async def test_an_unreadable_document_is_named_and_never_replaced(store):
    await store.save([Put("rooms", "a", {"v": 2}, 0), Put("rooms", "b", {"v": 1}, 0)])
    with pytest.raises(DocumentError, match="rooms/a"):
        await store.get("rooms", "a")
    with pytest.raises(DocumentError, match="rooms/a"):
        await store.scan("rooms")
    for write in (Put("rooms", "a", {"v": 1}, None), Delete("rooms", "a")):
        with pytest.raises(DocumentError, match="rooms/a"):
            await store.save([write])
    assert (await store.get("rooms", "b")).body == {"v": 1}


async def test_a_room_carries_its_chat_row_with_it(store):
    await store.save([Put("rooms", "a", {"label": "C1"}, 0)])
    assert await store.get("chats", "C1") == Stored(1, {"room": "a"})
    await store.save([Put("rooms", "a", {"label": "C2"}, 1)])
    assert [key for key, _ in await store.scan("chats")] == ["C2"]
    await store.save([Delete("rooms", "a")])
    assert await store.scan("chats") == []


async def test_a_chat_row_sees_fresh_ids_resolved(store):
    await store.save([Put("rooms", "a", {"label": "C1", "chat": {"id": Fresh("x")}}, 0)])
    assert (await store.get("chats", "C1")).body == {"room": "a", "id": "1"}


@pytest.mark.parametrize("first", ["a", "b"])
async def test_a_label_handed_from_room_to_room_stays(store, first):
    await store.save([Put("rooms", "a", {"label": "C1"}, 0), Put("rooms", "b", {}, 0)])
    writes = [Put("rooms", "a", {}, 1), Put("rooms", "b", {"label": "C1"}, 1)]
    await store.save(writes if first == "a" else writes[::-1])
    assert (await store.get("chats", "C1")).body == {"room": "b"}


async def test_a_refused_chat_row_takes_the_room_with_it(store):
    with pytest.raises(DocumentError, match="chats/C1"):
        await store.save([Put("rooms", "a", {"label": "C1", "chat": {"refuse": True}}, 0)])
    assert await store.get("rooms", "a") is None


# Birth and end


async def test_a_new_store_knows_its_schema_and_installation(store):
    assert (await store.get("meta", "schema")).body == {"v": 1, "version": 1}
    installation = (await store.get("meta", "installation_id")).body
    assert installation["v"] == 1
    assert len(bytes.fromhex(installation["value"])) == 16


async def test_a_closed_store_refuses_everything(store):
    await store.aclose()
    await store.aclose()
    for call in (store.get("rooms", "a"), store.scan("rooms"), store.save([Delete("rooms", "a")])):
        with pytest.raises(StoreError, match="closed"):
            await call
