"""The record of transitions: what is kept of a step, and that it stays small whoever fills it."""

from __future__ import annotations

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from machines import RoomMachine, UserMachine
from machines.effects import Effect
from store.batch import to_json
from store.history import (
    HISTORY,
    KINDS,
    LONGEST,
    Cause,
    Step,
    Wanted,
    extended,
    heard,
    merged,
    plain,
    steps,
    whole,
)

AT = "2026-01-02T03:04:05+00:00"
EFFECTS = [effect.__name__ for effect in get_args(Effect)]
EVENTS = [str(e.id) for machine in (RoomMachine, UserMachine) for e in machine.events]  # type: ignore[attr-defined]
STATES = [*RoomMachine.durable_states(), *UserMachine.durable_states()]
LARGEST = 2 * LONGEST + 300 + sum(len(name) + 16 for name in EFFECTS)
"""Bytes that a step may have in a document at most."""

some_steps = st.builds(
    Step,
    st.just("room"),
    st.sampled_from(STATES),
    st.sampled_from(EVENTS),
    st.sampled_from(STATES),
    st.just(AT),
    st.builds(
        Cause, st.sampled_from(KINDS), st.text(max_size=2000) | st.text('\x00"\\💥', max_size=900)
    ),
    st.lists(st.sampled_from(EFFECTS), unique=True).map(
        lambda names: tuple(Wanted(name, "create") for name in names)
    ),
)


@given(some_steps)
def test_no_cause_makes_a_step_large(step: Step) -> None:
    assert len(to_json(plain(step))) <= LARGEST


@given(st.lists(some_steps, max_size=HISTORY + 5), st.lists(some_steps, max_size=HISTORY + 5))
def test_only_the_last_steps_are_kept(first: list[Step], more: list[Step]) -> None:
    kept = extended(extended([], first), more)
    assert len(kept) == min(HISTORY, len(first) + len(more))
    assert kept == [plain(step) for step in (first + more)[-HISTORY:]]
    assert len(to_json({"history": kept})) <= HISTORY * (LARGEST + 1) + 20


@given(some_steps)
def test_what_is_kept_is_read_back(step: Step) -> None:
    (back,) = steps("room", [plain(step)])
    assert (back.source, back.event, back.target, back.at) == (
        step.source,
        step.event,
        step.target,
        AT,
    )
    assert back.effects == step.effects and back.cause.kind == step.cause.kind
    assert steps("room", [plain(back)]) == (back,), "once kept, nothing is lost any more"
    assert heard(whole(back)) == back


def test_an_event_id_is_kept_as_it_is() -> None:
    longest = "$" + "e" * (LONGEST - 1)
    step = Step("turn", "waiting", "start", "thinking", AT, Cause("event", longest), key="$said")
    assert heard(whole(step)) == step


def test_records_are_told_in_the_order_of_time() -> None:
    def at(second: int, machine: str) -> Step:
        cause = Cause("bot", "timer")
        return Step(machine, "a", "e", "b", f"2026-01-02T03:04:{second:02}+00:00", cause)  # type: ignore[arg-type]

    room, user = [at(1, "room"), at(3, "room")], [at(2, "user"), at(3, "user")]
    assert merged(room, user) == (room[0], user[0], room[1], user[1])
