"""A browser before a bot that is inspected."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.inspector.browser import SHOWN, Glass, address, browsing
from tests.rig.bot import Bot
from tests.rig.fixtures import Make


@pytest.fixture
async def look() -> AsyncIterator[Make]:
    """`await look(bot)`: a browser before its inspector; in the end it must have asked nobody else for
    anything, and have complained of nothing."""
    async with AsyncExitStack() as stack:
        made: list[Glass] = []

        async def make(bot: Bot, **context: object) -> Glass:
            glass = await stack.enter_async_context(browsing(await address(bot), **context))
            made.append(glass)
            return glass

        yield make
        for glass in made:
            assert glass.asked and not glass.foreign()
            assert not glass.complaints, glass.complaints


@pytest.fixture
async def shown(share_bot: Make) -> Bot:
    """The module's bot, with an inspector."""
    quick = {"placeholder_after": 0.2, "edit_every": 0.2}
    bot: Bot = await share_bot(settings={"ops": SHOWN, "answers": quick})
    return bot
