"""The page in a real Chromium where there is much: ten thousand rooms, and more pages than may be open."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp

from surface.inspector.live import MOST
from tests.inspector.browser import TOKEN, Glass, browsing
from tests.inspector.standing import STATES, standing


async def test_ten_thousand_rooms_are_as_much_to_look_at_as_six(tmp_path: Path) -> None:
    sizes: dict[int, dict[str, int]] = {}
    for rooms in (60, 10_000):
        async with (
            standing(tmp_path / str(rooms), rooms) as its,
            browsing(its.url) as glass,
        ):
            got: list[int] = []
            glass.page.on(
                "requestfinished", lambda r, got=got: asyncio.ensure_future(_measured(r, got))
            )
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
            sizes[rooms] = {"overview": overview, "found": found, "bytes": sum(got)}
    few, many = sizes[60], sizes[10_000]
    assert all(0 < many[what] <= 1.1 * few[what] for what in few), sizes


async def _measured(request: Any, got: list[int]) -> None:
    if "/api/" in request.url:
        got.append((await request.sizes())["responseBodySize"])


async def _nodes(glass: Glass) -> int:
    return int(await glass.page.evaluate("document.querySelectorAll('*').length"))


async def test_one_page_too_many_is_told_so(tmp_path: Path) -> None:
    async with (
        standing(tmp_path / "db") as its,
        browsing(its.url) as glass,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session,
    ):
        others = [await session.get(f"{its.url}/inspector/api/live") for _ in range(MOST)]
        await glass.open("/")
        await glass.page.wait_for_selector("#away:has-text('Too many')")
        for other in others:
            other.close()
        await glass.count("room", "bound", 3)
