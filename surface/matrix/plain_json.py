"""JSON of a homeserver's, without what nobody can read: endless nesting, and halves of letters.

Anybody can write an event of a thousand objects in one another, to the bot's device without even sharing
a room with it. Parsers, copies and checks recurse, and would end in the middle of everything else that came
with it. So what lies deeper than `DEEPEST` is `null`, for all who read; no event that means something is a
tenth as deep. So is an integer that no Matrix event may hold, for Python reads and writes none of more than
some thousand digits. And a half of a surrogate pair, which JSON can spell and UTF-8 cannot, is `?`.
"""

from __future__ import annotations

import json
import re
from typing import Any

DEEPEST = 100
"""How many arrays and objects may stand in one another."""

LONGEST_INTEGER = len(str(-(2**53)))
"""Characters of one; the spec (canonical JSON) ends at 2**53 - 1."""

_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
"""How JSON spells one; raw it is no UTF-8."""
_PARTS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[][{}]|[^][{}"]+', re.DOTALL)
"""A string that does not end is one part, too: begun anew at each quote in it, it would take for ever."""


def parse(raw: bytes) -> Any:
    """The value of a JSON text, with `None` in the place of what lies too deep or is too long, and all of it
    encodable.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        value = json.loads(raw, parse_int=_integer)
    except RecursionError:
        value = json.loads(_cut(raw), parse_int=_integer)
    _flatten(value)
    if _HALF.search(raw):
        value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    return value


def _integer(text: str) -> int | None:
    return int(text) if len(text) <= LONGEST_INTEGER else None


def _flatten(value: Any) -> None:
    """Level by level, for a walk down would recurse itself."""
    level = [value]
    for _ in range(DEEPEST - 1):
        level = [
            inner
            for outer in level
            if outer.__class__ is dict or outer.__class__ is list
            for inner in (outer.values() if outer.__class__ is dict else outer)
        ]
        if not level:
            return
    for outer in level:
        if isinstance(outer, dict | list):
            for key, inner in list(outer.items() if isinstance(outer, dict) else enumerate(outer)):
                if isinstance(inner, dict | list):
                    outer[key] = None


def _cut(raw: bytes) -> bytes:
    """The text as far as a parser can follow."""
    kept: list[bytes] = []
    depth = 0
    for found in _PARTS.finditer(raw):
        part = found[0]
        if part in b"[{":
            depth += 1
            if depth == DEEPEST + 1:
                kept.append(b"null")
        if depth <= DEEPEST:
            kept.append(part)
        if part in b"]}":
            depth -= 1
    return b"".join(kept)
