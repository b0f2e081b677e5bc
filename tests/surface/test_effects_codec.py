"""What lies in the outbox comes back as it was: tried for every effect there is."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines.effects import Answer, Effect, Fresh, Notice, Param, SaveContext, Text
from store.documents import VERSIONS
from store.store import DocumentError
from surface.case import decode_row, encode_row
from surface.effects_codec import EFFECTS, TAG, decode, encode, resolve
from surface.texts import Markdown

WORDS = st.text(max_size=20)
st.register_type_strategy(
    Text,
    st.builds(Text, WORDS, st.dictionaries(WORDS, WORDS | st.integers() | WORDS.map(Markdown))),
)


@pytest.mark.parametrize("kind", get_args(Effect), ids=lambda kind: kind.__name__)
def test_every_effect_comes_back(kind: type) -> None:
    @given(st.from_type(kind))
    def comes_back(effect: Effect) -> None:
        effect = resolve(effect, _Ids())
        again = decode("k", json.loads(json.dumps(encode(effect))))
        assert again == effect
        assert type(again) is type(effect)

    comes_back()


@pytest.mark.parametrize("kind", EFFECTS.values(), ids=list(EFFECTS))
def test_the_tag_is_no_field(kind: type) -> None:
    assert TAG not in {field.name for field in fields(kind)}


def test_markup_in_a_text_stays_markup() -> None:
    notice = Notice("!r", Text("k", {"list": Markdown("**x**")}))
    again = decode("k", json.loads(json.dumps(encode(notice))))
    assert isinstance(again, Notice)
    assert isinstance(again.text.params["list"], Markdown)


def test_an_unknown_effect_is_named() -> None:
    with pytest.raises(DocumentError, match="outbox/k: unknown effect 'FlyToTheMoon'"):
        decode("k", {TAG: "FlyToTheMoon"})
    with pytest.raises(DocumentError, match="outbox/k: Notice cannot be read"):
        decode("k", {TAG: "Notice", "room_id": 1})


class _Ids(dict[Fresh, str]):
    """An id for whatever is asked for."""

    def __missing__(self, fresh: Fresh) -> str:
        return "1"


def test_params_are_what_the_codec_expects() -> None:
    assert get_args(Param) == (str, int, Fresh)


def test_a_row_of_before_threads_is_read() -> None:
    """As version 1 wrote it."""
    effect = {
        "effect": "SaveContext",
        "room_id": "!room",
        "user_id": "@alice:hs",
        "agent_id": "echo",
        "platform_chat_id": "7",
        "name": "plans",
        "event_id": "$said",
    }
    body = {"v": 1, "seq": 3, "effect": effect, "locale": "en", "boot": None}
    row = decode_row("$said/0", body)
    assert row.effect == SaveContext("!room", "@alice:hs", "echo", "7", "plans", "$said", None)
    assert encode_row(row).body["v"] == VERSIONS["outbox"]


def test_an_answer_of_before_has_the_placeholder_that_it_names() -> None:
    """As version 3 wrote it."""
    effect = {"effect": "Answer", "room_id": "!room", "turn_id": "$said", "body": "Yes."}
    body = {"v": 3, "seq": 3, "effect": effect, "locale": "en", "boot": None}
    assert decode_row("$said/final/0", body).effect == Answer("!room", "$said", "Yes.")
