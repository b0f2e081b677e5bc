"""Where a search starts: the longer ways that need not be searched again and again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from tests.model.world import ALICE, Budget, SmallWorld
from tests.reconcile.model import NO_DEFAULT

Beginning: TypeAlias = Callable[[Budget], Awaitable[SmallWorld]]


async def nobody(budget: Budget) -> SmallWorld:
    """The bot has started for the first time."""
    world = SmallWorld(budget)
    await world.boot()
    return world


async def settled(budget: Budget) -> SmallWorld:
    """Alice has a home room, her Space and a chat in it, and nothing is under way."""
    return await _at_home(await nobody(budget))


async def undecided(budget: Budget) -> SmallWorld:
    """The same where no agent is the default: she has chosen none, her chat is bound to none."""
    world = SmallWorld(budget)
    world.agents = NO_DEFAULT
    await world.boot()
    return await _at_home(world)


async def archived(budget: Budget) -> SmallWorld:
    """Alice's chat is archived."""
    world = await settled(budget)
    room_id = next(iter(reversed(world.homeserver.rooms)))
    for words in ("!archive", "!yes"):
        world.says(room_id, words)
        await world.settle_down()
    return world


EVERY = (nobody, settled, undecided, archived)


async def _at_home(world: SmallWorld) -> SmallWorld:
    world.dm(ALICE)
    await world.settle_down()
    for room_id, room in list(world.homeserver.rooms.items()):
        if room.membership(ALICE) == "invite":
            world.goes(room_id, ALICE, "join", heard=True)
    await world.settle_down()
    return world
