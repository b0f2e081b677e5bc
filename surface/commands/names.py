"""Which names people may give to rooms and saves."""

from __future__ import annotations

import unicodedata

from surface.commands.said import Said

LIMIT = 80
"""Characters of a name."""
JOINERS = "\u200c\u200d"
"""Invisible, but emoji and some scripts are spelt with them."""


def is_fine(said: Said, name: str) -> bool:
    """Whether a name can be used; if not, the person is told why."""
    if len(name) > LIMIT:
        said.reply("name-too-long", max=LIMIT)
        return False
    visible = (unicodedata.category(char) for char in name if char not in JOINERS)
    if any(category in ("Cc", "Cf", "Cs", "Zl", "Zp") for category in visible):
        said.reply("name-bad")
        return False
    return True
