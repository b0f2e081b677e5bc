"""The bot as a process of its own, from its start to its end.

Its standard error is the log: read here, written to `bot.log`, and watched for the one line that says
that it is ready. It has a session of its own, so that Ctrl-C in the terminal reaches only the demo, which
stops it in order.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Final

from store.lock import StateLock
from store.store import StoreLocked
from surface.demo.errors import DemoError
from surface.demo.folder import Folder

_CHILD: Final = Path(__file__).with_name("bot_child.py")
_READY: Final = b'"bot.ready"'
_LISTENING: Final = re.compile(rb'^.*"ops\.listening".*$', re.MULTILINE)
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 10.0
_LOG_LINES: Final = 8


class Bot:
    """A running bot. Made by `Bot.start`."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process, self._log = process, log
        self._ready = asyncio.Event()
        self.ops: str | None = None
        """Where its ops port is, once it is ready; None: it got none."""
        self._reading = asyncio.create_task(self._read_log(), name="bot log")

    @classmethod
    async def start(cls, folder: Folder) -> Bot:
        """Start it; returns when it is ready.

        Raises:
            DemoError: it ended, or did not get ready; with the end of its log.
        """
        await _await_earlier_one(folder)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", str(_CHILD), "run", "--config", str(folder.config)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            cwd=folder.path,
            env=_environment(),
            start_new_session=True,
        )
        bot = cls(process, folder.bot_log)
        try:
            await bot._until_ready()
        except BaseException:
            await bot.stop()
            raise
        return bot

    async def ended(self) -> DemoError:
        """Wait until it has ended by itself, and say so."""
        status = await self._process.wait()
        await self._reading
        return DemoError(f"The bot ended with status {status}.{self._last_words()}")

    async def stop(self) -> None:
        """Stop it in order, or by force if that takes too long or is cancelled."""
        if self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                pass
            finally:
                if self._process.returncode is None:
                    self._process.kill()
        await self._process.wait()
        await self._reading

    async def _until_ready(self) -> None:
        ready = asyncio.create_task(self._ready.wait())
        try:
            await asyncio.wait(
                {ready, self._reading},
                timeout=START_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            ready.cancel()
        if self._ready.is_set():
            return
        if self._reading.done():
            raise await self.ended()
        raise DemoError(f"The bot was not ready in {START_SECONDS:.0f} s.{self._last_words()}")

    async def _read_log(self) -> None:
        assert self._process.stderr is not None
        seen = b""
        descriptor = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab", buffering=0) as log:
            while chunk := await self._process.stderr.read(1 << 16):
                log.write(chunk)
                if not self._ready.is_set():
                    seen += chunk
                    if _READY in seen:
                        if line := _LISTENING.search(seen):
                            where = json.loads(line[0])
                            self.ops = f"http://{where['host']}:{where['port']}"
                        self._ready.set()

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        tail = "\n  ".join(lines) or "(it wrote nothing)"
        return (
            f"\nThe end of its log ({self._log}):\n  {tail}\n"
            "If its data does not fit this version any more, start over with --fresh."
        )


async def _await_earlier_one(folder: Folder) -> None:
    """Wait for the bot of a demo that was killed: it ends by itself, but not at once."""
    if not folder.state.is_dir():
        return
    deadline = asyncio.get_running_loop().time() + STOP_SECONDS + 5
    while True:
        try:
            StateLock.take(folder.database.with_suffix(".lock")).release()
            return
        except StoreLocked as error:
            if asyncio.get_running_loop().time() > deadline:
                raise DemoError(str(error)) from None
            await asyncio.sleep(0.1)  # a file lock tells nobody that it is free


def _environment() -> dict[str, str]:
    """Ours without proxies and without settings meant for another bot."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith("SURFACE_")
    }
