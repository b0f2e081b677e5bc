"""What has to be mended, found by comparing documents with the world. Pure.

Today's findings are those about the agent registry; each becomes a machine's event, never an assignment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from config import Registry


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be, and the event that mends it."""

    machine: Literal["user", "room"]
    key: str
    """MXID or room id."""
    event: str


def plan(
    users: Iterable[Mapping[str, Any]], rooms: Iterable[Mapping[str, Any]], agents: Registry
) -> list[Finding]:
    """The steps to take, in order; none when everything fits."""
    findings = []
    for user in users:
        known = user["selected_agent_id"] in agents.ids
        if user["state"] == "ready" and not known:
            findings.append(Finding("user", user["user_id"], "observed_agent_missing"))
        elif user["state"] == "choosing" and known:
            findings.append(Finding("user", user["user_id"], "observed_agent_back"))
    for room in rooms:
        known = room["agent_id"] in agents.ids
        if room["state"] in ("bound", "cleared") and not known:
            findings.append(Finding("room", room["room_id"], "observed_agent_missing"))
        elif room["state"] == "unbound" and known and room["platform_chat_id"] is not None:
            findings.append(Finding("room", room["room_id"], "observed_agent_back"))
    return findings
