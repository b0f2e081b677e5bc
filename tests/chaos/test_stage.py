"""Of a bad disk the bot may end, with one word; and who is down cannot be killed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.chaos.journal import Journal
from tests.chaos.plan import Kill, plan
from tests.chaos.stage import says_why
from tests.chaos.weather import Weather

WORD = {"event": "error: the disk is full.", "level": "raw"}


@pytest.mark.parametrize(
    ("code", "lines", "says"),
    [
        (1, [WORD], True),
        (2, [WORD], False),
        (-11, [WORD], False),
        (1, [], False),
        (1, [{"event": "Traceback (most recent call last):", "level": "raw"}], False),
        (1, [{"event": "error: logged", "level": "info"}], False),
    ],
)
def test_the_word_with_which_the_bot_may_end(
    code: int, lines: list[dict[str, Any]], says: bool
) -> None:
    assert says_why(code, lines) is says


@pytest.mark.parametrize(("pid", "kills"), [(7, 1), (None, 0)])
async def test_only_who_is_up_is_counted_as_killed(
    tmp_path: Path, pid: int | None, kills: int
) -> None:
    platform = SimpleNamespace(pid=pid, kill=lambda: None)

    async def start() -> None:
        pass

    with Journal(tmp_path / "journal.jsonl") as journal:
        stage: Any = SimpleNamespace(
            journal=journal,
            platform=platform,
            kill_platform=platform.kill,
            start_platform_if_down=start,
        )
        weather = Weather(stage, plan(1, 30, 1))
        await weather._kill(Kill(0.0, "platform", 0.0, None))
        assert weather.kills["platform"] == kills
        assert [line["what"] for line in journal.lines] == ["kill" if kills else "was down"]
