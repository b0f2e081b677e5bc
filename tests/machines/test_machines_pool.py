"""A machine that is used again is as good as a new one."""

from __future__ import annotations

import pytest

from machines import DialogMachine, Pool, TurnMachine
from machines.chart import Refused, UnknownState
from machines.dialog import Dialog
from machines.turn import Turn


def turn(event_id: str) -> Turn:
    return Turn(event_id, "!room", "@alice:hs", "hello", "echo", "1", "1")


@pytest.mark.parametrize("ending", ["finish", "stop", "withdraw"])
def test_a_turn_that_has_ended_makes_place_for_another(ending: str) -> None:
    pool = Pool()
    old = pool.take(TurnMachine, turn("$old"), "waiting")
    if ending == "finish":
        old.take("start")
        old.take("finish", body="done")
    else:
        old.take(ending)
    assert old.ended
    with pytest.raises(Refused):
        old.take("start")
    kept = list(old.effects), list(old.path), old.record
    pool.give_back(old)

    new = pool.take(TurnMachine, turn("$new"), "waiting")

    assert new is old and not new.ended
    assert (new.state, new.effects, new.path) == ("waiting", [], [])
    assert [new.take("start"), new.take("delta"), new.take("finish", body="hi")] == [
        "thinking",
        "streaming",
        "answered",
    ]
    assert [effect.turn_id for effect in new.effects] == ["$new"]
    assert kept[2].event_id == "$old" and len(kept[1]) < len(new.path)


def test_two_machines_at_one_time_are_two() -> None:
    pool = Pool()
    one, other = (
        pool.take(DialogMachine, Dialog(room), "idle", live=True) for room in ("!a", "!b")
    )
    assert one is not other
    pool.give_back(one)
    assert pool.take(DialogMachine, Dialog("!c"), "idle", live=True) is one


def test_a_state_that_is_never_stored_is_refused_to_a_used_machine() -> None:
    pool = Pool()
    pool.give_back(pool.take(TurnMachine, turn("$old"), "waiting"))
    with pytest.raises(UnknownState):
        pool.take(TurnMachine, turn("$new"), "thinking")
