"""What makes no sense is refused before anything starts, and each run has a journal of its own."""

from __future__ import annotations

import re

import pytest

from tests.chaos.__main__ import options_of


def test_what_is_given_is_taken() -> None:
    given = options_of(["--minutes", "0.5", "--seed", "7", "--people", "1", "--blocks", "2"])
    assert (given.minutes, given.seed, given.people, given.blocks) == (0.5, 7, 1, 2)
    assert options_of([]).seed is not None


@pytest.mark.parametrize(
    ("option", "value"),
    [("--minutes", value) for value in ("0", "-1", "nan", "inf", "x")]
    + [("--people", value) for value in ("0", "-1", "x")]
    + [("--blocks", value) for value in ("-1", "0", "1", "x")],
)
def test_what_makes_no_sense_is_refused(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        options_of([f"{option}={value}"])
    assert ended.value.code == 2
    assert re.search(f"error: argument {option}: .*{re.escape(value)}", capsys.readouterr().err)
