"""What is dealt out: the same by the same seed, and nothing is left out."""

from __future__ import annotations

import pytest

from tests.chaos.plan import ACTS, FAULTS, VICTIMS, plan


def test_the_same_seed_deals_the_same() -> None:
    assert plan(7, 600, 5) == plan(7, 600, 5)
    assert plan(7, 600, 5) != plan(8, 600, 5)


@pytest.mark.parametrize("seconds", [30.0, 60.0, 600.0, 1800.0])
@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_left_out_however_short_it_is(seed: int, seconds: float) -> None:
    dealt = plan(seed, seconds, 4)
    assert {fault.kind for fault in dealt.faults} == set(FAULTS)
    assert {kill.victim for kill in dealt.kills} == set(VICTIMS)
    assert {act.who for act in dealt.acts} == {0, 1, 2, 3}
    for moments in (dealt.acts, dealt.kills, dealt.faults):
        times = [moment.at for moment in moments]
        assert times == sorted(times) and times[0] >= 0 and times[-1] < seconds


def test_half_an_hour_has_fifty_kills_and_all_that_people_do() -> None:
    dealt = plan(1, 1800, 5)
    assert len(dealt.kills) + sum(kill.again is not None for kill in dealt.kills) >= 50
    assert {act.kind for act in dealt.acts} == set(ACTS)
    assert len({act.number for act in dealt.acts}) == len(dealt.acts)
    victims = [kill.victim for kill in dealt.kills]
    assert victims.count("bot") > max(victims.count("platform"), victims.count("homeserver"))
