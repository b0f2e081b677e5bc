"""Asks the running bot, through the socket in its state directory."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from store.examine import holder
from surface.terminal import Failure

SOCKET: Final = "control.sock"
"""The socket's name in the state directory."""
DATABASE: Final = "lambda_matrix.db"
TIMEOUT: Final = 30.0
"""Seconds for an answer; all but `drain` come at once."""


class Away(Failure):
    """The bot is not there, or not now."""


class _Line(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout: float | None) -> None:
        super().__init__("surface", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Open the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def is_running(state_dir: Path) -> bool:
    """Whether a process has the state directory."""
    return holder(state_dir / DATABASE) is not None


def ask(state_dir: Path, path: str, body: object = None) -> Any:
    """Ask, or command if there is a body; returns the answer.

    Raises:
        Away: the bot is not running, or gives no answer.
        Failure: it says why not, or may not be asked.
    """
    with closing(_connected(state_dir, TIMEOUT)) as line:
        answer = _answer(line, path, body, state_dir)
        try:
            return json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Away(_no_answer(state_dir, error)) from None


def follow(state_dir: Path, path: str, body: object) -> Iterator[Any]:
    """Command, and yield what is told until it is done, however long that takes.

    Raises:
        Failure: as for `ask`.
    """
    with closing(_connected(state_dir, None)) as line:
        for told in _answer(line, path, body, state_dir):
            yield json.loads(told)


def _connected(state_dir: Path, timeout: float | None) -> _Line:
    line = _Line(state_dir / SOCKET, timeout)
    try:
        line.connect()
    except OSError as error:
        line.close()
        if isinstance(error, PermissionError):
            raise Failure(
                f"{state_dir / SOCKET}: may not be opened; run this as the bot's user"
            ) from None
        if not is_running(state_dir):
            raise Away(f"the bot is not running: nobody has {state_dir} open") from None
        raise Away(
            f"{state_dir / SOCKET}: a process has the state directory, but cannot be asked "
            f"({error.strerror or error}). Use the bot's user; if it has just begun, try again"
        ) from None
    return line


def _answer(line: _Line, path: str, body: object, state_dir: Path) -> http.client.HTTPResponse:
    data = None if body is None else json.dumps(body)
    try:
        line.request("GET" if data is None else "POST", path, data)
        answer = line.getresponse()
        if answer.status != http.client.OK:
            raise Failure(answer.read().decode(errors="replace").strip() or answer.reason)
    except (OSError, http.client.HTTPException) as error:
        raise Away(_no_answer(state_dir, error)) from None
    return answer


def _no_answer(state_dir: Path, error: Exception) -> str:
    return f"the bot of {state_dir} gave no answer: {error or type(error)}"
