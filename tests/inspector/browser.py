"""A real Chromium before the inspector: what a person sees, and everything that it asks for.

Chromium is the system's (Debian: `apt-get install chromium`), driven by Playwright from the package registry;
without it the tests skip and say so.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from playwright.async_api import Page, async_playwright

from tests.rig.bot import Bot

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SCREENSHOTS = "INSPECTOR_SCREENSHOTS"
"""The directory into which tests put what they saw; unset, nowhere."""
TOKEN = "the-inspectors-token-of-the-tests"
SHOWN = {"host": "127.0.0.1", "port": 0, "inspector": True, "inspector_token": TOKEN}
"""`ops` of a bot with an inspector."""
PATIENCE = 20_000
"""Milliseconds that a page is waited for."""


def missing() -> str | None:
    """Why there is no browser here."""
    return None if _binary() else "no Chromium here (Debian: apt-get install chromium)"


def _binary() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


async def address(bot: Bot) -> str:
    """Where a bot that has started is inspected."""
    listening = await bot.logged("ops.listening")
    return f"http://{listening['host']}:{listening['port']}"


@dataclass
class Glass:
    """A page of the browser, and what went on in it.

    Attributes:
        asked: the addresses that it has asked for.
        complaints: what its console was told as an error, and exceptions.
    """

    page: Page
    url: str
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    async def open(self, fragment: str = "/", *, token: str | None = TOKEN) -> None:
        """Show a part of the page, as somebody who has the token."""
        if token is not None:
            await self.page.goto(f"{self.url}/inspector#token={token}")
            await self.page.wait_for_selector("main > *, #away:not([hidden])")
        await self.page.goto(f"{self.url}/inspector#{fragment}")

    async def room(self, room_id: str) -> None:
        """Show a room."""
        await self.open(f"/room/{quote(room_id, safe='')}")
        await self.page.wait_for_selector(".history tbody")

    async def count(self, machine: str, state: str, number: int) -> None:
        """Wait until the overview counts so many, as a word and on the diagram."""
        await self.page.wait_for_function(
            """([machine, state, number]) => {
                const chip = document.querySelector(`.card.${machine} [data-of="${state}"] b`);
                const badge = document.querySelector(
                    `.card.${machine} g[data-state="${state}"] .marks text.count`);
                const shown = number.toLocaleString("en");
                return chip?.textContent === shown && (number ? badge?.textContent === shown : !badge);
            }""",
            arg=[machine, state, number],
        )

    async def stands(self, machine: str, state: str) -> None:
        """Wait until a machine's diagram is lit in a state, and in no other."""
        await self.page.wait_for_function(
            """([machine, state]) => {
                const lit = [...document.querySelectorAll(`.card.${machine} .ring:not(.visited)`)];
                return lit.length === 1 && lit[0].closest("g[data-state]").dataset.state === state;
            }""",
            arg=[machine, state],
        )

    async def text(self, selector: str) -> str:
        """What stands there."""
        return " ".join((await self.page.inner_text(selector)).split())

    async def focused(self) -> str:
        """What the keyboard is at: its id, or its words."""
        said = await self.page.evaluate(
            "document.activeElement.id || document.activeElement.textContent"
        )
        return " ".join(str(said).split())

    async def shot(self, name: str) -> None:
        """Keep what is seen, where pictures are wanted."""
        if folder := os.environ.get(SCREENSHOTS):
            Path(folder).mkdir(parents=True, exist_ok=True)
            await self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)

    def foreign(self) -> list[str]:
        """What it asked of others than the bot."""
        here = urlsplit(self.url).netloc
        return [url for url in self.asked if urlsplit(url).netloc != here]


@asynccontextmanager
async def browsing(url: str, **context: Any) -> AsyncIterator[Glass]:
    """A browser before `url`; `context`: options of Playwright's `new_context`."""
    if reason := missing():
        pytest.skip(reason)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=_binary(), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            options = {"viewport": {"width": 1400, "height": 950}, **context}
            page = await (await browser.new_context(**options)).new_page()
            page.set_default_timeout(PATIENCE)
            glass = Glass(page, url)
            page.on("request", lambda request: glass.asked.append(request.url))
            page.on("pageerror", lambda error: glass.complaints.append(str(error)))
            page.on("console", lambda message: _note(glass, message.type, message.text))
            yield glass
        finally:
            await browser.close()


def _note(glass: Glass, kind: str, text: str) -> None:
    # That an answer was no 200 is told by the page, in its own words.
    if kind == "error" and not re.match(r"Failed to load resource: ", text):
        glass.complaints.append(text)
