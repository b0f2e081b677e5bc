"""Whatever is typed after `surface`, it does it or says in one complaint what is wrong: never a traceback.

The command line runs in this process, on a state directory that knows people, and without a homeserver. Left
out is what would go on running (`demo`, `platform`) or write elsewhere (`diagrams`).
"""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command

from store import TinyStore
from surface.cli import app, guarded
from surface.login import DATABASE
from tests.fuzz.home import people
from tests.rig.cli import Installation
from tests.rig.mutations import WORDS, many

GROUP: Any = get_command(app)
COMMANDS = sorted(set(GROUP.commands) - {"demo", "platform", "diagrams"})
OPTIONS = sorted(
    {
        option
        for name in COMMANDS
        for command in (
            GROUP.commands[name],
            *getattr(GROUP.commands[name], "commands", {}).values(),
        )
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("-")
    }
)
words = (
    st.sampled_from([word for word in WORDS if "\x00" not in word and "/" not in word])
    | st.sampled_from(["C1", "@alice:hs", "!room", "list", "retry", "drop", "--", "-", "10", "1e9"])
    | st.text(st.characters(exclude_characters="\x00/"), max_size=8)
)
"""A shell passes no NUL; and nothing is written outside of the directory."""
lines = st.builds(
    lambda command, rest: [command, *(word for part in rest for word in part)],
    st.sampled_from(COMMANDS) | words,
    st.lists(
        st.tuples(words)
        | st.tuples(st.sampled_from(OPTIONS))
        | st.tuples(st.sampled_from(OPTIONS), words),
        max_size=4,
    ),
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    here = Installation(tmp_path)
    asyncio.run(_seeded(here.state_dir / DATABASE))
    for name in [name for name in os.environ if name.startswith("SURFACE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    before = structlog.get_config()
    yield tmp_path
    structlog.configure(**before)


async def _seeded(database: Path) -> None:
    store = TinyStore.open(database)
    await store.save(people())
    await store.aclose()


def test_a_line_that_is_one(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("rooms", "--json") == 0
    assert "!room" in capsys.readouterr().out


@many(30)
@given(line=lines)
def test_a_line_of_any_words(place: Path, line: list[str]) -> None:
    assert typed(*line) in {0, 1, 2}


def typed(*line: str) -> int:
    """The exit code; whatever is not an exit is an error of the test."""
    before, sys.stdin = sys.stdin, io.StringIO("")
    try:
        guarded(lambda: app(args=list(line), prog_name="surface"))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdin = before
    return 0
