"""Breadth first through the states that can be reached, each looked at once, as many as are asked for."""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Protocol

from tests.model.world import Action, SmallWorld

Digest = bytes
Came = dict[Digest, tuple[Digest, Action] | list[Action]]
"""By state, the one before it and the step from there; of a beginning, all steps to it."""
BATCH = 64
"""States that are looked at before what they lead to is written down."""


@dataclass
class Found:
    """What a search has seen."""

    states: int = 0
    steps: int = 0
    """Ways from one state to another that were gone."""
    left: int = 0
    """States that were reached and not gone on from: the search was ended before."""
    moves: set[tuple[str, str, str, str]] = field(default_factory=set)
    """(machine, source, event, target)"""
    broken: Broken | None = None


@dataclass(frozen=True)
class Broken:
    """A law that does not hold, and the shortest way to where it does not from where the search began, after
    the way to there."""

    why: str
    path: Sequence[Action]


class Expand(Protocol):
    """Looks at frozen worlds, in their order."""

    def __call__(self, worlds: Sequence[bytes]) -> Iterable[Around]: ...


@dataclass(frozen=True)
class Around:
    """What was seen of one state: the steps from it, up to the first that breaks a law."""

    steps: Sequence[tuple[Action, Digest, bytes]]
    """What was done, and the world after it."""
    moves: frozenset[tuple[str, str, str, str]]
    why: str = ""
    """The law that is broken."""
    by: Action | None = None
    """The step that broke it; none if it is broken in the state itself."""


def around(frozen: bytes) -> Around:
    """Look at one state, and take each step from it."""
    return asyncio.run(_around(frozen))


def one_by_one(worlds: Sequence[bytes]) -> Iterable[Around]:
    """Look at each in this process."""
    return map(around, worlds)


def search(
    beginnings: Sequence[SmallWorld],
    *,
    most: int,
    seen: Callable[[int], object] = lambda states: None,
    expand: Expand = one_by_one,
) -> Found:
    """Look at every state that can be reached within the budget, up to so many of them; ends at the first law
    that is broken.

    Args:
        beginnings: where to start from.
        most: states that are looked at.
        seen: told how many states have been looked at.
        expand: how to look at many; by several processes, perhaps. What is found is the same.
    """
    found = Found()
    came: Came = {}
    ahead: deque[tuple[Digest, bytes]] = deque()
    for world in beginnings:
        digest = _digest(world)
        if digest not in came:
            came[digest] = list(world.way)
            ahead.append((digest, _packed(world)))
    while ahead and found.states < most:
        now = [ahead.popleft() for _ in range(min(len(ahead), most - found.states, BATCH))]
        for (digest, _), near in zip(now, expand([frozen for _, frozen in now]), strict=True):
            found.states += 1
            found.moves |= near.moves
            found.steps += len(near.steps)
            seen(found.states)
            if near.why:
                path = _path(came, digest)
                found.broken = Broken(near.why, [*path, near.by] if near.by else path)
                return found
            for action, reached, frozen in near.steps:
                if reached not in came:
                    came[reached] = (digest, action)
                    ahead.append((reached, frozen))
    found.left = len(ahead)
    return found


async def _around(frozen: bytes) -> Around:
    frozen = zlib.decompress(frozen)
    world = SmallWorld.thawed(frozen)
    steps: list[tuple[Action, Digest, bytes]] = []
    moves = world.moves
    try:
        await world.check()
        options = await world.options()
        await world.comes_to_rest()
    except Exception as error:
        return Around(steps, frozenset(moves), _why(error))
    for action in options:
        after = SmallWorld.thawed(frozen)
        after.moves = moves
        try:
            await after.do(action)
        except Exception as error:
            return Around(steps, frozenset(moves), _why(error), action)
        steps.append((action, _digest(after), _packed(after)))
    return Around(steps, frozenset(moves))


def _packed(world: SmallWorld) -> bytes:
    return zlib.compress(world.frozen(), 1)


def _digest(world: SmallWorld) -> Digest:
    return blake2b(world.identity().encode(), digest_size=16).digest()


def _path(came: Came, digest: Digest) -> list[Action]:
    path: list[Action] = []
    while isinstance(before := came[digest], tuple):
        digest, action = before
        path.append(action)
    return [*before, *reversed(path)]


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else repr(error)
