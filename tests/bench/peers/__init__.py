"""Bots that others wrote, each in an environment of its own: what is compared with, not depended on.

    python -m tests.bench.peers          installs what is missing

Each runs the least echo bot that its documentation shows, as a process of its own, with its defaults. One
that cannot be installed or does not run is left out of the comparison, which says so and why.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from surface.homeserver import Homeserver, Login
from tests.bench.shared import folder

HERE = Path(__file__).parent
ENVIRONMENTS = HERE / ".environments"
STAMP = "installed"
PASSWORD = "pw"
PATIENCE = 60.0
"""Seconds that a bot may take to start."""
INSTALLING = 300.0


@dataclass(frozen=True)
class Peer:
    """A library or a bot.

    Args:
        package: its name in the registry.
        ready: a part of the line that it prints when it hears.
        command: what it is started with, after the interpreter: given the homeserver, the account, and a
            folder to run in.
    """

    package: str
    version: str
    ready: bytes
    command: Callable[[str, Login, Path], list[str]]

    @property
    def environment(self) -> Path:
        """Where it is installed."""
        return ENVIRONMENTS / self.package

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.environment / "bin" / "python"

    @property
    def installed(self) -> bool:
        """Whether this very version is there."""
        stamp = self.environment / STAMP
        return stamp.is_file() and stamp.read_text() == self.version


class Unavailable(Exception):
    """A peer cannot be installed, or does not run: why."""


async def install(peer: Peer) -> None:
    """Install a peer, unless it is there already.

    Raises:
        Unavailable: uv is missing, or failed.
    """
    if peer.installed:
        return
    shutil.rmtree(peer.environment, ignore_errors=True)
    if (uv := shutil.which("uv")) is None:
        raise Unavailable("uv is not on the path")
    make = [uv, "venv", "-q", "--python", sys.executable, str(peer.environment)]
    fill = [uv, "pip", "install", "-q", "-p", str(peer.python), f"{peer.package}=={peer.version}"]
    for command in (make, fill):
        process = await asyncio.create_subprocess_exec(
            *command,
            # Elsewhere, because in the project uv would hold it to the project's pins.
            cwd=tempfile.gettempdir(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(INSTALLING):
                said, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            raise Unavailable(f"not installed after {INSTALLING:.0f} s") from None
        if process.returncode:
            raise Unavailable(f"uv could not install it: {_end(said)}")
    (peer.environment / STAMP).write_text(peer.version)


async def start(stack: AsyncExitStack, homeserver: Homeserver, peer: Peer) -> str:
    """Start a peer that ends with the stack; returns its user id.

    Raises:
        Unavailable: it cannot be installed, or ended, or said nothing.
    """
    await install(peer)
    login = await homeserver.register(peer.package, PASSWORD)
    where = folder(stack)
    process = await asyncio.create_subprocess_exec(
        *(str(peer.python), *peer.command(homeserver.url, login, where)),
        cwd=where,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        | {"PYTHONUNBUFFERED": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    stack.push_async_callback(process.wait)
    stack.callback(_end_it, process)
    assert process.stdout is not None
    said = b""
    try:
        async with asyncio.timeout(PATIENCE):
            while peer.ready not in said:
                if not (line := await process.stdout.readline()):
                    raise Unavailable(f"it ended: {_end(said)}")
                said += line
    except TimeoutError:
        raise Unavailable(f"it did not start: {_end(said)}") from None
    # What it goes on to say must not fill the pipe.
    reading = asyncio.create_task(process.stdout.read())
    stack.callback(reading.cancel)
    return login.user_id


def _end_it(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()


def _end(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "it said nothing"


def _script(name: str) -> Callable[[str, Login, Path], list[str]]:
    return lambda url, login, _: [str(HERE / f"{name}.py"), url, login.user_id, PASSWORD]


def _maubot(url: str, login: Login, where: Path) -> list[str]:
    """maubot's standalone mode: settings, a plugin's description, and the plugin."""
    shutil.copy(HERE / "maubot_echo.py", where / "maubot_echo.py")
    plugin = {
        "maubot": "0.1.0",
        "id": "bench.echo",
        "version": "1.0.0",
        "license": "Apache-2.0",
        "modules": ["maubot_echo"],
        "main_class": "Echo",
    }
    credentials = {
        "id": login.user_id,
        "homeserver": url,
        "access_token": login.access_token,
        "device_id": None,
    }
    user = {
        "credentials": credentials,
        "sync": True,
        "autojoin": True,
        "displayname": "disable",
        "avatar_url": "disable",
        # A new account: there is nothing old that it could answer.
        "ignore_initial_sync": False,
        "ignore_first_sync": False,
    }
    (where / "maubot.yaml").write_text(json.dumps(plugin))
    settings = {"user": user, "database": "sqlite:bot.db"}
    logging = {
        "version": 1,
        "handlers": {"console": {"class": "logging.StreamHandler"}},
        "root": {"level": "INFO", "handlers": ["console"]},
    }
    (where / "config.yaml").write_text(json.dumps(settings | {"logging": logging}))
    return ["-m", "maubot.standalone"]


PEERS = (
    Peer("simplematrixbotlib", "2.13.1", b"Connected to", _script("simplematrixbotlib_echo")),
    Peer("nio-bot", "1.2.1", b"ready", _script("niobot_echo")),
    Peer("maubot", "0.6.0", b"Startup completed", _maubot),
)
