"""The bot's login: made once with the password, then the same device is restored for ever.

A device is an identity: its encryption keys and its transaction ids belong to it. So the session (device
id, access token, key of the crypto store) is written to `matrix_store/session.json`, mode 0600, before it
is used for anything, and is never replaced silently: a token that the homeserver no longer knows is fatal
and says how to log in again.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeAlias

from nio import AsyncClient, AsyncClientConfig
from nio.store import SqliteStore

from surface.matrix import identity_file
from surface.matrix.api import CLIENT, Api, Lost, MatrixError, TokenDead
from surface.matrix.tls import greeted

DEVICE_NAME = "Surface"
FILE = "session.json"


Client: TypeAlias = AsyncClient
"""What is open when a session is; only the modules beside this one look into it."""


class SessionError(Exception):
    """The bot cannot log in; the message says why and what to do."""


class LoginLimited(SessionError):
    """The homeserver lets nobody log in as often as this; nothing is said of the password."""


@dataclass(frozen=True)
class Session:
    """A device of the bot's account."""

    homeserver: str
    user_id: str
    device_id: str
    access_token: str
    pickle_key: str
    """Encrypts the crypto store on disk; empty where it is kept, if the settings have it."""


def load(folder: Path) -> Session | None:
    """Read the stored session.

    Raises:
        SessionError: there is one and it cannot be read.
    """
    file = folder / FILE
    try:
        session = Session(**json.loads(file.read_text()))
        values = {name: value for name, value in vars(session).items() if name != "pickle_key"}
        if not all(isinstance(v, str) for v in vars(session).values()) or not all(values.values()):
            raise TypeError("not all of its values are texts")
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        return None  # The state directory cannot be one; the store says so, and how to mend it.
    except PermissionError as error:
        raise SessionError(
            f"{file} cannot be read ({error.strerror}); run this as the user whose it is"
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise SessionError(
            f"{file} cannot be read ({error}); restore it from a backup, or run `surface login` to "
            "log in as a new device"
        ) from None
    return session


def keep(folder: Path, session: Session, *, aside: bool = True) -> None:
    """Write the session, whole or not at all, readable by the owner only; the one before is put aside.

    Raises:
        SessionError: the folder cannot be written.
    """
    partial = folder / f"{FILE}.new"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as out:
            json.dump(asdict(session), out, indent=1)
            out.flush()
            os.fsync(out.fileno())
        if aside and (folder / FILE).exists():
            (folder / FILE).replace(folder / f"{FILE}.old")
        partial.replace(folder / FILE)
    except OSError as error:
        raise SessionError(
            f"{folder}: cannot be written ({error.strerror}); give the surface's user write access, "
            "or set another `state_dir`"
        ) from None


def discard(folder: Path, *, account_too: bool) -> None:
    """Delete the session and the crypto state of its device.

    Args:
        account_too: the keys of the account, which outlive a device, go as well.

    Raises:
        SessionError: a file cannot be deleted.
    """
    try:
        for file in [*folder.glob("*.db*"), *folder.glob(f"{FILE}*")]:
            file.unlink()
        if account_too:
            (folder / identity_file.FILE).unlink(missing_ok=True)
    except OSError as error:
        raise SessionError(f"{folder}: cannot be cleared ({error.strerror})") from error


@asynccontextmanager
async def asking(homeserver: str, user_id: str, access_token: str = "") -> AsyncIterator[Api]:
    """The homeserver for single requests: no encryption, nothing written.

    Raises:
        Lost: its URL says `https`, and there is none.
    """
    await greeted(homeserver)
    client = AsyncClient(homeserver, user_id, config=AsyncClientConfig(encryption_enabled=False))
    client.access_token = access_token
    try:
        yield Api(client)
    finally:
        await client.close()


async def log_in(
    homeserver: str, user_id: str, password: str, device_id: str | None = None
) -> Session:
    """Log in with the password, as a new device unless one is named. Nothing is written.

    Raises:
        SessionError: wrong password, wrong user, a homeserver that cannot be reached.
    """
    request = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": user_id},
        "password": password,
        "initial_device_display_name": DEVICE_NAME,
        **({"device_id": device_id} if device_id else {}),
    }
    try:
        async with asking(homeserver, user_id) as api:
            answer = await api.request("POST", f"{CLIENT}/login", request)
    except MatrixError as error:
        raise _refused(homeserver, user_id, error) from None
    except (Lost, TokenDead) as error:
        raise SessionError(
            f"homeserver {homeserver} cannot be reached: {error}. Check `homeserver` and that it runs."
        ) from None
    session = Session(
        homeserver,
        user_id,
        str(answer.get("device_id")),
        str(answer.get("access_token")),
        secrets.token_urlsafe(32),
    )
    if answer.get("user_id") != user_id:
        await log_out(session)
        raise SessionError(
            f"logged in as {answer.get('user_id')}, but `user_id` is {user_id}; correct `user_id`"
        )
    return session


async def log_out(session: Session) -> None:
    """Take back a login that came to nothing; if that fails too, an idle device is left behind."""
    with suppress(MatrixError, Lost, TokenDead):
        async with asking(session.homeserver, session.user_id, session.access_token) as api:
            await api.request("POST", f"{CLIENT}/logout", {}, timeout=10)


def _refused(homeserver: str, user_id: str, error: MatrixError) -> SessionError:
    if error.errcode == "M_FORBIDDEN":
        return SessionError(f"{homeserver} refuses the password of {user_id}; correct `password`")
    if error.limited:
        return LoginLimited(f"{homeserver} limits logins; try again in {error.retry_after:.0f} s")
    return SessionError(f"{homeserver} refuses the login of {user_id}: {error}")


def open_session(session: Session, folder: Path) -> AsyncClient:
    """The client of a stored session: it keeps its crypto state in `folder`, and the rest is ours.

    A state that is still encrypted with the key kept beside it is encrypted with the session's, and then
    the kept one is taken away.

    Raises:
        SessionError: the crypto state cannot be read.
    """
    stored = load(folder)
    old = stored.pickle_key if stored is not None else ""
    try:
        try:
            client = _opened(session, folder, session.pickle_key)
        except Exception:
            if not old or old == session.pickle_key:
                raise
            client = _opened(session, folder, old)
            _encrypt_anew(client, session.pickle_key)
        if old and old != session.pickle_key:
            identity_file.seal_anew(folder, session.user_id, old, session.pickle_key)
    except Exception as error:
        # Whatever nio, its database or its pickles say: the file is not what it was.
        raise SessionError(
            f"{folder}: the encryption keys of device {session.device_id} cannot be read ({error}); "
            "correct `pickle_key` if you have set or changed it, restore them from a backup, or run "
            "`surface login` to log in as a new device"
        ) from error
    if old and old != session.pickle_key:
        keep(folder, replace(session, pickle_key=""), aside=False)
    for file in folder.glob("*.db"):
        file.chmod(0o600)
    return client


def _opened(session: Session, folder: Path, pickle_key: str) -> AsyncClient:
    config = AsyncClientConfig(
        store=SqliteStore,
        pickle_key=pickle_key,
        store_sync_tokens=False,
        encryption_enabled=True,
        max_timeouts=1,
        max_limit_exceeded=3,
        request_timeout=60,
    )
    client = AsyncClient(session.homeserver, session.user_id, store_path=str(folder), config=config)
    client.restore_login(session.user_id, session.device_id, session.access_token)
    return client


def _encrypt_anew(client: AsyncClient, pickle_key: str) -> None:
    """Write the whole crypto state again, encrypted with another key: all of it or nothing."""
    store = client.store
    assert isinstance(store, SqliteStore)
    account = store.load_account()
    sessions, groups = store.load_sessions(), store.load_inbound_group_sessions()
    store.pickle_key = pickle_key
    with store.database.atomic():
        store.save_account(account)
        for curve_key, every in sessions.items():
            for session in every:
                store.save_session(curve_key, session)
        for group in groups:
            store.save_inbound_group_session(group)
