"""`surface reconcile --dry-run`: the plan of the next start, without taking a step of it.

The rule: nothing is written, neither in Matrix nor on disk. A copy of the database is read, so the bot must
not be running: what it changes meanwhile would look like a finding.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from config import Registry, Settings
from store import MemoryStore, Store, StoreError, TinyStore
from store.examine import copied, holder
from surface.login import DATABASE, known_session, login_hint
from surface.matrix import session as sessions
from surface.matrix.api import Lost, MatrixError, TokenDead
from surface.matrix.session import SessionError
from surface.reconcile.look import look
from surface.reconcile.observe import Picture
from surface.reconcile.plan import plan
from surface.reconcile.run import documents_of
from surface.reconcile.steps import Step, outcome_of
from surface.reconcile.words import described
from surface.terminal import harmless


def preview(
    settings: Settings, agents: Registry, out: Console, *, as_json: bool, full: bool
) -> None:
    """Print the plan of the next start.

    Raises:
        StoreError: the bot is running, or the database cannot be read.
        SessionError: there is no session to look at Matrix with.
    """
    path = settings.state_dir / DATABASE
    if by := holder(path):
        raise StoreError(
            f"{path} is in use by {by}. Stop the bot first; while it runs it mends what it finds itself"
        )
    with tempfile.TemporaryDirectory(prefix="surface-reconcile-") as folder:
        copy = copied(path, Path(folder)) if path.exists() else None
        try:
            steps, looked = asyncio.run(_planned(settings, agents, copy, full))
        except StoreError as error:
            raise StoreError(str(error).replace(str(copy), str(path))) from None
    if as_json:
        out.print_json(json.dumps({"rooms": looked, "steps": [_plain(step) for step in steps]}))
        return
    if looked is None:
        out.print(
            "Only the agents were compared: the bot goes on from where it stopped, and looks at all rooms "
            "when it is up. --full looks at them now."
        )
    else:
        out.print(f"{looked} rooms looked at.")
    if not steps:
        out.print("Nothing to mend.")
        return
    out.print(table_of(steps))


def table_of(steps: Sequence[Step]) -> Table:
    """The steps for people. Ids are broken, not cut: they are there to be copied."""
    table = Table("outcome", "found", "where", "what would be done")
    for column in table.columns:
        column.overflow = "fold"
    for step in steps:
        table.add_row(*(harmless(text) for text in (outcome_of(step), *described(step))))
    return table


async def _planned(
    settings: Settings, agents: Registry, copy: Path | None, full: bool
) -> tuple[list[Step], int | None]:
    store: Store = MemoryStore() if copy is None else TinyStore.open(copy)
    try:
        token = await store.get("meta", "next_batch")
        seen = await _look(settings) if full or token is None else None
        documents = await documents_of(store, settings.user_id)
    finally:
        await store.aclose()
    return plan(documents, agents, seen), len(seen.rooms) if seen else None


async def _look(settings: Settings) -> Picture:
    session = known_session(settings)
    if session is None:
        raise SessionError(
            "there is no session to look at Matrix with; the next start of the bot logs in"
        )
    try:
        async with sessions.asking(
            settings.homeserver, settings.user_id, session.access_token
        ) as api:
            return await look(api, settings.user_id)
    except TokenDead:
        raise SessionError(login_hint(settings)) from None
    except (Lost, MatrixError) as error:
        raise SessionError(
            f"homeserver {settings.homeserver} does not say what the rooms look like: {error}"
        ) from None


def _plain(step: Step) -> dict[str, Any]:
    what, where, how = described(step)
    raw = json.loads(json.dumps(asdict(step), default=str))
    return {
        "step": type(step).__name__,
        "outcome": outcome_of(step),
        "what": what,
        "where": where,
        "how": how,
        "details": raw,
    }
