"""What a room does, a sentence each."""

from __future__ import annotations

import pytest

from machines import RoomMachine
from machines.chart import Refused
from machines.effects import (
    AcceptTurn,
    DisconnectChat,
    EndTurns,
    Fresh,
    InviteUser,
    LinkChild,
    Notice,
    OfferAgents,
    RenameRoom,
    SetTopic,
    UnlinkChild,
)
from machines.room import Room, order_of
from tests.machines.kit import ADOPTED, ALICE, room

FRESH = Fresh("!room")


def keys(machine: RoomMachine) -> list[str]:
    return [effect.text.key for effect in machine.effects if isinstance(effect, Notice)]


def committed(machine: RoomMachine, chat: str) -> RoomMachine:
    """The same room after a commit in which a fresh id became `chat`, restored."""
    if isinstance(machine.record.platform_chat_id, Fresh):
        machine.record.platform_chat_id = chat
    return RoomMachine(machine.record, machine.stored_state)


def test_a_new_room_with_an_agent_talks_at_once() -> None:
    machine = RoomMachine(Room("!room"))
    assert machine.take("provision", **ADOPTED, agent_id="echo") == "bound"
    assert machine.effects == [
        LinkChild("!space", "!room", "00000001"),
        InviteUser("!room", ALICE),
        SetTopic("!room", "echo"),
    ]
    assert machine.record.platform_chat_id == FRESH


def test_a_new_room_without_an_agent_asks_when_its_owner_comes_in() -> None:
    machine = RoomMachine(Room("!room"))
    assert machine.take("provision", **ADOPTED) == "unbound"
    assert not any(isinstance(effect, OfferAgents) for effect in machine.effects)
    machine.take("observed_owner_joined")
    assert machine.effects[-1] == OfferAgents("!room")


def test_a_room_that_is_bound_asks_nothing_when_its_owner_comes_in() -> None:
    machine = RoomMachine(room(), "bound")
    machine.take("observed_owner_joined")
    assert machine.effects == []


def test_a_message_becomes_a_turn_of_this_moments_agent_and_chat() -> None:
    machine = RoomMachine(room(), "bound")
    machine.take("talk", event_id="$said")
    assert machine.effects == [AcceptTurn("!room", "echo", "7")]


def test_a_cleared_room_keeps_its_agent() -> None:
    machine = RoomMachine(room(), "bound")
    assert machine.take("clear", event_id="$clear") == "cleared"
    assert machine.record.agent_id == "echo"


def test_clear_rotates_only_this_rooms_chat() -> None:
    machine = RoomMachine(room(), "bound")
    machine.take("clear", event_id="$clear")
    assert machine.record.platform_chat_id == Fresh("!room"), "an id of this room's own"
    assert machine.record.previous_chat_id == "7"
    assert DisconnectChat("echo", "7") in machine.effects
    assert {getattr(effect, "room_id", "!room") for effect in machine.effects} == {"!room"}


def test_clear_says_which_context_it_left_and_which_it_took() -> None:
    machine = RoomMachine(room(), "bound")
    machine.take("clear", event_id="$clear")
    (notice,) = [effect for effect in machine.effects if isinstance(effect, Notice)]
    assert notice.reply_to == "$clear"
    assert notice.text.params == {"context": FRESH, "old": "7"}


def test_clear_ends_no_turn() -> None:
    machine = RoomMachine(room(), "bound")
    machine.take("clear")
    assert EndTurns("!room") not in machine.effects, "those accepted before run in the old chat"


def test_undo_goes_back_to_the_chat_before() -> None:
    machine = RoomMachine(room(), "bound")
    machine.take("clear")
    machine = committed(machine, "8")
    assert machine.take("undo", event_id="$undo") == "bound"
    assert machine.record.platform_chat_id == "7"
    assert machine.record.previous_chat_id is None
    assert DisconnectChat("echo", "8") in machine.effects


def test_the_first_word_after_clear_ends_undo() -> None:
    machine = RoomMachine(room(), "bound")
    machine.take("clear")
    machine = committed(machine, "8")
    assert machine.take("talk", event_id="$said") == "bound"
    assert machine.effects == [AcceptTurn("!room", "echo", "8")]
    assert machine.record.previous_chat_id is None
    with pytest.raises(Refused):
        machine.take("undo")


def test_undo_without_a_clear_before_it_is_refused() -> None:
    with pytest.raises(Refused):
        RoomMachine(room(), "bound").take("undo")


def test_a_second_clear_with_nothing_said_rotates_nothing() -> None:
    machine = RoomMachine(room(), "bound")
    machine.take("clear")
    machine = committed(machine, "8")
    assert machine.take("clear", event_id="$again") == "cleared"
    assert machine.record.platform_chat_id == "8"
    assert machine.record.previous_chat_id == "7", "undo still goes back to what was said"
    assert keys(machine) == ["already-clear"]


@pytest.mark.parametrize("state", ["bound", "cleared"])
def test_changing_the_agent_takes_a_fresh_chat(state: str) -> None:
    machine = RoomMachine(room(previous_chat_id="6" if state == "cleared" else None), state)
    assert machine.take("bind", agent_id="researcher") == "bound"
    assert (machine.record.agent_id, machine.record.platform_chat_id) == ("researcher", FRESH)
    assert machine.record.previous_chat_id is None, "undo never leads to another agent's chat"
    assert machine.effects == [DisconnectChat("echo", "7"), SetTopic("!room", "researcher")]


@pytest.mark.parametrize("state", ["bound", "cleared"])
def test_choosing_the_same_agent_changes_nothing(state: str) -> None:
    machine = RoomMachine(room(previous_chat_id="6" if state == "cleared" else None), state)
    before = repr(machine.record)
    assert machine.take("bind", agent_id="echo") == state
    assert repr(machine.record) == before
    assert machine.effects == []


def test_a_vanished_agent_keeps_its_binding_on_record() -> None:
    machine = RoomMachine(room(), "bound")
    assert machine.take("observed_agent_missing") == "unbound"
    assert (machine.record.agent_id, machine.record.platform_chat_id) == ("echo", "7")
    assert machine.effects == [], "the person is asked at their next message, not at start-up"


def test_a_vanished_agent_that_comes_back_finds_its_chat() -> None:
    machine = RoomMachine(room(), "bound")
    machine.take("observed_agent_missing")
    assert machine.take("observed_agent_back") == "bound"
    assert machine.record.platform_chat_id == "7"


def test_an_agent_cannot_come_back_to_a_room_that_never_had_one() -> None:
    machine = RoomMachine(room(agent_id=None, platform_chat_id=None), "unbound")
    with pytest.raises(Refused):
        machine.take("observed_agent_back")


def test_a_room_without_an_agent_asks_at_the_next_message() -> None:
    machine = RoomMachine(room(), "unbound")
    assert machine.take("talk", event_id="$said") == "unbound"
    assert machine.effects == [OfferAgents("!room", reply_to="$said")]


def test_a_home_room_guides_and_talks_to_no_agent() -> None:
    machine = RoomMachine(Room("!room"))
    machine.take("greet", owner=ALICE)
    assert machine.take("talk", event_id="$said") == "home"
    assert keys(machine) == ["home-guidance"]
    for event in ("clear", "bind", "archive", "rename"):
        assert not machine.knows(event)


def test_archiving_ends_turns_and_takes_the_room_out_of_its_space() -> None:
    machine = RoomMachine(room(), "bound")
    assert machine.take("archive", event_id="$archive") == "archived"
    assert EndTurns("!room") in machine.effects
    assert UnlinkChild("!space", "!room") in machine.effects
    assert keys(machine) == ["archived"]


def test_a_room_archived_by_hand_is_not_spoken_into() -> None:
    machine = RoomMachine(room(), "bound")
    assert machine.take("observed_archived") == "archived"
    assert keys(machine) == []
    assert EndTurns("!room") in machine.effects


def test_an_archived_room_says_how_to_bring_it_back() -> None:
    machine = RoomMachine(room(), "archived")
    assert machine.take("talk", event_id="$said") == "archived"
    assert keys(machine) == ["room-archived-hint"]


def test_a_restored_room_comes_back_with_agent_chat_and_owner() -> None:
    machine = RoomMachine(room(), "archived")
    assert machine.take("restore") == "bound"
    assert (machine.record.agent_id, machine.record.platform_chat_id) == ("echo", "7")
    assert InviteUser("!room", ALICE) in machine.effects
    assert LinkChild("!space", "!room", "00000001") in machine.effects


def test_a_room_restored_after_its_agent_vanished_is_unbound() -> None:
    machine = RoomMachine(room(), "archived")
    assert machine.take("restore", agent_valid=False) == "unbound"


@pytest.mark.parametrize("state", ["bound", "cleared", "archived"])
def test_a_room_that_is_gone_ends_its_turns_and_disconnects(state: str) -> None:
    machine = RoomMachine(room(previous_chat_id="6" if state == "cleared" else None), state)
    assert machine.take("observed_gone") == "lost"
    assert machine.effects == [EndTurns("!room"), DisconnectChat("echo", "7")]


def test_a_lost_room_that_turns_up_is_bound_as_its_mirror_says() -> None:
    machine = RoomMachine(Room("!room"), "lost")
    machine.take("observed_bound", **ADOPTED, agent_id="echo", platform_chat_id="40")
    assert machine.state == "bound"
    assert machine.record.platform_chat_id == "40"


def test_a_room_adopted_without_a_mirror_takes_a_fresh_chat() -> None:
    machine = RoomMachine(Room("!room"))
    machine.take("observed_bound", **ADOPTED, agent_id="echo")
    assert machine.record.platform_chat_id == FRESH


def test_a_broken_link_is_written_again() -> None:
    machine = RoomMachine(room(), "bound")
    machine.take("observed_unlinked")
    assert machine.effects == [LinkChild("!space", "!room", "00000001")]


def test_renaming_by_command_renames_in_matrix_and_by_client_does_not() -> None:
    machine = RoomMachine(room(), "bound")
    machine.take("rename", name="Plans")
    assert RenameRoom("!room", "Plans") in machine.effects
    machine.effects.clear()
    machine.take("observed_renamed", name="Trips")
    assert machine.record.display_name == "Trips"
    assert machine.effects == []


@pytest.mark.parametrize("state", RoomMachine.durable_states())
def test_encryption_is_noted_in_every_state_and_never_taken_back(state: str) -> None:
    machine = RoomMachine(room(), state)
    assert machine.take("observed_encrypted") == state
    assert machine.record.encrypted
    if machine.knows("observed_gone"):
        machine.take("observed_gone")
    machine.take("observed_bound", **ADOPTED)
    assert machine.record.encrypted


def test_rooms_are_ordered_by_number_not_by_letters() -> None:
    assert sorted(["C10", "C2", "C1"], key=order_of) == ["C1", "C2", "C10"]
