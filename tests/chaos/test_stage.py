"""Of a bad disk the bot may end, with one word; who is down cannot be killed; nothing is left of the dead."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from surface.homeserver import Login
from tests.chaos.journal import Journal
from tests.chaos.plan import Kill, plan
from tests.chaos.stage import Stage, faketime, says_why, shared_clock, under_way
from tests.chaos.weather import Weather
from tests.rig.bot import Bot

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
            start_platform=start,
            start_platform_if_down=start,
        )
        weather = Weather(stage, plan(1, 30, 1))
        await weather._kill(Kill(0.0, "platform", 0.0, None))
        assert weather.kills["platform"] == kills
        assert [line["what"] for line in journal.lines] == ["kill" if kills else "was down"]


@pytest.mark.skipif(
    faketime() is None, reason="libfaketime is not installed, or not for this machine"
)
async def test_nothing_is_left_of_the_clock_of_who_was_killed(tmp_path: Path) -> None:
    """Whether its keeper saw it die, or it lived to the end."""
    nothing: Any = None
    bot = Bot("http://127.0.0.1:9", Login("@lambda:hs", "DEVICE", "token"), tmp_path / "bot")
    bot.program = ("-c", "import signal; signal.pause()")
    with Journal(tmp_path / "journal.jsonl") as journal:
        stage = Stage(journal, tmp_path, nothing, nothing, nothing, bot)
        stage._fake_clock()
        stage._keeping = asyncio.create_task(stage._keep())
        try:
            for end in (partial(stage.kill_bot, 0.0), stage._end_bot):
                await stage.bot_launched()
                clock = shared_clock(bot.pid or 0)
                async with asyncio.timeout(30):
                    while not all(path.exists() for path in clock):
                        await asyncio.sleep(0.02)
                await end()
                async with asyncio.timeout(30):
                    while any(path.exists() for path in clock):
                        await asyncio.sleep(0.02)
        finally:
            await stage._end_bot()


def test_what_a_dead_bot_had_left_to_do(tmp_path: Path) -> None:
    bot = Bot("http://127.0.0.1:9", Login("@lambda:hs", "DEVICE", "token"), tmp_path)
    assert under_way(bot) is None
    bot.state_dir.mkdir()
    with closing(sqlite3.connect(bot.state_dir / "lambda_matrix.db")) as db:
        db.execute("create table documents (tbl text, key text, json text)")
        db.commit()
        assert under_way(bot) == {}
        rows = [("inbox", "a"), ("inbox", "b"), ("outbox", "c"), ("rooms", "d")]
        db.executemany("insert into documents values (?, ?, '{}')", rows)
        db.commit()
        assert under_way(bot) == {"inbox": 2, "outbox": 1}
