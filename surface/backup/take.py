"""`surface backup`: one archive of the installation, taken while the bot runs.

The rule: the bot is not asked and not held up; it may be stopped as well. What is copied is what one moment's
readers of the database saw.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from config import Settings
from store import SCHEMA_VERSION
from store.documents import VERSIONS
from store.peek import peek
from store.snapshot import snapshot
from surface.backup import archive
from surface.backup.contents import (
    AGENTS,
    DATABASE,
    DEVICE,
    FORMAT,
    MATRIX_STORE,
    SETTINGS,
    Device,
    Manifest,
    of_the_account,
)
from surface.backup.errors import BackupError
from surface.matrix import session as sessions


def backup(settings: Settings, config: Path | None, passphrase: str | None) -> bytes:
    """The archive of an installation.

    Args:
        settings: of the installation.
        config: the file they were read from, if any.
        passphrase: seals it.

    Raises:
        BackupError: something that belongs into it cannot be read.
        StoreError: the database cannot be read.
        SessionError: the stored session cannot be read.
    """
    members: dict[str, bytes] = {}
    matrix_store = settings.state_dir / MATRIX_STORE
    # The account's keys first: they hardly ever change, and the database may be newer than they.
    session = sessions.load(matrix_store)
    if session is not None:
        device = Device(device_id=session.device_id, pickle_key=session.pickle_key)
        members[DEVICE] = device.model_dump_json().encode()
    for file in of_the_account(matrix_store):
        members[f"{MATRIX_STORE}/{file.name}"] = _read(file)
    for name, path in ((SETTINGS, config), (AGENTS, settings.agents)):
        if path is not None:
            members[name] = _read(path)
    with _beside(_existing(settings)) as folder:
        copy = Path(folder) / DATABASE
        snapshot(settings.state_dir / DATABASE, copy)
        meta = peek(copy, "meta")
        members[DATABASE] = _read(copy)
    manifest = Manifest(
        format=FORMAT,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        program=program_version(),
        db_schema=SCHEMA_VERSION,
        documents={str(table): v for table, v in VERSIONS.items()},
        user_id=settings.user_id,
        installation_id=str(meta["installation_id"]["value"]),
        members=[archive.member(name, data) for name, data in members.items()],
    )
    return archive.packed(manifest, members, passphrase)


def program_version() -> str:
    """The version of this program, as it was installed."""
    try:
        return version("matrix-surface")
    except PackageNotFoundError:
        return "unknown"


def _existing(settings: Settings) -> Path:
    if not settings.state_dir.is_dir():
        raise BackupError(f"{settings.state_dir}: is not there; nothing has been kept yet")
    return settings.state_dir


def _beside(state_dir: Path) -> tempfile.TemporaryDirectory[str]:
    """A folder for the copy, on the disk of the database."""
    try:
        return tempfile.TemporaryDirectory(prefix=".backup-", dir=state_dir)
    except OSError as error:
        raise BackupError(
            f"{state_dir}: the copy cannot be made there ({error.strerror}); run this as the user whose it "
            "is, and see that there is room"
        ) from error


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BackupError(f"{file}: cannot be read ({error.strerror})") from error
