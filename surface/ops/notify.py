"""Tells the service manager how the bot is, where there is one (`sd_notify`, systemd's protocol).

Without `NOTIFY_SOCKET` in the environment nothing happens. With `WATCHDOG_USEC` the manager is told twice in
that time that the bot is alive, as long as it is.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping

import structlog

log = structlog.get_logger()


class Notifier:
    """The line to the service manager.

    Args:
        environ: names the socket, and how often the manager wants to hear of us.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET")
        theirs = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        usec = environ.get("WATCHDOG_USEC", "")
        self.pause = int(usec) / 2e6 if usec.isdecimal() and theirs and self._address else None
        """Seconds between two signs of life; None: nobody wants any."""

    def tell(self, *lines: str) -> None:
        """Send assignments such as `READY=1`."""
        if not self._address:
            return
        # An address in Linux's abstract namespace is written with an @.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
                line.connect(address)
                line.sendall("\n".join(lines).encode())
        except OSError as error:
            log.warning("notify.failed", why=str(error))

    async def run(self, alive: Callable[[], bool]) -> None:
        """Send signs of life for as long as there is life; until cancelled."""
        while self.pause is not None:
            if alive():
                self.tell("WATCHDOG=1")
            await asyncio.sleep(self.pause)
