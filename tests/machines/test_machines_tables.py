"""The charts as plain data: what pictures and `help()` show is what runs."""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy

import pytest

from machines import MACHINES, DialogMachine, RoomMachine, TurnMachine, UserMachine
from machines.chart import Refused
from machines.tables import describe
from tests.machines.kit import DETAILS, STATES, AnyChart, living, named


@pytest.mark.parametrize(("chart", "state"), STATES, ids=named)
def test_the_table_holds_every_event_a_state_knows(chart: AnyChart, state: str) -> None:
    table = describe(chart)
    known = {event for event in table.events if table.ways(state, event)}
    assert known == set(chart.events_from(state))
    assert {event for s, event in table.refused if s == state} == set(table.events) - known


@pytest.mark.parametrize("chart", MACHINES, ids=named)
def test_every_guard_and_action_says_what_it_does(chart: AnyChart) -> None:
    table = describe(chart)
    actions = {action for transition in table.transitions for action in transition.actions}
    silent = [name for name in (*actions, *table.guards) if not table.meanings.get(name)]
    assert silent == []
    assert table.theory
    assert table.summary.endswith(".")


@pytest.mark.parametrize("chart", MACHINES, ids=named)
def test_a_way_after_one_without_a_guard_could_never_be_gone(chart: AnyChart) -> None:
    table = describe(chart)
    for state in table.states:
        for event in table.events:
            ways = table.ways(state.id, event)
            assert all(way.guard for way in ways[:-1]), (state.id, event)


def test_internal_transitions_are_in_the_table() -> None:
    (talk,) = describe(RoomMachine).ways("bound", "talk")
    assert talk.internal
    assert (talk.target, talk.actions, talk.effects) == ("bound", ("accept",), ("AcceptTurn",))


def test_guards_are_asked_in_the_order_of_the_chart() -> None:
    ways = describe(UserMachine).ways("departed", "returned")
    assert [(way.guard, way.target) for way in ways] == [
        ("has_space and has_agent", "ready"),
        ("has_space", "choosing"),
        ("", "provisioning"),
    ]


def test_effects_wanted_by_helpers_count_for_the_action() -> None:
    (archive,) = describe(RoomMachine).ways("bound", "archive")
    assert archive.actions == ("on_archive",)
    assert archive.effects == ("DisconnectChat", "EndTurns", "UnlinkChild", "SetParent", "Notice")


def test_persisted_says_what_a_document_holds() -> None:
    persisted = {row.id: row.persisted for row in describe(TurnMachine).states}
    assert persisted["waiting"] == "yes"
    assert persisted["streaming"] == "never: stored as `waiting`"
    assert persisted["answered"] == "never: its document is deleted"
    assert {row.persisted for row in describe(DialogMachine).states} == {"never"}


@pytest.mark.parametrize("chart", MACHINES, ids=named)
def test_help_shows_every_transition_internal_ones_included(chart: AnyChart) -> None:
    text = chart.__doc__ or ""
    assert "{table}" not in text
    for way in describe(chart).transitions:
        to = "(stays)" if way.internal else way.target
        cells = [way.source, way.event, way.guard, to]
        rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
        assert cells in rows


def test_a_state_that_is_not_there_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="limbo"):
        describe(RoomMachine).state("limbo")
    assert describe(RoomMachine).state("bound").durable


@pytest.mark.parametrize(("chart", "state"), STATES, ids=named)
def test_what_a_machine_wants_is_what_the_table_says_it_may(chart: AnyChart, state: str) -> None:
    """Also effects that an event brings along, and that no method makes."""
    table = describe(chart)
    for event in chart.events_from(state):
        may = {effect for way in table.ways(state, event) for effect in way.effects}
        for details in DETAILS[chart][event]:
            for machine in living(chart, state):
                with suppress(Refused):
                    machine.take(event, **deepcopy(dict(details)))
                assert {type(effect).__name__ for effect in machine.effects} <= may, event


def test_effects_that_an_event_brings_along_are_in_the_table() -> None:
    (way, *_) = describe(TurnMachine).ways("thinking", "send_files")
    assert way.effects == ("SendFile",)
