"""Why an agent gave no answer, in the person's language.

One rule: what people read of a failure is ours where we know its code. Otherwise it is what the
platform says of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from machines.effects import Text
from surface.platform.interface import PlatformError

_KNOWN: Final[Mapping[str, Text]] = {
    "broken_off": Text("turn-broken-off"),
    "busy": Text("turn-busy"),
    "garbled": Text("turn-garbled"),
    "silent": Text("turn-timeout"),
    "timeout": Text("turn-timeout"),
    "too_long": Text("turn-too-long"),
    "unauthorized": Text("turn-unauthorized"),
    "unreachable": Text("turn-unreachable"),
}


def failure(error: PlatformError) -> Text:
    """Return the text for a failed turn."""
    said = error.message.strip().rstrip(".")
    return _KNOWN.get(error.code) or Text("turn-failed", {"reason": said or error.code})
