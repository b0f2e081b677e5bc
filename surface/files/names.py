"""Names that strangers chose, made into names of files and folders: pure.

Two rules. A file's name keeps what a person recognises it by, and nothing that a file system, a shell or
a reader could trip over. A folder's name has a digest of the whole id in it: two ids never share one,
however much alike they are.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import PurePosixPath

ROOT = ("surfaces", "matrix")
"""Where the folders of this surface are in the workspace."""
INBOX = "inbox"

NAME_BYTES = 255
"""What a name may have at most, on ext4 and most others."""
READABLE = 64
"""Characters of an id that are kept for people to recognise."""
SUFFIX_BYTES = 24
"""A longer end of a name is no suffix that says a type."""
UNNAMED = "file"
STAMP = 32
"""Characters that every name in an inbox begins with: when it was sent, and a digest of its event."""

_LAST_SECOND = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()
_FORBIDDEN = frozenset('/\\<>:"|?*')
"""What some file system does not allow in a name."""
_RESERVED = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {f"{device}{n}" for device in ("com", "lpt") for n in "0123456789¹²³"}
)
"""Windows takes these for devices, whatever suffix they have."""
_UNREADABLE = re.compile(r"[^a-z0-9_]+")


def folder_name(matrix_id: str) -> str:
    """The folder of a user or room: readable, and another one for every id.

    Only lower case, so that it is another one where case does not count, too.
    """
    readable = _UNREADABLE.sub("-", matrix_id.lower())[:READABLE].strip("-")
    digest = _digest(matrix_id, 16)
    return f"{readable}-{digest}" if readable else digest


def file_name(name: str, *, most: int = NAME_BYTES) -> str:
    """A name for a file, as much like the one given as is safe.

    Args:
        name: as somebody else gave it, folders and all.
        most: bytes that it may have.
    """
    last = PurePosixPath(unicodedata.normalize("NFC", name).replace("\\", "/")).name
    kept = "".join("_" if c in _FORBIDDEN else c for c in last if not _is_hidden(c))
    kept = " ".join(kept.split()).lstrip(".-~ ").rstrip(". ")
    if not kept:
        return UNNAMED
    if kept.partition(".")[0].rstrip().casefold() in _RESERVED:
        kept = f"_{kept}"
    return _shortened(kept, most)


def inbox_path(user_id: str, room_id: str, event_id: str, sent: float, name: str) -> str:
    """Where the file of an event is put, relative to the workspace: the same whenever it is asked.

    Args:
        sent: when, in seconds, by the homeserver's clock.
        name: as the sender gave it.
    """
    moment = datetime.fromtimestamp(min(max(sent, 0.0), _LAST_SECOND), UTC)
    stamp = f"{moment:%Y%m%d-%H%M%S}-{_digest(f'{room_id}/{event_id}', 8)}"
    safe = file_name(name, most=NAME_BYTES - len(stamp) - 1)
    folders = (*ROOT, folder_name(user_id), folder_name(room_id), INBOX)
    return "/".join((*folders, f"{stamp}-{safe}"))


def parts_of(path: str) -> tuple[str, ...] | None:
    """The components of a path inside the workspace; None if it is none, or tries to get out."""
    if not path or len(path) > 4096 or "\0" in path or path.startswith("/"):
        return None
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if not parts or ".." in parts or not _is_encodable(path):
        return None
    return parts


def is_of_room(parts: tuple[str, ...], room_id: str) -> bool:
    """Whether a room may see what lies there: nothing of another room, nor of another surface.

    What is not under `surfaces/` is the agents' own, and theirs to show.
    """
    if parts[0].casefold() != ROOT[0]:
        return True
    return parts[:2] == ROOT and len(parts) > 4 and parts[3] == folder_name(room_id)


def _digest(text: str, size: int) -> str:
    # A lone surrogate is no text, but must not stop us either.
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).hexdigest()


def _is_hidden(character: str) -> bool:
    """Control, direction and other invisible characters, and what is no character at all."""
    category = unicodedata.category(character)
    return category[0] == "C" or category in ("Zl", "Zp")


def _shortened(name: str, most: int) -> str:
    """Cut in the middle: the suffix stays, because it says what the file is."""
    if len(name.encode()) <= most:
        return name
    stem, dot, suffix = name.rpartition(".")
    end = f".{suffix}"
    if not dot or not stem or len(end.encode()) > SUFFIX_BYTES:
        stem, end = name, ""
    room = most - len(end.encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip(". ") + end


def _is_encodable(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
