"""What is told of people and rooms, on a terminal: nothing of it steers that, and ids can be copied."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from store import StoreError
from surface.ops import client, listing, show
from surface.ops.client import SOCKET
from surface.ops.listing import Filters
from surface.terminal import Failure

ROOM = "!QLzgVH35qnJG54I0ahVdyXR47m0y9aDvajwzZzI7W7k"


def printed(what: RenderableType, width: int = 200) -> str:
    text = io.StringIO()
    Console(file=text, width=width, force_terminal=True, color_system=None).print(what)
    return text.getvalue()


def test_a_name_does_not_steer_the_terminal() -> None:
    seen = printed(show.rows({"name": "name"}, [{"name": "\x1b[2Jone\u202e[bold]two\nthree"}]))
    assert "\x1b" not in seen
    assert "\ufffd[2Jone\ufffd[bold]two\ufffdthree" in seen


def test_the_words_of_a_check_are_no_markup() -> None:
    checks = {"platform": {"state": "failed", "words": "\x1b[2J [/red] [bold]"}}
    seen = printed(
        show.status({"ready": False, "uptime": 1, "version": "0", "checks": checks, "machines": {}})
    )
    assert "\ufffd[2J [/red] [bold]" in seen


def test_an_id_is_broken_and_not_cut() -> None:
    seen = printed(show.rows({"room": "room", "why": "why"}, [{"room": ROOM, "why": ROOM}]), 40)
    assert "…" not in seen
    assert "".join(line[:19].strip() for line in seen.splitlines()[1:]) == ROOM


def test_who_may_not_look_is_not_told_that_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(client._Line, "connect", refused)
    with pytest.raises(Failure, match=f"{SOCKET}: may not be opened; run this as the bot's user"):
        client.ask(tmp_path, "/status")
    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(StoreError, match="run this as the user whose it is"):
        listing.users(tmp_path, Filters())
    with pytest.raises(StoreError, match="run this as the user whose it is"):
        listing.pending(tmp_path)
