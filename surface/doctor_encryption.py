"""What `surface check` finds out about encryption: can people encrypt for the bot, can it read that, and do
their clients trust its device?

Nothing is changed: what is missing is told, and by which start or command it comes.
"""

from __future__ import annotations

from typing import Any

from config import Settings
from surface.finding import Finding, Level
from surface.login import MATRIX_STORE
from surface.matrix import session as sessions
from surface.matrix.api import Lost, MatrixError, TokenDead, path
from surface.matrix.cross_signing import is_signed, published_keys
from surface.matrix.secret_storage import NoRecoveryKey, read_recovery_key
from surface.matrix.session import Session

TIMEOUT = 10.0


async def encryption(settings: Settings, session: Session | None) -> Finding:
    """How the bot's device stands.

    Args:
        session: the one to ask with; None: there is none yet.
    """
    if settings.recovery_key is not None:
        try:
            read_recovery_key(settings.recovery_key.get_secret_value())
        except NoRecoveryKey as error:
            return _finding("fail", f"`recovery_key` cannot be read: {error}", "correct it")
    if session is None:
        return _finding("ok", "the first start publishes the device's keys and signs them")
    query: dict[str, object] = {"device_keys": {session.user_id: []}}
    try:
        async with sessions.asking(
            settings.homeserver, session.user_id, session.access_token
        ) as api:
            known = await api.request("POST", path("keys", "query"), query, timeout=TIMEOUT)
    except (Lost, MatrixError, TokenDead) as error:
        return _finding("warn", f"the device's keys are not told: {error}", "try again")
    return _of_device(settings, session, known)


def _of_device(settings: Settings, session: Session, known: dict[str, Any]) -> Finding:
    me, device_id = session.user_id, session.device_id
    device = _object(_object(_object(known.get("device_keys")).get(me)).get(device_id))
    folder = settings.state_dir / MATRIX_STORE
    here = any(folder.glob(f"*_{device_id}.db"))
    if device and not here:
        found = f"the keys of device {device_id} are not in {folder}"
        to_do = "what is encrypted for it can never be read: run `surface login` to be a new device"
        return _finding("fail", found, to_do)
    if here and not device:
        found = f"the homeserver has no keys of device {device_id}"
        to_do = "start the bot, which publishes them; if this stays, run `surface login`"
        return _finding("warn", found, to_do)
    if not device:
        return _finding("ok", f"the next start publishes the keys of device {device_id}")
    public = published_keys(known, me)["self_signing"]
    if public is None:
        return _finding("ok", "the next start makes an identity and signs the device with it")
    if is_signed(device, me, public):
        return _finding("ok", f"device {device_id} is signed by the account's identity")
    to_do = "set `recovery_key` and start the bot, or run `surface recovery-key --reset`"
    found = f"device {device_id} is not signed: clients warn of it, strict ones exchange nothing with it"
    return _finding("warn", found, to_do)


def _finding(level: Level, found: str, to_do: str = "") -> Finding:
    return Finding(level, "encryption", found, to_do)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
