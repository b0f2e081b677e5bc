"""Whether what was unpacked can be lived with: looked into before anything is said to the homeserver.

Checksums say that a file is as it was written, not by whom. The rule: what the next start could not read, or
would take for a clean start, is refused here.
"""

from __future__ import annotations

from pathlib import Path

from store import Store
from store.documents import VERSIONS, check, migrated
from surface.backup.contents import MATRIX_STORE, Manifest
from surface.backup.errors import BackupError
from surface.matrix import identity_file


async def require_database(store: Store, manifest: Manifest) -> None:
    """The database is that of the manifest, and every document in it can be read.

    Raises:
        BackupError: it is not, or cannot be.
        StoreError: it cannot be read here.
    """
    found = await store.get("meta", "installation_id")
    held = found.body.get("value") if found is not None else None
    if held != manifest.installation_id:
        raise BackupError(
            "the database in it is empty, or of another installation than its manifest says"
        )
    for table in VERSIONS:
        for key, stored in await store.scan(table):
            check(table, key, migrated(table, stored.body))


def require_identity(folder: Path, manifest: Manifest, pickle_key: str) -> None:
    """The account's keys, if there are any, open with the key that is to open them.

    Raises:
        BackupError: they do not.
    """
    if not (folder / identity_file.FILE).exists():
        return  # Of a bot whose device was not signed.
    try:
        kept = identity_file.load(folder, manifest.user_id, pickle_key)
    except (ValueError, TypeError):
        kept = None  # It opens, and what is in it are no keys.
    if kept is None:
        raise BackupError(
            f"`{MATRIX_STORE}/{identity_file.FILE}` in it does not open with the key that belongs to it; if "
            "that is the `pickle_key` of the settings, set the one it was taken with"
        )
