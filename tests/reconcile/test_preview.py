"""What `surface reconcile --dry-run` prints. What it does with bad input: the end of this file."""

from __future__ import annotations

import ast
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from machines.effects import LeaveRoom
from surface.reconcile import plan, rooms
from surface.reconcile.preview import table_of
from surface.reconcile.steps import Step, Take, Want
from surface.reconcile.words import TAKEN, described
from tests.reconcile.test_disaster_on_synapse import lose_database, lose_session
from tests.rig.bot import Bot
from tests.rig.cli import surface
from tests.rig.fixtures import Make

ROOM = "!kNVnDAFaB7v-LtDpBu9MLyrZLaESu0KecCXQ4jnJDZY"


def printed(*steps: Step, width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(table_of(steps))
    return out.getvalue()


def taken() -> set[tuple[str, str]]:
    """The machines' events that plans are made of, by the source."""
    found = set()
    for module in (plan, rooms):
        for call in ast.walk(ast.parse(Path(str(module.__file__)).read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Take":
                machine, _, event = (ast.unparse(arg).strip("'") for arg in call.args[:3])
                found.add((machine, event))
    return found


def test_every_event_of_a_plan_has_words() -> None:
    assert taken() == set(TAKEN)


def test_words_hold_what_the_event_tells() -> None:
    renamed = Take("room", ROOM, "observed_renamed", {"name": "{Kitchen}"})
    assert described(renamed) == ("room renamed", ROOM, "the name is kept: {Kitchen}")


@pytest.mark.parametrize("width", [60, 80, 200])
def test_ids_are_whole_on_a_screen_of_any_width(width: int) -> None:
    lines = printed(Want(LeaveRoom(ROOM), "second Space"), width=width).splitlines()
    cells = [line.split("│")[3].strip() for line in lines if line.count("│") == 5]
    assert "".join(cells) == ROOM


def test_a_name_does_not_steer_the_terminal() -> None:
    name = "\x1b[31m\x1b]0;title\x07 [bold]name[/bold]\n\u202e"
    text = printed(Take("room", ROOM, "observed_renamed", {"name": name}), width=200)
    assert not set(text) & set("\x1b\x07\u202e")
    assert "[bold]name[/bold]" in text


def cut(bot: Bot) -> None:
    file = bot.state_dir / "lambda_matrix.db"
    file.write_bytes(file.read_bytes()[:5000])


def nothing_at_all(bot: Bot) -> None:
    lose_session(bot)
    lose_database(bot)


def not_reachable(bot: Bot) -> None:
    bot.url = "http://127.0.0.1:1"


def no_agents(bot: Bot) -> None:
    bot.settings["agents"] = str(bot.root / "none.yaml")


@pytest.mark.synapse
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (cut, "lambda_matrix.db: cannot be opened"),
        (lose_session, "there is no session"),
        (nothing_at_all, "there is no session"),
        (not_reachable, "does not say what the rooms look like"),
        (no_agents, "none.yaml: no such file"),
    ],
)
async def test_bad_input_is_named_and_nothing_is_changed(
    spoil: Callable[[Bot], None], words: str, make_bot: Make
) -> None:
    bot = await make_bot()
    await bot.stop()
    spoil(bot)
    before = {p: p.read_bytes() for p in bot.state_dir.rglob("*") if p.is_file()}
    done = await surface("reconcile", "--dry-run", "--full", "-c", str(bot.write_config()))
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr and "Traceback" not in done.stderr
    assert {p: p.read_bytes() for p in bot.state_dir.rglob("*") if p.is_file()} == before


@pytest.mark.synapse
async def test_beside_a_running_bot_it_is_refused(make_bot: Make) -> None:
    bot = await make_bot()
    done = await surface("reconcile", "--dry-run", "-c", str(bot.write_config()))
    assert done.returncode == 1
    assert "Stop the bot first" in done.stderr
