"""Carries a plan out, through the machines and the ledger like any other input. Pure, but for the ledger.

Each step is one decision, with a failpoint before and after its commit. A crash between two steps loses
nothing: what is left is found again by the next plan. A step whose machine is not in a state for it any more
(an input was faster) does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

import structlog

from machines.effects import InviteUser
from store.documents import VERSIONS, room_key, user_key
from store.history import Cause
from store.store import Put
from surface import onboarding
from surface.case import Case
from surface.ledger import Ledger
from surface.mirrors.due import encode
from surface.reception import deserted, removed
from surface.reconcile.steps import (
    AdoptPerson,
    AdoptRoom,
    CarryOver,
    Complete,
    Gone,
    Raise,
    Return,
    Step,
    Take,
    Tell,
    Want,
    Write,
)
from surface.reconcile.words import described
from surface.upgrades import carry_over, take_over

log = structlog.get_logger()

TOLD = "told"
"""Key of the document that remembers what was told."""
MOST_TOLD = 2_000


async def apply(
    ledger: Ledger,
    steps: Sequence[Step],
    *,
    run: str,
    done: Callable[[Step], object] = lambda step: None,
) -> None:
    """Carry out the steps, in order.

    Args:
        run: names this reconciliation: effects are keyed by it.
        done: told of each step that is committed.

    Raises:
        StoreError: the store is not usable.
    """
    for number, step in enumerate(steps):
        match step:
            case Raise(value):
                await ledger.raise_ids(value)
                log.warning("reconcile.sequence_raised", value=value)
            case Write(due):
                await ledger.save([encode(due)], point="reconcile")
                ledger.mirrors_due()
            case Tell():
                what, where, why = described(step)
                log.warning("reconcile.told", what=what, where=where, why=why)
            case _:
                what, where, how = described(step)
                await ledger.decide(
                    f"reconcile/{run}/{number}",
                    lambda case, step=step: _decide(case, step),  # type: ignore[misc]
                    by=Cause("reconciler", what),
                    point="reconcile",
                )
                log.info("reconcile.step", what=what, where=where, how=how)
        done(step)
    if told := [step.key for step in steps if isinstance(step, Tell)]:
        await _remember(ledger, told)


def _decide(case: Case, step: Step) -> None:
    match step:
        case Take(machine, key, event, details):
            moved = case.user(key) if machine == "user" else case.room(key)
            if moved.knows(event):
                moved.take(event, **details)
        case AdoptPerson():
            _adopt_person(case, step)
        case AdoptRoom():
            _adopt_room(case, step)
        case Complete(owner, nonce, room_id, encrypted):
            onboarding.created(case, owner, nonce, room_id, encrypted=encrypted)
        case Gone(room_id):
            removed(case, room_id)
        case Return(user_id):
            user = case.user(user_id)
            if user.knows("returned"):
                valid = case.agent(user.record.selected_agent_id) is not None
                user.take("returned", **onboarding.intent(case, user_id), agent_valid=valid)
        case CarryOver():
            _carry_over(case, step)
        case Want(effect):
            case.want(effect)
        case Raise() | Write() | Tell():
            raise AssertionError(f"{step} is no decision")
        case _:
            assert_never(step)


def _carry_over(case: Case, step: CarryOver) -> None:
    """The binding goes to the successor, and what people have done there is seen at once."""
    joined = [user for user, membership in step.members.items() if membership == "join"]
    if not carry_over(case, step.old, step.new, encrypted=step.encrypted, joined=joined):
        return
    room = case.room(step.new)
    owner = room.record.matrix_user_id
    if owner is None:
        return  # It is a Space.
    if step.name is not None and step.name != room.record.display_name:
        room.take("observed_renamed", name=step.name)
    away = step.members.get(owner) in ("leave", "ban")
    if away and room.state == "home":
        deserted(case, step.new)
    elif away and room.knows("observed_archived"):
        room.take("observed_archived")
    elif owner not in step.members and room.state in ("unbound", "bound", "cleared"):
        case.want(InviteUser(step.new, owner))


def _adopt_person(case: Case, step: AdoptPerson) -> None:
    user = case.user(step.user_id)
    if step.stale and user.knows("observed_space_gone"):
        # What was known of the Space does not hold any more; the mirror in it tells it anew.
        user.take("observed_space_gone")
    if not user.knows("observed_space"):
        return
    if step.rev:
        case.outlive("users", user_key(step.user_id), step.rev)
    user.take("observed_space", **step.details)
    if step.invite and user.record.space_id is not None:
        case.want(InviteUser(user.record.space_id, step.user_id))


def _adopt_room(case: Case, step: AdoptRoom) -> None:
    room = case.room(step.room_id)
    if step.stale and room.knows("observed_replaced"):
        room.take("observed_replaced")
    if room.state == "lost":
        room.take("observed_again")
    if room.state != "unprovisioned":
        return
    if step.rev:
        case.outlive("rooms", room_key(step.room_id), step.rev)
    if step.event == "observed_bound":
        take_over(room, step.details, step.was, step.previous_chat_id)
    else:
        room.take(step.event, **step.details)
    if step.relink and room.knows("observed_unlinked"):
        room.take("observed_unlinked")
    if step.invite is not None:
        case.want(InviteUser(step.room_id, step.invite))


async def _remember(ledger: Ledger, keys: list[str]) -> None:
    stored = await ledger.store.get("meta", TOLD)
    known = stored.body["keys"] if stored else []
    body = {"v": VERSIONS["meta"], "keys": [*known, *keys][-MOST_TOLD:]}
    await ledger.save([Put("meta", TOLD, body, stored.rev if stored else 0)], point="reconcile")
