"""`surface forget`: a person is forgotten though they do not ask for it themselves.

Decide and commit as ever, while the bot is stopped; it *acts* at its next start, before anything else: it
leaves their rooms, empties their mirrors and tells the platforms. So no second process ever touches a running
bot's database, and a forgetting that was decided is carried out whatever happens in between. While the bot
runs, the person can say `!forget` themselves.
"""

from __future__ import annotations

import secrets

from config import Registry, Settings
from machines.effects import ForgetUser, LeaveRoom
from store import Store, StoreError, TinyStore
from store.documents import user_key
from store.examine import is_there
from store.history import Cause
from surface import failpoints, onboarding
from surface.case import Case, World
from surface.clock import SystemClock
from surface.ledger import Ledger
from surface.login import DATABASE
from surface.memory import Memory


async def forget(settings: Settings, agents: Registry, user_id: str) -> int:
    """Forget a person; returns how many rooms the bot will leave.

    Raises:
        StoreError: the bot is running, nobody of that name is known, or the store is not usable.
    """
    path = settings.state_dir / DATABASE
    if not is_there(path):
        raise StoreError(f"{path}: there is no database; nobody is known")
    store = TinyStore.open(path)
    try:
        return await _forget(store, settings, agents, user_id)
    finally:
        await store.aclose()


async def _forget(store: Store, settings: Settings, agents: Registry, user_id: str) -> int:
    if await store.get("users", user_key(user_id)) is None:
        raise StoreError(f"{user_id} is not known; `surface users` lists who is")
    own = await store.get("meta", "installation_id")
    assert own is not None
    boot = secrets.token_hex(6)
    world = World(agents, settings.locale, boot, str(own.body["value"]))
    points = failpoints.from_environment()
    ledger = Ledger(store, Memory(), world, points, SystemClock())
    rows = [stored.body["seq"] for _, stored in await store.scan("outbox")]
    ledger.start_after(max(rows, default=0))

    def decision(case: Case) -> None:
        onboarding.forget(case, case.user(user_id), None)

    decided = await ledger.decide(
        f"operator/{boot}", decision, by=Cause("operator", "forget"), point="input"
    )
    effects = [row.effect for row in decided.rows]
    assert any(isinstance(effect, ForgetUser) for effect in effects)
    return sum(isinstance(effect, LeaveRoom) for effect in effects)
