"""What `surface check` asks the homeserver besides whether it is there: its clock, its features, its limits.

One question each, one attempt each, nothing changed. A question that is not answered is a line of its own and
hides nothing else.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

from config import Settings
from surface.finding import Finding
from surface.matrix import session as sessions
from surface.matrix.api import CLIENT, Api, Lost, MatrixError, TokenDead
from surface.matrix.session import Session

TIMEOUT = 10.0
SKEW = 60.0
"""Seconds between two clocks that nobody has to care about."""
OLDEST = (1, 4)
"""The specification that the bot needs: threads, and rooms as it makes them."""
SMALL = 1_000_000
"""Bytes of an upload below which the answers that are sent as files may not fit."""


async def online(settings: Settings, session: Session | None) -> list[Finding]:
    """How the homeserver stands; for what only the logged in may ask, `session` is needed."""
    token = session.access_token if session else ""
    async with sessions.asking(settings.homeserver, settings.user_id, token) as api:
        asked: list[tuple[str, Callable[[], Awaitable[list[Finding]]]]] = [
            ("specification", lambda: _public(api)),
        ]
        if session is not None:
            asked += [
                ("room version", lambda: _room_versions(api, settings)),
                ("upload limit", lambda: _uploads(api)),
            ]
        findings: list[Finding] = []
        for what, question in asked:
            try:
                findings += await question()
            except (Lost, MatrixError, TokenDead) as error:
                findings.append(Finding("warn", what, f"not told: {error}", "try again"))
        return findings


async def _public(api: Api) -> list[Finding]:
    answer = await api.request("GET", "/_matrix/client/versions", timeout=TIMEOUT)
    return [_specification(answer), _clock(api.server_time)]


def _specification(answer: dict[str, Any]) -> Finding:
    told = answer.get("versions")
    numbers = [
        (int(found[1]), int(found[2]))
        for each in (told if isinstance(told, list) else [])
        if (found := re.fullmatch(r"v(\d+)\.(\d+)", str(each)))
    ]
    needed = "v" + ".".join(map(str, OLDEST))
    if not numbers or max(numbers) < OLDEST:
        most = "v" + ".".join(map(str, max(numbers, default=(1, 0))))
        lacks = f"Matrix {most} at most, and {needed} is needed"
        return Finding("fail", "specification", lacks, "update the homeserver")
    return Finding(
        "ok", "specification", f"{needed} is needed, v{'.'.join(map(str, max(numbers)))} there"
    )


def _clock(server: float | None) -> Finding:
    if server is None:
        return Finding("ok", "clock", "the homeserver does not tell its own")
    skew = time.time() - server
    if abs(skew) > SKEW:
        found = f"{abs(skew):,.0f} s {'ahead of' if skew > 0 else 'behind'} the homeserver's"
        return Finding(
            "warn", "clock", found, "have both set by NTP: times in logs and TLS rely on it"
        )
    return Finding("ok", "clock", f"within {SKEW:.0f} s of the homeserver's")


async def _room_versions(api: Api, settings: Settings) -> list[Finding]:
    answer = await api.request("GET", f"{CLIENT}/capabilities", timeout=TIMEOUT)
    told = _object(_object(answer.get("capabilities")).get("m.room_versions"))
    available = _object(told.get("available"))
    wanted = settings.room_version or str(told.get("default", ""))
    if available and wanted not in available:
        to_do = f"set `room_version` to one of: {', '.join(sorted(available))}; or leave it out"
        return [
            Finding("fail", "room version", f"the homeserver makes no rooms of {wanted}", to_do)
        ]
    return [Finding("ok", "room version", wanted or "the homeserver's own")]


async def _uploads(api: Api) -> list[Finding]:
    try:
        answer = await api.request("GET", "/_matrix/client/v1/media/config", timeout=TIMEOUT)
    except MatrixError:
        answer = await api.request("GET", "/_matrix/media/v3/config", timeout=TIMEOUT)
    most = answer.get("m.upload.size")
    if not isinstance(most, int):
        return [Finding("ok", "upload limit", "the homeserver names none")]
    if most < SMALL:
        to_do = "raise it (Synapse: max_upload_size), or long answers and files are not sent"
        return [Finding("warn", "upload limit", f"{most / 1e6:,.1f} MB", to_do)]
    return [Finding("ok", "upload limit", f"{most / 1e6:,.0f} MB")]


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
