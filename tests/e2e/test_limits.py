"""A homeserver as it comes, with its default rate limits: slower, but complete, in order, and once.

The people's own limits are lifted, the bot's are not. Synapse lets an account do ten things at once and
then one in five seconds: messages, states, joins, invites and created rooms together. Five first contacts
and fifty answers are 85, so 375 seconds is the least that this can take; by how little it is missed is
tested, too.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from surface.homeserver import Homeserver
from tests.e2e.conftest import Make, MakeHomeserver
from tests.rig.bot import Bot
from tests.rig.desk import Desk
from tests.rig.limits import lift_message_limit
from tests.rig.person import Person
from tests.rig.proxy import FaultProxy

PEOPLE, MESSAGES = 5, 10
CONTACT = 7
"""What a first contact costs: a join, two rooms with an invitation each, a link, a welcome."""
BURST, PER_SECOND = 10, 0.2
LEAST = (PEOPLE * (CONTACT + MESSAGES) - BURST) / PER_SECOND
"""Seconds that Synapse's limits ask for."""
PATIENCE = 2 * LEAST


async def first_contact(person: Person, bot: Bot) -> Desk:
    person.auto_join_from.add(bot.user_id)
    home = await person.dm(bot.user_id)
    await person.until(lambda: len(person.joined()) == 3, timeout=PATIENCE, what="three rooms")
    (space,) = person.spaces()
    (chat,) = (room for room in person.joined() if room not in (space, home))
    return Desk(person, bot, home, space, chat)


@pytest.mark.minutes
@pytest.mark.timeout(900)
@pytest.mark.xdist_group("limits")
async def test_five_people_at_default_limits(
    make_homeserver: MakeHomeserver, person: Make, make_bot: Make
) -> None:
    homeserver: Homeserver = make_homeserver(limits="default")
    await homeserver.start()
    async with FaultProxy(homeserver.url) as proxy:
        bot: Bot = await make_bot(on=homeserver, url=proxy.url)
        people = [await person(f"person{n}", on=homeserver) for n in range(PEOPLE)]
        await lift_message_limit(homeserver, *(p.user_id for p in people))
        texts = [f"message {n}" for n in range(MESSAGES)]
        start = time.monotonic()

        async def visit(visitor: Person) -> Desk:
            desk = await first_contact(visitor, bot)
            for text in texts:
                await visitor.send(desk.chat, text)
            return desk

        desks = await asyncio.gather(*(visit(visitor) for visitor in people))
        for desk in desks:
            await desk.person.message(desk.chat, texts[-1], sender=bot.user_id, timeout=PATIENCE)
            await desk.person.message(desk.home, "Welcome", sender=bot.user_id, timeout=PATIENCE)
            await desk.person.until(
                lambda desk=desk: desk.person.children(desk.space) == [desk.chat],
                timeout=PATIENCE,
                what="the link in the Space",
            )
        took = time.monotonic() - start

        for desk in desks:
            history = await desk.person.history(desk.chat, bot.user_id)
            assert [(m.body, m.edits) for m in history] == [(text, 0) for text in texts]
            assert len(await desk.person.history(desk.home, bot.user_id)) == 1
        await bot.at_rest()
        assert bot.events("courier.limited")
        # Nothing was spent on what can be spared, and little on asking too early.
        refused = len(bot.events("courier.limited"))
        print(f"{took:.0f} s of at least {LEAST:.0f}; asked too early {refused} times")
        assert took > LEAST * 0.9, "the homeserver did not limit anything"
        assert proxy.busiest() <= 100  # of five people at their first contact
