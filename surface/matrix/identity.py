"""The bot's own cross-signing: made once, kept safely, and this device signed with it.

Without it clients mark the bot's messages, and those that trust signed devices only exchange nothing with it.
The private keys lie in the account's secret storage on the homeserver, sealed with the recovery key, and in
`matrix_store/identity.json`, sealed with the pickle key. So a new device is signed as long as either is
there: the file, or the recovery key.

Rule: what is made is written to the file, together with the recovery key, before the homeserver hears of it,
and the recovery key leaves the file when all is there and it has been shown. Every step looks first, so that
a start cut off anywhere is completed by the next. An identity that others may have verified is never
replaced by the way; that is asked for (`surface recovery-key --reset`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from surface.failpoints import Failpoints
from surface.matrix import identity_file
from surface.matrix import secret_storage as secrets
from surface.matrix.account_data import AccountData
from surface.matrix.api import Api, AskedWho, Lost, MatrixError, path
from surface.matrix.cross_signing import USAGES, Identity, published_keys
from surface.matrix.identity_file import Kept
from surface.matrix.secret_storage import NoRecoveryKey, SealBroken

log = structlog.get_logger()

DEFAULT_KEY = "m.secret_storage.default_key"
POINT = "identity"


class NotSigned(Exception):
    """This device cannot be signed; the message says why and what to do. The bot works all the same."""


@dataclass(frozen=True, repr=False)
class Owner:
    """Whose identity it is, and how they prove it."""

    user_id: str
    device_id: str
    password: str | None
    """Homeservers ask for it when an identity is replaced, and some when the first is made."""
    recovery_key: str | None
    """What the operator has set."""
    pickle_key: str


class CrossSigning:
    """Gives this device the signature of the account."""

    def __init__(
        self,
        api: Api,
        account_data: AccountData,
        failpoints: Failpoints,
        owner: Owner,
        folder: Path,
        show: Callable[[str], None],
    ) -> None:
        self._api, self._data, self._failpoints = api, account_data, failpoints
        self._owner, self._folder, self._show = owner, folder, show

    async def settle(self, known: dict[str, Any]) -> None:
        """See to it that this device is signed by the account's identity, and that the secrets are safe.

        Args:
            known: what the homeserver answers to a query for the account's own keys.

        Raises:
            NotSigned: that is not possible; says why and what to do.
            MatrixError, Lost, TokenDead: the homeserver limits us or does not answer; to be done again.
        """
        try:
            await self._settle(known)
        except MatrixError as error:
            if error.limited:
                raise
            raise NotSigned(f"the homeserver refuses the cross-signing keys: {error}") from error

    async def renew(self, known: dict[str, Any], *, reset: bool) -> None:
        """Make a new recovery key, or with `reset` a new identity as well; the old ones are worth nothing.

        Raises:
            NotSigned: the identity's private keys are not here, or the homeserver refuses new ones.
            MatrixError, Lost, TokenDead: see `Api.request`.
        """
        kept, me = self._load(), self._owner.user_id
        if reset:
            kept = Kept(Identity.new(me))
        elif kept is None or not kept.identity.is_published(published_keys(known, me)):
            raise NotSigned(
                "the private keys of the account's identity are not here: give its `recovery_key` and start "
                "the bot once, or add --reset to make a new identity"
            )
        kept = replace(kept, recovery_key=self._given() or secrets.new_key())
        self._keep(kept)
        await self._settle(known, replace_published=reset)

    async def _settle(self, known: dict[str, Any], *, replace_published: bool = False) -> None:
        me, given = self._owner.user_id, self._given()
        published = published_keys(known, me)
        kept = self._load()
        if published["master"] is None or replace_published:
            if kept is None:
                kept = Kept(Identity.new(me), given or secrets.new_key())
                self._keep(kept)
            if kept.recovery_key is None and not await self._stored():
                kept = replace(kept, recovery_key=given or secrets.new_key())
                self._keep(kept)
            # The secrets first: an identity that is published and lost could not be mended.
            await self._store(kept)
            await self._publish(kept.identity)
            log.info("identity.published", master=kept.identity.master.public)
        else:
            if kept is None or not kept.identity.is_published(published):
                kept = Kept(await self._recovered(published))
                self._keep(kept)
                log.info("identity.recovered", hint="by the recovery key")
            elif kept.recovery_key is None and given and not await self._opens(given):
                kept = replace(kept, recovery_key=given)
                self._keep(kept)
            await self._store(kept)
        await self._sign_device(kept.identity, known)
        if kept.recovery_key is not None:
            if kept.recovery_key != given:
                self._show(secrets.recovery_key(kept.recovery_key))
                log.info("identity.recovery_key_shown", hint="once, on standard output; keep it")
            self._keep(replace(kept, recovery_key=None))

    # --- what the homeserver has --------------------------------------------------------------

    async def _publish(self, identity: Identity) -> None:
        where, body = path("keys", "device_signing", "upload"), identity.public()
        try:
            await self._do("POST", where, body)
        except AskedWho as asked:
            if self._owner.password is None or "m.login.password" not in asked.ways:
                raise NotSigned(
                    "the homeserver asks for the password of the account before it takes cross-signing "
                    "keys; give `password` instead of `access_token` for one start"
                ) from None
            auth = {
                "type": "m.login.password",
                "identifier": {"type": "m.id.user", "user": identity.user_id},
                "password": self._owner.password,
                "session": asked.session,
            }
            try:
                await self._do("POST", where, {**body, "auth": auth})
            except AskedWho as again:
                raise NotSigned(
                    f"the homeserver does not take the `password` for cross-signing keys: {again}"
                ) from None

    async def _sign_device(self, identity: Identity, known: dict[str, Any]) -> None:
        me, device_id = self._owner.user_id, self._owner.device_id
        device = ((known.get("device_keys") or {}).get(me) or {}).get(device_id)
        if not isinstance(device, dict):
            raise Lost("the homeserver does not know this device's keys yet")
        if identity.self_signing.has_signed(device, me):
            return
        plain = {k: v for k, v in device.items() if k != "unsigned"}
        signed = identity.self_signing.signed(plain, me)
        said = await self._do(
            "POST", path("keys", "signatures", "upload"), {me: {device_id: signed}}
        )
        if failures := said.get("failures"):
            raise NotSigned(f"the homeserver refuses the device's signature: {failures}")
        log.info("identity.device_signed", device=device_id)

    # --- secret storage -----------------------------------------------------------------------

    async def _store(self, kept: Kept) -> None:
        """Put the private keys into secret storage, if there is a new recovery key to seal them with."""
        if (key := kept.recovery_key) is None:
            return
        name = secrets.key_id(key)
        await self._data.write(
            f"m.secret_storage.key.{name}", secrets.description(key), point=POINT
        )
        for usage, seed in kept.identity.seeds.items():
            kind = f"m.cross_signing.{usage}"
            sealed = secrets.seal(key, kind, secrets.unpadded(seed).encode())
            await self._data.write(kind, {"encrypted": {name: sealed}}, point=POINT)
        await self._data.write(DEFAULT_KEY, {"key": name}, point=POINT)

    async def _stored(self) -> bool:
        found = await self._data.read("m.cross_signing.master")
        return bool(found and found.get("encrypted"))

    async def _opens(self, key: bytes) -> bool:
        _, described = await self._default_key()
        return described is not None and secrets.fits(key, described)

    async def _default_key(self) -> tuple[str, dict[str, Any] | None]:
        default = await self._data.read(DEFAULT_KEY) or {}
        name = str(default.get("key", ""))
        return name, await self._data.read(f"m.secret_storage.key.{name}") if name else None

    async def _recovered(self, published: dict[str, str | None]) -> Identity:
        """The account's identity out of secret storage."""
        lost = "the keys that vouch for the bot's devices are not here"
        ways = (
            "set `recovery_key`, or make a new identity with `surface recovery-key --reset` (people who "
            "verified the bot are then warned)"
        )
        if (key := self._given()) is None:
            raise NotSigned(f"{lost}; {ways}")
        name, described = await self._default_key()
        if described is None:
            raise NotSigned(
                f"{lost}, and the homeserver has no secret storage of the account; {ways}"
            )
        if not secrets.fits(key, described):
            raise NotSigned(f"{lost}, and `recovery_key` is not that of the account; {ways}")
        seeds = {}
        for usage in USAGES:
            kind = f"m.cross_signing.{usage}"
            content = await self._data.read(kind) or {}
            sealed = (content.get("encrypted") or {}).get(name)
            try:
                text = secrets.unseal(key, kind, sealed).decode()
                seeds[usage] = secrets.from_base64(text)
            except (SealBroken, ValueError) as error:
                raise NotSigned(f"{lost}, and in secret storage {error}; {ways}") from error
        identity = Identity.of(self._owner.user_id, seeds)
        if not identity.is_published(published):
            raise NotSigned(f"{lost}: secret storage holds those of another identity; {ways}")
        return identity

    def _given(self) -> bytes | None:
        if self._owner.recovery_key is None:
            return None
        try:
            return secrets.read_recovery_key(self._owner.recovery_key)
        except NoRecoveryKey as error:
            raise NotSigned(f"`recovery_key` cannot be read: {error}; correct it") from None

    # --- one step -----------------------------------------------------------------------------

    def _load(self) -> Kept | None:
        return identity_file.load(self._folder, self._owner.user_id, self._owner.pickle_key)

    def _keep(self, kept: Kept) -> None:
        identity_file.keep(self._folder, kept, self._owner.pickle_key)

    async def _do(self, method: str, where: str, body: dict[str, Any]) -> dict[str, Any]:
        self._failpoints.hit("request.identity.before")
        answer = await self._api.request(method, where, body)
        self._failpoints.hit("request.identity.after")
        return answer
