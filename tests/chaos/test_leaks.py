"""What grows with each piece of work is a leak; what stays is none."""

from __future__ import annotations

import pytest

from tests.chaos.leaks import NONE, STEP, leaks

STEADY = dict.fromkeys(STEP, 10.0) | dict.fromkeys(NONE, 0.0)


def test_what_stays_is_no_leak() -> None:
    assert leaks([STEADY, STEADY, STEADY], 60) == []
    early = {name: most * 10 for name, most in STEADY.items()}
    assert leaks([STEADY, early, early], 60) == []


@pytest.mark.parametrize("name", STEP)
def test_one_step_is_no_leak(name: str) -> None:
    """The heap grows by steps, and a pool gets one more thread."""
    more = {**STEADY, name: STEADY[name] + STEP[name]}
    assert leaks([STEADY, STEADY, more], 60) == []
    big = {**STEADY, name: STEADY[name] + 10 * STEP[name]}
    assert leaks([STEADY, STEADY, STEADY, STEADY, STEADY, big, big, big, big], 60) == []


@pytest.mark.parametrize(("name", "step"), STEP.items())
def test_what_grows_with_the_work_is_a_leak(name: str, step: float) -> None:
    grown = [{**STEADY, name: STEADY[name] + n * (step + 1)} for n in range(5)]
    (leak,) = leaks(grown, 60)
    assert leak.startswith(name)


@pytest.mark.parametrize("name", NONE)
@pytest.mark.parametrize("counts", [(3, 3, 3, 3), (0, 0, 0, 1), (5, 4, 3, 2)])
def test_what_nobody_has_cleared_away_is_a_leak(name: str, counts: tuple[int, ...]) -> None:
    (leak,) = leaks([{**STEADY, name: n} for n in counts], 60)
    assert leak.startswith(name)


@pytest.mark.parametrize("name", NONE)
def test_what_is_cleared_away_in_the_end_is_no_leak(name: str) -> None:
    assert leaks([{**STEADY, name: n} for n in (3, 3, 1, 0)], 60) == []


def test_little_with_each_of_many_messages_is_a_leak_that_few_do_not_show() -> None:
    blocks = [{**STEADY, "sockets": 10.0 + n} for n in range(40)]
    assert leaks(blocks[:5], 60) == []
    assert len(leaks(blocks, 60)) == 1
