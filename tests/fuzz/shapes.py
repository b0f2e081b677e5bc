"""The names of those who take part, and the shapes that the fuzz begins from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ME, ALICE = "@lambda:hs", "@alice:hs"
HOME, SPACE, ROOM = "!home", "!space", "!room"
RECORDED = Path(__file__).with_name("recorded.json")
"""Responses to /sync, as Synapse sent them (`record.py`)."""


def recorded() -> list[dict[str, Any]]:
    """The responses, one by one."""
    found: list[dict[str, Any]] = json.loads(RECORDED.read_text())
    return found
