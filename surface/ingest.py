"""From a sync response to the inbox: one response, one transaction, nothing lost.

Everything that may concern us is written down as it was received, together with the new sync token; only
then does anybody look at it. Positions (`order`) follow the homeserver's order of events. When a timeline has
a gap, the gap is written down in the same transaction and the room's inputs wait until it is filled from
`/messages`, so that what was said first is handled first.

Our own messages in the timeline are not inputs: they tell the outbox that an effect has been carried out.

Without a token recent history comes as if it were new. Then the room's read marker (`m.fully_read`, see
`read_marker.py`) tells what is: what stands after it, unless one of our own messages shows that it was
answered. A room of the bot's that has none was never answered in: there the bot's own last event takes its
place. In any other room nothing is new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from store.documents import VERSIONS, room_key
from store.store import Delete, Put, Write
from surface import keys
from surface.inbox import (
    MIDDLE,
    Gap,
    InboxRow,
    decode_gap,
    encode_gap,
    encode_row,
    position,
    sent_at,
)
from surface.inputs import interesting, read_invite
from surface.ledger import Ledger
from surface.matrix.api import Lost, MatrixError
from surface.matrix.rooms import SOURCE, Rooms
from surface.matrix.sync import backoff

log = structlog.get_logger()

MOST_STEPS = 4
"""Effects of one input among which its answer is looked for."""
GAP_LIMIT = 5_000
"""Events fetched at most to fill one gap."""


Echo = Callable[[str, str], Awaitable[None]]
"""Takes the transaction id and the event id of one of our own events."""


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
        self._late = True
        self._said: set[str] = set()
        """Transaction ids of our own messages, read after a start without a token."""
        self._token_lost = False
        self._filling: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> str | None:
        """Read how far the last process came; returns the sync token to go on from."""
        stored = await self._ledger.store.get("meta", "next_batch")
        if stored is not None:
            self._kept = str(stored.body["token"])
            self._sync = int(stored.body["sync"])
        for table in ("inbox", "turns"):
            self._seen.update(key for key, _ in await self._ledger.store.scan(table))
        return self._kept

    def go_live(self) -> None:
        """From now on what comes is heard as it is said."""
        self._late = self._token_lost = False
        self._said.clear()

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
        place = position(sync, MIDDLE)
        for room_id, room in _objects(rooms.get("invite")):
            state = _events(room.get("invite_state"))
            if read_invite(room_id, state, self._me) is not None:
                key, sent = f"invite/{room_id}/{since}", self._invited_at(state)
                rows.append(InboxRow(key, room_id, place, "invite", state, self._late, sent))
        for room_id, _ in _objects(rooms.get("leave")):
            key = f"removed/{room_id}/{since}"
            rows.append(InboxRow(key, room_id, place, "removed", None, self._late))
        self._token_lost = self._token_lost or since is None
        if self._token_lost:
            self._said.update(transaction for transaction, _ in echoes)
        rows = self._new(rows)
        for transaction, event_id in echoes:
            await self._echo(transaction, event_id)
        if rows or gaps:
            changes: list[Write] = [encode_row(row) for row in rows]
            changes.extend(encode_gap(gap) for gap in gaps)
            changes.append(self._token(raw["next_batch"], sync))
            # What a power cut takes of it is asked for again, with the token of before.
            await self._ledger.save(changes, point="ingest", durable=False)
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
            if (gap := decode_gap(key, stored.body)) is not None:
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
            if since and interesting(event, self._me) and "state_key" in event:
                rows.append(self._row(room_id, event, sync, MIDDLE - 1000 + min(index, 999)))
        events, limited = _events(timeline), timeline.get("limited") is True
        marker = None if since else _read_up_to(room)
        if not since and marker is None and await self._knows(room_id):
            marker = _last_of(events, self._me)
        first = 0 if since else _first_new(events, marker, limited=limited)
        for index, event in enumerate(events):
            if event.get("sender") == self._me and "state_key" not in event:
                echoes.extend(_own(event))
            # Without a token, what the rooms look like was seen at once: what led to it is history.
            elif interesting(event, self._me) and (
                since if "state_key" in event else index >= first
            ):
                rows.append(self._row(room_id, event, sync, MIDDLE + index))
        start = timeline.get("prev_batch")
        if limited and first == 0 and isinstance(start, str):
            if marker is not None or (since and await self._knows(room_id)):
                key = f"gap/{room_id}/{sync:012d}"
                gaps.append(Gap(key, room_id, sync, start, since, self._late, marker))

    async def _knows(self, room_id: str) -> bool:
        return await self._ledger.store.get("rooms", room_key(room_id)) is not None

    def _row(
        self,
        room_id: str,
        event: dict[str, Any],
        sync: int,
        index: int,
        *,
        late: bool | None = None,
    ) -> InboxRow:
        late = self._late if late is None else late
        sent = sent_at(event, self._rooms.server_time)
        place = position(sync, index)
        return InboxRow(event["event_id"], room_id, place, "event", event, late, sent)

    def _invited_at(self, state: list[dict[str, Any]]) -> int | None:
        """When the bot was invited; the specification lets homeservers leave it out."""
        now = self._rooms.server_time
        return next((sent_at(e, now) for e in state if e.get("state_key") == self._me), None)

    def _new(self, rows: list[InboxRow]) -> list[InboxRow]:
        """The inputs that are not known yet, nor answered before the token was lost; each once."""
        rows = list({row.key: row for row in rows if row.key not in self._seen}.values())
        if self._said:
            rows = [row for row in rows if self._said.isdisjoint(_answers(row.key))]
        return rows

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
        rows = self._new(rows)
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
                if event.get("event_id") == gap.after or _is_own_join(event, self._me):
                    return rows
                if event.get("sender") == self._me and "state_key" not in event:
                    for transaction, event_id in _own(event):
                        if self._token_lost or gap.after is not None:
                            self._said.add(transaction)
                        await self._echo(transaction, event_id)
                elif interesting(event, self._me) and (gap.until or "state_key" not in event):
                    index = MIDDLE - 2000 - fetched
                    rows.append(self._row(gap.room_id, event, gap.sync, index, late=gap.late))
        if start is not None:
            log.error(
                "gap.too_long", room=gap.room_id, read=fetched, hint="older messages are lost"
            )
        return rows


def _read_up_to(room: dict[str, Any]) -> str | None:
    """The event that the bot's read marker of a room is at."""
    for event in _events(room.get("account_data")):
        content = event.get("content")
        if event.get("type") == "m.fully_read" and isinstance(content, dict):
            marker = content.get("event_id")
            return marker if isinstance(marker, str) else None
    return None


def _last_of(events: list[dict[str, Any]], me: str) -> str | None:
    """The last event of the bot's own."""
    return next((str(e.get("event_id")) for e in reversed(events) if e.get("sender") == me), None)


def _first_new(events: list[dict[str, Any]], marker: str | None, *, limited: bool) -> int:
    """Where in a timeline begins what stands after the read marker; its length if nowhere."""
    for index, event in enumerate(events):
        if marker is not None and event.get("event_id") == marker:
            return index + 1
    return 0 if marker is not None and limited else len(events)


def _answers(event_id: str) -> frozenset[str]:
    """The transaction ids under which a message is answered: by the agent, or by the bot itself."""
    names = [keys.effect_key(event_id, number) for number in range(MOST_STEPS)]
    names.append(keys.effect_key(keys.ending(event_id)))
    return frozenset(map(keys.transaction, names))


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
    """Whether the bot came into the room here; of a new name only the past differs."""
    content, unsigned = event.get("content"), event.get("unsigned")
    before = unsigned.get("prev_content") if isinstance(unsigned, dict) else None
    return (
        event.get("type") == "m.room.member"
        and event.get("state_key") == me
        and isinstance(content, dict)
        and content.get("membership") == "join"
        and not (isinstance(before, dict) and before.get("membership") == "join")
    )


def _objects(value: Any) -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(value, dict):
        return []
    return [(k, v) for k, v in value.items() if isinstance(v, dict)]


def _events(value: Any) -> list[dict[str, Any]]:
    events = value.get("events") if isinstance(value, dict) else None
    return [e for e in events if isinstance(e, dict)] if isinstance(events, list) else []
