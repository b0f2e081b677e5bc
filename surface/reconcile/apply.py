"""Carries a plan out, through the machines and the ledger like any other input."""

from __future__ import annotations

import structlog

from surface.case import Case
from surface.ledger import Ledger
from surface.reconcile.plan import Finding, plan

log = structlog.get_logger()


async def reconcile(ledger: Ledger) -> list[Finding]:
    """Observe, plan, apply; returns what was found."""
    users = [stored.body for _, stored in await ledger.store.scan("users")]
    rooms = [stored.body for _, stored in await ledger.store.scan("rooms")]
    findings = plan(users, rooms, ledger.world.agents)
    for finding in findings:
        await ledger.decide(
            f"reconcile/{ledger.world.boot}/{finding.key}",
            lambda case, finding=finding: _apply(case, finding),  # type: ignore[misc]
            point="reconcile",
        )
        log.info("reconcile.step", machine=finding.machine, key=finding.key, event_=finding.event)
    return findings


def _apply(case: Case, finding: Finding) -> None:
    machine = case.user(finding.key) if finding.machine == "user" else case.room(finding.key)
    if machine.knows(finding.event):
        machine.take(finding.event)
