"""Which room an operator means: by its id, its label or its name. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rapidfuzz import fuzz, process

from surface.terminal import Failure, harmless

Body = Mapping[str, Any]

NEAREST: Final = 3
"""Rooms that are named where none, or more than one, is meant."""
SIMILAR: Final = 60
"""How alike a name must be to be offered, of 100."""
_LABEL: Final = re.compile(r"C[1-9][0-9]*", re.IGNORECASE)


def the_room(rooms: Sequence[Body], meant: str, person: str | None = None) -> Body:
    """The room that is meant.

    Args:
        rooms: the bodies of all rooms' documents.
        meant: a room id, a label (`C7`), or a name, whose letters may be small or capital. What people call
            their rooms stands in the way of no id and of no label.
        person: only among the rooms of this person, by user id.

    Raises:
        Failure: there is none, or more than one; names those that are near.
    """
    theirs = [room for room in rooms if person is None or room["matrix_user_id"] == person]
    if person is not None and not theirs:
        raise Failure(f"{_shown(person)} has no rooms here; `surface users` lists who is known")
    found = next(filter(None, ([r for r in theirs if fits(r, meant)] for fits in _WAYS)), [])
    if len(found) == 1:
        return found[0]
    if found:
        more = f"{len(found) - NEAREST} more" if len(found) > NEAREST else ""
        told = "; ".join(filter(None, [*map(described, found[:NEAREST]), more]))
        raise Failure(f"{_shown(meant)} may be {told}. Say its id, or whose it is with --user")
    if meant.startswith("#"):
        raise Failure(
            f"{_shown(meant)}: aliases are not kept here; say the room's id, label or name"
        )
    near = _near(theirs, meant)
    hint = f"did you mean {'; or '.join(map(described, near))}?" if near else _ALL
    raise Failure(f"there is no room {_shown(meant)}: {hint}")


_ALL: Final = "`surface rooms` lists them"


def described(room: Body) -> str:
    """A room in a line: id, label, name, and whose it is."""
    parts = [room["room_id"], room["chat_id"] or room["room_type"], f"“{room['display_name']}”"]
    whose = f"of {room['matrix_user_id']}" if room["matrix_user_id"] else ""
    named = parts if room["display_name"] else parts[:2]
    return _shown(" ".join(filter(None, [*named, whose])))


def _has_id(room: Body, meant: str) -> bool:
    return bool(room["room_id"] == meant)


def _has_label(room: Body, meant: str) -> bool:
    return _LABEL.fullmatch(meant) is not None and room["chat_id"] == meant.upper()


def _has_name(room: Body, meant: str) -> bool:
    name = room["display_name"] or ""
    return bool(name) and name.casefold() == meant.casefold()


_WAYS: Final = (_has_id, _has_label, _has_name)


def _near(rooms: Sequence[Body], meant: str) -> list[Body]:
    scored: dict[int, float] = {}
    for names in (
        [room["room_id"] for room in rooms],
        [(room["display_name"] or "").casefold() for room in rooms],
    ):
        wanted = meant if meant.startswith("!") else meant.casefold()
        for name, score, at in process.extract(
            wanted, names, scorer=fuzz.ratio, limit=NEAREST, score_cutoff=SIMILAR
        ):
            if name:
                scored[at] = max(score, scored.get(at, 0))
    best = sorted(scored, key=lambda at: -scored[at])
    return [rooms[at] for at in best[:NEAREST]]


def _shown(text: str) -> str:
    return harmless(text).plain
