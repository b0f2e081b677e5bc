"""The record of what machines did: what is kept of each transition, and how it is read back.

The durable part lies in the documents of rooms and users, the last `HISTORY` transitions of each, oldest
first. Two rules: nothing that anybody said is ever in it, only names; and each step has a highest length,
whatever a stranger puts into an event id. Pure. Whoever shows transitions reads them with `steps`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias, cast, get_args

HISTORY: Final = 20
"""How many of its last transitions a room or person remembers."""
LONGEST: Final = 255
"""Letters of a cause's name that are kept: as many as an event id may have (spec: size limits)."""

Kind: TypeAlias = Literal["event", "reconciler", "operator", "bot"]
Machine: TypeAlias = Literal["user", "room", "turn", "dialog", "tray"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Cause:
    """What a transition came from.

    Args:
        kind: `event`, something came in by Matrix; `reconciler`, it found something; `operator`, a command of
            theirs; `bot`, a timer of its own, an agent's answer, or what an effect of its own came to.
        name: the event's id (of what has none: `invite`, `removed`), the finding, the command, or the timer,
            the step of the answer or the effect.
    """

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """An effect that a transition asked for, by the name of its class.

    Args:
        lane: the kind of lane of the outbox it goes through; None: it was decided on the spot.
    """

    effect: str
    lane: str | None


@dataclass(frozen=True, slots=True)
class Step:
    """One transition of a machine.

    Args:
        at: when it was decided, ISO 8601 in UTC.
        effects: each kind once, in the order in which they were asked for.
        key: which one it was, where there may be several: a turn's source event id, a tray's person.
    """

    machine: Machine
    source: str
    event: str
    target: str
    at: str
    cause: Cause
    effects: tuple[Wanted, ...] = ()
    key: str = ""


def steps(machine: Machine, kept: Iterable[Mapping[str, Any]]) -> tuple[Step, ...]:
    """Read a document's record, oldest first."""
    return tuple(_step(machine, body) for body in kept)


def merged(*records: Iterable[Step]) -> tuple[Step, ...]:
    """Several machines' records as one, oldest first; what happened at once, in the order given."""
    return tuple(sorted((step for record in records for step in record), key=lambda step: step.at))


def extended(kept: Sequence[dict[str, Any]], more: Iterable[Step]) -> list[dict[str, Any]]:
    """A document's record with more steps at its end, and no more than it may have."""
    return [*kept, *map(plain, more)][-HISTORY:]


def plain(step: Step) -> dict[str, Any]:
    """A step as a document holds it; whose machine it is, the document says."""
    return {
        "from": step.source,
        "event": step.event,
        "to": step.target,
        "at": step.at,
        "cause": {step.cause.kind: _short(step.cause.name)},
        "effects": {wanted.effect: wanted.lane for wanted in step.effects},
    }


def whole(step: Step) -> dict[str, Any]:
    """A step with all that it says, for programs; `heard` reads it."""
    return {"machine": step.machine, "key": step.key, **plain(step)}


def heard(told: Mapping[str, Any]) -> Step:
    """The reverse of `whole`."""
    return replace(_step(told["machine"], told), key=told["key"])


def with_tagged_cause(kept: Mapping[str, Any]) -> dict[str, Any]:
    """A step of before: its cause was the name of a decision, and its effects were not told."""
    return {**kept, "cause": _tagged(kept["cause"]), "effects": {}}


def _step(machine: Machine, body: Mapping[str, Any]) -> Step:
    ((kind, name),) = body["cause"].items()
    effects = tuple(Wanted(effect, lane) for effect, lane in body["effects"].items())
    cause = Cause(cast("Kind", kind), name)
    return Step(machine, body["from"], body["event"], body["to"], body["at"], cause, effects)


def _short(name: str) -> str:
    """Letters that take one or two bytes in a document, and not too many of them."""
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in name[:LONGEST])


def _tagged(cause: str) -> dict[str, str]:
    first, _, rest = cause.partition("/")
    if first == "reconcile":
        return {"reconciler": ""}
    if first == "operator":
        return {"operator": "forget"}
    if first in ("missed", "unreadable"):
        return {"event": _short(rest)}
    if first in ("invite", "removed"):
        return {"event": first}
    # What an effect or a turn came to is named after the event it goes back to.
    return {"bot": _short(rest)} if rest else {"event": _short(first)}
