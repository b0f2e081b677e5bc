"""The judge finds what must not be, and lets pass what may be."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from surface import keys
from surface.matrix.rooms import SOURCE
from tests.chaos.judge import Evidence, Said, judge

BOT, ALICE, ROOM = "@lambda:hs", "@alice:hs", "!room"


class Room:
    """A room whose timeline is made by hand, as the homeserver would tell it."""

    def __init__(self) -> None:
        self.timeline: list[dict[str, Any]] = []
        self.said: list[Said] = []
        self.deaths: list[float] = []
        self.decided: frozenset[str] = frozenset()
        self._numbers = itertools.count(1)

    def event(self, sender: str, kind: str, content: dict[str, Any], **more: Any) -> str:
        event_id = f"$e{next(self._numbers)}"
        event = {"event_id": event_id, "sender": sender, "type": kind, "content": content, **more}
        self.timeline.append(event)
        return event_id

    def say(self, text: str, wants: Any = "answer", file: str | None = None) -> Said:
        event_id = self.event(ALICE, "m.room.message", {"msgtype": "m.text", "body": text})
        self.said.append(Said(event_id, ROOM, wants, [text], 100.0, file))
        return self.said[-1]

    def bot(self, body: str, source: str, msgtype: str = "m.text", reply_to: str = "") -> str:
        content: dict[str, Any] = {
            "msgtype": msgtype,
            "body": body,
            SOURCE: keys.transaction(source),
        }
        if reply_to:
            content["m.relates_to"] = {"m.in_reply_to": {"event_id": reply_to}}
        return self.event(BOT, "m.room.message", content)

    def edit(self, event_id: str, body: str, source: str) -> None:
        new = {"msgtype": "m.text", "body": body}
        relation = {"rel_type": "m.replace", "event_id": event_id}
        content = {**new, "m.new_content": new, "m.relates_to": relation, SOURCE: source}
        self.event(BOT, "m.room.message", content)

    def grown(self, said: Said, body: str) -> None:
        """An answer that grew in its placeholder, to its last words."""
        placed = self.bot("…", keys.effect_key(keys.placing(said.event_id)))
        for _ in range(2):
            self.edit(placed, body[:3], f"preview-{said.event_id}")
        self.edit(placed, body, keys.transaction(final(said)))

    def answer(self, said: Said, body: str | None = None) -> str:
        return self.bot(body or said.versions[-1], final(said))

    def reply(self, said: Said, body: str) -> str:
        return self.bot(body, keys.effect_key(said.event_id), "m.notice", said.event_id)

    def sends_back(self, said: Said, number: int = 0) -> str:
        """The file that came with a message."""
        name = keys.effect_key(f"{said.event_id}/files/1", number)
        return self.bot(str(said.file), keys.effect_key(keys.settling(name)), "m.file")

    def leave(self) -> str:
        return self.event(ALICE, "m.room.member", {"membership": "leave"}, state_key=ALICE)

    def kinds(self) -> list[str]:
        """What the judge finds."""
        rooms = {ROOM: self.timeline}
        evidence = Evidence(self.said, rooms, BOT, self.deaths, self.decided)
        return [violation.kind for violation in judge(evidence)[0]]


def final(said: Said) -> str:
    return keys.effect_key(keys.ending(said.event_id))


def another(said: Said) -> str:
    """A second effect of what was said."""
    return keys.effect_key(said.event_id, 1)


@pytest.fixture
def room() -> Room:
    """A room in which somebody has talked, all is answered, and all of it is right."""
    room = Room()
    room.answer(room.say("hello"))
    room.answer(room.say("louder"), "LOUDER")
    room.reply(room.say("!clear", "reply"), "Cleared: all. New context 7. !undo goes back")
    slow = room.say("slowly")
    placed = room.bot("…", keys.effect_key(keys.placing(slow.event_id)))
    room.edit(placed, "slow", f"preview-{slow.event_id}")
    room.edit(placed, "slowly", keys.transaction(final(slow)))
    look = room.say("look", file="cat.bin")
    room.answer(look)
    room.sends_back(look)
    room.reply(room.say("to nobody"), "This chat is archived")
    return room


def test_nothing_is_found_where_nothing_is_wrong(room: Room) -> None:
    assert room.kinds() == []


# --- what must not be -----------------------------------------------------------------------------


@pytest.mark.parametrize("wants", ["answer", "reply", "retry", "stop"])
def test_a_lost_answer(room: Room, wants: str) -> None:
    room.say("anybody?", wants)
    assert room.kinds() == ["lost"]


def test_an_answer_that_was_sent_twice(room: Room) -> None:
    said = room.say("once")
    room.answer(said)
    room.answer(said)
    assert "doubled" in room.kinds()


def test_last_words_that_were_sent_twice(room: Room) -> None:
    said = room.say("once, slowly")
    room.grown(said, "once, slowly")
    assert room.kinds() == []
    room.edit(room.timeline[-4]["event_id"], "once, slowly", keys.transaction(final(said)))
    assert room.kinds() == ["doubled"]


def test_an_answer_beside_its_placeholder(room: Room) -> None:
    said = room.say("once")
    placed = room.bot("…", keys.effect_key(keys.placing(said.event_id)))
    room.edit(placed, "once", keys.transaction(keys.effect_key(said.event_id)))
    room.answer(said)
    assert room.kinds() == ["doubled"]


def test_a_command_with_two_replies(room: Room) -> None:
    said = room.say("!rename x", "reply")
    room.reply(said, "C1 is now called x")
    room.bot("C1 is now called x", another(said), "m.notice", said.event_id)
    assert room.kinds() == ["doubled"]


def test_an_answer_to_something_else(room: Room) -> None:
    room.answer(room.say("one"), "two")
    assert room.kinds() == ["wrong"]


def test_half_an_answer(room: Room) -> None:
    room.answer(room.say("one two"), "one")
    assert room.kinds() == ["wrong"]


def test_something_else_before_the_reason_of_an_end(room: Room) -> None:
    room.answer(room.say("one two"), "three\n\n*Stopped.*")
    assert room.kinds() == ["wrong"]


@pytest.mark.parametrize("body", ["The agent cannot be reached at the moment.", "one", "two"])
def test_only_the_agents_own_words_are_an_answer_when_all_is_calm(room: Room, body: str) -> None:
    said = room.say("one")
    said.calm = "ONE"
    room.answer(said, body)
    assert room.kinds() == ["wrong"]


def test_a_notice_is_no_answer_of_an_agent_when_all_is_calm(room: Room) -> None:
    said = room.say("one")
    said.calm = "one"
    room.reply(said, "one")
    assert room.kinds() == ["wrong"]


def test_more_reasons_than_answers(room: Room) -> None:
    for number in range(8):
        room.answer(room.say(f"m{number}"), "The agent cannot be reached at the moment.")
    assert room.kinds() == ["evasive"]


def test_more_notices_than_answers(room: Room) -> None:
    for number in range(40):
        room.reply(room.say(f"m{number}"), "no idea")
    assert room.kinds() == ["evasive"]


def test_as_many_notices_as_answers(room: Room) -> None:
    for number in range(20):
        room.reply(room.say(f"m{number}"), "no idea")
        room.answer(room.say(f"n{number}"))
    assert room.kinds() == []


@pytest.mark.parametrize("hint", ["This room is for commands only:", "This chat is archived and"])
def test_where_no_agent_answers_that_is_no_excuse(room: Room, hint: str) -> None:
    for number in range(40):
        room.reply(room.say(f"m{number}"), f"{hint} say !help.")
    assert room.kinds() == []


def test_that_there_is_nothing_to_ask_again_is_no_excuse(room: Room) -> None:
    for _ in range(40):
        room.reply(room.say("!retry", "retry"), "There is nothing to ask again.")
    assert room.kinds() == []


def test_answers_in_the_wrong_order(room: Room) -> None:
    first, second = room.say("first"), room.say("second")
    room.answer(second)
    room.answer(first)
    assert room.kinds() == ["disordered"]


@pytest.mark.parametrize("preview", [False, True])
def test_an_answer_that_is_left_growing(room: Room, preview: bool) -> None:
    said = room.say("tell me more")
    placed = room.bot("…", keys.effect_key(keys.placing(said.event_id)))
    if preview:
        room.edit(placed, "tell", f"preview-{said.event_id}")
    assert "left growing" in room.kinds()


def test_a_context_that_is_given_out_twice(room: Room) -> None:
    room.reply(room.say("!clear", "reply"), "Cleared: all. New context 7. !undo goes back")
    assert room.kinds() == ["doubled"]


@pytest.mark.parametrize("msgtype", ["m.text", "m.notice", "m.emote", "m.file"])
def test_words_that_nobody_asked_for(room: Room, msgtype: str) -> None:
    room.bot("hello?", "nothing", msgtype)
    assert room.kinds() == ["unasked"]


@pytest.mark.parametrize("source", ["nothing", "preview-nothing"])
def test_an_edit_that_nobody_asked_for(room: Room, source: str) -> None:
    placed = room.answer(room.say("once"))
    room.edit(placed, "once", source)
    room.edit(placed, "once", keys.transaction(keys.effect_key(room.leave())))
    assert room.kinds() == ["unasked"]


@pytest.mark.parametrize("msgtype", ["m.text", "m.notice", "m.emote", "m.file"])
def test_a_message_that_does_not_say_what_it_is(room: Room, msgtype: str) -> None:
    room.event(BOT, "m.room.message", {"msgtype": msgtype, "body": "Cleared: all."})
    assert room.kinds() == ["unsigned"]


def test_an_edit_that_does_not_say_what_it_is(room: Room) -> None:
    placed = room.answer(room.say("once"))
    room.edit(placed, "once", keys.transaction(keys.effect_key(room.leave())))
    del room.timeline[-1]["content"][SOURCE]
    assert room.kinds() == ["unsigned"]


@pytest.mark.parametrize("msgtype", ["m.notice", "m.emote"])
def test_a_second_reply_that_is_no_reply_to_anything(room: Room, msgtype: str) -> None:
    said = room.say("!rename x", "reply")
    room.reply(said, "C1 is now called x")
    room.bot("C1 is now called x", another(said), msgtype)
    assert room.kinds() == ["doubled"]


def test_a_file_that_does_not_come_back(room: Room) -> None:
    room.answer(room.say("look", file="dog.bin"))
    assert room.kinds() == ["lost"]


def test_a_file_that_comes_back_twice(room: Room) -> None:
    said = room.say("look", file="dog.bin")
    room.answer(said)
    for number in range(2):
        room.sends_back(said, number)
    assert room.kinds() == ["doubled"]


def test_a_message_that_the_homeserver_has_lost(room: Room) -> None:
    room.say("here")
    room.timeline.pop()
    assert room.kinds() == ["missing"]


def test_a_message_before_an_answered_one_is_lost_though_the_room_was_left_later(
    room: Room,
) -> None:
    room.say("and I?")
    room.answer(room.say("hello again"))
    room.leave()
    assert room.kinds() == ["lost"]


def test_what_the_bot_has_logged_a_decision_on_explains_notices_and_no_words(room: Room) -> None:
    expired = keys.effect_key("expire/boot/1")
    room.decided = frozenset({keys.transaction(expired)})
    room.bot("The list has closed.", expired, "m.notice")
    assert room.kinds() == []
    room.timeline[-1]["content"]["msgtype"] = "m.text"
    assert room.kinds() == ["unasked"]


# --- what may be ----------------------------------------------------------------------------------


def test_why_there_is_no_answer_is_an_answer(room: Room) -> None:
    room.answer(room.say("one"), "The agent cannot be reached at the moment. !retry asks again.")
    room.answer(room.say("one two"), "one\n\n*The connection to the agent broke off.*")
    assert room.kinds() == []


def test_either_version_of_a_changed_message_may_be_answered(room: Room) -> None:
    for answer in ("before", "after"):
        said = room.say("before")
        said.versions.append("after")
        room.answer(said, answer)
    assert room.kinds() == []


def test_a_message_that_was_taken_back_needs_no_answer(room: Room) -> None:
    room.say("never mind").gone = True
    assert room.kinds() == []


def test_who_leaves_needs_no_answer(room: Room) -> None:
    room.say("and I?")
    room.leave()
    assert room.kinds() == []


def test_what_waits_ends_when_its_chat_is_archived_though_that_is_told_late(room: Room) -> None:
    room.say("and I?")
    yes = room.say("!yes", "reply")
    room.answer(room.say("hello again"))
    room.reply(yes, "Archived. The room is out of your Space")
    assert room.kinds() == []


def test_who_comes_back_is_invited_and_answered(room: Room) -> None:
    said = room.say("!undo", "reply")
    room.reply(said, "I have invited you to your Space again.")
    room.bot("!undo does nothing here", another(said), "m.notice", said.event_id)
    assert room.kinds() == []


def test_the_end_of_an_answer_may_be_somebodys_leaving(room: Room) -> None:
    room.say("and I?")
    room.bot("Stopped.", keys.effect_key(room.leave()))
    assert room.kinds() == []


def test_a_stop_says_so_in_what_it_stops_or_by_itself(room: Room) -> None:
    said = room.say("tell me more")
    placed = room.bot("…", keys.effect_key(keys.placing(said.event_id)))
    stop = room.say("!stop", "stop")
    room.edit(placed, "tell\n\n*Stopped.*", keys.transaction(keys.effect_key(stop.event_id)))
    room.say("and quickly")
    stop = room.say("!stop", "stop")
    room.bot("Stopped.", keys.effect_key(stop.event_id))
    assert room.kinds() == []


@pytest.mark.parametrize(("died", "found"), [(110.0, []), (400.0, ["lost"]), (90.0, ["lost"])])
def test_a_question_dies_with_who_asked_it_and_only_then(
    room: Room, died: float, found: list[str]
) -> None:
    room.say("!archive", "question")
    room.deaths.append(died)
    assert room.kinds() == found


def test_a_question_does_not_die_after_the_bot_has_replied_to_what_came_later(room: Room) -> None:
    room.say("!archive", "question")
    room.reply(room.say("!chats", "reply"), "Your chats")
    room.deaths.append(110.0)
    room.timeline[-1]["origin_server_ts"] = 120_000
    assert room.kinds() == []
    room.timeline[-1]["origin_server_ts"] = 105_000
    assert room.kinds() == ["lost"]


def test_a_file_that_is_refused_need_not_come_back(room: Room) -> None:
    said = room.say("look", file="dog.bin")
    room.bot("I cannot take dog.bin: no space left", another(said), "m.notice", said.event_id)
    room.answer(said)
    assert room.kinds() == []
