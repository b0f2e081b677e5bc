"""Everything a demo stands on: homeserver, its two users, the bot, and the guest before it.

Rule: whoever leaves the `setting`, by whatever way, leaves no process behind; a process that ends by itself
ends the demo.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from config import Registry
from surface.demo.bot import Bot
from surface.demo.errors import DemoError
from surface.demo.folder import BOT, GUEST, Folder
from surface.demo.guest import Guest
from surface.demo.places import Place, places
from surface.homeserver import Homeserver

Progress = Callable[[str], None]

_DEVICE: Final = "SURFACEDEMO"
_MEETING_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Setting:
    """A demo that is running."""

    folder: Folder
    agents: Registry
    homeserver: Homeserver
    bot: Bot
    guest: Guest
    home: str
    """The guest's room with the bot."""
    inspector: str | None
    """Where the bot is inspected, the token included; None: it has no port."""
    first_time: bool
    """Whether the guest has just met the bot."""

    def places(self) -> list[Place]:
        """The guest's rooms as they are now."""
        return places(self.guest, self.folder.database, self.agents)

    def place(self, room_id: str) -> Place:
        """One of them, or one that the guest has left meanwhile."""
        left = Place(room_id, room_id, None, "left", None, None)
        return next((place for place in self.places() if place.room_id == room_id), left)

    async def broken(self) -> DemoError:
        """Wait until something ends by itself that should not, and say so."""
        ended = asyncio.create_task(self.bot.ended())
        try:
            while self.homeserver.pid is not None:
                await asyncio.wait({ended}, timeout=_LOOK_SECONDS)
                if ended.done():
                    return ended.result()
            return DemoError(f"The homeserver ended. Its log is {self.homeserver.log_path}")
        finally:
            ended.cancel()


@asynccontextmanager
async def setting(
    folder: Folder, agents: Registry, agents_file: Path, say: Progress
) -> AsyncIterator[Setting]:
    """Start everything in `folder`; stops it on the way out.

    Args:
        agents: the registry in `agents_file`.
        say: is told what is being waited for.

    Raises:
        DemoError, HomeserverError: something did not start; says why.
    """
    server = Homeserver(folder.homeserver)
    try:
        await server.start(say)
        bot_id = await server.ensure_user(BOT, folder.bot_password)
        await server.ensure_user(GUEST, folder.guest_password)
        token = secrets.token_urlsafe(24)
        folder.write_config(server.url, bot_id, agents_file, token)
        say(f"Starting the bot, {bot_id}")
        bot = await Bot.start(folder)
        try:
            login = await server.login(GUEST, folder.guest_password, device_id=_DEVICE)
            async with Guest(server.url, login, bot_id) as guest:
                say(f"Meeting {bot_id}")
                home, first_time = await _meet(guest)
                # In the fragment: that stays in the browser.
                inspector = f"{bot.ops}/inspector#token={token}" if bot.ops else None
                yield Setting(folder, agents, server, bot, guest, home, inspector, first_time)
        finally:
            say("Stopping the bot")
            await bot.stop()
    finally:
        say("Stopping the homeserver")
        await server.stop()


async def _meet(guest: Guest) -> tuple[str, bool]:
    """The guest's home room, and whether it is new."""
    if homes := guest.homes():
        return homes[0], False
    home = await guest.invite_bot()
    try:
        await guest.until(lambda: home in guest.homes() and _is_at_home(guest), _MEETING_SECONDS)
    except TimeoutError:
        raise DemoError(
            f"{guest.bot} did not make rooms for {guest.user_id} in {_MEETING_SECONDS:.0f} s"
        ) from None
    return home, True


def _is_at_home(guest: Guest) -> bool:
    joined = guest.joined()
    chats = [room for room in joined if room.marker.get("kind") == "chat"]
    welcomed = any(m.sender == guest.bot for room in joined for m in room.messages.values())
    return bool(chats) and welcomed
