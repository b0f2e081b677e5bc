"""Where a search starts: the longer ways that need not be searched again and again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias

from tests.model.world import Action, Budget, SmallWorld
from tests.reconcile.model import NO_DEFAULT

Beginning: TypeAlias = Callable[[Budget], Coroutine[Any, Any, SmallWorld]]
MOST = 500
"""Steps after which the bot must have come to rest."""


class UnlawfulError(Exception):
    """A law does not hold on the way to a beginning; the last step of the world's `way` broke it."""

    def __init__(self, world: SmallWorld, why: Exception) -> None:
        super().__init__(f"{type(why).__name__}: {why}" if str(why) else repr(why))
        self.way = list(world.way)


async def nobody(budget: Budget) -> SmallWorld:
    """The bot has started for the first time."""
    return await _started(SmallWorld(budget))


async def settled(budget: Budget) -> SmallWorld:
    """Alice has a home room, her Space and a chat in it, and nothing is under way."""
    return await _at_home(await nobody(budget))


async def undecided(budget: Budget) -> SmallWorld:
    """The same where no agent is the default: she has chosen none, her chat is bound to none."""
    world = SmallWorld(budget)
    world.agents = NO_DEFAULT
    return await _at_home(await _started(world))


async def archived(budget: Budget) -> SmallWorld:
    """Alice's chat is archived."""
    world = await settled(budget)
    room_id = next(iter(reversed(world.homeserver.rooms)))
    for words in ("!archive", "!yes"):
        await _does(world, Action("alice", "says", room_id, words))
        await _settles(world)
    return world


EVERY = (nobody, settled, undecided, archived)


async def _started(world: SmallWorld) -> SmallWorld:
    await _step(world, Action("bot", "starts for the first time"), world.boot)
    return world


async def _at_home(world: SmallWorld) -> SmallWorld:
    await _does(world, Action("alice", "invites the bot to talk"))
    await _settles(world)
    for action in await world.options():
        if action.what == "accepts":
            await _does(world, action)
    await _settles(world)
    return world


async def _settles(world: SmallWorld) -> None:
    """Nobody does anything until the bot has nothing left to do."""
    for _ in range(MOST):
        works = [step for step in await world.options() if step.who in ("bot", "matrix")]
        if not works:
            return
        await _does(world, works[0])
    raise UnlawfulError(world, AssertionError("the bot does not come to rest"))


async def _does(world: SmallWorld, action: Action) -> None:
    """Take a step that costs nothing."""
    budget = world.budget
    await _step(world, action, lambda: world.do(action))
    world.budget = budget


async def _step(world: SmallWorld, action: Action, take: Callable[[], Awaitable[None]]) -> None:
    world.way.append(action)
    try:
        await take()
        await world.check()
    except Exception as error:
        raise UnlawfulError(world, error) from error
