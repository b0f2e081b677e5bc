"""Why an agent gave no answer, in the person's language.

One rule: what people read of a failure is ours where we know its code. Otherwise it is what the
platform says of it, shortened.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from machines.effects import Text
from surface import texts
from surface.platform.interface import CANCELLED, CLOSED, PlatformError

LONGEST: Final = 300
"""Characters of a platform's own words that are shown."""

_ENDINGS: Final[Mapping[str, Text]] = {
    "broken_off": Text("turn-broken-off"),
    "busy": Text("turn-busy"),
    "garbled": Text("turn-garbled"),
    "not_installed": Text("turn-not-installed"),
    "silent": Text("turn-timeout"),
    "timeout": Text("turn-timeout"),
    "too_long": Text("turn-too-long"),
    "unauthorized": Text("turn-unauthorized"),
    "unreachable": Text("turn-unreachable"),
}

_REASONS: Final[Mapping[str, str]] = {
    "agent_missing": "reason-gone",
    "broken_off": "reason-broken-off",
    "busy": "reason-busy",
    "confirmation_gone": "reason-asked-no-more",
    "garbled": "reason-garbled",
    "not_installed": "reason-not-installed",
    "save_missing": "reason-save-missing",
    "silent": "reason-timeout",
    "timeout": "reason-timeout",
    "unauthorized": "reason-unauthorized",
    "unreachable": "reason-unreachable",
    "unsupported": "reason-unsupported",
}


CODES: Final = frozenset({*_ENDINGS, *_REASONS, CANCELLED, CLOSED})
"""The codes that adapters share; a platform may use any other."""


def failure(error: PlatformError) -> Text:
    """Return the text that ends a failed turn."""
    if (known := _ENDINGS.get(error.code)) is not None:
        return known
    key = "turn-failed" if error.retryable else "turn-failed-for-good"
    return Text(key, {"reason": _shortened(error)})


def reason(locale: str, error: PlatformError) -> str:
    """Say why a call failed, for the gap of another text."""
    known = _REASONS.get(error.code)
    return texts.plain(locale, known) if known else _shortened(error)


def _shortened(error: PlatformError) -> str:
    said = " ".join(error.message[: 4 * LONGEST].split()).rstrip(".") or error.code or "?"
    return said if len(said) <= LONGEST else f"{said[: LONGEST - 1]}…"
