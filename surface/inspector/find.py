"""Finding a person or a room among many: what is asked, what fits it, and in which order.

Pure but for `Finder`, which reads the roster in a thread, one search at a time: a browser that asks faster
than it is answered does not slow the bot. Only one page of what was found leaves the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from store.roster import RoomLine, UserLine, roster

PAGE: Final = 25
"""How many are shown at once."""
LONGEST: Final = 255
"""Letters of a question that are looked at."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for; an empty part asks for nothing.

    Args:
        words: an id, a label, or a part of a name or an id.
        machine: `user` or `room`, whose `state` is asked for.
        owner: whose rooms.
        among: only these rooms; None: all, and all people.
    """

    words: str = ""
    machine: str = ""
    state: str = ""
    owner: str = ""
    among: Collection[str] | None = None


def found(
    question: Question, users: Iterable[UserLine], rooms: Iterable[RoomLine]
) -> list[UserLine | RoomLine]:
    """Everything that fits, the best first: exact, then beginning with the words, then holding them."""
    words = question.words.strip()[:LONGEST].casefold()
    fitting: list[tuple[int, str, int, str, UserLine | RoomLine]] = []
    if question.machine in ("", "user") and not question.owner and question.among is None:
        for user in users:
            if question.state in ("", user.state):
                rank = _rank(words, (user.user_id,))
                if rank is not None:
                    fitting.append((rank, user.user_id, -1, "", user))
    if question.machine in ("", "room"):
        for room in rooms:
            if not _may(room, question):
                continue
            rank = _rank(words, (room.label, room.name, room.room_id, room.user_id))
            if rank is not None:
                number = int(room.label[1:] or 0) if room.label[1:].isdecimal() else 0
                fitting.append((rank, room.user_id, number, room.room_id, room))
    fitting.sort(key=lambda entry: entry[:4])
    return [entry[4] for entry in fitting]


def page(lines: list[UserLine | RoomLine], number: int) -> dict[str, Any]:
    """One page of what was found, from 1 on, as plain values."""
    pages = max(1, -(-len(lines) // PAGE))
    number = min(max(1, number), pages)
    shown = lines[(number - 1) * PAGE : number * PAGE]
    return {
        "total": len(lines),
        "page": number,
        "pages": pages,
        "found": [_plain(line) for line in shown],
    }


class Finder:
    """Searches the file of a bot that is running.

    Args:
        database: the file.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._one = asyncio.Lock()

    async def page(self, question: Question, number: int) -> dict[str, Any]:
        """A page of what fits.

        Raises:
            StoreError: the file cannot be read.
        """
        async with self._one:
            return await asyncio.to_thread(self._page, question, number)

    def _page(self, question: Question, number: int) -> dict[str, Any]:
        return page(found(question, *roster(self._database)), number)


def _may(room: RoomLine, question: Question) -> bool:
    return (
        question.state in ("", room.state)
        and question.owner in ("", room.user_id)
        and (question.among is None or room.room_id in question.among)
    )


def _rank(words: str, texts: Iterable[str]) -> int | None:
    """0: one of the texts is it; 1: begins with it; 2: holds it; None: none does."""
    best: int | None = None
    for text in texts:
        folded = text.casefold()
        if words in ("", folded, folded.lstrip("@!")):
            return 0
        # People leave the sigil out: `alice` for `@alice:…`.
        if folded.startswith(words) or folded.lstrip("@!").startswith(words):
            best = 1
        elif best is None and words in folded:
            best = 2
    return best


def _plain(line: UserLine | RoomLine) -> dict[str, Any]:
    if isinstance(line, UserLine):
        return {"machine": "user", "id": line.user_id, "state": line.state}
    return {
        "machine": "room",
        "id": line.room_id,
        "state": line.state,
        "owner": line.user_id,
        "label": line.label,
        "name": line.name,
        "agent": line.agent_id,
    }
