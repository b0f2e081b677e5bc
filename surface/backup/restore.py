"""`surface restore`: an installation out of an archive, in an empty state directory.

Rules: an archive is taken whole or refused whole. And the restored bot is a *new device*, which the next
start signs: an old crypto state brought back would wedge every encrypted conversation since.

A backup is old. What had happened after it is known to Matrix: newer mirrors win over older documents when
the next start looks at all rooms. What was under way when it was taken has long been done, or will be heard
once more from the read markers on; so it is not done again (`outdated`). The ids that may have been issued
after it are skipped.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from config import PasswordLogin, Settings, TokenLogin
from machines.effects import PLATFORM_CHAT_SEQ, CreateRoom, ForgetUser, LeaveRoom
from store import (
    Delete,
    DocumentError,
    Put,
    Store,
    StoreDamaged,
    StoreError,
    TinyStore,
    Write,
)
from store.documents import VERSIONS, migrated
from store.lock import StateLock
from surface import logs
from surface.backup import archive
from surface.backup.contents import (
    AGENTS,
    DATABASE,
    DEVICE,
    MATRIX_STORE,
    SETTINGS,
    Device,
    Manifest,
)
from surface.backup.errors import BackupError
from surface.backup.sound import require_database, require_identity
from surface.case import decode_row
from surface.failpoints import Failpoints
from surface.matrix import session as sessions
from surface.matrix.account_data import AccountData
from surface.matrix.api import Lost, MatrixError, TokenDead
from surface.matrix.identity_file import FILE as IDENTITY
from surface.matrix.session import Session, SessionError
from surface.mirrors.content import INSTALLATION, Installation, read_installation

_STAGING = ".restore"
_NOT_STATE = frozenset(
    {"lost+found", _STAGING, Path(DATABASE).with_suffix(".lock").name, logs.KEY_FILE}
)
"""What does not make a state directory full; the log's key is made before there is anything to lose."""


@dataclass(frozen=True)
class Restored:
    """What came of it."""

    manifest: Manifest
    session: Session
    was: str | None
    """The device that the bot was."""
    has_identity: bool
    """The account's keys came with it, so that the next start signs the device."""


def read(file_data: bytes, label: str, passphrase: str | None) -> tuple[Manifest, dict[str, bytes]]:
    """The archive, proven whole.

    Raises:
        BackupError: it is refused; `label` names it.
    """
    try:
        return archive.opened(file_data, passphrase)
    except BackupError as error:
        raise BackupError(f"{label}: {error}") from None


def restore_config(members: dict[str, bytes], folder: Path) -> list[Path]:
    """Write settings and registry out of an archive into a folder.

    Raises:
        BackupError: one of them is there already, or cannot be written.
    """
    wanted = {
        folder / Path(name).name: members[name] for name in (SETTINGS, AGENTS) if name in members
    }
    for path in wanted:
        if path.exists():
            raise BackupError(f"{path}: is there already; name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BackupError(f"{folder}: cannot be made ({error.strerror})") from error
    for path, data in wanted.items():
        archive.keep(path, data)
    return list(wanted)


async def restore(
    settings: Settings, manifest: Manifest, members: dict[str, bytes], label: str
) -> Restored:
    """Fill the empty state directory from an archive, and log in as a new device.

    Raises:
        BackupError: the archive or the directory does not fit; nothing was changed.
        SessionError: the login is not possible; nothing was changed.
        StoreError: the bot is running, or the directory cannot be written.
    """
    if manifest.user_id != settings.user_id:
        raise BackupError(
            f"{label}: is of {manifest.user_id}, but `user_id` is {settings.user_id}; correct `user_id`, "
            "or take the right file"
        )
    if DATABASE not in members:
        raise BackupError(f"{label}: holds no database")
    device = _device(members, label)
    way = settings.login
    if isinstance(way, TokenLogin) and device is not None and way.device_id == device.device_id:
        raise BackupError(
            f"the settings name device {device.device_id}, whose encryption keys are in no backup. Give "
            "the `password`, or the `access_token` and `device_id` of a new login"
        )
    # What the account keeps beside the device is sealed with it; empty: with the one in the settings.
    key = device.pickle_key if device is not None else None
    if key == "" and settings.pickle_key is None:
        raise BackupError(
            f"{label}: the keys in it are sealed with the `pickle_key` of the settings it was taken with; "
            "set that one again"
        )
    with _emptied(settings.state_dir) as staging:
        (staging / MATRIX_STORE).mkdir(mode=0o700)
        for name, data in members.items():
            if name == DATABASE or name.startswith(f"{MATRIX_STORE}/"):
                _write(staging / name, data)
        sealed_with = key or (settings.pickle_key.get_secret_value() if settings.pickle_key else "")
        try:
            require_identity(staging / MATRIX_STORE, manifest, sealed_with)
            await _made_fit(staging / DATABASE, manifest)
        except BackupError as error:
            raise BackupError(f"{label}: {error}") from error
        async with _new_device(settings) as made:
            await _require_same(made, manifest, label)
            session = replace(made, pickle_key=key if key is not None else made.pickle_key)
            sessions.keep(staging / MATRIX_STORE, session)
            _move_in(staging, settings.state_dir)
    has_identity = f"{MATRIX_STORE}/{IDENTITY}" in members
    return Restored(manifest, session, device.device_id if device else None, has_identity)


def _device(members: dict[str, bytes], label: str) -> Device | None:
    if DEVICE not in members:
        return None
    try:
        return Device.model_validate_json(members[DEVICE])
    except ValidationError:
        # Not what it says of the file: that holds a key.
        raise BackupError(f"{label}: `{DEVICE}` in it cannot be read by this version") from None


async def outdated(store: Store) -> list[Write]:
    """What has to change in an old copy of a store before a bot goes on with it.

    Raises:
        StoreError: a document cannot be read by this version.
    """
    writes: list[Write] = []
    for table in VERSIONS:
        for key, stored in await store.scan(table):
            if table in ("inbox", "turns", "dirty"):
                writes.append(Delete(table, key))
            elif table == "outbox":
                effect = decode_row(key, stored.body).effect
                # Said is said. What makes or ends rooms looks first whether it was done.
                if not isinstance(effect, CreateRoom | LeaveRoom | ForgetUser):
                    writes.append(Delete(table, key))
    writes.append(Delete("meta", "next_batch"))
    sequence = await store.get("meta", PLATFORM_CHAT_SEQ)
    if sequence is not None:
        body = migrated("meta", sequence.body)
        spent = max(int(body["value"]), int(body.get("reserved") or 0))
        writes.append(Put("meta", PLATFORM_CHAT_SEQ, {**body, "value": spent}, sequence.rev))
    return writes


async def _made_fit(database: Path, manifest: Manifest) -> None:
    try:
        store = TinyStore.open(database)
        try:
            await require_database(store, manifest)
            await store.save(await outdated(store))
        finally:
            await store.aclose()
    except StoreDamaged as error:
        raise BackupError("the database in it is none, or damaged") from error
    except (DocumentError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise BackupError(f"the database in it cannot be read: {error}") from error
    for beside in database.parent.glob(f"{database.stem}.lock"):
        beside.unlink()


@asynccontextmanager
async def _new_device(settings: Settings) -> AsyncIterator[Session]:
    """A session that no other process has; taken back when what it is for fails."""
    way = settings.login
    if isinstance(way, PasswordLogin):
        if way.device_id is not None:
            raise BackupError(
                "a restored bot is a new device: take `device_id` out of the settings"
            )
        session = await sessions.log_in(
            settings.homeserver, settings.user_id, way.password.get_secret_value()
        )
    else:
        token = way.access_token.get_secret_value()
        key = secrets.token_urlsafe(32)
        session = Session(settings.homeserver, settings.user_id, way.device_id, token, key)
    try:
        yield session
    except BaseException:
        if isinstance(way, PasswordLogin):
            await sessions.log_out(session)
        raise


async def _require_same(session: Session, manifest: Manifest, label: str) -> None:
    """The account may have gone on as another installation, whose ids must not be met."""
    try:
        async with sessions.asking(
            session.homeserver, session.user_id, session.access_token
        ) as api:
            account = AccountData(api, Failpoints(None), session.user_id)
            found = read_installation(await account.read(INSTALLATION))
    except TokenDead:
        raise SessionError(
            "the homeserver does not know the `access_token`; give a new one"
        ) from None
    except (Lost, MatrixError) as error:
        raise SessionError(f"{session.homeserver} does not answer: {error}; try again") from error
    if isinstance(found, Installation) and found.installation_id != manifest.installation_id:
        raise BackupError(
            f"{label}: is of installation {manifest.installation_id}, but {session.user_id} is in use by "
            f"installation {found.installation_id}; take a backup of that one"
        )


@contextmanager
def _emptied(state_dir: Path) -> Iterator[Path]:
    """A folder to unpack into, beside where it is to be; what comes to nothing leaves nothing behind."""
    made = not state_dir.exists()
    staging, file = state_dir / _STAGING, (state_dir / DATABASE).with_suffix(".lock")
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = sorted(each.name for each in state_dir.iterdir() if each.name not in _NOT_STATE)
    except OSError as error:
        raise StoreError(f"{state_dir}: cannot be written ({error.strerror})") from error
    if held:
        raise BackupError(
            f"{state_dir}: is not empty ({', '.join(held[:3])}); move what is there away, or set another "
            "`state_dir`"
        )
    lock, done = StateLock.take(file), False
    try:
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(mode=0o700)
        yield staging
        done = True
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        lock.release()
        if not done:
            file.unlink(missing_ok=True)
            if made:
                state_dir.rmdir()


def _move_in(staging: Path, state_dir: Path) -> None:
    """The database comes last: without it, nothing is there yet."""
    try:
        (staging / MATRIX_STORE).rename(state_dir / MATRIX_STORE)
        (staging / DATABASE).rename(state_dir / DATABASE)
        descriptor = os.open(state_dir, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StoreError(f"{state_dir}: cannot be written ({error.strerror})") from error


def _write(path: Path, data: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror})") from error
