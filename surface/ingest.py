"""From a sync response to the inbox: one response, one transaction, nothing lost.

Everything that may concern us is written down as it was received, together with the new sync token; only
then does anybody look at it. Positions (`order`) follow the homeserver's order of events. When a timeline has
a gap, the gap is written down in the same transaction and the room's inputs wait until it is filled from
`/messages`, so that what was said first is handled first.

Our own messages in the timeline are not inputs: they tell the outbox that an effect has been carried out.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog

from store.documents import VERSIONS, room_key
from store.store import Delete, Put, Write
from surface.inputs import interesting, read_invite
from surface.ledger import Ledger
from surface.matrix.api import Lost, MatrixError
from surface.matrix.rooms import SOURCE, Rooms
from surface.matrix.sync import backoff

log = structlog.get_logger()

MIDDLE = 500_000
"""Position of a response's first timeline event; what fills the gap before it counts down from here."""
GAP_LIMIT = 5_000
"""Events fetched at most to fill one gap."""


@dataclass(frozen=True)
class InboxRow:
    """An input as it was received."""

    key: str
    room_id: str
    order: str
    kind: str
    """`event`, `invite` or `removed`."""
    content: Any
    """The raw event; for an invite its stripped state."""


@dataclass(frozen=True)
class Gap:
    """Events of a room between two positions that /sync left out."""

    key: str
    room_id: str
    sync: int
    start: str
    until: str | None


Echo = Callable[[str, str], Awaitable[None]]
"""Takes the transaction id and the event id of one of our own events."""


def position(sync: int, index: int) -> str:
    """A key that sorts as the homeserver ordered the events."""
    return f"{sync:012d}.{index:07d}"


def encode_row(row: InboxRow) -> Put:
    """The inbox document; an input that is there already is left as it is by the caller."""
    body = {
        "v": VERSIONS["inbox"],
        "room_id": row.room_id,
        "order": row.order,
        "kind": row.kind,
        # As text: a hostile event may be nested or spelt in ways that the store refuses in a document.
        "content": json.dumps(row.content),
    }
    return Put("inbox", row.key, body, None)


def decode_row(key: str, body: dict[str, Any]) -> InboxRow:
    """The row behind an inbox document."""
    return InboxRow(key, body["room_id"], body["order"], body["kind"], json.loads(body["content"]))


class Ingest:
    """Takes sync responses."""

    def __init__(
        self,
        ledger: Ledger,
        rooms: Rooms,
        me: str,
        deliver: Callable[[list[InboxRow]], None],
        hold: Callable[[str, bool], None],
        echo: Echo,
    ) -> None:
        self._ledger, self._rooms, self._me = ledger, rooms, me
        self._deliver, self._hold, self._echo = deliver, hold, echo
        self._sync = 0
        self._kept: str | None = None
        self._seen: set[str] = set()
        self._filling: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> str | None:
        """Read how far the last process came; returns the sync token to go on from."""
        stored = await self._ledger.store.get("meta", "next_batch")
        if stored is not None:
            self._kept = str(stored.body["token"])
            self._sync = int(stored.body["sync"])
        for key, body in await self._ledger.store.scan("inbox"):
            self._seen.add(key)
            del body
        return self._kept

    async def keep(self, raw: dict[str, Any], since: str | None) -> None:
        """Commit all that a sync response brought, then let it be handled."""
        sync = self._sync + 1
        rows: list[InboxRow] = []
        gaps: list[Gap] = []
        echoes: list[tuple[str, str]] = []
        rooms = raw.get("rooms")
        rooms = rooms if isinstance(rooms, dict) else {}
        for room_id, room in _objects(rooms.get("join")):
            await self._joined(sync, since, room_id, room, rows, gaps, echoes)
        for room_id, room in _objects(rooms.get("invite")):
            state = _events(room.get("invite_state"))
            if read_invite(room_id, state, self._me) is not None:
                key = f"invite/{room_id}/{since}"
                rows.append(InboxRow(key, room_id, position(sync, MIDDLE), "invite", state))
        for room_id, _ in _objects(rooms.get("leave")):
            key = f"removed/{room_id}/{since}"
            rows.append(InboxRow(key, room_id, position(sync, MIDDLE), "removed", None))
        rows = [row for row in rows if row.key not in self._seen]
        for transaction, event_id in echoes:
            await self._echo(transaction, event_id)
        if rows or gaps:
            changes: list[Write] = [encode_row(row) for row in rows]
            changes.extend(_encode_gap(gap) for gap in gaps)
            changes.append(self._token(raw["next_batch"], sync))
            await self._ledger.save(changes, point="ingest")
            self._sync, self._kept = sync, raw["next_batch"]
        self._seen.update(row.key for row in rows)
        for gap in gaps:
            self._fill_later(gap)
        self._deliver(rows)

    async def keep_token(self, token: str | None) -> None:
        """Write the token down though nothing came with it; at a clean stop, to spare the next start."""
        if token is not None and token != self._kept:
            await self._ledger.save([self._token(token, self._sync)], point="ingest")
            self._kept = token

    def settled(self, key: str) -> None:
        """An input is done: its row is gone, and so is the need to remember it."""
        self._seen.discard(key)

    async def fill_stored_gaps(self) -> None:
        """Go on with the gaps that the last process left, and wait for all of them."""
        for key, stored in await self._ledger.store.scan("dirty"):
            if stored.body.get("kind") == "gap":
                gap = Gap(key, *(stored.body[k] for k in ("room_id", "sync", "start", "until")))
                self._fill_later(gap)
        await self.gaps_filled()

    async def gaps_filled(self) -> None:
        """Wait until no gap is being filled."""
        while self._filling:
            await asyncio.wait(self._filling.values())

    async def aclose(self) -> None:
        """Stop filling gaps; what is left is written down."""
        tasks = list(self._filling.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _joined(
        self,
        sync: int,
        since: str | None,
        room_id: str,
        room: dict[str, Any],
        rows: list[InboxRow],
        gaps: list[Gap],
        echoes: list[tuple[str, str]],
    ) -> None:
        timeline = room.get("timeline")
        timeline = timeline if isinstance(timeline, dict) else {}
        for index, event in enumerate(_events(room.get("state"))):
            if interesting(event, self._me) and "state_key" in event:
                place = position(sync, MIDDLE - 1000 + min(index, 999))
                rows.append(InboxRow(event["event_id"], room_id, place, "event", event))
        for index, event in enumerate(_events(timeline)):
            if event.get("sender") == self._me and "state_key" not in event:
                echoes.extend(_own(event))
            # Without a token recent history comes as if it were new: it is not ours to answer.
            elif interesting(event, self._me) and (since or "state_key" in event):
                place = position(sync, MIDDLE + index)
                rows.append(InboxRow(event["event_id"], room_id, place, "event", event))
        start = timeline.get("prev_batch")
        if timeline.get("limited") is True and since and isinstance(start, str):
            if await self._ledger.store.get("rooms", room_key(room_id)) is not None:
                gaps.append(Gap(f"gap/{room_id}/{sync:012d}", room_id, sync, start, since))

    def _token(self, token: str, sync: int) -> Put:
        body = {"v": VERSIONS["meta"], "token": token, "sync": sync}
        return Put("meta", "next_batch", body, None)

    def _fill_later(self, gap: Gap) -> None:
        """Fill a gap unless that is under way: filled twice, its inputs would be handled twice."""
        if gap.key in self._filling:
            return
        self._hold(gap.room_id, True)
        task = asyncio.create_task(self._fill(gap), name=f"gap {gap.room_id}")
        self._filling[gap.key] = task
        task.add_done_callback(lambda _: self._filling.pop(gap.key))

    async def _fill(self, gap: Gap) -> None:
        failures = 0
        while True:
            try:
                rows = await self._between(gap)
                break
            except (MatrixError, Lost) as error:
                if isinstance(error, MatrixError) and not error.limited:
                    log.warning("gap.given_up", room=gap.room_id, why=str(error))
                    rows = []
                    break
                failures += 1
                delay = max(backoff(failures), getattr(error, "retry_after", None) or 0.0)
                log.warning(
                    "gap.put_off", room=gap.room_id, why=str(error), again_in=round(delay, 1)
                )
                await asyncio.sleep(delay)
        rows = [row for row in rows if row.key not in self._seen]
        changes: list[Write] = [encode_row(row) for row in rows]
        await self._ledger.save([*changes, Delete("dirty", gap.key)], point="ingest")
        self._seen.update(row.key for row in rows)
        log.info("gap.filled", room=gap.room_id, inputs=len(rows))
        self._deliver(rows)
        self._hold(gap.room_id, False)

    async def _between(self, gap: Gap) -> list[InboxRow]:
        rows: list[InboxRow] = []
        start: str | None = gap.start
        fetched = 0
        while start is not None and fetched < GAP_LIMIT:
            events, start = await self._rooms.messages_back(gap.room_id, start, gap.until)
            for event in events:
                fetched += 1
                if _is_own_join(event, self._me):
                    return rows
                if event.get("sender") == self._me and "state_key" not in event:
                    for transaction, event_id in _own(event):
                        await self._echo(transaction, event_id)
                elif interesting(event, self._me):
                    place = position(gap.sync, MIDDLE - 2000 - fetched)
                    rows.append(InboxRow(event["event_id"], gap.room_id, place, "event", event))
        return rows


def _encode_gap(gap: Gap) -> Put:
    body = {
        "v": VERSIONS["dirty"],
        "kind": "gap",
        "room_id": gap.room_id,
        "sync": gap.sync,
        "start": gap.start,
        "until": gap.until,
    }
    return Put("dirty", gap.key, body, None)


def _own(event: dict[str, Any]) -> list[tuple[str, str]]:
    """Under which transaction ids one of our own events may be waited for."""
    unsigned, content = event.get("unsigned"), event.get("content")
    event_id = event.get("event_id")
    found = []
    if isinstance(unsigned, dict) and isinstance(unsigned.get("transaction_id"), str):
        found.append(unsigned["transaction_id"])
    if isinstance(content, dict) and isinstance(content.get(SOURCE), str):
        found.append(content[SOURCE])
    return [(t, event_id) for t in dict.fromkeys(found) if isinstance(event_id, str)]


def _is_own_join(event: dict[str, Any], me: str) -> bool:
    content = event.get("content")
    return (
        event.get("type") == "m.room.member"
        and event.get("state_key") == me
        and isinstance(content, dict)
        and content.get("membership") == "join"
    )


def _objects(value: Any) -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(value, dict):
        return []
    return [(k, v) for k, v in value.items() if isinstance(v, dict)]


def _events(value: Any) -> list[dict[str, Any]]:
    events = value.get("events") if isinstance(value, dict) else None
    return [e for e in events if isinstance(e, dict)] if isinstance(events, list) else []
