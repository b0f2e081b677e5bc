"""What there is: read from the running bot when it is asked, and put into words by `view`.

Nothing is kept here. What a document holds is read from the store; what only lives in memory, from those who
hold it.
"""

from __future__ import annotations

import time
from collections import Counter
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from store.documents import migrated, room_key, user_key
from store.history import merged, steps
from store.store import Table
from surface.inspector import view
from surface.inspector.view import Waiting
from surface.ops.metrics import Watch
from surface.ops.recent import Recent

if TYPE_CHECKING:
    from surface.app import App


class Look:
    """A look at a running bot.

    Args:
        watch: counts the stored machines.
        recent: remembers what the others did.
    """

    def __init__(self, app: App, watch: Watch, recent: Recent) -> None:
        self._app, self._watch, self._recent = app, watch, recent
        self._zero = time.time() - time.monotonic()

    def everything(self) -> dict[str, Any]:
        """The bot, its machines, and how many are in each state."""
        return {
            "bot": self._app.settings.user_id,
            "version": version("matrix-surface"),
            "machines": [view.machine(name, kind) for name, kind in view.NAMES.items()],
            "now": self.now(),
        }

    def now(self) -> dict[str, Any]:
        """How many there are of what."""
        app, memory = self._app, self._app.ledger.memory
        waiting, _ = app.turns.counts
        counts: dict[str, Counter[str]] = {name: Counter() for name in view.NAMES}
        for (table, state), number in self._watch.machines.items():
            if number:
                counts[table.removesuffix("s")][state] = number
        counts["turn"].update(progress.state for progress in memory.running.values())
        if waiting:
            counts["turn"]["waiting"] += waiting
        counts["dialog"].update(state for _, state in memory.dialogs.values())
        counts["tray"].update(state for _, state in memory.trays.values())
        return {
            "phase": app.phase,
            "counts": {name: dict(its) for name, its in counts.items()},
            "inbox": len(app.actors.waiting),
            "outbox": len(app.outbox),
        }

    async def room(self, room_id: str) -> dict[str, Any] | None:
        """A room, what lives in it, and what happened; None: it is not known.

        Raises:
            StoreError: it cannot be read.
        """
        body = await self._body("rooms", room_key(room_id))
        if body is None:
            return None
        its = view.room(body)
        owner = await self._body("users", user_key(its["owner"])) if its["owner"] else None
        record = merged(
            steps("user", owner["history"]) if owner else (),
            steps("room", body["history"]),
            self._recent.of(room_id),
        )
        return {
            "room": its,
            "now": self._now_in(room_id, its["state"], owner["state"] if owner else None),
            "history": [view.step(taken) for taken in record],
        }

    async def user(self, user_id: str) -> dict[str, Any] | None:
        """A person, as for `room`.

        Raises:
            StoreError: they cannot be read.
        """
        body = await self._body("users", user_key(user_id))
        if body is None:
            return None
        person = view.user(body)
        return {
            "user": person,
            "now": {"states": {"user": person["state"]}, "outbox": self._outbox(user_id)},
            "history": [view.step(taken) for taken in steps("user", body["history"])],
        }

    def _now_in(self, room_id: str, state: str, owner: str | None) -> dict[str, Any]:
        """What lives in a room."""
        app, memory, actors = self._app, self._app.ledger.memory, self._app.actors
        running, trays = memory.turns_in(room_id), memory.trays_in(room_id)
        waiting = app.turns.waiting_in(room_id)
        dialog = memory.dialogs.get(room_id)
        return {
            "states": {
                "room": state,
                "user": owner,
                "turn": next(iter(running.values()), "waiting" if waiting else None),
                "dialog": dialog[1] if dialog else "idle",
                "tray": next((its for _, its in trays.values()), "empty"),
            },
            "turns": [
                *({"id": turn, "state": its} for turn, its in running.items()),
                *({"id": turn, "state": "waiting"} for turn in waiting),
            ],
            "asked": dialog[0].purpose if dialog else None,
            "trays": [
                {"user": person, "files": len(tray.staged)} for person, (tray, _) in trays.items()
            ],
            "inbox": view.inbox(
                [*actors.waiting_in(room_id), *actors.parked_in(room_id)], actors.parked
            ),
            "outbox": self._outbox(room_id),
        }

    def _outbox(self, whom: str) -> list[dict[str, Any]]:
        outbox = self._app.outbox
        moment = time.monotonic() + self._zero
        return view.outbox(
            Waiting(row, moment - outbox.age(row.key), outbox.troubles.get(row.key))
            for row in outbox.rows
            if whom in view.about(row.effect)
        )

    def rooms_with(self, machine: str, state: str) -> frozenset[str]:
        """The rooms in which a machine that lives in memory is in a state; an empty one stands for any."""
        app, memory = self._app, self._app.ledger.memory
        found: list[tuple[str, str]] = []
        if machine == "turn":
            found += [(its.room_id, its.state) for its in memory.running.values()]
            found += [(room, "waiting") for room in app.turns.rooms_waiting]
        elif machine == "dialog":
            found += [(room, its) for room, (_, its) in memory.dialogs.items()]
        elif machine == "tray":
            found += [(room, its) for (room, _), (_, its) in memory.trays.items()]
        return frozenset(room for room, its in found if state in ("", its))

    async def _body(self, table: Table, key: str) -> dict[str, Any] | None:
        stored = await self._app.ledger.store.get(table, key)
        return None if stored is None else migrated(table, dict(stored.body))
