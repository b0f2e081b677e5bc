"""Which names people may give to rooms and saves."""

from __future__ import annotations

import unicodedata

from surface.commands.said import Said

LIMIT = 80
"""Characters of a name."""


def is_fine(said: Said, name: str) -> bool:
    """Whether a name can be used; if not, the person is told why."""
    if len(name) > LIMIT:
        said.reply("name-too-long", max=LIMIT)
        return False
    if any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in name):
        said.reply("name-bad")
        return False
    return True
