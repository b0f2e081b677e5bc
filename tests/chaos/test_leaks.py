"""What grows with each piece of work is a leak; what stays is none."""

from __future__ import annotations

import pytest

from tests.chaos.leaks import MAY_GROW, leaks

STEADY = dict.fromkeys(MAY_GROW, 10.0)


def test_what_stays_is_no_leak() -> None:
    assert leaks([STEADY, STEADY, STEADY]) == []
    early = {name: most * 10 for name, most in STEADY.items()}
    assert leaks([STEADY, early, early]) == []


@pytest.mark.parametrize(("name", "most"), MAY_GROW.items())
def test_what_grows_is_a_leak(name: str, most: float) -> None:
    some, more = STEADY[name] + most, STEADY[name] + most + 1
    assert leaks([STEADY, {**STEADY, name: some}]) == []
    grown = [{**STEADY, name: value} for value in (STEADY[name], STEADY[name], some, more)]
    (leak,) = leaks(grown)
    assert leak.startswith(name)
