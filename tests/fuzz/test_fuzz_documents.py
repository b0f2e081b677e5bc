"""Whatever stands in the database, the bot starts and answers, or refuses it by name and leaves it as it is.

Every table has a document; one is changed in the file, as a damaged disk or a clumsy hand would. Then the
whole bot starts on it.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines.effects import Notice, Text
from machines.turn import Turn
from store import Put
from store.documents import VERSIONS, check_readable, written
from store.store import DocumentError, StoreError, Table, Write
from surface import case
from surface.inbox import Gap, InboxRow, encode_gap, encode_row, position
from surface.mirrors import due
from tests.fuzz.home import Living, living, people
from tests.fuzz.shapes import ALICE, ROOM
from tests.rig.mutations import as_json, many, mutated

SAID = {
    "type": "m.room.message",
    "event_id": "$said",
    "sender": ALICE,
    "origin_server_ts": 1_700_000_000_000,
    "content": {"msgtype": "m.text", "body": "!help rename"},
}


def pending() -> list[Write]:
    """Something that is not finished yet, in every table that has such."""
    turn = Turn("$asked", ROOM, ALICE, "Tell me a story", "echo", "7", position(1, 1))
    notice = Notice(ROOM, Text("dialog-expired", {}), "$old")
    return [
        encode_row(InboxRow("$said", ROOM, position(1, 2), "event", SAID)),
        encode_gap(Gap(f"gap/{ROOM}/000000000001", ROOM, 1, "start", "until")),
        Put("turns", "$asked", written("turns", turn, "waiting"), None),
        case.encode_row(case.Row("$old/0", 1, notice, "en")),
        due.encode(due.due_binding(ROOM)),
    ]


def spoiled(table: str, key: str, text: str) -> Callable[[Path], None]:
    """Everything pending is written, and then this in the place of one document."""

    def spoil(database: Path) -> None:
        with closing(sqlite3.connect(database)) as file, file:
            for put in pending():
                assert isinstance(put, Put)
                row = (put.table, put.key, json.dumps({"rev": 1, **put.body}))
                file.execute("insert into documents values (?, ?, ?)", row)
            where = "update documents set json = ? where tbl = ? and key = ?"
            assert file.execute(where, (text, table, key)).rowcount == 1

    return spoil


def documents() -> dict[tuple[Table, str], dict[str, Any]]:
    """Every document by table and key, as it lies in the file."""
    puts = [put for put in (*people(), *pending()) if isinstance(put, Put)]
    meta = {
        "next_batch": {"v": VERSIONS["meta"], "token": "begin", "sync": 1},
        "PLATFORM_CHAT_SEQ": {"v": VERSIONS["meta"], "value": 100},
        "installation_id": {"v": VERSIONS["meta"], "value": "installation"},
        "schema": {"v": 1, "version": 1},
    }
    found = {
        (put.table, put.key): {"rev": 1, **put.body} for put in puts if "carol" not in str(put)
    }
    return {**found, **{("meta", key): {"rev": 1, **body} for key, body in meta.items()}}


DOCUMENTS = {at: body for at, body in documents().items() if "!sane" not in at[1]}
SPOILED = st.sampled_from(sorted(DOCUMENTS)).flatmap(
    lambda at: st.tuples(st.just(at), mutated([DOCUMENTS[at]]).map(as_json))
)
ALICE_SAYS = json.dumps(
    {
        "next_batch": "n",
        "rooms": {"join": {ROOM: {"timeline": {"events": [{**SAID, "event_id": "$more"}]}}}},
    }
).encode()


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    with living(tmp_path_factory.mktemp("life")) as life:
        yield life


def lives_or_refuses(life: Living, at: tuple[str, str], text: bytes) -> None:
    refused, complaints = life.starts(ALICE_SAYS, spoil=spoiled(*at, text.decode()))
    if refused is not None:
        assert isinstance(refused, StoreError), repr(refused)
        assert at[0] in str(refused) or at[1] in str(refused)
    assert [c for c in complaints if c.get("exc_info")] == []


@pytest.mark.parametrize("at", sorted(DOCUMENTS), ids="/".join)
def test_it_starts_on_what_it_wrote(life: Living, at: tuple[str, str]) -> None:
    assert life.starts(ALICE_SAYS, spoil=spoiled(*at, json.dumps(DOCUMENTS[at]))) == (None, [])


@pytest.mark.parametrize("at", sorted(at for at in DOCUMENTS if at[1] != "schema"), ids="/".join)
def test_what_lacks_something_is_refused_by_name(at: tuple[Table, str]) -> None:
    (table, key), body = at, DOCUMENTS[at]
    whole = {name: value for name, value in body.items() if name != "rev"}
    check_readable(table, key, whole)
    for name in whole:
        without = {other: value for other, value in whole.items() if other != name}
        for damaged in (without, {**whole, name: 1.5}):
            with pytest.raises(DocumentError, match=re.escape(f"{table}/{key}: ")):
                check_readable(table, key, damaged)


@pytest.mark.parametrize("name", ["platform_chat_id", "chat_id", "previous_chat_id"])
def test_a_number_that_is_none_is_refused_by_name(name: str) -> None:
    key = f"matrix_room:{ROOM}"
    body = {k: v for k, v in DOCUMENTS["rooms", key].items() if k != "rev"}
    with pytest.raises(DocumentError, match=re.escape(f"rooms/{key}: damaged, field '{name}'")):
        check_readable("rooms", key, {**body, name: "!home"})


@many(6)
@given(spoilt=SPOILED)
def test_a_document_that_is_almost_one(life: Living, spoilt: tuple[tuple[str, str], bytes]) -> None:
    lives_or_refuses(life, *spoilt)
