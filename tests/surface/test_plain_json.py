"""What is read of a homeserver's JSON, whatever somebody put into it."""

from __future__ import annotations

import json

import pytest

from surface.matrix.plain_json import parse


@pytest.mark.parametrize("number", ["9" * 4_301, "-" + "9" * 5_000, "1" + "0" * 17])
def test_an_integer_that_is_too_long_is_none_and_the_rest_is_read(number: str) -> None:
    text = f'{{"next_batch": "n", "x": [{number}, 1]}}'
    assert parse(text.encode()) == {"next_batch": "n", "x": [None, 1]}


def test_so_is_one_that_lies_beside_what_is_too_deep() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    value = parse(f'{{"deep": {deep}, "long": {"9" * 5_000}, "x": 1}}'.encode())
    assert value["long"] is None and value["x"] == 1


@pytest.mark.parametrize("number", [0, -1, 2**53 - 1, 1 - 2**53, 1_700_000_000_000])
def test_each_integer_of_matrix_is_itself(number: int) -> None:
    assert parse(json.dumps([number]).encode()) == [number]


def test_a_string_that_does_not_end_is_read_once() -> None:
    """Were it begun anew at each quote in it, this would take hours."""
    with pytest.raises(ValueError):
        parse(b"[" * 100_000 + b'"' + b'\\"' * 1_000_000)


@pytest.mark.parametrize("string", ['"]"', r'"\""', r'"\\"', r'"a\"]{\\\"["', '""'])
def test_brackets_in_a_string_are_none(string: str) -> None:
    deep = "[" * 100_000 + string + "]" * 100_000
    value = parse(f'{{"x": [{string}, {deep}, {string}]}}'.encode())
    assert value["x"][0] == value["x"][2] == json.loads(string)
