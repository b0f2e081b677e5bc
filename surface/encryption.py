"""What belongs to encryption, put together: the Olm machine, the identity, the canary, the unreadable.

Rule: before anything is said, the homeserver has this device's keys, and they are signed if that is possible;
if it is not, the bot works all the same and says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from pydantic import SecretStr

from config import ConfigError, PasswordLogin, Settings
from surface.actor import Actors
from surface.failpoints import Failpoints
from surface.house import House
from surface.ledger import Ledger
from surface.login import MATRIX_STORE, other_device_hint
from surface.matrix.account_data import AccountData
from surface.matrix.api import Api
from surface.matrix.canary import Canary
from surface.matrix.crypto import Crypto, OtherDevice
from surface.matrix.health import CryptoHealth
from surface.matrix.identity import CrossSigning, NotSigned, Owner
from surface.matrix.secret_storage import NoRecoveryKey, read_recovery_key
from surface.matrix.session import Client, Session, SessionError
from surface.patience import reached
from surface.unreadable import Unreadable

log = structlog.get_logger()


class Encryption:
    """The parts, and how they stand (`health`)."""

    def __init__(
        self,
        client: Client,
        api: Api,
        points: Failpoints,
        settings: Settings,
        session: Session,
        show_key: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self.health = CryptoHealth()
        self.crypto = Crypto(client, api, points)
        self.canary = Canary(client, api, self.crypto, self.health)
        account = AccountData(api, points, session.user_id)
        folder = settings.state_dir / MATRIX_STORE
        owner = owner_of(settings, session)
        self.identity = CrossSigning(api, account, points, owner, folder, show_key)
        self._unreadable: Unreadable | None = None

    def watch(self, ledger: Ledger, actors: Actors, house: House) -> None:
        """See to what the actors cannot decrypt."""
        unreadable = Unreadable(ledger, actors, self.crypto, house, self.health)
        actors.on_parked, actors.on_decrypted = unreadable.parked, unreadable.decrypted
        self._unreadable = unreadable

    async def vouch(self) -> None:
        """Publish this device's keys, signed by the account's identity.

        Raises:
            SessionError: the homeserver has other keys for this device.
        """
        try:
            known: dict[str, Any] = await reached(self.crypto.publish, self._settings)
            await reached(lambda: self.identity.settle(known), self._settings)
        except OtherDevice as error:
            raise SessionError(other_device_hint(self._settings, str(error))) from None
        except NotSigned as error:
            self.health.signed, self.health.not_signed_because = False, str(error)
            # Who has set a key relies on it.
            say = log.warning if self._settings.recovery_key is None else log.error
            say(
                "identity.not_signed",
                user=self._settings.user_id,
                why=str(error),
                hint="the bot works, but clients warn of it, and strict ones exchange nothing with it",
            )
        else:
            self.health.signed = True

    async def aclose(self) -> None:
        """What cannot be read stays in the inbox."""
        if self._unreadable is not None:
            await self._unreadable.aclose()


def require_recovery_key(settings: Settings) -> None:
    """See that the recovery key of the settings is one; whether it fits, only the homeserver can tell.

    Raises:
        ConfigError: it is none. Who has set it would not find out before it is needed.
    """
    if (key := _revealed(settings.recovery_key)) is None:
        return
    try:
        read_recovery_key(key)
    except NoRecoveryKey as error:
        raise ConfigError(
            [f"`recovery_key` cannot be read: {error}; correct it, or leave it out"]
        ) from None


def owner_of(settings: Settings, session: Session) -> Owner:
    """Whose cross-signing identity it is, and how they prove it."""
    way = settings.login
    return Owner(
        session.user_id,
        session.device_id,
        _revealed(way.password) if isinstance(way, PasswordLogin) else None,
        _revealed(settings.recovery_key),
        session.pickle_key,
    )


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret is not None else None
