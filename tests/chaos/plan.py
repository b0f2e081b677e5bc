"""What people will do and what will go wrong, dealt out by a seed before anything begins. Pure.

One rule: nothing is decided while it runs. Which rooms there will be nobody knows before, so an act names its
room by a number that is counted round the rooms its person has by then.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, TypeVar

T = TypeVar("T")
Victim: TypeAlias = Literal["bot", "platform", "homeserver"]

ACTS: Final[Mapping[str, int]] = {
    "talk": 30,
    "burst": 6,
    "edit": 6,
    "redact": 5,
    "file": 6,
    "staged file": 3,
    "rename room": 3,
    "!new": 3,
    "!rename": 4,
    "!clear": 4,
    "!undo": 3,
    "!save": 4,
    "!load": 4,
    "!load list": 2,
    "!agent": 5,
    "!agent list": 1,
    "!context": 4,
    "!retry": 4,
    "!stop": 4,
    "stop sign": 2,
    "!archive": 3,
    "!restore": 4,
    "!chats": 2,
    "!help": 2,
    "!why": 2,
    "leave room": 2,
    "leave space": 1,
}
"""What a person may do, and how often of a hundred or so."""
VICTIMS: Final[Mapping[Victim, int]] = {"bot": 5, "platform": 2, "homeserver": 2}
"""Who is killed, and how often of nine."""
FAULTS: Final = (
    "cut",
    "slow",
    "lost answers",
    "truncated",
    "garbage",
    "server errors",
    "limited",
    "full disk",
    "refused writes",
    "clock jump",
)
"""What else goes wrong."""
PACE: Final = 4.0
"""Seconds between two acts of one person, on average."""
KILLS_EVERY: Final = 20.0
FAULTS_EVERY: Final = 18.0
LONGEST: Final = 8.0
"""Seconds that a fault lasts at most."""
JUMPS: Final = (-86_400 * 3, -3_600, 3_600, 86_400 * 3)
"""Seconds by which the clock jumps."""


@dataclass(frozen=True, slots=True)
class Act:
    """Something a person does.

    Attributes:
        at: seconds after the beginning; later, if they are still busy with what came before.
        who: which person.
        kind: one of `ACTS`.
        room: which of their rooms, counted round.
        number: no other act has it.
        words: how many words are said.
    """

    at: float
    who: int
    kind: str
    room: int
    number: int
    words: int


@dataclass(frozen=True, slots=True)
class Kill:
    """A SIGKILL.

    Attributes:
        away: seconds until it is started again.
        again: seconds after that start at which it is killed once more; None: it is not.
    """

    at: float
    victim: Victim
    away: float
    again: float | None


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong for a while.

    Attributes:
        amount: seconds of delay, or of the clock's jump; else how many requests in ten are hit.
    """

    at: float
    kind: str
    seconds: float
    amount: float


@dataclass(frozen=True, slots=True)
class Plan:
    """All that will happen."""

    seed: int
    seconds: float
    acts: tuple[Act, ...]
    kills: tuple[Kill, ...]
    faults: tuple[Fault, ...]


def plan(seed: int, seconds: float, people: int) -> Plan:
    """Deal everything out.

    However short it is, each fault comes once and each victim is killed once: then they follow each other
    more closely.

    Args:
        seconds: how long the weather lasts.
    """
    chance = random.Random(seed)
    return Plan(
        seed,
        seconds,
        _acts(chance, seconds, people),
        _kills(chance, seconds),
        _faults(chance, seconds),
    )


def _acts(chance: random.Random, seconds: float, people: int) -> tuple[Act, ...]:
    dealt: list[tuple[float, int]] = []
    for who in range(people):
        at = chance.expovariate(1 / PACE)
        while at < seconds:
            dealt.append((at, who))
            at += chance.expovariate(1 / PACE)
    kinds, weights = list(ACTS), list(ACTS.values())
    return tuple(
        Act(
            round(at, 2),
            who,
            chance.choices(kinds, weights)[0],
            chance.randrange(60),
            number,
            chance.choice((1, 3, 8, 20, 40)),
        )
        for number, (at, who) in enumerate(sorted(dealt), 1)
    )


def _kills(chance: random.Random, seconds: float) -> tuple[Kill, ...]:
    deck = [victim for victim, count in VICTIMS.items() for _ in range(count)]
    moments = _moments(chance, seconds, KILLS_EVERY, len(VICTIMS))
    victims = _dealt(chance, deck, len(moments), first=list(VICTIMS))
    return tuple(
        Kill(
            at,
            victim,
            round(chance.uniform(0, 3), 2),
            round(chance.uniform(0.1, 3), 2) if chance.random() < 0.3 else None,
        )
        for at, victim in zip(moments, victims, strict=True)
    )


def _faults(chance: random.Random, seconds: float) -> tuple[Fault, ...]:
    moments = _moments(chance, seconds, FAULTS_EVERY, len(FAULTS))
    longest = min(LONGEST, seconds / len(moments))
    faults = []
    for at, kind in zip(moments, _dealt(chance, FAULTS, len(moments)), strict=True):
        lasts = round(chance.uniform(longest / 4, longest), 2)
        if kind == "clock jump":
            amount = float(chance.choice(JUMPS))
        elif kind == "slow":
            amount = round(chance.uniform(0.2, 3), 2)
        else:
            amount = float(chance.randrange(2, 10))
        faults.append(Fault(at, kind, lasts, amount))
    return tuple(faults)


def _moments(chance: random.Random, seconds: float, every: float, least: int) -> list[float]:
    """Moments, one somewhere in each of equal parts of the time."""
    count = max(least, round(seconds / every))
    part = seconds / count
    return [round((n + chance.random()) * part, 2) for n in range(count)]


def _dealt(
    chance: random.Random, deck: Sequence[T], count: int, first: Sequence[T] | None = None
) -> list[T]:
    """Cards from shuffled decks, one deck after the other; `first` is a deck that comes before."""
    cards: list[T] = []
    following = list(deck if first is None else first)
    while len(cards) < count:
        chance.shuffle(following)
        cards += following
        following = list(deck)
    return cards[:count]
