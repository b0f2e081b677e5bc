"""What may be stored and what may be restored: durable states, and nothing else."""

from __future__ import annotations

import pytest

from machines import MACHINES, RoomMachine, TurnMachine
from machines.chart import Chart, NotPersisted, UnknownState
from machines.tables import StateRow, describe
from machines.turn import Turn
from tests.machines.kit import RECORDS, AnyChart, living, named, room, turn

ROWS = [(chart, row) for chart in MACHINES for row in describe(chart).states]
TRANSIENT = [(chart, row) for chart, row in ROWS if not row.durable]
DURABLE = [(chart, row) for chart, row in ROWS if row.durable]


def _ids(value: object) -> str:
    return value.id if isinstance(value, StateRow) else named(value)


@pytest.mark.parametrize(("chart", "row"), DURABLE, ids=_ids)
def test_a_durable_state_is_stored_and_restored_under_its_name(
    chart: AnyChart, row: StateRow
) -> None:
    for machine in living(chart, row.id):
        assert machine.stored_state == row.id
        assert chart(machine.record, machine.stored_state).state == row.id


@pytest.mark.parametrize(("chart", "row"), TRANSIENT, ids=_ids)
def test_a_transient_state_is_never_stored_as_itself(chart: AnyChart, row: StateRow) -> None:
    for machine in living(chart, row.id):
        if row.stored_as is None:
            with pytest.raises(NotPersisted, match=row.id):
                _ = machine.stored_state
        else:
            assert machine.stored_state == row.stored_as
            assert machine.stored_state in chart.durable_states()


@pytest.mark.parametrize(("chart", "row"), TRANSIENT, ids=_ids)
def test_a_transient_state_cannot_be_restored(chart: AnyChart, row: StateRow) -> None:
    with pytest.raises(UnknownState, match=row.id):
        chart(RECORDS[chart][0](), row.id)


@pytest.mark.parametrize("chart", MACHINES, ids=named)
@pytest.mark.parametrize("live", [False, True])
def test_a_state_nobody_declared_cannot_be_restored(chart: AnyChart, live: bool) -> None:
    with pytest.raises(UnknownState, match="limbo"):
        chart(RECORDS[chart][0](), "limbo", live=live)


@pytest.mark.parametrize("chart", MACHINES, ids=named)
def test_what_a_transient_state_stands_for_is_durable(chart: AnyChart) -> None:
    table = describe(chart)
    stand_ins = {row.stored_as for row in table.states if row.stored_as}
    assert stand_ins <= set(chart.durable_states())
    assert {r.id for r in table.states} == {*chart.durable_states(), *chart.transient_states()}


@pytest.mark.parametrize(("chart", "row"), ROWS, ids=_ids)
def test_restoring_runs_no_entry_action(chart: AnyChart, row: StateRow) -> None:
    for machine in living(chart, row.id):
        fresh = [make() for make in RECORDS[chart]]
        assert machine.record in fresh
        assert machine.effects == []
        assert machine.path == []


def test_a_turn_cut_by_a_crash_waits_again() -> None:
    running = TurnMachine(turn())
    running.take("start", repeatable=False)
    running.take("delta")
    again = TurnMachine(running.record, running.stored_state)
    assert again.state == "waiting"
    assert again.record.asked, "its platform may have begun: that is not forgotten"
    assert again.take("start") == "thinking"


def test_an_exception_inside_a_transition_leaves_the_state_as_it_was() -> None:
    machine = RoomMachine(room(), "bound")
    with pytest.raises(TypeError):
        machine.take("rename")  # without the name
    assert machine.state == "bound"
    assert machine.path == []


def test_only_the_ends_of_a_turn_are_ends() -> None:
    ends = {row.id for row in describe(TurnMachine).states if row.ends}
    assert ends == {"answered", "failed", "stopped"}
    for chart, row in ROWS:
        for machine in living(chart, row.id):
            assert machine.ended is row.ends
    assert isinstance(next(living(TurnMachine, "failed")), Chart)
    assert isinstance(next(living(TurnMachine, "failed")).record, Turn)
