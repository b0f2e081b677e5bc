"""What open pages are told: bounded, in order, and to the end of the process."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from machines.effects import Notice, Text
from store.history import Cause
from surface.inspector import routes
from surface.inspector.live import BEHIND, LATEST, Hub
from surface.ledger import Decided
from surface.moves import Move
from tests.inspector.browser import TOKEN
from tests.inspector.standing import Standing, standing

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
AT = "2026-01-01T00:00:00+00:00"


def decided(*moves: Move) -> Decided[None]:
    return Decided(None, [], [], [], Cause("event", "$e"), AT, moves=moves)


def archived(room: str) -> Move:
    return Move("room", "bound", "archive", "archived", room, room)


async def test_a_page_hears_what_it_wants_and_no_more_than_it_can_hold() -> None:
    hub = Hub()
    with (
        hub.watching(lambda what: what.room_id == "!one") as one,
        hub.watching(lambda _: True) as everything,
    ):
        hub.on_decided(decided(archived("!one")))
        hub.on_decided(decided(*(archived(f"!{n}") for n in range(BEHIND))))
        happened, missed = await one.news(1)
        assert [what.room_id for what in happened] == ["!one"] and not missed
        # What did not fit is not told in part: the page loads anew.
        assert await everything.news(1) == ([], True)
        hub.on_decided(decided(archived("!two")))
        happened, missed = await everything.news(1)
        assert [what.room_id for what in happened] == ["!two"] and not missed
        assert len(hub.latest) == LATEST
    assert len(hub) == 0


async def test_what_shows_nothing_is_not_told() -> None:
    hub = Hub()
    notice = Notice("!one", Text("talk", {}), None)
    hub.on_decided(
        decided(
            Move("room", "bound", "talk", "bound", "!one", "!one", effects=(notice,)),
            Move("room", "bound", "rename", "bound", "!one", "!one", effects=(notice,)),
            Move("turn", "streaming", "delta", "streaming", "$e", "!one"),
            Move("room", "cleared", "talk", "bound", "!one", "!one"),
        )
    )
    assert [what.step.event for what in hub.latest] == ["rename", "talk"]
    assert hub.latest[1].step.source == "cleared"


async def test_of_whoever_is_forgotten_nothing_is_remembered() -> None:
    hub = Hub()
    hub.on_decided(decided(archived("!one"), archived("!two")))
    hub.on_decided(decided(Move("user", "choosing", "select_agent", "ready", "@alice", None)))
    forgotten = Move("room", "archived", "forget", "forgotten", "!one", "!one")
    hub.on_decided(decided(forgotten, Move("user", "ready", "forget", "forgotten", "@alice", None)))
    assert [what.room_id for what in hub.latest] == ["!two"]


async def event(answer: aiohttp.ClientResponse) -> tuple[str, Any]:
    """The next event of a stream; a sign of life is none."""
    name, data = "", None
    async with asyncio.timeout(20):
        async for raw in answer.content:
            line = raw.decode().rstrip("\n")
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                data = json.loads(line.removeprefix("data: "))
            elif not line and name:
                return name, data
    raise AssertionError("the stream has ended")


async def first(its: Standing, session: aiohttp.ClientSession, **about: str) -> Any:
    answer = await session.get(f"{its.url}/inspector/api/live", params=about)
    name, said = await event(answer)
    assert name == "hello"
    return answer, said


async def test_a_room_and_all_of_them_are_told_of_one_transition(tmp_path: Path) -> None:
    async with (
        standing(tmp_path / "db") as its,
        aiohttp.ClientSession(headers=AUTHORIZED) as session,
    ):
        room, said = await first(its, session, room="!room00000")
        assert said["room"]["state"] == said["now"]["states"]["room"] == "bound"
        other, _ = await first(its, session, room="!room00001")
        everything, said = await first(its, session)
        assert said["now"]["counts"]["room"] == {"bound": 3}

        await its.archive("!room00000")
        name, news = await event(room)
        assert name == "news" and news["room"]["state"] == "archived"
        (step,) = news["happened"]
        assert (step["source"], step["event"], step["target"]) == ("bound", "archive", "archived")
        assert step["cause"] == {"kind": "event", "name": "$archive!room00000"}
        assert {"effect": "UnlinkChild", "lane": "talk"} in step["effects"]
        _, news = await event(everything)
        assert news["now"]["counts"]["room"] == {"bound": 2, "archived": 1}

        # Whoever follows and then asks for the record knows the step again that is in both.
        asked = {"id": "!room00000"}
        record = await (await session.get(f"{its.url}/inspector/api/room", params=asked)).json()
        known = ("machine", "source", "event", "target", "at", "cause")
        assert [it for it in record["history"] if all(it[k] == step[k] for k in known)]

        await its.archive("!room00001")
        _, news = await event(other)
        assert [step["room"] for step in news["happened"]] == ["!room00001"], "and not the other"
        for answer in (room, other, everything):
            answer.close()


async def test_streams_end_when_the_process_is_about_to(tmp_path: Path) -> None:
    async with (
        standing(tmp_path / "db") as its,
        aiohttp.ClientSession(headers=AUTHORIZED) as session,
    ):
        answer, _ = await first(its, session)
        its.inspector.close()
        assert await event(answer) == ("bye", {})
        assert await answer.content.read() == b""
        async with session.get(f"{its.url}/inspector/api/overview") as refused:
            assert refused.status == 503


@pytest.mark.parametrize("about", [{}, {"room": "!room00000"}])
async def test_news_are_as_long_whatever_the_number_of_rooms(
    tmp_path: Path, about: dict[str, str]
) -> None:
    lengths = []
    for rooms in (6, 6000):
        async with (
            standing(tmp_path / str(rooms), rooms) as its,
            aiohttp.ClientSession(headers=AUTHORIZED) as session,
        ):
            answer, _ = await first(its, session, **about)
            await its.archive("!room00000")
            lengths.append(len(json.dumps((await event(answer))[1])))
            answer.close()
    # The numbers themselves have more digits.
    assert abs(lengths[1] - lengths[0]) < 60, lengths


async def test_who_takes_nothing_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "STALLED", 0.2)
    monkeypatch.setattr(routes, "PAUSE", 0.0)
    hub, moves = Hub(), [archived("!" + "x" * 200) for _ in range(LATEST)]
    monkeypatch.setattr(routes, "Hub", lambda: hub)
    async with standing(tmp_path / "db") as its:
        address = urlsplit(its.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=1024)
        ask = "GET /inspector/api/live HTTP/1.1\r\nHost: localhost\r\n"
        writer.write(f"{ask}Authorization: Bearer {TOKEN}\r\n\r\n".encode())
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        assert len(hub) == 1
        async with asyncio.timeout(60):
            while len(hub):  # Nobody reads: sooner or later all that lies between is full.
                hub.on_decided(decided(*moves))
                await asyncio.sleep(0.001)
        writer.close()
