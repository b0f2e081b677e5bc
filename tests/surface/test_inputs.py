"""From raw events to inputs: whatever a stranger sends, it is an input or nothing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surface.inputs import (
    Ciphertext,
    Invite,
    Marked,
    Membership,
    Message,
    Named,
    interesting,
    read,
    read_invite,
)

ME = "@lambda:hs"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
TYPES = st.sampled_from(
    [
        "m.room.message",
        "m.room.encrypted",
        "m.room.member",
        "m.room.name",
        "m.room.encryption",
        "lambda.surface.room",
        "x",
    ]
)


def event(kind: str, content: Any, sender: str = "@a:hs", **more: Any) -> dict[str, Any]:
    return {"type": kind, "event_id": "$e", "sender": sender, "content": content, **more}


def said(content: Any) -> Message:
    message = read("!r", event("m.room.message", {"msgtype": "m.text", **content}), ME)
    assert isinstance(message, Message)
    return message


def test_a_message_is_read() -> None:
    assert said({"body": "hi"}) == Message("$e", "!r", "@a:hs", "hi", "m.text")


def test_an_edit_is_no_new_message() -> None:
    relates = {"rel_type": "m.replace", "event_id": "$0"}
    content = {"msgtype": "m.text", "body": "* hi", "m.relates_to": relates}
    assert read("!r", event("m.room.message", content), ME) is None


def test_a_reply_names_what_it_answers_and_drops_the_quote() -> None:
    relates = {"m.in_reply_to": {"event_id": "$0"}}
    message = said({"body": "> <@b:hs> old\n> words\n\nnew", "m.relates_to": relates})
    assert (message.reply_to, message.body) == ("$0", "new")


def test_a_thread_is_no_reply() -> None:
    relates = {
        "rel_type": "m.thread",
        "event_id": "$t",
        "is_falling_back": True,
        "m.in_reply_to": {"event_id": "$0"},
    }
    message = said({"body": "hi", "m.relates_to": relates})
    assert (message.reply_to, message.thread) == (None, "$t")


def test_only_our_own_marker_counts() -> None:
    marker = {"owner": "@a:hs", "nonce": "n", "encrypted": True}
    mine = event("lambda.surface.room", marker, ME, state_key="")
    forged = event("lambda.surface.room", marker, "@evil:hs", state_key="")
    assert read("!r", mine, ME) == Marked("!r", "@a:hs", "n", True)
    assert read("!r", forged, ME) is None
    assert interesting(mine, ME)
    assert not interesting(forged, ME)


def test_own_messages_are_no_input() -> None:
    assert not interesting(event("m.room.message", {"body": "x"}, ME), ME)


def test_what_cannot_be_decrypted_is_ciphertext() -> None:
    sealed = event("m.room.encrypted", {"ciphertext": "x"})
    assert read("!r", sealed, ME) == Ciphertext("$e", "!r", "@a:hs")


def test_what_was_redacted_before_it_was_read_is_nothing() -> None:
    assert read("!r", event("m.room.encrypted", {}), ME) is None


def test_membership_and_name_are_read() -> None:
    member = event("m.room.member", {"membership": "leave"}, state_key="@a:hs")
    assert read("!r", member, ME) == Membership("!r", "@a:hs", "@a:hs", "leave")
    assert read("!r", event("m.room.name", {"name": "N"}, state_key=""), ME) == Named("!r", "N")
    assert read("!r", event("m.room.name", {"name": " "}, state_key=""), ME) is None


@pytest.mark.parametrize("direct", [True, False])
def test_an_invite_says_who_and_whether_it_is_direct(direct: bool) -> None:
    content = {"membership": "invite", "is_direct": direct}
    state = [event("m.room.name", {"name": "x"}), event("m.room.member", content, state_key=ME)]
    assert read_invite("!r", state, ME) == Invite("!r", "@a:hs", direct)


def test_somebody_elses_invite_is_none_of_ours() -> None:
    state = [event("m.room.member", {"membership": "invite"}, state_key="@b:hs")]
    assert read_invite("!r", state, ME) is None


@given(TYPES, JSON, JSON, JSON)
def test_no_event_breaks_the_reading(kind: str, content: Any, sender: Any, key: Any) -> None:
    strange = {
        "type": kind,
        "content": content,
        "sender": sender,
        "state_key": key,
        "event_id": key,
    }
    interesting(strange, ME)
    read("!r", strange, ME)
    read_invite("!r", [strange, content], ME)


@given(
    st.dictionaries(
        st.sampled_from(["body", "msgtype", "m.relates_to", "name", "membership"]), JSON
    )
)
def test_no_content_breaks_the_reading(content: dict[str, Any]) -> None:
    for kind in ("m.room.message", "m.room.member", "m.room.name"):
        read("!r", event(kind, content, state_key="@a:hs"), ME)
