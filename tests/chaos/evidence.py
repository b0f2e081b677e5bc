"""What is in all rooms, asked of the homeserver by a device of its account that the bot does not know."""

from __future__ import annotations

import json
from typing import Any

from surface.matrix.rooms import MARKER
from tests.rig.api import MatrixApi
from tests.rig.bot import Bot
from tests.rig.laws import Household, State


class Witness:
    """Sees what is in the rooms that the bot is in; `close` it in the end."""

    def __init__(self, url: str, bot: Bot) -> None:
        self._bot = bot
        self._api = MatrixApi(url, bot.login.access_token)

    async def close(self) -> None:
        await self._api.close()

    async def rooms(self) -> list[str]:
        """The rooms that the bot is in."""
        return list((await self._api.call("GET", "joined_rooms"))["joined_rooms"])

    async def timeline(self, room_id: str) -> list[dict[str, Any]]:
        """All events of a room, oldest first."""
        events: list[dict[str, Any]] = []
        query: dict[str, str | int] = {"dir": "f", "limit": 500}
        while True:
            page = await self._api.call("GET", "rooms", room_id, "messages", query=query)
            events += page["chunk"]
            if "end" not in page:
                return events
            query["from"] = page["end"]

    async def state(self, room_id: str) -> State:
        """The state of a room."""
        events = await self._api.call("GET", "rooms", room_id, "state")
        return {(event["type"], event["state_key"]): event["content"] for event in events}

    async def household(self, user_id: str) -> Household:
        """A person's rooms, by the store and by the homeserver."""
        states = {room_id: await self.state(room_id) for room_id in await self.rooms()}
        markers = {
            room_id: state[MARKER, ""] for room_id, state in states.items() if (MARKER, "") in state
        }
        return Household(
            user=self._bot.user(user_id),
            chats=self._bot.rooms_of(user_id),
            index=self._bot.documents("chats"),
            markers={room: m for room, m in markers.items() if m.get("owner") == user_id},
            states=states,
            agents={agent["id"]: agent["name"] for agent in self._bot.agents},
        )

    async def unmarked(self, invited: set[str]) -> list[str]:
        """Rooms that the bot is in, and nobody knows what for: half a creation, or two of one."""
        found = []
        for room_id in await self.rooms():
            state = await self.state(room_id)
            if (MARKER, "") not in state and room_id not in invited:
                found.append(f"{room_id}: {json.dumps(sorted(kind for kind, _ in state))}")
        return found
