"""What is in an archive, and what deliberately is not.

In it: a consistent copy of the database; what lies in `matrix_store/` and belongs to the account, not to the
device; the device's name and the key that its files are sealed with; settings and registry.

Not in it: the device's session and its encryption keys. A device cannot be two, and old keys brought back
would wedge every encrypted conversation since; so a restored bot is a new device. Neither are the files that
secrets are read from (`password_file` and the like), nor the workspace, which is the agents'.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from surface.login import DATABASE, MATRIX_STORE
from surface.matrix.session import FILE as SESSION

FORMAT = 1
"""The version of archives as this program writes them."""
DEVICE = "device.json"
SETTINGS, AGENTS = "config/surface.yaml", "config/agents.yaml"

__all__ = ["AGENTS", "DATABASE", "DEVICE", "FORMAT", "MATRIX_STORE", "SETTINGS"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Member(_Strict):
    """One file of an archive."""

    name: str
    size: int
    sha256: str


class Manifest(_Strict):
    """What an archive says of itself."""

    kind: Literal["surface-backup"] = "surface-backup"
    format: int
    made_at: str
    """ISO 8601, UTC."""
    program: str
    """The version of the program that wrote it."""
    db_schema: int
    documents: dict[str, int]
    """The version of each table's documents."""
    user_id: str
    installation_id: str
    members: list[Member]


class Device(_Strict):
    """The device that the bot was when the backup was taken."""

    device_id: str
    pickle_key: str
    """What the account's keys in `matrix_store/` are sealed with; empty: with the one in the settings."""


def of_the_account(matrix_store: Path) -> list[Path]:
    """The files of `matrix_store/` that outlive a device."""
    if not matrix_store.is_dir():
        return []
    return sorted(
        file for file in matrix_store.iterdir() if file.is_file() and _outlives_a_device(file.name)
    )


def may_be_restored(name: str) -> bool:
    """Whether a member may be put back into a state directory under its own name."""
    folder, _, file = name.rpartition("/")
    if name in (DATABASE, DEVICE, SETTINGS, AGENTS):
        return True
    plain = file not in ("", ".", "..") and "\\" not in file and file.isprintable()
    return folder == MATRIX_STORE and plain and _outlives_a_device(file)


def _outlives_a_device(name: str) -> bool:
    """Whether a file of `matrix_store/` is neither the session nor the crypto state of a device."""
    return not (name.startswith(SESSION) or ".db" in name or name.endswith((".new", ".old")))
