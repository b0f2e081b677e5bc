"""A command run by a user whose the state directory is not says that, and nothing of keys that are lost."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from config import Settings
from store import StoreError, TinyStore
from store.examine import is_there
from store.snapshot import snapshot
from surface.backup.errors import BackupError
from surface.backup.take import backup
from surface.login import end_device
from surface.matrix import session as sessions
from surface.matrix.session import Session, SessionError
from tests.rig.cli import Installation
from tests.surface.test_check_findings import _settings as settings_of

NOBODY = 65534


@pytest.fixture
async def theirs() -> AsyncIterator[Installation]:
    """A bot's state directory, in a place that everybody reaches."""
    with tempfile.TemporaryDirectory(prefix="surface-test-") as folder:
        Path(folder).chmod(0o755)
        there = Installation(Path(folder))
        await TinyStore.open(there.state_dir / "lambda_matrix.db").aclose()
        session = Session("http://localhost", "@lambda:localhost", "DEVICE", "token", "key")
        sessions.keep(there.state_dir / "matrix_store", session)
        yield there


@contextmanager
def somebody_else(place: Path, closed: int = 0) -> Iterator[None]:
    """Be a user whom this place does not belong to; who is not root has it closed instead."""
    mode = place.stat().st_mode
    if os.geteuid() == 0:
        os.seteuid(NOBODY)
    else:
        place.chmod(closed)
    try:
        yield
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        place.chmod(mode)


async def _backup(settings: Settings) -> object:
    return backup(settings, None, None)


async def _logout(settings: Settings) -> object:
    return await end_device(settings)


@pytest.mark.parametrize("command", [_backup, _logout], ids=["backup", "logout"])
async def test_the_way_out_is_the_right_user(
    theirs: Installation, command: Callable[[Settings], Awaitable[object]]
) -> None:
    session = theirs.state_dir / "matrix_store" / "session.json"
    settings = settings_of(theirs)
    with somebody_else(theirs.state_dir), pytest.raises(SessionError) as said:
        await command(settings)
    assert str(said.value) == (
        f"{session} cannot be read (Permission denied); run this as the user whose it is"
    )


async def test_a_database_of_somebody_else(theirs: Installation, tmp_path: Path) -> None:
    database = theirs.state_dir / "lambda_matrix.db"
    for look in (is_there, lambda path: snapshot(path, tmp_path / "copy")):
        with somebody_else(database), pytest.raises(StoreError, match="run this as the user whose"):
            look(database)


async def test_a_directory_that_may_be_read_only(theirs: Installation) -> None:
    (theirs.state_dir / "matrix_store" / "session.json").unlink()
    theirs.state_dir.chmod(0o555)
    if os.geteuid() == 0:
        for path in theirs.root.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
    settings = settings_of(theirs)
    with (
        somebody_else(theirs.root, 0o555),
        pytest.raises(BackupError, match="run this as the user whose"),
    ):
        await _backup(settings)
