"""Sizes of files: the settings' megabytes in bytes, and bytes as people read them."""

from __future__ import annotations

MEGABYTE = 1_000_000


def megabytes(number: float) -> int:
    """Bytes of so many megabytes."""
    return int(number * MEGABYTE)


def shown(size: int) -> str:
    """A size in megabytes, as short as it is still right; the unit is the text's."""
    return f"{size / MEGABYTE:.3g}" if size < 1000 * MEGABYTE else f"{size // MEGABYTE}"
