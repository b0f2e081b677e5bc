"""What the guest makes of what a room holds, and how rooms are found by name."""

from __future__ import annotations

from typing import Any

from surface import keys
from surface.demo import rooms as demo_rooms
from surface.demo.places import Place, find
from surface.demo.rooms import SOURCE, Room
from surface.matrix import rooms as bot_rooms

BOT, YOU = "@lambda:localhost", "@you:localhost"


def said(event_id: str, body: str, sender: str = BOT, **content: Any) -> dict[str, Any]:
    content = {"msgtype": "m.text", "body": body, **content}
    return {"type": "m.room.message", "event_id": event_id, "sender": sender, "content": content}


def edit(of: str, body: str, source: str, sender: str = BOT) -> dict[str, Any]:
    new = {"msgtype": "m.text", "body": body}
    relation = {"rel_type": "m.replace", "event_id": of}
    return said(
        f"{of}-{source}",
        f"* {body}",
        sender,
        **{"m.new_content": new, "m.relates_to": relation, SOURCE: source},
    )


def placeholder(turn_id: str) -> str:
    return keys.transaction(keys.effect_key(keys.placing(turn_id)))


def last_words(turn_id: str) -> str:
    return keys.transaction(keys.effect_key(keys.ending(turn_id)))


def room(*events: dict[str, Any]) -> Room:
    made = Room("!r")
    made.take(events, bot=BOT)
    return made


def test_guest_and_bot_mean_the_same_events() -> None:
    assert demo_rooms.MARKER == bot_rooms.MARKER and demo_rooms.SOURCE == bot_rooms.SOURCE
    assert demo_rooms.DIALOG == bot_rooms.DIALOG


def test_an_answer_grows_until_its_last_words() -> None:
    here = room(
        said("$q", "roses", YOU),
        said("$a", "ro", **{SOURCE: placeholder("$q")}),
    )
    assert here.growing(here.messages["$a"])
    here.take([edit("$a", "rose", "preview-$q")], bot=BOT)
    assert here.growing(here.messages["$a"]) and here.answers("$q", BOT) == []
    here.take([edit("$a", "roses", last_words("$q"))], bot=BOT)
    assert [message.body for message in here.answers("$q", BOT)] == ["roses"]


def test_a_quick_answer_is_complete_at_once() -> None:
    here = room(said("$q", "hi", YOU), said("$a", "hi", **{SOURCE: last_words("$q")}))
    assert [message.event_id for message in here.answers("$q", BOT)] == ["$a"]


def test_an_answer_to_something_else_is_none() -> None:
    reply = {"m.relates_to": {"m.in_reply_to": {"event_id": "$q1"}}}
    here = room(
        said("$q1", "!help", YOU),
        said("$q2", "!agent", YOU),
        said("$a1", "help", msgtype="m.notice", **reply),
    )
    assert [message.event_id for message in here.answers("$q1", BOT)] == ["$a1"]
    assert here.answers("$q2", BOT) == [] and here.answers("$q3", BOT) == []


def test_the_late_answer_to_an_earlier_message_is_not_taken_for_ours() -> None:
    late = said("$a1", "first", **{SOURCE: last_words("$q1")})
    here = room(said("$q1", "first", YOU), said("$q2", "second", YOU), late)
    assert here.answers("$q2", BOT) == []


def test_nobody_edits_other_peoples_words() -> None:
    here = room(said("$q", "mine", YOU), edit("$q", "theirs", "x"))
    assert here.messages["$q"].body == "mine"


def place(name: str, label: str | None, state: str = "bound") -> Place:
    return Place(f"!{label}", name, label, state, "Echo", "1")


def test_rooms_are_found_by_label_name_and_home() -> None:
    rooms = [place("home", None, "home"), place("Chat 1", "C1"), place("Home", "C2")]
    assert find(rooms, "c1") is rooms[1] and find(rooms, " chat 1 ") is rooms[1]
    assert find(rooms, "home") is rooms[0]
    assert find(rooms, "C3") is None


def test_of_several_rooms_of_one_name_the_newest_is_meant() -> None:
    rooms = [place("Kitchen", "C9"), place("Kitchen", "C10", "archived"), place("Kitchen", "C2")]
    assert find(rooms, "Kitchen") is rooms[1]


def test_the_standing_of_a_room_is_one_line() -> None:
    assert place("Chat 1", "C1").standing == "bound · Echo · context 1"
    assert Place("!h", "home", None, "home", None, None).standing == "commands only"
