"""The demo's folder: everything it makes lies here, so that a second start finds it again.

Rules: one demo at a time (a lock); a folder that holds anything and was not made by a demo is never
touched; starting over removes what a demo makes, by name, and nothing else. The folder holds passwords
and is for its owner only.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from store.lock import StateLock
from store.store import StoreError, StoreLocked
from surface.demo.errors import DemoError
from surface.homeserver_files import write_private

BOT: Final = "lambda"
GUEST: Final = "you"

_MARKER: Final = "demo.json"
_LOCK: Final = "demo.lock"
_MADE_BY: Final = "surface demo"
_MADE: Final = ("homeserver", "state", "agents", "surface.yaml", "bot.log", ".gitignore", _MARKER)
"""What a demo makes; the marker last, so that a removal that was cut off can be repeated."""


@dataclass(frozen=True)
class Folder:
    """A demo's folder, and who its two users are."""

    path: Path
    bot_password: str
    guest_password: str

    @property
    def homeserver(self) -> Path:
        """Where the homeserver lives."""
        return self.path / "homeserver"

    @property
    def state(self) -> Path:
        """The bot's state directory."""
        return self.path / "state"

    @property
    def database(self) -> Path:
        """The bot's database; its lock lies beside it (as in `surface.login`, without nio)."""
        return self.state / "lambda_matrix.db"

    @property
    def config(self) -> Path:
        """The bot's settings."""
        return self.path / "surface.yaml"

    @property
    def bot_log(self) -> Path:
        """What the bot logged, over all its starts."""
        return self.path / "bot.log"

    def write_config(self, homeserver: str, user_id: str, agents: Path, token: str) -> None:
        """Write the bot's settings anew; `token` opens its inspector."""
        settings = {
            "homeserver": homeserver,
            "user_id": user_id,
            "password": self.bot_password,
            "state_dir": "state",
            "workspace_dir": "agents",
            "agents": str(agents.absolute()),
            # The terminal's guest has no keys to read encrypted rooms with.
            "encryption": False,
            "ops": {"port": 0, "inspector": True, "inspector_token": token},
            "shutdown_grace": 2,
            "log": {"format": "json"},
        }
        # JSON is YAML.
        write_private(self.config, json.dumps(settings, indent=1))


@contextmanager
def claimed(path: Path, *, fresh: bool) -> Iterator[Folder]:
    """Take a folder for the length of a demo, making it if there is none.

    Args:
        path: the folder.
        fresh: forget what an earlier demo left in it.

    Raises:
        DemoError: it is in use, it is not a demo's, or it cannot be written.
    """
    path = path.absolute()
    try:
        _require_ours(path)
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            lock = StateLock.take(path / _LOCK)
        except StoreLocked:
            raise DemoError(
                f"Another `surface demo` is running on {path}. End that one first, or give this one "
                "a folder of its own: --data DIR"
            ) from None
        except StoreError as error:
            raise DemoError(f"{error}") from None
        try:
            if fresh:
                _forget(path)
            yield _opened(path)
        finally:
            lock.release()
    except OSError as error:
        raise DemoError(
            f"{error.filename or path}: {error.strerror or error}. Give yourself access to it, or "
            "choose another folder: --data DIR"
        ) from error


def _require_ours(path: Path) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        raise DemoError(f"{path} is not a folder. Choose another one: --data DIR")
    inside = {entry.name for entry in path.iterdir()}
    if not inside or inside == {_LOCK}:
        return
    if _MARKER not in inside or _read_marker(path).get("made_by") != _MADE_BY:
        raise DemoError(
            f"{path} is not empty and was not made by `surface demo`, so it is left alone. Choose "
            "another folder: --data DIR"
        )


def _forget(path: Path) -> None:
    for name in _MADE:
        thing = path / name
        if thing.is_symlink() or not thing.is_dir():
            thing.unlink(missing_ok=True)
        else:
            # Under another name first: a server that is just ending may still write into it.
            gone = thing.rename(thing.with_name(f"{name}.gone-{secrets.token_hex(4)}"))
            shutil.rmtree(gone, ignore_errors=True)


def _opened(path: Path) -> Folder:
    marker = _read_marker(path)
    if not marker:
        marker = {
            "made_by": _MADE_BY,
            "bot_password": secrets.token_urlsafe(24),
            "guest_password": secrets.token_hex(4),
        }
        write_private(path / _MARKER, json.dumps(marker, indent=1))
        (path / ".gitignore").write_text("*\n")
    try:
        return Folder(path, marker["bot_password"], marker["guest_password"])
    except KeyError as error:
        raise _damaged(path, f"has no {error}") from None


def _read_marker(path: Path) -> dict[str, str]:
    try:
        marker = json.loads((path / _MARKER).read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise _damaged(path, str(error)) from None
    return marker if isinstance(marker, dict) else {}


def _damaged(path: Path, why: str) -> DemoError:
    return DemoError(
        f"{path / _MARKER} is damaged ({why}). Remove {path} yourself if it is a demo's, or choose "
        "another folder: --data DIR"
    )
