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
    visible = name.translate(dict.fromkeys(map(ord, JOINERS)))
    categories = {unicodedata.category(char) for char in visible}
    if not visible.strip() or categories & {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        said.reply("name-bad")
        return False
    return True
