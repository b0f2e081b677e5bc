"""What needs the homeserver is done as soon as it is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from config import Settings
from surface.matrix.api import Lost, MatrixError
from surface.matrix.sync import backoff

log = structlog.get_logger()
T = TypeVar("T")


async def reached(work: Callable[[], Awaitable[T]], settings: Settings) -> T:
    """Do something, again and again until the homeserver answers; each time it does not, that is told.

    Args:
        work: raises `Lost` or `MatrixError` where it does not answer.
        settings: name the homeserver.
    """
    failures = 0
    while True:
        try:
            return await work()
        except (Lost, MatrixError) as error:
            failures += 1
            delay = backoff(failures)
            log.warning(
                "homeserver.not_reached",
                homeserver=settings.homeserver,
                why=str(error),
                again_in=round(delay, 1),
                hint="waiting for it; check `homeserver` if it should be up",
            )
            await asyncio.sleep(delay)
