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
    LeaveRoom,
    LinkChild,
    LoadContext,
    Notice,
    OfferAgents,
    RenameRoom,
    SaveContext,
    SetParent,
    SetTopic,
    UnlinkChild,
)
from machines.room import Room, order_of
from tests.machines.kit import ADOPTED, ALICE, TAKEN_IN, room

FRESH = Fresh("!room")


def keys(machine: RoomMachine) -> list[str]:
    return [effect.text.key for effect in machine.effects if isinstance(effect, Notice)]


def committed(machine: RoomMachine, chat: str) -> RoomMachine:
    """The same room after a commit in which a fresh id became `chat`, restored."""
    if isinstance(machine.record.platform_chat_id, Fresh):
        machine.record.platform_chat_id = chat
    return RoomMachine(machine.record, machine.stored_state)


def loading(machine: RoomMachine, chat: str) -> RoomMachine:
    """The same room after a `load` whose fresh chat became `chat`."""
    machine.take("load", save_id="s", name="plans", event_id="$load")
    return committed(machine, chat)


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
    assert SetParent("!room", "!space", linked=False) in machine.effects
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
    assert SetParent("!room", "!space", linked=True) in machine.effects


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
    machine.take("observed_again")
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
    assert machine.effects == [
        LinkChild("!space", "!room", "00000001"),
        SetParent("!room", "!space", linked=True),
    ]


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
    machine.take("observed_again")
    machine.take("observed_bound", **ADOPTED)
    assert machine.record.encrypted


def test_rooms_are_ordered_by_number_not_by_letters() -> None:
    assert sorted(["C10", "C2", "C1"], key=order_of) == ["C1", "C2", "C10"]


def test_a_save_keeps_room_and_context_as_they_are() -> None:
    machine = RoomMachine(room(), "bound")
    before = repr(machine.record)
    assert machine.take("save", name="plans", event_id="$save") == "bound"
    assert machine.effects == [SaveContext("!room", ALICE, "echo", "7", "plans", "$save")]
    assert repr(machine.record) == before


def test_a_load_takes_a_fresh_chat_and_seeds_it() -> None:
    machine = RoomMachine(room(), "bound")
    assert machine.take("load", save_id="s", name="plans", event_id="$load") == "cleared"
    assert machine.effects == [
        DisconnectChat("echo", "7"),
        LoadContext("!room", ALICE, "echo", FRESH, "s", "plans", "$load"),
    ]


def test_a_load_can_be_undone() -> None:
    machine = loading(RoomMachine(room(), "bound"), "8")
    assert machine.take("undo") == "bound"
    assert machine.record.platform_chat_id == "7"


def test_a_load_over_a_load_is_undone_to_what_was_said_last() -> None:
    machine = loading(loading(RoomMachine(room(), "bound"), "8"), "9")
    assert machine.record.platform_chat_id == "9"
    machine.take("undo")
    assert machine.record.platform_chat_id == "7"


def test_the_first_word_after_a_load_ends_undo() -> None:
    machine = loading(RoomMachine(room(), "bound"), "8")
    assert machine.take("talk", event_id="$said") == "bound"
    assert machine.effects == [AcceptTurn("!room", "echo", "8")]
    with pytest.raises(Refused):
        machine.take("undo")


def test_a_failed_load_goes_back_to_the_chat_before() -> None:
    machine = loading(RoomMachine(room(), "bound"), "8")
    assert machine.take("load_failed", platform_chat_id="8") == "bound"
    assert (machine.record.platform_chat_id, machine.record.previous_chat_id) == ("7", None)
    machine.take("talk", event_id="$said")
    assert machine.effects == [AcceptTurn("!room", "echo", "7")]


def test_a_failed_load_into_a_cleared_room_leaves_it_cleared() -> None:
    machine = RoomMachine(room(), "bound")
    machine.take("clear")
    machine = loading(committed(machine, "8"), "9")
    assert machine.take("load_failed", platform_chat_id="9") == "cleared"
    assert machine.record.platform_chat_id == "8", "what was cleared is not brought back"
    assert machine.take("undo") == "bound"
    assert machine.record.platform_chat_id == "7"


def test_a_second_load_that_fails_goes_back_to_what_the_first_one_loaded() -> None:
    machine = loading(loading(RoomMachine(room(), "bound"), "8"), "9")
    assert machine.take("load_failed", platform_chat_id="9") == "cleared"
    assert (machine.record.platform_chat_id, machine.record.previous_chat_id) == ("8", "7")


def test_two_loads_that_both_fail_go_back_to_the_chat_before_them() -> None:
    machine = loading(loading(RoomMachine(room(), "bound"), "8"), "9")
    assert machine.take("load_failed", platform_chat_id="8") == "cleared"
    assert machine.record.platform_chat_id == "9", "the second is still on its way"
    assert machine.take("load_failed", platform_chat_id="9") == "bound"
    assert (machine.record.platform_chat_id, machine.record.previous_chat_id) == ("7", None)


def test_a_failed_load_that_came_too_late_changes_nothing() -> None:
    talked = loading(RoomMachine(room(), "bound"), "8")
    talked.take("talk", event_id="$said")
    cleared = RoomMachine(room(previous_chat_id="6"), "cleared")
    for machine in (talked, cleared):
        before = repr((machine.state, machine.record))
        machine.effects.clear()
        machine.take("load_failed", platform_chat_id="7" if machine is cleared else "8")
        assert repr((machine.state, machine.record)) == before
        assert machine.effects == []


def test_retry_asks_what_failed() -> None:
    machine = RoomMachine(room(), "bound")
    machine.take("turn_failed", body="Tell me a story", platform_chat_id="7")
    assert machine.take("retry") == "bound"
    assert machine.effects == [AcceptTurn("!room", "echo", "7", "Tell me a story")]
    with pytest.raises(Refused):
        machine.take("retry")


def test_what_failed_in_a_chat_that_the_room_has_left_is_not_remembered() -> None:
    machine = RoomMachine(room(), "bound")
    for chat in ("6", "8"):
        with pytest.raises(Refused):
            machine.take("turn_failed", body="Tell me a story", platform_chat_id=chat)
    assert machine.record.failed_body is None


def test_retry_without_a_failure_is_refused() -> None:
    with pytest.raises(Refused):
        RoomMachine(room(), "bound").take("retry")


def test_talk_forgets_what_failed() -> None:
    machine = RoomMachine(room(failed_body="Tell me a story"), "bound")
    machine.take("talk", event_id="$said")
    assert machine.record.failed_body is None
    with pytest.raises(Refused):
        machine.take("retry")


@pytest.mark.parametrize(
    ("event", "details"),
    [
        ("clear", {"event_id": "$said"}),
        ("load", {"event_id": "$said", "save_id": "s", "name": "plans"}),
        ("bind", {"agent_id": "researcher"}),
    ],
)
def test_a_fresh_context_forgets_what_failed(event: str, details: dict[str, str]) -> None:
    machine = RoomMachine(room(failed_body="Tell me a story"), "bound")
    machine.take(event, **details)
    assert machine.record.failed_body is None, "it was asked in another conversation"


def test_a_room_of_others_is_taken_in_only_on_its_inviters_word() -> None:
    machine = RoomMachine(Room("!room"))
    machine.take("contact", inviter=ALICE, others=["@bob:localhost"])
    assert machine.state == "unprovisioned"
    assert machine.effects == []
    assert machine.record.matrix_user_id is None, "nobody commands it yet"
    for event, details in (("talk", {"event_id": "$said"}), ("bind", {"agent_id": "echo"})):
        with pytest.raises(Refused):
            machine.take(event, **details)
    assert machine.take("take_in", **TAKEN_IN, agent_id="echo") == "bound"
    assert machine.record.matrix_user_id == ALICE
    assert machine.record.platform_chat_id == FRESH


def test_a_room_taken_in_stays_where_it_is_and_as_it_is() -> None:
    machine = RoomMachine(Room("!room"))
    machine.take("take_in", **TAKEN_IN, agent_id="echo")
    assert machine.effects == [], "no topic, no link, no invite: it is not the bot's room"
    assert machine.record.foreign
    assert machine.record.others == ["@bob:localhost"]


def test_a_room_taken_in_without_an_agent_asks_for_one() -> None:
    machine = RoomMachine(Room("!room"))
    assert machine.take("take_in", **TAKEN_IN) == "unbound"
    assert machine.effects == [OfferAgents("!room")]


def test_a_room_is_taken_in_once() -> None:
    machine = RoomMachine(room(), "bound")
    for event, details in (("take_in", TAKEN_IN), ("contact", {"inviter": ALICE, "others": []})):
        with pytest.raises(Refused):
            machine.take(event, **details)


@pytest.mark.parametrize(
    "state", ["unprovisioned", "home", "unbound", "bound", "cleared", "archived"]
)
def test_who_comes_and_goes_is_noted(state: str) -> None:
    machine = RoomMachine(room(previous_chat_id="6" if state == "cleared" else None), state)
    assert machine.take("observed_others", others=["@bob:localhost"]) == state
    assert machine.record.others == ["@bob:localhost"]
    talks = state in {"unbound", "bound", "cleared"}
    assert keys(machine) == (["company-came"] if talks else [])


@pytest.mark.parametrize("state", RoomMachine.durable_states())
def test_a_forgotten_room_is_left_unless_it_is_lost(state: str) -> None:
    machine = RoomMachine(room(previous_chat_id="6" if state == "cleared" else None), state)
    assert machine.take("forget") == "forgotten"
    leaves = [] if state == "lost" else [LeaveRoom("!room")]
    assert machine.effects == [EndTurns("!room"), *leaves]
    assert machine.ended, "its document goes with it"


def test_who_is_not_alone_any_more_is_told_once_how_to_be_answered() -> None:
    machine = RoomMachine(room(), "bound")
    machine.take("observed_others", others=["@bob:localhost"])
    assert keys(machine) == ["company-came"]
    machine.take("observed_others", others=["@bob:localhost", "@carol:localhost"])
    machine.take("observed_others", others=[])
    assert keys(machine) == ["company-came"]
    assert machine.record.others == []
