"""The canary: an encrypted message to ourselves, at the start and at intervals.

It takes the way of a stranger's first message: claim one of our one-time keys from the homeserver, open an
Olm session with it, send the message to our own device, hear it in /sync and decrypt it with the private
half on the disk. So it finds out that nobody could write to us before anybody tries: no one-time keys left,
a crypto store older than what the homeserver hands out (a restored backup), messages that do not come.

One that meets a one-time key of which nothing is known here is repeated at once: each try uses such a key up,
and fresh ones follow.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any
from uuid import uuid4

import structlog
from nio import AsyncClient
from vodozemac import PreKeyMessage

from surface.matrix.api import Api, Lost, MatrixError, path
from surface.matrix.crypto import Crypto
from surface.matrix.health import CryptoHealth
from surface.matrix.secret_storage import unpadded

log = structlog.get_logger()

EVERY, AGAIN_AFTER = 3_600.0, 30.0
"""Seconds from one to the next, and after one that did not come back."""
PATIENCE = 60.0
"""Seconds that a message to ourselves may take."""
MOST_STALE = 200
"""One-time keys nobody knows that are used up in a row."""
ALGORITHM = "m.olm.v1.curve25519-aes-sha2"


class Broken(Exception):
    """Nobody can write to us encrypted; the message says why."""


class StaleKey(Broken):
    """The homeserver hands out one-time keys whose private half is not here."""


class Canary:
    """Flies, and tells how it was."""

    def __init__(self, client: AsyncClient, api: Api, crypto: Crypto, health: CryptoHealth) -> None:
        assert client.olm is not None
        self._olm, self._me, self._api, self._health = client.olm, client.user_id, api, health
        self._awaited: dict[str, asyncio.Future[None]] = {}
        crypto.own_messages = self._heard

    async def run(self) -> None:
        """Fly at once and at intervals, until cancelled. /sync must be read meanwhile."""
        while True:
            pause = EVERY if await self.fly() else AGAIN_AFTER
            await asyncio.sleep(pause)

    async def fly(self) -> bool:
        """One round trip, put down in the health; False if it is to be repeated soon.

        Raises:
            TokenDead: the session is over.
        """
        health = self._health
        for _ in range(MOST_STALE):
            try:
                await self._round_trip()
            except StaleKey as error:
                self._broken(error)
            except Broken as error:
                self._broken(error)
                return False
            except (Lost, MatrixError) as error:
                # Nothing is known: who cannot reach the homeserver hears that elsewhere.
                log.info("canary.put_off", why=str(error))
                return False
            else:
                if health.canary == "broken":
                    log.info("canary.recovered")
                log.info("canary.returned", round_trips=health.round_trips + 1)
                health.canary, health.broken_because = "ok", ""
                health.round_trips += 1
                return True
        return False

    async def _round_trip(self) -> None:
        key = await self._claimed()
        ours = self._olm.account.identity_keys
        nonce = secrets.token_hex(8)
        session = self._olm.account.create_outbound_session(ours["curve25519"], key)
        kind, ciphertext = session.encrypt(json.dumps({"canary": nonce}).encode()).to_parts()
        message = {"type": kind, "body": unpadded(ciphertext)}
        content = {
            "algorithm": ALGORITHM,
            "sender_key": ours["curve25519"],
            "ciphertext": {ours["curve25519"]: message},
        }
        body = {"messages": {self._me: {self._olm.device_id: content}}}
        came: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._awaited[nonce] = came
        try:
            where = path("sendToDevice", "m.room.encrypted", uuid4().hex)
            await self._api.request("PUT", where, body)
            async with asyncio.timeout(PATIENCE):
                await came
        except TimeoutError:
            raise Broken(
                f"an encrypted message to ourselves did not come within {PATIENCE:.0f} s"
            ) from None
        finally:
            del self._awaited[nonce]

    async def _claimed(self) -> str:
        """One of our own one-time keys, as the homeserver hands them out."""
        me, device_id = self._me, self._olm.device_id
        wanted = {"one_time_keys": {me: {device_id: "signed_curve25519"}}}
        answer = await self._api.request("POST", path("keys", "claim"), wanted)
        try:
            (key,) = answer["one_time_keys"][me][device_id].values()
            ours = self._olm.account.identity_keys["ed25519"]
            genuine = self._olm.verify_json(dict(key), ours, me, device_id)
            public = str(key["key"])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Broken("the homeserver has no one-time key of this device left") from None
        if not genuine:
            raise Broken("the homeserver hands out one-time keys that are not of this device")
        return public

    def _heard(self, event: dict[str, Any]) -> None:
        """A message from this device to itself came in /sync; maybe that of an earlier process."""
        ours = self._olm.account.identity_keys["curve25519"]
        error: Broken | None = None
        nonce = None
        try:
            message = PreKeyMessage.from_base64(event["content"]["ciphertext"][ours]["body"])
            # By nio's types a session; it is vodozemac's pair of session and plain text.
            opened: Any = self._olm.account.create_inbound_session(ours, message)
            plain = opened[1]
            self._olm.save_account()
            nonce = json.loads(plain)["canary"]
        except (KeyError, TypeError) as why:
            error = Broken(f"a message to ourselves came back changed ({type(why).__name__})")
        except ValueError as why:
            error = StaleKey(
                f"the homeserver hands out one-time keys that the crypto store does not know ({why}); is "
                "`matrix_store` an older copy?"
            )
        for awaited, came in self._awaited.items():
            if came.done():
                continue
            if error is not None:
                came.set_exception(error)
            elif awaited == nonce:
                came.set_result(None)

    def _broken(self, error: Broken) -> None:
        if self._health.canary != "broken":
            log.warning(
                "canary.broken", why=str(error), hint="people cannot write to the bot encrypted"
            )
        self._health.canary, self._health.broken_because = "broken", str(error)
