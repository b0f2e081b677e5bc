"""Whatever a homeserver answers to /sync, and whatever people put into events, the bot lives and answers.

The bytes go the whole way: HTTP, JSON, nio, inbox, decisions, store, outbox (`home.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.home import Living, living
from tests.fuzz.shapes import recorded
from tests.rig.mutations import as_json, broken_bytes, many, mutated

SHAPES = recorded()


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    with living(tmp_path_factory.mktemp("life")) as life:
        yield life


def test_what_synapse_sent_is_taken(life: Living) -> None:
    for response in SHAPES:
        life.hears(json.dumps(response).encode())


def deep(depth: int) -> str:
    return '{"x":' * depth + "1" + "}" * depth


def to_device(event: str) -> str:
    return f'{{"next_batch": "n", "to_device": {{"events": [{event}]}}}}'


def joined(room: str) -> str:
    return f'{{"next_batch": "n", "rooms": {{"join": {{"!room": {room}}}}}}}'


def told(part: str, *events: str) -> str:
    return joined(f'{{"{part}": {{"events": [{", ".join(events)}]}}}}')


HELLO = '{"type": "m.room.message", "event_id": "$1", "sender": "@alice:hs", "content": {%s}}'
TEXT = '"msgtype": "m.text", "body": "hello"'
MEMBER = (
    '{"type": "m.room.member", "state_key": "@alice:hs", "event_id": "$1", "sender": "@alice:hs",'
    ' "content": {"membership": "join", "x": %s}}'
)
DEPTHS = (150, 400, 700, 900, 2_000, 100_000)
ENDED_IT = {
    **{
        f"to-device message, {n} deep": to_device(f'{{"type": "x", "content": {deep(n)}}}')
        for n in DEPTHS
    },
    **{f"state, {n} deep": told("state", MEMBER % deep(n)) for n in DEPTHS},
    **{f"message, {n} deep": told("timeline", HELLO % f'{TEXT}, "x": {deep(n)}') for n in DEPTHS},
    "an integer that Python does not read": told("timeline", HELLO % f'{TEXT}, "x": {"9" * 5_000}'),
    "half a letter": told("timeline", HELLO % '"msgtype": "m.text", "body": "a\\ud800 **b**"'),
    "an event twice": told("timeline", HELLO % TEXT, HELLO % TEXT),
    "a type that is none": told("timeline", '{"type": [], "event_id": "$1", "sender": "@a:hs"}'),
    "an empty token": '{"next_batch": ""}',
    "a token that is no text": '{"next_batch": "\\ud800"}',
    "a token that fits into no address": '{"next_batch": "%s"}' % ("x" * 70_000),
    "a part of a room that is none": joined(
        '{"unread_thread_notifications": {"$t": []}, "state": {"events": [%s]}}' % (MEMBER % 1)
    ),
}
"""By what it was, a response that ended the bot once, or was refused by it for ever."""


@pytest.mark.parametrize("response", [pytest.param(r, id=name) for name, r in ENDED_IT.items()])
def test_what_ended_it_once(life: Living, response: str) -> None:
    life.hears(response.encode())


OTHERS: tuple[Any, ...] = (None, 5, "", [], {})
AT_ONCE = 400
Path = tuple[str | int, ...]


def places(value: Any, shape: str = "", path: Path = ()) -> Iterator[tuple[str, Path]]:
    """Each place in a response, and its shape: names of rooms, people and events, and which of its kind
    something is in a list, do not tell places apart."""
    if path:
        yield shape, path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, f"{shape}/{key[0] if key[:1] in '!@$' else key}", (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            kind = inner.get("type", "") if isinstance(inner, dict) else ""
            yield from places(inner, f"{shape}/[{kind}]", (*path, number))


def put(response: Any, path: Path, other: Any) -> bytes:
    """The response with something else in one place."""
    response = deepcopy(response)
    *way, last = path
    at = response
    for step in way:
        at = at[step]
    at[last] = other
    return json.dumps(response).encode()


def walk() -> list[bytes]:
    """Every place of what was recorded, once with each of `OTHERS` in it; in the smallest that has it."""
    large_first = sorted(SHAPES, key=lambda response: -len(json.dumps(response)))
    every = {shape: (told, path) for told in large_first for shape, path in places(told)}
    return [put(response, path, other) for response, path in every.values() for other in OTHERS]


def test_something_else_in_any_one_place(life: Living) -> None:
    every = walk()
    assert len(every) > 1_000
    for first in range(0, len(every), AT_ONCE):
        some = every[first : first + AT_ONCE]
        try:
            life.hears(*some)
        except BaseException:
            for one in some:  # Which of them was it?
                life.hears(one)
            raise


@many(15)
@given(response=mutated(SHAPES).map(as_json))
def test_a_response_that_is_almost_one(life: Living, response: bytes) -> None:
    life.hears(response)


@many(10)
@given(response=broken_bytes(st.sampled_from([json.dumps(shape).encode() for shape in SHAPES])))
def test_a_response_of_broken_bytes(life: Living, response: bytes) -> None:
    life.hears(response)
