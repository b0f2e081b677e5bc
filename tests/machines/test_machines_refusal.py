"""Every state × event of every machine: taken as the table says, or refused and nothing changes."""

from __future__ import annotations

import pytest

from machines import MACHINES
from machines.chart import Chart, Refused
from machines.tables import TransitionRow, describe
from tests.machines.kit import DETAILS, STATES, AnyChart, living, memory, named

WAYS = [(chart, way) for chart in MACHINES for way in describe(chart).transitions]
REFUSED = [(chart, state, event) for chart in MACHINES for state, event in describe(chart).refused]


@pytest.mark.parametrize("chart", MACHINES, ids=named)
def test_details_are_known_for_every_event(chart: AnyChart) -> None:
    assert set(DETAILS[chart]) == set(describe(chart).events)


@pytest.mark.parametrize(("chart", "state"), STATES, ids=named)
def test_every_state_can_be_lived_in(chart: AnyChart, state: str) -> None:
    machines = list(living(chart, state))
    assert machines
    assert {machine.state for machine in machines} == {state}


@pytest.mark.parametrize(("chart", "state", "event"), REFUSED, ids=named)
def test_what_the_table_does_not_show_is_refused_and_changes_nothing(
    chart: AnyChart, state: str, event: str
) -> None:
    for machine in living(chart, state):
        before = memory(machine)
        for details in DETAILS[chart][event]:
            with pytest.raises(Refused):
                machine.take(event, **details)
            assert memory(machine) == before
        assert not machine.knows(event)


@pytest.mark.parametrize(
    ("chart", "way"),
    WAYS,
    ids=lambda v: f"{v.source}-{v.event}" if hasattr(v, "event") else named(v),
)
def test_every_way_of_the_table_can_be_gone(chart: AnyChart, way: TransitionRow) -> None:
    """Some record and some details satisfy its guard, and it leads where the table says."""
    reached = set()
    for details in DETAILS[chart][way.event]:
        for machine in living(chart, way.source):
            try:
                reached.add(machine.take(way.event, **details))
            except Refused:
                continue
            assert [step[:3] for step in machine.path] == [(way.source, way.event, machine.state)]
    assert way.target in reached
    table = describe(chart)
    assert reached <= {other.target for other in table.ways(way.source, way.event)}


def test_a_guard_that_says_no_refuses_and_changes_nothing() -> None:
    guarded = 0
    for chart, way in WAYS:
        ways = describe(chart).ways(way.source, way.event)
        for details in DETAILS[chart][way.event]:
            for machine in living(chart, way.source):
                before = memory(machine)
                try:
                    machine.take(way.event, **details)
                except Refused:
                    guarded += 1
                    assert memory(machine) == before
                    assert all(other.guard for other in ways), f"{chart.__name__}: {way}"
    assert guarded


@pytest.mark.parametrize("chart", MACHINES, ids=named)
def test_an_unknown_event_is_refused_by_name(chart: AnyChart) -> None:
    machine = chart(next(living(chart, describe(chart).states[0].id)).record)
    with pytest.raises(Refused, match=rf"{chart.__name__} refuses 'dance' in state"):
        machine.take("dance")


@pytest.mark.parametrize("chart", MACHINES, ids=named)
def test_no_state_event_or_action_hides_what_every_machine_has(chart: AnyChart) -> None:
    """An event called `take` would be sent in the place of `Chart.take`."""
    assert not set(vars(chart)) & {name for name in dir(Chart) if not name.startswith("_")} - {
        "id",
        "name",
        "states",
        "states_map",
        "final_states",
        "initial_state",
        "prepare",
    }
