"""The page in a real Chromium where there is much: ten thousand rooms, and more pages than may be open."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from surface.inspector.live import MOST
from tests.inspector.browser import TOKEN, Glass, browsing
from tests.inspector.standing import STATES, standing

WITH_IT = {"Authorization": f"Bearer {TOKEN}"}
ASKED = ("overview", "find?words=kitchen&page=2", "room?id=!room00000", "user?id=@person00000:hs")


async def test_ten_thousand_rooms_are_as_much_to_look_at_as_six(tmp_path: Path) -> None:
    sizes: dict[int, dict[str, int]] = {}
    for rooms in (60, 10_000):
        async with (
            standing(tmp_path / str(rooms), rooms) as its,
            browsing(its.url) as glass,
        ):
            await glass.open("/")
            await glass.count(
                "room", "cleared", len(range(STATES.index("cleared"), rooms, len(STATES)))
            )
            overview = await _nodes(glass)
            await its.archive("!room00000")
            await glass.page.wait_for_selector(".feed li:has-text('archive')")
            await glass.page.fill("#words", "kitchen 0004")
            await glass.page.wait_for_selector("#total:has-text('of')")
            found = await _nodes(glass)
            assert "Kitchen 00040" in await glass.text(".result")
            await glass.open("/find?words=kitchen&page=2")
            await glass.page.wait_for_selector("#total:has-text('26–50')")
            if rooms == 10_000:
                await glass.shot("ten-thousand")
            assert not glass.foreign() and not glass.complaints
            sizes[rooms] = {"overview": overview, "found": found, **await _bytes(its.url)}
    few, many = sizes[60], sizes[10_000]
    assert all(0 < many[what] <= 1.1 * few[what] for what in few), sizes


async def _bytes(url: str) -> dict[str, int]:
    """How long the answers are that the pages are made of."""
    async with aiohttp.ClientSession(headers=WITH_IT) as session:
        return {what: len(await _read(session, f"{url}/inspector/api/{what}")) for what in ASKED}


async def _read(session: aiohttp.ClientSession, url: str) -> bytes:
    async with session.get(url) as answer:
        assert answer.status == 200
        return await answer.read()


async def _nodes(glass: Glass) -> int:
    return int(await glass.page.evaluate("document.querySelectorAll('*').length"))


async def test_one_page_too_many_is_told_so(tmp_path: Path) -> None:
    async with (
        standing(tmp_path / "db") as its,
        browsing(its.url) as glass,
        aiohttp.ClientSession(headers=WITH_IT) as session,
    ):
        others = [await session.get(f"{its.url}/inspector/api/live") for _ in range(MOST)]
        await glass.open("/")
        await glass.page.wait_for_selector("#away:has-text('Too many')")
        for other in others:
            other.close()
        await glass.count("room", "bound", 3)
