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
from dataclasses import asdict, dataclass
from pathlib import Path

from nio import AsyncClient, AsyncClientConfig
from nio.store import SqliteStore

from surface.matrix.api import CLIENT, Api, Lost, MatrixError, TokenDead

DEVICE_NAME = "Surface"
FILE = "session.json"


class SessionError(Exception):
    """The bot cannot log in; the message says why and what to do."""


@dataclass(frozen=True)
class Session:
    """A device of the bot's account."""

    homeserver: str
    user_id: str
    device_id: str
    access_token: str
    pickle_key: str
    """Encrypts the crypto store on disk."""


def load(folder: Path) -> Session | None:
    """Read the stored session.

    Raises:
        SessionError: there is one and it cannot be read.
    """
    file = folder / FILE
    try:
        return Session(**json.loads(file.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise SessionError(
            f"{file} cannot be read ({error}); restore it from a backup, or move it away and start "
            "again to log in as a new device"
        ) from None


def keep(folder: Path, session: Session) -> None:
    """Write the session, whole or not at all, readable by the owner only."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = folder / f"{FILE}.new"
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        json.dump(asdict(session), out, indent=1)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(folder / FILE)


def forget(folder: Path) -> None:
    """Put the stored session aside, so that the next start logs in as a new device."""
    file = folder / FILE
    if file.exists():
        file.replace(folder / f"{FILE}.old")


def make_client(homeserver: str, user_id: str, folder: Path, pickle_key: str) -> AsyncClient:
    """A nio client that keeps its crypto state in `folder` and leaves everything else to us."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    config = AsyncClientConfig(
        store=SqliteStore,
        pickle_key=pickle_key,
        store_sync_tokens=False,
        encryption_enabled=True,
        max_timeouts=1,
        max_limit_exceeded=3,
        request_timeout=60,
    )
    return AsyncClient(homeserver, user_id, store_path=str(folder), config=config)


async def log_in(homeserver: str, user_id: str, password: str, folder: Path) -> Session:
    """Log in with the password as a new device, and keep the session.

    Raises:
        SessionError: wrong password, wrong user, a homeserver that cannot be reached.
    """
    pickle_key = secrets.token_urlsafe(32)
    client = make_client(homeserver, user_id, folder, pickle_key)
    request = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": user_id},
        "password": password,
        "initial_device_display_name": DEVICE_NAME,
    }
    try:
        answer = await Api(client).request("POST", f"{CLIENT}/login", request)
    except MatrixError as error:
        raise SessionError(_refused(homeserver, user_id, error)) from None
    except (Lost, TokenDead) as error:
        raise SessionError(
            f"homeserver {homeserver} cannot be reached: {error}. Check `homeserver` and that it runs."
        ) from None
    finally:
        await client.close()
    if answer.get("user_id") != user_id:
        raise SessionError(
            f"logged in as {answer.get('user_id')}, but `user_id` is {user_id}; correct `user_id`"
        )
    session = Session(
        homeserver, user_id, str(answer["device_id"]), str(answer["access_token"]), pickle_key
    )
    keep(folder, session)
    return session


def _refused(homeserver: str, user_id: str, error: MatrixError) -> str:
    if error.errcode == "M_FORBIDDEN":
        return f"{homeserver} refuses the password of {user_id}; correct `password`"
    if error.limited:
        return f"{homeserver} limits logins; try again in {error.retry_after:.0f} s"
    return f"{homeserver} refuses the login of {user_id}: {error}"


def open_session(session: Session, folder: Path) -> AsyncClient:
    """The client of a stored session, with its crypto store loaded."""
    client = make_client(session.homeserver, session.user_id, folder, session.pickle_key)
    client.restore_login(session.user_id, session.device_id, session.access_token)
    for file in folder.glob("*.db"):
        file.chmod(0o600)
    return client
