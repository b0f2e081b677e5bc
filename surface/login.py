"""Which session the bot has, and how it gets one.

The stored session is the bot's device for ever; a token in the settings is stronger than a stored one, so
that a dead token is replaced by writing a new one into the settings. A password makes a session once. Either
is tried before anything is written, so that a wrong one leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import replace

import structlog

from config import PasswordLogin, Settings, TokenLogin
from store.lock import StateLock
from store.store import StoreError
from surface.matrix import session as sessions
from surface.matrix.api import CLIENT, Lost, MatrixError, TokenDead
from surface.matrix.session import Session, SessionError

log = structlog.get_logger()

DATABASE = "lambda_matrix.db"
MATRIX_STORE = "matrix_store"
ASK_LIMIT = 10.0
"""Seconds for a question to the homeserver."""


def known_session(settings: Settings) -> Session | None:
    """The stored session, or the one that the settings name; None when it takes a login.

    Raises:
        SessionError: the stored one cannot be read, or is somebody else's.
    """
    stored = sessions.load(settings.state_dir / MATRIX_STORE)
    if stored is not None and stored.user_id != settings.user_id:
        raise SessionError(
            f"{settings.state_dir} belongs to {stored.user_id}, but `user_id` is "
            f"{settings.user_id}; use another `state_dir`, or correct `user_id`"
        )
    key = _pickle_key(settings, stored)
    way = settings.login
    if isinstance(way, TokenLogin):
        token = way.access_token.get_secret_value()
        return Session(settings.homeserver, settings.user_id, way.device_id, token, key)
    if stored is None:
        return None
    return replace(stored, homeserver=settings.homeserver, pickle_key=key)


async def first_login(settings: Settings) -> Session | None:
    """Log in if there is no session yet; a token that is new is asked about. Nothing is written.

    Raises:
        SessionError: the login is not possible; says why and what to do.
    """
    way, known = settings.login, known_session(settings)
    if isinstance(way, TokenLogin):
        if known is not None and known != sessions.load(settings.state_dir / MATRIX_STORE):
            with contextlib.suppress(Lost, MatrixError):  # It shows when the homeserver is there.
                await verify(settings, known)
        return None
    if known is not None:
        return None
    log.info("session.first_login", user=settings.user_id, homeserver=settings.homeserver)
    return await sessions.log_in(
        settings.homeserver, settings.user_id, way.password.get_secret_value(), way.device_id
    )


async def verify(settings: Settings, session: Session) -> None:
    """Ask the homeserver whose a session is.

    Raises:
        SessionError: the token is dead, or of somebody else or another device.
        Lost, MatrixError: it does not tell.
    """
    try:
        async with sessions.asking(
            settings.homeserver, session.user_id, session.access_token
        ) as api:
            answer = await api.request("GET", f"{CLIENT}/account/whoami", timeout=ASK_LIMIT)
    except TokenDead:
        raise SessionError(login_hint(settings)) from None
    told = answer.get("user_id"), answer.get("device_id", session.device_id)
    if told != (session.user_id, session.device_id):
        place = "the settings" if isinstance(settings.login, TokenLogin) else MATRIX_STORE
        raise SessionError(
            f"the token in {place} is of {told[0]}, device {told[1]}; correct `user_id` "
            f"({session.user_id}) or `device_id` ({session.device_id})"
        )


async def take_session(settings: Settings, fresh: Session | None) -> Session:
    """The session to run with, kept on disk. Called under the lock of the state directory.

    Args:
        settings: say where it is kept.
        fresh: a login just made, for the case that there still is none.

    Raises:
        SessionError: there is none, or it cannot be kept.
    """
    folder = settings.state_dir / MATRIX_STORE
    session = known_session(settings)
    if session is None:
        session = fresh
    elif fresh is not None:
        await sessions.log_out(fresh)  # Another process was faster.
    if session is None:
        raise SessionError(f"{folder}: the session is gone; start again to log in")
    stored = sessions.load(folder)
    if settings.pickle_key is not None:
        session = replace(session, pickle_key=settings.pickle_key.get_secret_value())
    # What is kept stays until everything is encrypted with the other one (`open_session`).
    kept = replace(session, pickle_key=stored.pickle_key if stored else _kept(settings, session))
    if kept != stored:
        sessions.keep(folder, kept)
    return session


async def log_in_again(settings: Settings) -> Session:
    """Log in as a new device in the place of the stored session, which is put aside.

    Raises:
        SessionError: the settings name a token, or the login is not possible.
        StoreError: the bot is running, or the state directory cannot be written.
    """
    way = settings.login
    if not isinstance(way, PasswordLogin):
        raise SessionError(
            "`surface login` needs a `password`. The settings name an `access_token`: put a new one, "
            "and the `device_id` it belongs to, in its place"
        )
    lock = _lock(settings) if settings.state_dir.is_dir() else None
    try:
        session = await sessions.log_in(
            settings.homeserver, settings.user_id, way.password.get_secret_value()
        )
        try:
            lock = lock or _lock(settings)
            session = replace(session, pickle_key=_key_of_before(settings) or session.pickle_key)
            kept = replace(session, pickle_key=_kept(settings, session))
            sessions.keep(settings.state_dir / MATRIX_STORE, kept)
        except (StoreError, SessionError):
            await sessions.log_out(session)
            raise
    finally:
        if lock is not None:
            lock.release()
    return session


async def end_device(settings: Settings) -> Session:
    """Log the bot's device out, and delete its session and encryption keys.

    Raises:
        SessionError: there is none, or the homeserver does not answer; nothing was changed.
        StoreError: the bot is running.
    """
    session = known_session(settings)
    if session is None:
        raise SessionError(f"{settings.user_id} is not logged in; there is nothing to end")
    lock = _lock(settings)
    try:
        try:
            async with sessions.asking(
                session.homeserver, session.user_id, session.access_token
            ) as api:
                await api.request("POST", f"{CLIENT}/logout", {}, timeout=30)
        except TokenDead:
            log.info("session.over", device=session.device_id, hint="the homeserver had ended it")
        except (Lost, MatrixError) as error:
            raise SessionError(
                f"{session.homeserver} does not log {session.device_id} out: {error}; try again"
            ) from error
        # Sealed with a key that goes with the session, the account's own keys could not be read again.
        account_too = settings.pickle_key is None
        sessions.discard(settings.state_dir / MATRIX_STORE, account_too=account_too)
    finally:
        lock.release()
    return session


def login_hint(settings: Settings) -> str:
    """What to do when the homeserver no longer knows the token."""
    dead = (
        f"the homeserver does not know the access token of {settings.user_id} any more (logged out, "
        "or the device was deleted)."
    )
    if isinstance(settings.login, TokenLogin):
        return f"{dead} Put a new `access_token` and its `device_id` into the settings."
    file = settings.state_dir / MATRIX_STORE / sessions.FILE
    return (
        f"{dead} Run `surface login` with the same configuration to log in again as a new device; "
        f"the old session in {file} is kept aside. Nothing else is lost."
    )


def other_device_hint(settings: Settings, device_id: str) -> str:
    """What to do when the homeserver has other keys for our device than we."""
    file = settings.state_dir / MATRIX_STORE
    found = (
        f"{file} does not hold the encryption keys of device {device_id}: they were lost or are elsewhere, "
        "and what people send to that device could never be read."
    )
    if isinstance(settings.login, TokenLogin):
        return f"{found} Put the `access_token` and `device_id` of a new login into the settings."
    return (
        f"{found} Restore {file} from a backup, or run `surface login` to log in as a new device."
    )


def _pickle_key(settings: Settings, stored: Session | None) -> str:
    if settings.pickle_key is not None:
        return settings.pickle_key.get_secret_value()
    if stored is None:
        return secrets.token_urlsafe(32)
    if not stored.pickle_key:
        raise SessionError(
            f"{settings.state_dir / MATRIX_STORE}: the encryption keys are encrypted with a `pickle_key` "
            "that the settings do not name any more; set it again (or SURFACE_PICKLE_KEY_FILE)"
        )
    return stored.pickle_key


def _key_of_before(settings: Settings) -> str:
    """The pickle key of the session that is replaced: with it the identity is sealed, which stays."""
    try:
        stored = sessions.load(settings.state_dir / MATRIX_STORE)
    except SessionError:
        return ""
    return stored.pickle_key if stored is not None else ""


def _kept(settings: Settings, session: Session) -> str:
    """The pickle key as it is kept beside what it encrypts: not at all if the settings have it."""
    return "" if settings.pickle_key is not None else session.pickle_key


def _lock(settings: Settings) -> StateLock:
    try:
        settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"{settings.state_dir}: cannot be made ({error.strerror}). Give the surface's user write "
            "access there, or set another state_dir."
        ) from error
    return StateLock.take((settings.state_dir / DATABASE).with_suffix(".lock"))
