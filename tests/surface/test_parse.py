"""Determination: what a message is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surface.commands.parse import Command, Number, Talk, parse
from surface.commands.registry import COMMANDS, nearest


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("!help", Command("help", "")),
        ("  !HELP  new ", Command("help", "new")),
        ("!rename a  b", Command("rename", "a  b")),
        ("!rename\nЧат", Command("rename", "Чат")),
        ("!помощь", Command("помощь", "")),
        ("2", Number(2)),
        (" 2. ", Number(2)),
        ("2)", Number(2)),
        ("2 apples", Talk("2 apples")),
        ("12345", Talk("12345")),
        ("-1", Talk("-1")),
        ("!", Talk("!")),
        ("!!", Talk("!!")),
        ("! help", Talk("! help")),
        ("!2", Talk("!2")),
        ("hello !help", Talk("hello !help")),
        ("٢", Talk("٢")),
    ],
)
def test_a_message_is_what_it_looks_like(body: str, said: object) -> None:
    assert parse(body) == said


@given(st.text())
def test_every_message_is_something(body: str) -> None:
    assert isinstance(parse(body), Command | Number | Talk)


@pytest.mark.parametrize(
    ("typed", "meant"), [("hlep", "help"), ("clar", "clear"), ("chat", "chats")]
)
def test_a_misspelt_command_is_recognised(typed: str, meant: str) -> None:
    assert nearest(typed) == meant


def test_nonsense_is_like_no_command() -> None:
    assert nearest("zzzzzz") is None


def test_no_two_commands_share_a_name() -> None:
    names = [name for spec in COMMANDS for name in (spec.name, *spec.aliases)]
    assert len(names) == len(set(names))
