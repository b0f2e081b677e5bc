"""What the machines in memory do, a sentence each: a question in a room, files without words."""

from __future__ import annotations

from typing import Any

import pytest

from machines import DialogMachine, TrayMachine
from machines.chart import Refused
from machines.dialog import KEYCAPS, NO, YES, Dialog
from machines.effects import Amend, FileIn, Notice, SettleQuestion, Text, UnsignStaged
from machines.tray import MOST_STAGED, Tray

CHOICES = {"purpose": "agent", "choices": ["echo", "researcher"], "text": Text("agents")}


def dialog(event: str, **details: Any) -> DialogMachine:
    machine = DialogMachine(Dialog("!room"))
    machine.take(event, **details)
    return machine


def test_a_list_and_its_question_die_with_the_process() -> None:
    listed = dialog("offer", **CHOICES, event_id="$said")
    asked = dialog("ask", purpose="archive", text=Text("sure"))
    for effect in (*listed.effects, *asked.effects):
        assert isinstance(effect, Notice)
        assert effect.dialog


def test_a_number_takes_the_choice_behind_it() -> None:
    machine = dialog("offer", **CHOICES)
    assert machine.take("pick", number=2) == "idle"
    assert machine.record.outcome == "researcher"


@pytest.mark.parametrize("number", [0, -1, 3])
def test_a_number_outside_the_list_keeps_it_open_and_says_what_is_allowed(number: int) -> None:
    machine = dialog("offer", **CHOICES)
    assert machine.take("pick", number=number, event_id="$said") == "choosing"
    notice = machine.effects[-1]
    assert isinstance(notice, Notice)
    assert notice.text == Text("choice-out-of-range", {"number": number, "last": 2})
    assert machine.record.outcome is None
    assert machine.take("pick", number=1) == "idle"


@pytest.mark.parametrize("word", ["yes", "no"])
def test_a_question_takes_yes_or_no(word: str) -> None:
    machine = dialog("ask", purpose="forget", text=Text("sure"), subject="C3")
    assert machine.take(word) == "idle"
    assert (machine.record.outcome, machine.record.subject) == (word, "C3")


def test_yes_answers_no_list_and_a_number_answers_no_question() -> None:
    with pytest.raises(Refused):
        dialog("offer", **CHOICES).take("yes")
    with pytest.raises(Refused):
        dialog("ask", purpose="archive", text=Text("sure")).take("pick", number=1)


def test_a_newer_question_replaces_an_older_one() -> None:
    machine = dialog("offer", **CHOICES)
    machine.take("posted", list_event_id="$list")
    assert machine.take("ask", purpose="archive", text=Text("sure")) == "confirming"
    assert machine.record.choices == []
    assert machine.record.list_event_id is None, "a reply to the old list is no answer"
    assert machine.take("offer", **CHOICES) == "choosing"


def test_a_newer_list_replaces_an_older_one() -> None:
    machine = dialog("offer", **CHOICES)
    machine.take("offer", **{**CHOICES, "choices": ["only"]})
    machine.take("pick", number=1)
    assert machine.record.outcome == "only"


@pytest.mark.parametrize("event", ["cancel", "expire"])
@pytest.mark.parametrize("opened", ["offer", "ask"])
def test_a_question_nobody_answers_leaves_no_outcome(opened: str, event: str) -> None:
    details = CHOICES if opened == "offer" else {"purpose": "bind", "text": Text("sure")}
    machine = dialog(opened, **details)
    assert machine.take(event) == "idle"
    assert machine.record.outcome is None


def test_the_list_knows_the_message_it_stands_in() -> None:
    machine = dialog("offer", **CHOICES)
    assert machine.take("posted", list_event_id="$list") == "choosing"
    assert machine.record.list_event_id == "$list"


def asked(purpose: str) -> DialogMachine:
    """A question or list of this purpose that stands in the room."""
    if purpose in ("agent", "load"):
        machine = dialog("offer", **{**CHOICES, "purpose": purpose})
    else:
        machine = dialog("ask", purpose=purpose, text=Text("sure"))
    machine.take("posted", list_event_id="$question")
    machine.effects.clear()
    return machine


def agents_question() -> DialogMachine:
    """A question of an agent's that stands in the room."""
    machine = dialog("agent_asks", question="q1", text=Text("shall I"))
    machine.take("posted", list_event_id="$question")
    machine.effects.clear()
    return machine


@pytest.mark.parametrize("purpose", ["load", "archive", "forget", "bind"])
def test_a_cancelled_question_is_amended_but_a_cancelled_list_of_agents_is_not(
    purpose: str,
) -> None:
    machine = asked(purpose)
    assert machine.take("cancel") == "idle"
    assert machine.effects == [Amend("!room", "$question", Text("dialog-cancelled"))]
    agents = asked("agent")
    agents.take("cancel")
    assert agents.effects == []


@pytest.mark.parametrize("purpose", ["agent", "load", "archive"])
def test_whatever_expires_says_so_in_its_own_message(purpose: str) -> None:
    machine = asked(purpose)
    assert machine.take("expire") == "idle"
    assert machine.effects == [Amend("!room", "$question", Text("dialog-expired"))]


@pytest.mark.parametrize("newer", ["offer", "ask"])
@pytest.mark.parametrize("purpose", ["agent", "load", "archive"])
def test_what_is_replaced_says_so_in_its_own_message_first(purpose: str, newer: str) -> None:
    machine = asked(purpose)
    details = CHOICES if newer == "offer" else {"purpose": "forget", "text": Text("sure")}
    machine.take(newer, **details)
    amended, question = machine.effects
    assert amended == Amend("!room", "$question", Text("dialog-replaced"))
    assert isinstance(question, Notice)
    assert question.dialog


@pytest.mark.parametrize("event", ["cancel", "expire"])
def test_a_question_on_its_way_is_amended_when_it_is_there(event: str) -> None:
    machine = dialog("ask", purpose="archive", text=Text("sure"))
    machine.effects.clear()
    machine.take(event)
    (amended,) = machine.effects
    assert isinstance(amended, Amend)
    assert amended.event_id is None


@pytest.mark.parametrize(
    ("event", "accepted"), [("yes", True), ("no", False), ("cancel", False), ("expire", False)]
)
def test_an_agent_is_told_how_its_question_ended(event: str, accepted: bool) -> None:
    machine = agents_question()
    assert machine.take(event) == "idle"
    assert machine.effects[-1] == SettleQuestion("!room", "q1", accepted)


def test_an_agents_question_that_is_replaced_is_answered_no() -> None:
    machine = agents_question()
    machine.take("ask", purpose="archive", text=Text("sure"))
    assert SettleQuestion("!room", "q1", False) in machine.effects


@pytest.mark.parametrize("purpose", ["agent", "load", "archive", "agent_question"])
def test_an_agents_question_waits_for_what_is_open(purpose: str) -> None:
    machine = agents_question() if purpose == "agent_question" else asked(purpose)
    was = machine.state
    for question in ("q2", "q3", "q2"):
        assert machine.take("agent_asks", question=question, text=Text(question)) == was
    assert machine.effects == []
    machine.take("cancel")
    shown = []
    while machine.has_waiting():
        assert machine.take("next") == "confirming"
        shown.append(machine.record.subject)
        machine.take("yes")
    assert shown == ["q2", "q3"], "in their order, each once"
    with pytest.raises(Refused):
        machine.take("next")


def test_the_open_question_is_not_asked_again() -> None:
    machine = agents_question()
    machine.take("agent_asks", question="q1", text=Text("shall I"))
    assert not machine.has_waiting()


@pytest.mark.parametrize("purpose", ["load", "archive", "agent_question"])
def test_a_turn_that_is_over_asks_nothing_any_more(purpose: str) -> None:
    machine = agents_question() if purpose == "agent_question" else asked(purpose)
    machine.take("agent_asks", question="q2", text=Text("and this"))
    state = machine.take("agent_done")
    assert not machine.has_waiting()
    if purpose == "agent_question":
        assert state == "idle"
        assert machine.effects == [Amend("!room", "$question", Text("dialog-over"))]
    else:
        assert state != "idle"
        assert machine.effects == []


def test_what_can_be_tapped_is_put_under_the_question() -> None:
    (listed,) = dialog("offer", **CHOICES).effects
    (question,) = dialog("ask", purpose="archive", text=Text("sure")).effects
    assert isinstance(listed, Notice)
    assert isinstance(question, Notice)
    assert listed.taps == KEYCAPS[:2]
    assert question.taps == (YES, NO)


def test_a_long_list_has_no_more_taps_than_there_are_keycaps() -> None:
    (listed,) = dialog("offer", **{**CHOICES, "choices": [str(n) for n in range(20)]}).effects
    assert isinstance(listed, Notice)
    assert listed.taps == KEYCAPS


def test_a_list_knows_the_names_of_its_choices_until_the_next_question() -> None:
    machine = dialog("offer", **CHOICES, labels=["Echo", "Researcher"])
    assert machine.record.labels == ["Echo", "Researcher"]
    machine.take("ask", purpose="archive", text=Text("sure"))
    assert machine.record.labels == []


def test_the_outcome_of_a_question_is_not_taken_for_that_of_the_next() -> None:
    machine = dialog("ask", purpose="archive", text=Text("sure"))
    machine.take("yes")
    machine.take("ask", purpose="forget", text=Text("sure"))
    assert machine.record.outcome is None


def file(name: str) -> FileIn:
    return FileIn(f"${name}", f"inbox/{name}.png", f"{name}.png", "image/png")


def tray(*names: str) -> TrayMachine:
    machine = TrayMachine(Tray("!room", "@alice:hs"))
    for name in names:
        machine.take("stage", file=file(name))
    return machine


def test_the_next_message_takes_all_staged_files_in_the_order_they_came() -> None:
    machine = tray("b", "a")
    assert machine.take("collect") == "empty"
    assert machine.record.taken == [file("b"), file("a")]
    assert machine.record.staged == []


@pytest.mark.parametrize("event", ["drop", "expire"])
def test_a_dropped_file_is_not_taken_along(event: str) -> None:
    machine = tray("a")
    assert machine.take(event) == "empty"
    machine.take("stage", file=file("b"))
    machine.take("collect")
    assert machine.record.taken == [file("b")]


@pytest.mark.parametrize("event", ["drop", "expire"])
def test_signs_are_taken_back_from_files_that_do_not_wait_any_more(event: str) -> None:
    machine = tray("a", "b", "c")
    for name in ("a", "b"):
        machine.take("signed", event_id=f"${name}", sign_id=f"$sign-{name}")
    machine.take("unstage", event_id="$a")
    machine.take(event)
    assert [e for e in machine.effects if isinstance(e, UnsignStaged)] == [
        UnsignStaged("!room", "$sign-b")
    ]


def test_what_a_message_took_along_keeps_its_sign() -> None:
    machine = tray("a")
    machine.take("signed", event_id="$a", sign_id="$sign")
    machine.take("collect")
    machine.take("stage", file=file("b"))
    machine.take("drop")
    assert machine.effects == []


def test_an_empty_tray_has_nothing_to_take() -> None:
    for event in ("collect", "drop", "expire"):
        with pytest.raises(Refused):
            tray().take(event)


def test_a_file_that_was_taken_back_leaves_the_others() -> None:
    machine = tray("a", "b")
    assert machine.take("unstage", event_id="$a") == "holding"
    assert machine.record.staged == [file("b")]
    assert machine.take("unstage", event_id="$b") == "empty"
    assert machine.record.staged == []


def test_a_full_tray_takes_no_more() -> None:
    machine = tray(*map(str, range(MOST_STAGED)))
    assert not machine.has_place()
    with pytest.raises(Refused):
        machine.take("stage", file=file("more"))
    assert len(machine.record.staged) == MOST_STAGED


def test_whose_files_expire_is_told_which() -> None:
    machine = tray("a", "b")
    machine.take("expire")
    text = Text("tray-expired", {"n": 2, "files": "a.png, b.png"})
    assert machine.effects == [Notice("!room", text, reply_to="$b")]
