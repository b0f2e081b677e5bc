"""`surface recovery-key`: a new recovery key, or a new identity, for the account of a stopped bot."""

from __future__ import annotations

from config import Settings
from store.lock import StateLock
from surface import failpoints
from surface.encryption import Encryption
from surface.login import DATABASE, MATRIX_STORE, known_session
from surface.matrix import session as sessions
from surface.matrix.api import Api, Lost, MatrixError, TokenDead
from surface.matrix.crypto import OtherDevice
from surface.matrix.identity import NotSigned
from surface.matrix.session import SessionError


async def renew(settings: Settings, *, reset: bool) -> str | None:
    """Make a new recovery key, and with `reset` a new identity; the old ones are worth nothing any more.

    Returns:
        The recovery key; None if it is the one in the settings.

    Raises:
        SessionError: it is not possible; says why and what to do.
        StoreError: the bot is running.
    """
    if (session := known_session(settings)) is None:
        raise SessionError("there is no session yet; start the bot once, it makes a recovery key")
    lock = StateLock.take((settings.state_dir / DATABASE).with_suffix(".lock"))
    shown: list[str] = []
    try:
        client = sessions.open_session(session, settings.state_dir / MATRIX_STORE)
        try:
            points = failpoints.from_environment()
            parts = Encryption(client, Api(client), points, settings, session, shown.append)
            known = await parts.crypto.publish()
            await parts.identity.renew(known, reset=reset)
        finally:
            await client.close()  # type: ignore[no-untyped-call]
    except OtherDevice:
        raise SessionError("this device's keys are lost; run `surface login` first") from None
    except NotSigned as error:
        raise SessionError(str(error)) from None
    except (Lost, MatrixError, TokenDead) as error:
        raise SessionError(f"the homeserver does not do it: {error}; try again") from None
    finally:
        lock.release()
    return shown[0] if shown else None
