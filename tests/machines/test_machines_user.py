"""What a person's machine does, a sentence each: one Space, labels never reused."""

from __future__ import annotations

import pytest

from machines import UserMachine
from machines.chart import Refused
from machines.effects import CreateRoom, ForgetUser, InviteUser, LeaveRoom, Notice
from machines.user import User
from tests.machines.kit import ALICE, user

INVITE = {
    "nonce": "n1",
    "space_name": "Lambda — Alice",
    "first_chat_name": "Chat 1",
    "home_room": "!dm",
}


def invited(**details: str) -> UserMachine:
    machine = UserMachine(User(ALICE))
    machine.take("invited", **{**INVITE, **details})
    return machine


def with_a_space(**details: str) -> UserMachine:
    machine = invited(**details)
    machine.take("observed_created", nonce="n1", room_id="!space")
    return machine


def created(machine: UserMachine) -> list[str]:
    return [effect.kind for effect in machine.effects if isinstance(effect, CreateRoom)]


def keys(machine: UserMachine) -> list[tuple[str, str]]:
    notices = [effect for effect in machine.effects if isinstance(effect, Notice)]
    return [(notice.room_id, notice.text.key) for notice in notices]


def test_an_invite_asks_for_one_space() -> None:
    machine = invited()
    assert machine.state == "provisioning"
    assert machine.effects == [CreateRoom("n1", "space", ALICE, "Lambda — Alice")]
    assert machine.record.home_rooms == ["!dm"]


def test_a_second_invite_asks_for_no_second_space() -> None:
    machine = invited()
    machine.take("invited", **{**INVITE, "nonce": "n2", "home_room": "!dm2"})
    assert created(machine) == ["space"]
    assert machine.record.home_rooms == ["!dm", "!dm2"]
    assert set(machine.record.creations) == {"n1", "n1.1"}


def test_the_first_chat_is_asked_for_when_its_space_is_known() -> None:
    machine = with_a_space(agent_id="echo")
    assert machine.state == "provisioning"
    assert machine.effects[1:] == [
        InviteUser("!space", ALICE),
        CreateRoom("n1.1", "chat", ALICE, "Chat 1", "!space", "C1", "echo"),
    ]


def test_with_the_first_chat_a_person_with_an_agent_is_ready() -> None:
    machine = with_a_space(agent_id="echo")
    assert machine.take("observed_created", nonce="n1.1", room_id="!chat") == "ready"
    assert keys(machine) == [("!dm", "welcome")]
    assert machine.record.creations == {}


def test_with_the_first_chat_a_person_without_an_agent_chooses() -> None:
    machine = with_a_space()
    assert machine.take("observed_created", nonce="n1.1", room_id="!chat") == "choosing"
    assert machine.take("select_agent", agent_id="echo") == "ready"


def test_a_chat_is_not_there_before_its_space() -> None:
    with pytest.raises(Refused):
        invited().take("observed_created", nonce="n1.1", room_id="!chat")


def test_an_agent_chosen_while_provisioning_is_the_first_chats_agent() -> None:
    machine = invited()
    machine.take("select_agent", agent_id="echo")
    machine.take("observed_created", nonce="n1", room_id="!space")
    chats = [e for e in machine.effects if isinstance(e, CreateRoom) and e.kind == "chat"]
    assert [chat.agent_id for chat in chats] == ["echo"]


@pytest.mark.parametrize("nonce", ["n1", "n1.1"])
def test_the_same_creation_is_observed_once(nonce: str) -> None:
    machine = with_a_space(agent_id="echo")
    if nonce == "n1.1":
        machine.take("observed_created", nonce=nonce, room_id="!chat")
    effects = list(machine.effects)
    with pytest.raises(Refused):
        machine.take("observed_created", nonce=nonce, room_id="!another")
    assert machine.effects == effects
    assert machine.record.space_id == "!space"


def test_labels_are_never_reused() -> None:
    machine = with_a_space(agent_id="echo")
    machine.take("observed_created", nonce="n1.1", room_id="!chat")
    labels = []
    for nonce in ("a", "b", "c"):
        machine.take("new_chat", nonce=nonce, name="Plans", asked_in="!chat")
        labels.append(machine.record.creations[nonce].chat_id)
        machine.take("create_failed", nonce=nonce, reason="M_LIMIT_EXCEEDED")
    assert labels == ["C2", "C3", "C4"], "also the label of a room that could not be made"


def test_a_label_found_in_use_is_not_given_out_again() -> None:
    machine = UserMachine(user(), "ready")
    machine.take("observed_counter", next_chat_index=9)
    machine.take("observed_counter", next_chat_index=4)
    machine.take("new_chat", nonce="a", name="Plans", asked_in="!dm")
    assert machine.record.creations["a"].chat_id == "C9"


def test_a_new_chat_is_told_where_it_was_asked_for() -> None:
    machine = UserMachine(user(creations={}), "ready")
    machine.take("new_chat", nonce="a", name="Plans", asked_in="!here")
    machine.take("observed_created", nonce="a", room_id="!plans")
    assert keys(machine) == [("!here", "chat-created")]


def test_a_new_chat_of_somebody_who_still_chooses_has_no_agent() -> None:
    machine = UserMachine(user(creations={}), "choosing")
    machine.take("new_chat", nonce="a", name="Plans", asked_in="!here")
    (chat,) = [effect for effect in machine.effects if isinstance(effect, CreateRoom)]
    assert chat.agent_id is None, "the one on record has vanished from the registry"


def test_a_space_that_could_not_be_made_is_asked_for_again_at_the_next_invite() -> None:
    machine = invited()
    assert machine.take("create_failed", nonce="n1", reason="M_FORBIDDEN") == "unprovisioned"
    assert keys(machine) == [("!dm", "onboarding-failed")]
    machine.take("invited", **{**INVITE, "nonce": "n2"})
    assert created(machine) == ["space", "space"]
    assert machine.record.creations["n2.1"].chat_id == "C2"


def test_a_first_chat_that_could_not_be_made_costs_no_second_space() -> None:
    machine = with_a_space(agent_id="echo")
    assert machine.take("create_failed", nonce="n1.1", reason="M_LIMIT_EXCEEDED") == "ready"
    assert keys(machine) == [("!dm", "create-failed")]
    machine.take("invited", **{**INVITE, "nonce": "n2"})
    assert created(machine) == ["space", "chat"]
    assert machine.record.space_id == "!space"


def test_the_failure_of_somebody_elses_creation_stops_nothing() -> None:
    machine = invited()
    with pytest.raises(Refused):
        machine.take("create_failed", nonce="of an attempt before", reason="M_FORBIDDEN")
    assert machine.state == "provisioning"


@pytest.mark.parametrize("event", ["invited", "returned"])
@pytest.mark.parametrize(("agent", "state"), [("echo", "ready"), (None, "choosing")])
def test_a_person_who_left_is_invited_back_to_the_same_space(
    event: str, agent: str | None, state: str
) -> None:
    machine = UserMachine(user(selected_agent_id=agent, creations={}), "ready" if agent else state)
    assert machine.take("observed_left") == "departed"
    assert machine.effects == [], "nothing is recreated behind their back"
    assert machine.take(event, **INVITE) == state
    assert machine.effects == [InviteUser("!space", ALICE)]


def test_a_person_whose_space_is_gone_gets_a_new_one_at_the_next_contact() -> None:
    machine = UserMachine(user(creations={}), "ready")
    assert machine.take("observed_space_gone") == "departed"
    assert machine.effects == []
    assert machine.take("returned", **INVITE) == "provisioning"
    assert created(machine) == ["space"]


def test_a_space_found_in_matrix_is_taken_over_and_none_is_made() -> None:
    machine = UserMachine(User(ALICE))
    assert machine.take("observed_space", room_id="!space") == "choosing"
    assert machine.record.space_id == "!space"
    assert machine.effects == []


def test_a_vanished_agent_stays_on_record_until_it_is_back() -> None:
    machine = UserMachine(user(), "ready")
    assert machine.take("observed_agent_missing") == "choosing"
    assert machine.record.selected_agent_id == "echo"
    assert machine.take("observed_agent_back") == "ready"


def test_somebody_who_never_chose_does_not_become_ready_by_an_agent_coming_back() -> None:
    machine = UserMachine(user(selected_agent_id=None), "choosing")
    with pytest.raises(Refused):
        machine.take("observed_agent_back")


def test_a_home_room_that_is_gone_is_forgotten_once() -> None:
    machine = UserMachine(user(), "ready")
    machine.take("observed_home_gone", home_room="!dm")
    machine.take("observed_home_gone", home_room="!dm")
    assert machine.record.home_rooms == []


@pytest.mark.parametrize("state", ["ready", "choosing"])
def test_a_room_taken_in_uses_up_a_label(state: str) -> None:
    machine = UserMachine(user(creations={}), state)
    assert machine.take("take_label") == state
    machine.take("new_chat", nonce="a", name="Plans", asked_in="!here")
    assert machine.record.creations["a"].chat_id == "C4", "C3 is the room that was taken in"


@pytest.mark.parametrize("state", ["unprovisioned", "provisioning", "departed"])
def test_somebody_without_a_space_takes_no_room_in(state: str) -> None:
    with pytest.raises(Refused):
        UserMachine(user(), state).take("take_label")


@pytest.mark.parametrize("state", UserMachine.durable_states())
def test_the_language_can_be_set_at_any_time(state: str) -> None:
    machine = UserMachine(user(), state)
    assert machine.take("set_locale", locale="ru") == state
    assert machine.record.locale == "ru"
    assert machine.effects == []


@pytest.mark.parametrize("state", UserMachine.durable_states())
def test_a_forgotten_person_is_forgotten_by_the_platform_too(state: str) -> None:
    machine = UserMachine(user(), state)
    assert machine.take("forget") == "forgotten"
    assert machine.effects == [ForgetUser(ALICE), LeaveRoom("!space")]
    assert machine.ended, "the document goes with them"


def test_a_forgotten_person_without_a_space_leaves_none() -> None:
    machine = UserMachine(User(ALICE))
    machine.take("forget")
    assert machine.effects == [ForgetUser(ALICE)]


def test_a_person_who_was_forgotten_is_new_when_they_come_back() -> None:
    machine = UserMachine(user(), "ready")
    machine.take("forget")
    with pytest.raises(Refused):
        machine.take("invited", **INVITE)
    assert invited().state == "provisioning"
