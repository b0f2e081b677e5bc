"""What makes no sense is refused before anything starts, and each run has a journal of its own."""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import __main__
from tests.chaos.__main__ import options_of
from tests.chaos.plan import Plan
from tests.chaos.run import Verdict


def test_what_is_given_is_taken() -> None:
    given = options_of(["--minutes", "0.5", "--seed", "7", "--people", "1", "--blocks", "2"])
    assert (given.minutes, given.seed, given.people, given.blocks) == (0.5, 7, 1, 2)
    assert options_of([]).seed is not None


@pytest.mark.parametrize(
    ("option", "value"),
    [("--minutes", value) for value in ("0", "-1", "nan", "inf", "1e7", "x")]
    + [("--people", value) for value in ("0", "-1", "x")]
    + [("--blocks", value) for value in ("-1", "0", "1", "x")],
)
def test_what_makes_no_sense_is_refused(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        options_of([f"{option}={value}"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert re.search(f"error: argument {option}: '{re.escape(value)}' is not a .*number", said)


@pytest.mark.parametrize("option", ["--keep", "--journal"])
def test_where_nothing_can_be_kept_is_refused(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "taken"
    taken.touch()
    wrong = taken if option == "--keep" else tmp_path
    for value in (wrong, taken / "below"):
        with pytest.raises(SystemExit) as ended:
            options_of([f"{option}={value}"])
        assert ended.value.code == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert f"error: argument {option}: '{value}'" in last


def test_where_something_is_kept_is_made_at_once(tmp_path: Path) -> None:
    keep, journal = tmp_path / "a/b", tmp_path / "c/d.jsonl"
    given = options_of([f"--keep={keep}", f"--journal={journal}"])
    assert (given.keep, given.journal) == (keep, journal)
    assert keep.is_dir() and journal.is_file()


def test_what_came_of_it_is_said_before_anything_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def ran(dealt: Plan, *_: Any, **__: Any) -> Verdict:
        return Verdict(dealt)

    def gone(*_: Path) -> None:
        raise OSError("the disk is full")

    words = ["chaos", "--seed=7", f"--keep={tmp_path}", f"--journal={tmp_path / 'journal'}"]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(__main__, "run", ran)
    monkeypatch.setattr(__main__, "_keep", gone)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(__main__, "keep_bytecode", lambda _: None)
    with pytest.raises(OSError, match="full"):
        __main__.main()
    assert "violations" in capsys.readouterr().out
