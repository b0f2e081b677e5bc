"""The line editor: keys in, lines out."""

from __future__ import annotations

import pytest

from surface.demo.line import Finished, Line


@pytest.mark.parametrize(
    ("typed", "text", "cursor"),
    [
        (b"hello", "hello", 5),
        (b"helo\x1b[Dl", "hello", 4),
        (b"hello\x7f\x7f", "hel", 3),
        (b"ello\x1b[Hh", "hello", 1),
        (b"ello\x01h\x05!", "hello!", 6),
        (b"one two\x17", "one ", 4),
        (b"one two\x1b[D\x1b[D\x1b[3~", "one to", 5),
        (b"one\x1b[D\x15", "e", 0),
        (b"one\x1b[D\x0b", "on", 2),
        ("привет 你好".encode(), "привет 你好", 9),
        (b"a\x1b[5~\x1b[1;5Cb\x1bxc\x00d", "abcd", 4),
        (b"\x1b[D\x1b[C\x1b[B\x1b[A\x7fa", "a", 1),
    ],
)
def test_keys_edit_the_line(typed: bytes, text: str, cursor: int) -> None:
    line = Line()
    assert line.feed(typed) == []
    assert (line.text, line.cursor) == (text, cursor)
    # However the terminal cuts it into pieces, it means the same.
    piecewise = Line()
    for byte in typed:
        piecewise.feed(bytes([byte]))
    assert (piecewise.text, piecewise.cursor) == (text, cursor)


def test_enter_finishes_lines_and_empty_ones_are_none() -> None:
    line = Line()
    assert line.feed(b"one\r\n\r  \rtwo\nthr") == ["one", "two"]
    assert line.text == "thr"


def test_earlier_lines_come_back() -> None:
    line = Line()
    line.feed(b"one\rtwo\rdraft\x1b[A")
    assert line.text == "two"
    line.feed(b"\x1b[A\x1b[A")
    assert line.text == "one"
    line.feed(b"\x1b[B\x1b[B")
    assert line.text == "draft"


def test_ctrl_d_ends_the_input_only_on_an_empty_line() -> None:
    line = Line()
    line.feed(b"ab\x01\x04")
    assert line.text == "b"
    with pytest.raises(Finished):
        line.feed(b"\x04\x04")
