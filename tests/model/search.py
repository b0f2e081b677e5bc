"""Breadth first through every state that can be reached, each looked at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from tests.model.world import Action, SmallWorld

Digest = bytes


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
    """A law that does not hold, and the shortest way to where it does not."""

    why: str
    path: Sequence[Action]


async def search(
    beginnings: Sequence[SmallWorld],
    *,
    most: int,
    seen: Callable[[int], object] = lambda states: None,
) -> Found:
    """Look at every state, at most so many of them; ends at the first law that is broken.

    Args:
        beginnings: where to start from.
        most: states that are looked at.
        seen: told how many states have been looked at.
    """
    found = Found()
    came: dict[Digest, tuple[Digest, Action] | None] = {}
    ahead: deque[tuple[Digest, bytes]] = deque()
    for world in beginnings:
        digest = _digest(world)
        if digest not in came:
            came[digest] = None
            ahead.append((digest, world.frozen()))
    while ahead:
        if found.states >= most:
            found.left = len(ahead)
            return found
        digest, frozen = ahead.popleft()
        found.states += 1
        seen(found.states)
        world = SmallWorld.thawed(frozen)
        try:
            await world.check()
            options = await world.options()
            await world.comes_to_rest()
        except Exception as error:
            found.broken = Broken(_why(error), _path(came, digest))
            return found
        finally:
            found.moves |= world.moves
        for action in options:
            found.steps += 1
            after = SmallWorld.thawed(frozen)
            try:
                await after.do(action)
            except Exception as error:
                found.broken = Broken(_why(error), [*_path(came, digest), action])
                return found
            found.moves |= after.moves
            reached = _digest(after)
            if reached not in came:
                came[reached] = (digest, action)
                ahead.append((reached, after.frozen()))
    return found


def _digest(world: SmallWorld) -> Digest:
    return blake2b(world.identity().encode(), digest_size=16).digest()


def _path(came: dict[Digest, tuple[Digest, Action] | None], digest: Digest) -> list[Action]:
    path: list[Action] = []
    while (before := came[digest]) is not None:
        digest, action = before
        path.append(action)
    return path[::-1]


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else repr(error)
