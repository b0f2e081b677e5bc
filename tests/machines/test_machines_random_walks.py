"""Any order of events, whatever it is: the machines stay within their tables and their promises.

After every event the machine is dropped and restored from what its document would hold, as the
program does between two inputs; fresh ids become numbers that only grow, as the store's do.
"""

from __future__ import annotations

from itertools import count
from typing import Any, ClassVar

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from machines import MACHINES, RoomMachine, UserMachine
from machines.chart import Chart, Refused
from machines.effects import CreateRoom, Fresh
from machines.room import Room
from machines.tables import describe
from machines.user import User
from tests.machines.kit import ALICE, DETAILS, RECORDS, AnyChart, memory, named


class Walk(RuleBasedStateMachine):
    """Sends any event with any of its details; `chart` and `start` are set per machine."""

    chart: ClassVar[AnyChart]

    def __init__(self) -> None:
        super().__init__()
        self.table = describe(self.chart)
        self.machine: Chart[Any] = self.chart(self.start())
        self.ids = count(1)

    def start(self) -> Any:
        return RECORDS[self.chart][0]()

    @rule(data=st.data())
    def send_anything(self, data: st.DataObject) -> None:
        self.send_one_of(self.table.events, data)

    @rule(data=st.data())
    def send_what_is_known_here(self, data: st.DataObject) -> None:
        # Most events are refused in most states: a walk of those alone would not get far.
        self.send_one_of(self.chart.events_from(self.machine.state), data)

    def send_one_of(self, events: tuple[str, ...], data: st.DataObject) -> None:
        event = data.draw(st.sampled_from(events))
        details = data.draw(st.sampled_from(DETAILS[self.chart][event]))
        self.send_one(event, dict(details))

    def send_one(self, event: str, details: dict[str, Any]) -> None:
        before, source = memory(self.machine), self.machine.state
        try:
            state = self.machine.take(event, **details)
        except Refused:
            assert memory(self.machine) == before
            ways = self.table.ways(source, event)
            assert all(way.guard for way in ways), "refused though a way has no guard"
            return
        assert state in {way.target for way in self.table.ways(source, event)}
        self.took(event)
        self.restart()

    def took(self, event: str) -> None:
        """What has to hold of the effects of an event that was taken."""

    def restart(self) -> None:
        machine = self.machine
        if machine.ended:
            self.machine = self.chart(self.start())
            self.started_over()
        elif machine.state in self.chart.durable_states():
            self.machine = self.chart(machine.record, machine.stored_state)
        else:
            self.machine = self.chart(machine.record, machine.state, live=True)

    def started_over(self) -> None:
        """The document is gone; what comes next is another one, which knows nothing of it."""

    @invariant()
    def is_in_a_declared_state(self) -> None:
        assert self.machine.state in {state.id for state in self.table.states}


class RoomWalk(Walk):
    chart = RoomMachine

    def __init__(self) -> None:
        super().__init__()
        self.was_encrypted = False

    def start(self) -> Room:
        return Room("!room")

    def started_over(self) -> None:
        self.was_encrypted = False

    def took(self, event: str) -> None:
        record = self.machine.record
        if isinstance(record.platform_chat_id, Fresh):
            record.platform_chat_id = str(1000 + next(self.ids))

    @invariant()
    def a_previous_chat_is_known_only_in_cleared(self) -> None:
        assert (self.machine.record.previous_chat_id is not None) == (
            self.machine.state == "cleared"
        )

    @invariant()
    def a_room_that_talks_has_agent_chat_and_owner(self) -> None:
        record = self.machine.record
        if self.machine.state in {"bound", "cleared"}:
            assert None not in {record.agent_id, record.platform_chat_id, record.chat_id}
            assert (record.room_type, record.matrix_user_id) == ("chat", ALICE)

    @invariant()
    def undo_would_lead_elsewhere(self) -> None:
        record = self.machine.record
        assert record.previous_chat_id is None or record.previous_chat_id != record.platform_chat_id

    @invariant()
    def encryption_is_never_taken_back(self) -> None:
        assert self.machine.record.encrypted or not self.was_encrypted
        self.was_encrypted = self.machine.record.encrypted


class UserWalk(Walk):
    chart = UserMachine

    def __init__(self) -> None:
        super().__init__()
        self.labels: list[int] = []

    def start(self) -> User:
        return User(ALICE)

    def started_over(self) -> None:
        self.labels = []

    def send_one(self, event: str, details: dict[str, Any]) -> None:
        # A nonce is used once; what comes back names one of those on their way, or a stranger's.
        if event in {"invited", "returned", "new_chat"}:
            details["nonce"] = f"n{next(self.ids)}"
        known = list(self.machine.record.creations)
        if details.get("nonce") in {"n1", "n1.1"} and known:
            details["nonce"] = known[0] if details["nonce"] == "n1" else known[-1]
        super().send_one(event, details)

    def took(self, event: str) -> None:
        record = self.machine.record
        for effect in self.machine.effects:
            if isinstance(effect, CreateRoom) and effect.kind == "space":
                assert record.space_id is None, "a second Space"
        fresh = [int(c.chat_id[1:]) for c in record.creations.values() if c.chat_id]
        new = [label for label in fresh if label not in self.labels]
        assert all(label > max(self.labels, default=0) for label in new)
        self.labels += new

    @invariant()
    def labels_only_grow(self) -> None:
        assert self.machine.record.next_chat_index > max(self.labels, default=0)

    @invariant()
    def one_space_at_most_is_on_its_way(self) -> None:
        record = self.machine.record
        spaces = [c for c in record.creations.values() if c.kind == "space"]
        assert len(spaces) <= 1
        assert not (spaces and record.space_id)

    @invariant()
    def who_is_served_has_a_space(self) -> None:
        if self.machine.state in {"ready", "choosing"}:
            assert self.machine.record.space_id is not None

    @invariant()
    def who_is_ready_has_an_agent(self) -> None:
        if self.machine.state == "ready":
            assert self.machine.record.selected_agent_id is not None


def _walk_of(chart: AnyChart) -> type[Walk]:
    own: dict[AnyChart, type[Walk]] = {RoomMachine: RoomWalk, UserMachine: UserWalk}
    return own.get(chart) or type(f"{chart.__name__}Walk", (Walk,), {"chart": chart})


@pytest.mark.parametrize("chart", MACHINES, ids=named)
def test_no_order_of_events_breaks_a_promise(chart: AnyChart) -> None:
    run_state_machine_as_test(
        _walk_of(chart),
        settings=settings(max_examples=60, stateful_step_count=40, deadline=None),
    )
