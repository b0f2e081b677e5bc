"""What a turn does, a sentence each: one growing message, one end."""

from __future__ import annotations

import pytest

from machines import TurnMachine
from machines.chart import Refused
from machines.effects import Answer, Placeholder, Text
from machines.tables import describe
from tests.machines.kit import DETAILS, living, turn

STOPPED = Text("stopped")


def streaming() -> TurnMachine:
    machine = TurnMachine(turn())
    machine.take("start")
    machine.take("delta")
    return machine


@pytest.mark.parametrize("end", ["answered", "failed", "stopped"])
@pytest.mark.parametrize("event", describe(TurnMachine).events)
def test_an_ended_turn_takes_nothing_more(end: str, event: str) -> None:
    for machine in living(TurnMachine, end):
        with pytest.raises(Refused):
            machine.take(event, **DETAILS[TurnMachine][event][0])
        assert machine.effects == []


@pytest.mark.parametrize("event", ["finish", "fail", "stop"])
def test_a_turn_that_just_ended_takes_nothing_more(event: str) -> None:
    machine = streaming()
    machine.take(event, **DETAILS[TurnMachine][event][0])
    said = list(machine.effects)
    assert machine.ended
    for late in ("delta", "place", "finish", "stop"):
        with pytest.raises(Refused):
            machine.take(late, **DETAILS[TurnMachine][late][0])
    assert machine.effects == said


def test_a_slow_answer_shows_one_placeholder() -> None:
    machine = streaming()
    machine.take("place", body="Once")
    assert machine.effects == [Placeholder("!room", "$said", "Once")]
    with pytest.raises(Refused):
        machine.take("place", body="Once upon")


def test_the_answer_is_an_edit_of_the_placeholder() -> None:
    machine = streaming()
    machine.take("place", body="Once")
    machine.take("placeholder_sent", placeholder_id="$placeholder")
    assert machine.take("finish", body="The end.") == "answered"
    assert machine.effects[-1] == Answer("!room", "$said", "The end.", edits="$placeholder")


def test_an_answer_that_ends_before_its_placeholder_is_known_says_so() -> None:
    machine = streaming()
    machine.take("place", body="Once")
    machine.take("stop", body="Once", ending=Text("turn-stopped"))
    (answer,) = [effect for effect in machine.effects if isinstance(effect, Answer)]
    assert (answer.edits, answer.placed) == (None, True)


def test_a_quick_answer_needs_no_placeholder() -> None:
    machine = TurnMachine(turn())
    machine.take("start")
    machine.take("finish", body="Yes.")
    assert machine.effects == [Answer("!room", "$said", "Yes.")]


def test_a_placeholder_sent_while_a_cut_turn_waits_is_noted() -> None:
    machine = TurnMachine(turn(placeholder_asked=True), "waiting")
    machine.take("placeholder_sent", placeholder_id="$placeholder")
    machine.take("start")
    with pytest.raises(Refused):
        machine.take("place", body="Again")
    assert machine.record.placeholder_id == "$placeholder"


def test_a_stopped_turn_keeps_what_was_said_so_far() -> None:
    machine = streaming()
    assert machine.take("stop", body="Once upon", ending=STOPPED) == "stopped"
    assert machine.effects == [Answer("!room", "$said", "Once upon", None, STOPPED)]


def test_a_turn_stopped_before_it_began_says_nothing() -> None:
    machine = TurnMachine(turn())
    assert machine.take("stop", body="", ending=STOPPED) == "stopped"
    assert machine.effects == []


def test_a_cut_turn_stopped_while_it_waits_finishes_its_placeholder() -> None:
    machine = TurnMachine(turn(placeholder_asked=True, placeholder_id="$p"), "waiting")
    assert machine.take("stop", body="", ending=STOPPED) == "stopped"
    assert machine.effects == [Answer("!room", "$said", "", "$p", STOPPED)]


def test_a_failed_turn_says_why() -> None:
    machine = TurnMachine(turn())
    why = Text("agent-unavailable")
    assert machine.take("fail", body="", ending=why) == "failed"
    assert machine.effects == [Answer("!room", "$said", "", None, why)]


def test_a_waiting_message_can_be_edited_and_redacted() -> None:
    machine = TurnMachine(turn())
    machine.take("replace", body="what I meant")
    assert machine.record.body == "what I meant"
    assert machine.take("withdraw") == "stopped"
    assert machine.effects == []


def test_a_running_message_can_be_neither_edited_nor_redacted() -> None:
    machine = streaming()
    for event, details in (("replace", {"body": "too late"}), ("withdraw", {})):
        with pytest.raises(Refused):
            machine.take(event, **details)
    assert machine.record.body == "Tell me a story"


@pytest.mark.parametrize("repeatable", [True, False])
def test_only_a_turn_that_must_not_be_repeated_is_marked_as_asked(repeatable: bool) -> None:
    machine = TurnMachine(turn())
    assert not machine.record.asked
    machine.take("start", repeatable=repeatable)
    assert machine.record.asked is not repeatable


def asking() -> TurnMachine:
    machine = streaming()
    machine.take("question_asked")
    return machine


def test_a_question_ends_in_thinking() -> None:
    machine = asking()
    assert machine.state == "asking"
    assert machine.take("question_over") == "thinking"
    assert machine.take("delta") == "streaming"


def test_a_turn_may_ask_several_things_at_once() -> None:
    machine = asking()
    assert machine.take("question_asked") == "asking"
    assert machine.take("question_over") == "thinking", "over is over, for all of them"


def test_a_question_that_nobody_asked_is_not_over() -> None:
    with pytest.raises(Refused):
        streaming().take("question_over")


def test_a_turn_that_does_not_run_asks_nothing() -> None:
    with pytest.raises(Refused):
        TurnMachine(turn()).take("question_asked")


def test_a_turn_cut_while_it_asks_waits_again() -> None:
    assert asking().stored_state == "waiting"


@pytest.mark.parametrize(("event", "end"), [("stop", "stopped"), ("fail", "failed")])
def test_a_turn_that_asks_can_be_ended_and_keeps_what_was_said(event: str, end: str) -> None:
    machine = asking()
    assert machine.take(event, body="Once upon", ending=STOPPED) == end
    assert machine.effects == [Answer("!room", "$said", "Once upon", None, STOPPED)]


def test_an_answer_may_come_though_its_question_is_open() -> None:
    assert asking().take("finish", body="Never mind.") == "answered"


def test_the_last_words_stay_in_the_thread_and_say_what_they_answer() -> None:
    machine = TurnMachine(turn(thread="$thread"))
    machine.take("start")
    machine.take("place", body="Once", reply_to="$said")
    machine.take("finish", body="The end.", reply_to="$said")
    assert machine.effects == [
        Placeholder("!room", "$said", "Once", "$thread", "$said"),
        Answer("!room", "$said", "The end.", thread="$thread", reply_to="$said", placed=True),
    ]
