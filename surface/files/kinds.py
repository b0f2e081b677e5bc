"""What a file is, by its content: the name and the type that somebody claims may both lie.

Only what is cheap to learn: the beginning of the file tells its type, its headers how large a picture is and
how long a recording lasts. What cannot be told is left out; clients do without.
"""

from __future__ import annotations

import io
import os
import re
from dataclasses import dataclass
from typing import Any

import filetype
from tinytag import TinyTag
from tinytag.tinytag import TinyTagException

try:
    from PIL import Image, ImageOps
except ImportError:  # the extra `pictures` is not installed
    Image = None  # type: ignore[assignment]

UNKNOWN = "application/octet-stream"
HEAD = 8192
"""Bytes that are looked at to tell a type."""
THUMBNAIL = (800, 600)
SMALL = 64 * 1024
"""Bytes of a picture that needs no thumbnail."""
MOST_PIXELS = 16_000_000
"""A larger picture gets no thumbnail: its size in memory is not in proportion to its size as a file."""
PICTURES = {"image/png": "PNG", "image/jpeg": "JPEG", "image/gif": "GIF", "image/webp": "WEBP"}
"""What clients show as a picture. Not SVG: it may hold programs."""
_RECORDINGS = frozenset({"audio", "video"})
_TYPE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}/[a-z0-9][a-z0-9.+_-]{0,63}")


@dataclass(frozen=True)
class Thumbnail:
    """A small picture of a picture."""

    data: bytes
    mime_type: str
    width: int
    height: int


@dataclass(frozen=True)
class Kind:
    """What was found out about a file."""

    mime_type: str
    width: int | None = None
    height: int | None = None
    duration_ms: int | None = None
    thumbnail: Thumbnail | None = None

    @property
    def msgtype(self) -> str:
        """How it is sent (spec: `m.room.message` msgtypes)."""
        major = self.mime_type.partition("/")[0]
        if self.mime_type in PICTURES:
            return "m.image"
        return f"m.{major}" if major in _RECORDINGS else "m.file"

    @property
    def info(self) -> dict[str, Any]:
        """What of the event's `info` it tells."""
        told = {"w": self.width, "h": self.height, "duration": self.duration_ms}
        return {"mimetype": self.mime_type, **{k: v for k, v in told.items() if v is not None}}


def type_of(head: bytes, claimed: str) -> str:
    """The type of a file: what its beginning says, else what is claimed, if that could be.

    A claim to be something that would have been recognised is not believed.
    """
    found = filetype.guess(head) if head else None  # type: ignore[no-untyped-call]
    if found is not None:
        return str(found.mime)
    claimed = claimed.partition(";")[0].strip().lower()
    if not _TYPE.fullmatch(claimed):
        return UNKNOWN
    if claimed in _RECOGNISED and head:
        return UNKNOWN
    return claimed


_RECOGNISED = frozenset(kind.mime for kind in filetype.TYPES) | frozenset(PICTURES)


def look_at(handle: int, claimed: str) -> Kind:
    """Find out what a file is; never fails, whatever is in it.

    Args:
        handle: open for reading; where it stands afterwards is not told.
        claimed: the type that somebody says it has.
    """
    head = os.pread(handle, HEAD, 0)
    mime_type = type_of(head, claimed)
    with os.fdopen(os.dup(handle), "rb") as file:
        file.seek(0)
        if mime_type in PICTURES:
            return _picture(file, mime_type)
        if mime_type.partition("/")[0] in _RECORDINGS:
            return Kind(mime_type, duration_ms=_duration(file))
    return Kind(mime_type)


def _picture(file: io.BufferedReader, mime_type: str) -> Kind:
    if Image is None:
        return Kind(mime_type)
    try:
        with Image.open(file, formats=[PICTURES[mime_type]]) as picture:
            width, height = picture.size
            if picture.getexif().get(_ORIENTATION, 1) >= 5:
                width, height = height, width
            size = os.fstat(file.fileno()).st_size
            small = width <= THUMBNAIL[0] and height <= THUMBNAIL[1]
            if (small and size <= SMALL) or picture.width * picture.height > MOST_PIXELS:
                return Kind(mime_type, width, height)
            return Kind(mime_type, width, height, thumbnail=_thumbnail(picture))
    except Exception:
        # Whatever Pillow says of it: clients may still be able to show it.
        return Kind(mime_type)


_ORIENTATION = 0x0112
"""The Exif tag that says how the camera was held; from 5 on, on its side."""


def _thumbnail(picture: Any) -> Thumbnail:
    picture.draft("RGB", THUMBNAIL)
    small = ImageOps.exif_transpose(picture)
    small.thumbnail(THUMBNAIL)
    clear = small.mode in ("RGBA", "LA", "P", "PA")
    out = io.BytesIO()
    if clear:
        small.convert("RGBA").save(out, "PNG")
    else:
        small.convert("RGB").save(out, "JPEG", quality=80)
    return Thumbnail(out.getvalue(), "image/png" if clear else "image/jpeg", *small.size)


def _duration(file: io.BufferedReader) -> int | None:
    try:
        seconds = TinyTag.get(file_obj=file, tags=False).duration
    except (TinyTagException, OSError, ValueError, ArithmeticError, LookupError, TypeError):
        return None
    except Exception:
        # A parser of what strangers wrote: no error of its may be ours.
        return None
    return round(seconds * 1000) if seconds and 0 < seconds < 10_000_000 else None
