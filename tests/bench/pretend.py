"""A homeserver with an account in as many rooms as one likes, none of which ever were.

It answers what a bot asks when it starts, keeps account data, and holds every later /sync open: nothing
happens in these rooms. So a start, or idling, with many rooms can be looked at without the hours that a
homeserver would take to make them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from aiohttp import web

from surface.homeserver import Login
from surface.inputs import MARKER
from surface.mirrors.content import BINDING, PROFILE
from surface.reconcile.observe import Seen

VERSIONS = {"versions": ["v1.1", "v1.11"]}
ROOM_VERSION = "12"
TOKEN = "s1"


@asynccontextmanager
async def served(home: Home) -> AsyncIterator[str]:
    """Serve it on loopback; gives the URL."""
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", home.answer)
    # Who hangs up while a sync is held open is not waited for.
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Home:
    """The homeserver.

    Args:
        me: whose account it is.
        rooms: those it is in.
    """

    def __init__(self, me: str, rooms: Mapping[str, Seen]) -> None:
        self.login = Login(user_id=me, device_id="PRETEND", access_token="token")
        self._joined = {room_id: sync_of(me, seen) for room_id, seen in rooms.items()}
        self._account: dict[str, Any] = {}
        self._device: dict[str, Any] = {}

    async def answer(self, request: web.Request) -> web.Response:
        where = request.path.removeprefix("/_matrix/client/")
        if where.endswith("/sync"):
            return await self._sync(request)
        if where == "versions":
            return web.json_response(VERSIONS)
        if where.endswith(("/login", "/whoami")):
            return web.json_response(asdict(self.login))
        if "/account_data/" in where:
            if request.method == "PUT":
                self._account[where] = await request.json()
            elif where not in self._account:
                return web.json_response({"errcode": "M_NOT_FOUND", "error": "none"}, status=404)
            return web.json_response(self._account[where] if request.method == "GET" else {})
        if where.endswith("/capabilities"):
            rooms = {"default": ROOM_VERSION, "available": {ROOM_VERSION: "stable"}}
            return web.json_response({"capabilities": {"m.room_versions": rooms}})
        if "/keys/" in where:
            return await self._keys(where, request)
        return web.json_response({})

    async def _keys(self, where: str, request: web.Request) -> web.Response:
        if where.endswith("/keys/upload"):
            self._device |= (await request.json()).get("device_keys", {})
            return web.json_response({"one_time_key_counts": {"signed_curve25519": 50}})
        if where.endswith("/keys/query"):
            device = {self.login.device_id: self._device} if self._device else {}
            return web.json_response({"device_keys": {self.login.user_id: device}})
        # The bot does without an identity, and says so.
        return web.json_response({"errcode": "M_UNRECOGNIZED", "error": "none"}, status=404)

    async def _sync(self, request: web.Request) -> web.Response:
        if request.query.get("since") is None:
            return web.json_response({"next_batch": TOKEN, "rooms": {"join": self._joined}})
        await asyncio.sleep(int(request.query.get("timeout", 0)) / 1000)
        return web.json_response({"next_batch": TOKEN})


def sync_of(me: str, seen: Seen) -> dict[str, Any]:
    """A room as a sync without a token brings it."""
    create: dict[str, Any] = {"room_version": ROOM_VERSION}
    if seen.space:
        create["type"] = "m.space"
    state = [_event(seen, "m.room.create", me, create), _member(seen, me, "join")]
    state += [_member(seen, user, membership) for user, membership in seen.members.items()]
    state.append(
        _event(seen, "m.room.power_levels", me, {"users": dict.fromkeys(seen.members, 50)})
    )
    if seen.name:
        state.append(_event(seen, "m.room.name", me, {"name": seen.name}))
    if seen.marker:
        marker = {key: value for key, value in asdict(seen.marker).items() if value is not None}
        state.append(_event(seen, MARKER, me, {"v": 1, **marker}))
    for child, (_, sender) in seen.children.items():
        state.append(_event(seen, "m.space.child", sender, {"via": ["hs"]}, child))
    mirrors = {BINDING: seen.binding, PROFILE: seen.profile}
    account = [{"type": kind, "content": its} for kind, its in mirrors.items() if its is not None]
    return {
        "state": {"events": state},
        "timeline": {"events": [], "limited": False, "prev_batch": "p"},
        "account_data": {"events": account},
        "summary": {"m.joined_member_count": 1 + len(seen.members)},
        "unread_notifications": {},
    }


def _member(seen: Seen, user_id: str, membership: str) -> dict[str, Any]:
    return _event(seen, "m.room.member", user_id, {"membership": membership}, user_id)


def _event(
    seen: Seen, kind: str, sender: str, content: dict[str, Any], key: str = ""
) -> dict[str, Any]:
    name = f"{kind}{key}{seen.room_id}".replace(":", "").replace("!", "").replace("@", "")
    return {
        "type": kind,
        "state_key": key,
        "sender": sender,
        "content": content,
        "event_id": f"${name[-42:]:x>43}",
        "origin_server_ts": 1_767_225_600_000,
    }
