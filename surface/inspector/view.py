"""What is shown, as plain values: pure, and chosen field by field.

The rule: nothing is passed on whole. Documents hold what was asked of agents, effects what is said, inputs
what came in; of all these only ids, states, kinds, numbers and times get into what the browser is sent.
Names of rooms do: they are what one looks for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from machines import MACHINES, Chart
from machines.effects import Effect
from store.history import Step
from surface.case import Row
from surface.inbox import InboxRow
from surface.outbox import Trouble

KINDS: Final = {
    "m.room.message": "message",
    "m.room.encrypted": "encrypted",
    "m.reaction": "reaction",
    "m.room.redaction": "redaction",
    "m.room.member": "membership",
}
"""What events are called; others are `other`, for their types are whatever their senders like."""
NAMES: Final = {machine.__name__.removesuffix("Machine").lower(): machine for machine in MACHINES}
"""The machines by the names that moves give them."""


@dataclass(frozen=True, slots=True)
class Happened:
    """A transition, and whom it is about."""

    step: Step
    ms: int
    """When it was committed, in milliseconds."""
    room_id: str | None
    user_id: str | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """An effect that is not carried out yet."""

    row: Row
    since: float
    """Seconds, as of `time.time`."""
    trouble: Trouble | None


def machine(name: str, kind: type[Chart[Any]]) -> dict[str, Any]:
    """A machine as the page lists it: its states, and what it is."""
    lines = [line.strip() for line in (kind.__doc__ or "").splitlines()]
    return {
        "machine": name,
        "picture": kind.__name__,
        "about": lines[0] if lines else "",
        "states": [
            {"id": state.id, "durable": state.id in kind.durable_states()} for state in kind.states
        ],
    }


def happened(what: Happened) -> dict[str, Any]:
    """A transition as it is told."""
    return {**step(what.step), "ms": what.ms, "room": what.room_id, "user": what.user_id}


def step(taken: Step) -> dict[str, Any]:
    """A transition as it is recorded."""
    return {
        "machine": taken.machine,
        "source": taken.source,
        "event": taken.event,
        "target": taken.target,
        "at": taken.at,
        "ms": _milliseconds(taken.at),
        "cause": {"kind": taken.cause.kind, "name": taken.cause.name},
        "effects": [{"effect": w.effect, "lane": w.lane} for w in taken.effects],
        "key": taken.key,
    }


def room(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a room's document says of it."""
    return {
        "id": body["room_id"],
        "name": body["display_name"],
        "label": body["chat_id"],
        "owner": body["matrix_user_id"],
        "kind": body["room_type"],
        "state": body["state"],
        "agent": body["agent_id"],
        "context": body["platform_chat_id"],
        "encrypted": body["encrypted"],
        "others": len(body["others"]),
    }


def user(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a person's document says of them."""
    return {
        "id": body["user_id"],
        "state": body["state"],
        "agent": body["selected_agent_id"],
        "locale": body["locale"],
        "space": body["space_id"],
        "homes": len(body["home_rooms"]),
        "creations": [
            {"kind": creation["kind"], "label": creation["chat_id"]}
            for creation in body["creations"].values()
        ],
    }


def inbox(rows: Sequence[InboxRow], parked: Iterable[str]) -> list[dict[str, Any]]:
    """What came in and is not decided yet."""
    waits_for_keys = frozenset(parked)
    return [
        {
            "kind": _kind(row),
            "since": row.sent,
            "late": row.late,
            "parked": row.key in waits_for_keys,
        }
        for row in rows
    ]


def outbox(rows: Iterable[Waiting]) -> list[dict[str, Any]]:
    """What is decided and not carried out yet."""
    return [
        {
            "seq": waiting.row.seq,
            "effect": type(waiting.row.effect).__name__,
            "since": round(waiting.since * 10) * 100,
            "attempts": waiting.trouble.attempts if waiting.trouble else 0,
        }
        for waiting in sorted(rows, key=lambda waiting: waiting.row.seq)
    ]


def about(effect: Effect) -> set[str]:
    """The rooms and persons whom an effect is about."""
    inner = getattr(effect, "fetched", None) or getattr(effect, "file", None)
    named = ("room_id", "successor", "user_id", "owner")
    ids = {getattr(each, name, None) for each in (effect, inner) for name in named}
    return {found for found in ids if isinstance(found, str)}


def _kind(row: InboxRow) -> str:
    if row.kind != "event":
        return row.kind
    said = row.content.get("type") if isinstance(row.content, dict) else None
    return KINDS.get(said, "other") if isinstance(said, str) else "other"


def _milliseconds(at: str) -> int:
    try:
        return int(datetime.fromisoformat(at).timestamp() * 1000)
    except ValueError:
        return 0
