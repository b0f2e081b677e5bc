"""What is still answered of what came while nobody listened; and how far a room is finished."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import CatchUp
from store import MemoryStore, Put, Stored
from store.documents import check_readable
from surface.catch_up import passed_over
from surface.inbox import Gap, InboxRow, decode_gap, decode_row, encode_gap, encode_row, sent_at
from surface.inputs import Message
from surface.read_marker import finished
from surface.reception import answerable
from tests.surface.place import ALICE, BOB, ROOM, ROOMS, RULES

NOW = 1_800_000_000.0
DAY = 86_400


def said(name: str, *, hours: float | None = 0, late: bool = True) -> tuple[InboxRow, Message]:
    """A message, sent so many hours ago."""
    sent = None if hours is None else int((NOW - hours * 3600) * 1000)
    row = InboxRow(name, ROOM, name, "event", {}, late, sent)
    return row, Message(name, ROOM, ALICE, "hello", "m.text")


def names(waiting: Any) -> list[str]:
    return [row.key for row, _ in waiting]


@pytest.mark.parametrize(
    ("mode", "left"),
    [("answer", ["a"]), ("latest", ["a", "b", "c"]), ("skip", ["a", "b", "c", "d"])],
)
def test_what_is_left_unanswered(mode: Any, left: list[str]) -> None:
    waiting = [said("a", hours=25), said("b", hours=23), said("c"), said("d", hours=None)]
    assert names(passed_over(waiting, CatchUp(mode=mode), NOW)) == left


def test_the_last_message_may_be_too_old_as_well() -> None:
    waiting = [said("a", hours=30), said("b", hours=25)]
    assert names(passed_over(waiting, CatchUp(mode="latest"), NOW)) == ["a", "b"]


@pytest.mark.parametrize("mode", ["answer", "latest", "skip"])
def test_what_the_last_process_had_received_is_answered_unless_it_is_old(mode: Any) -> None:
    waiting = [said("a", hours=25, late=False), said("b", late=False)]
    assert names(passed_over(waiting, CatchUp(mode=mode), NOW)) == ["a"]


def test_without_a_clock_nothing_is_old() -> None:
    assert passed_over([said("a", hours=1000)], CatchUp(), None) == []


@given(
    st.lists(st.tuples(st.one_of(st.none(), st.floats(0, 48)), st.booleans()), max_size=8),
    st.sampled_from(["answer", "latest", "skip"]),
)
def test_doing_it_again_leaves_no_more_unanswered(
    ages: list[tuple[float | None, bool]], mode: Any
) -> None:
    """A crash right after it changes nothing, unless something new came."""
    rule = CatchUp(mode=mode)
    waiting = [said(f"{n}", hours=hours, late=late) for n, (hours, late) in enumerate(ages)]
    left = names(passed_over(waiting, rule, NOW))
    rest = [one for one in waiting if one[0].key not in left]
    assert passed_over(rest, rule, NOW) == []


@pytest.mark.parametrize(
    ("event", "now", "sent"),
    [
        ({"unsigned": {"age": 5000}, "origin_server_ts": 1}, NOW, int(NOW * 1000) - 5000),
        ({"unsigned": {"age": 5000}, "origin_server_ts": 7}, None, 7),
        ({"origin_server_ts": 7}, NOW, 7),
        ({"unsigned": {"age": -1}, "origin_server_ts": 7}, NOW, 7),
        ({"unsigned": {"age": True}}, NOW, None),
        ({"unsigned": [], "origin_server_ts": "7"}, NOW, None),
        ({"unsigned": {"age": 2**60}, "origin_server_ts": -7}, NOW, None),
    ],
)
def test_when_an_event_was_sent(event: dict[str, Any], now: float | None, sent: int | None) -> None:
    assert sent_at(event, now) == sent


@pytest.mark.parametrize(
    ("room", "message", "answered"),
    [
        ("bound", {}, True),
        ("home", {}, True),
        ("bound", {"sender": BOB}, False),
        ("bound", {"sender": "@eve:elsewhere"}, False),
        ("bound", {"msgtype": "m.notice"}, False),
        ("bound", {"msgtype": "m.image"}, True),
        ("company", {}, False),
        ("company", {"mentions": True}, True),
        ("company", {"mentions": True, "sender": BOB}, True),
        ("company", {"body": "!help"}, True),
        ("company", {"body": "!help", "sender": BOB}, False),
        ("undecided", {}, False),
        ("undecided", {"body": "!help"}, True),
        ("undecided", {"body": "!help", "sender": BOB}, False),
        ("unprovisioned", {"body": "!help"}, False),
    ],
)
def test_only_what_would_be_answered_counts(
    room: str, message: dict[str, Any], answered: bool
) -> None:
    its = replace(Message("$e", ROOM, ALICE, "hello", "m.text"), **message)
    assert answerable(ROOMS[room][0], its, RULES) is answered


async def test_an_inbox_of_the_first_version_is_read() -> None:
    body = {"v": 1, "room_id": ROOM, "order": "1", "kind": "event", "content": '{"a": 1}'}
    check_readable("inbox", "$e", body)
    row = decode_row("$e", body)
    assert row == InboxRow("$e", ROOM, "1", "event", {"a": 1}, late=False, sent=None)
    old_gap = {"v": 1, "kind": "gap", "room_id": ROOM, "sync": 3, "start": "s", "until": "u"}
    check_readable("dirty", "gap/1", old_gap)
    gap = decode_gap("gap/1", old_gap)
    assert gap == Gap("gap/1", ROOM, 3, "s", "u", late=False, after=None)


async def test_rows_and_gaps_come_back_as_they_were() -> None:
    row = InboxRow("$e", ROOM, "1", "event", {"a": [1]}, late=True, sent=12)
    gap = Gap("gap/1", ROOM, 3, "s", None, late=True, after="$marker")
    store = MemoryStore()
    await store.save([encode_row(row), encode_gap(gap)])
    assert decode_row("$e", (await _stored(store, encode_row(row))).body) == row
    assert decode_gap("gap/1", (await _stored(store, encode_gap(gap))).body) == gap


async def _stored(store: MemoryStore, put: Put) -> Stored:
    found = await store.get(put.table, put.key)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("waiting", "effects", "count"),
    [
        ([], [], 3),
        (["4"], [], 3),
        (["2.5"], [], 2),
        (["2"], [], 1),
        (["0"], [], 0),
        ([], ["$b/final/0"], 1),
        ([], ["$a/0", "$c/0"], 0),
        ([], ["$c/0!/1"], 2),
        ([], ["missed/$a/0", "reconcile/x/0"], 3),
        (["3"], ["$b/0"], 1),
    ],
)
def test_how_far_a_room_is_finished(waiting: list[str], effects: list[str], count: int) -> None:
    assert finished([("1", "$a"), ("2", "$b"), ("3", "$c")], waiting, effects) == count
