"""A person in encrypted rooms: like `Person`, with the crypto of a client of other people's making.

Rooms are followed by the code that plain persons use, on a device without keys (the *view*); what
was encrypted is decrypted by matrix-js-sdk's Rust crypto in a Node process, on a second device of
the same user. So the same test runs in plain and in encrypted rooms, and the bot is met by crypto
that shares nothing with its own. Two devices, because a device's keys are delivered only once.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from typing import Any

from surface.homeserver import Login
from tests.rig import node
from tests.rig.api import MatrixApi
from tests.rig.person import PASSWORD, Person, log_in_by_password
from tests.rig.view import Event

OP_TIMEOUT = 60.0


class CryptoPerson(Person):
    """A user whose client encrypts. The interface is `Person`'s; direct rooms are encrypted unless
    told otherwise, and a message that cannot be decrypted shows as `UNDECRYPTABLE: reason` until it
    can.

    Args:
        url: the homeserver's.
        login: of the device that has the keys.
        password: of the user.
        cross_sign: give the user cross-signing keys and sign the device with them.
        only_signed: exchange nothing with devices their owner has not signed.
        crypto_url: where the device with the keys finds the homeserver, if elsewhere (`proxy`).
    """

    makes_encrypted_rooms = True

    def __init__(
        self,
        url: str,
        login: Login,
        *,
        password: str = PASSWORD,
        cross_sign: bool = False,
        only_signed: bool = False,
        crypto_url: str | None = None,
    ) -> None:
        super().__init__(url, login, password=password)
        self.crypto_login = login
        self._cross_sign = cross_sign
        self._only_signed = only_signed
        self._crypto_url = crypto_url or url
        self._crypto = _Crypto(self._decrypted_late)

    async def start(self) -> None:
        await self.api.close()
        # One after the other: the first sync must be able to decrypt.
        self.login = await log_in_by_password(self.url, self.user_id, self.password)
        self.api = MatrixApi(self.url, self.login.access_token)
        await self._crypto.start(self._crypto_url, self.crypto_login)
        if self._cross_sign:
            assert await self._crypto.call("cross_sign", password=self.password)
        if self._only_signed:
            await self._crypto.call("only_signed_devices")
        await super().start()

    async def stop(self) -> None:
        await super().stop()
        await self._crypto.stop()

    # --- trust --------------------------------------------------------------------------------

    async def shield(self, event_id: str) -> dict[str, Any] | None:
        """How the client marks a decrypted event: `colour` 0 none, 1 grey, 2 red; and `reason`."""
        answer: dict[str, Any] | None = await self._crypto.call("shield", event_id=event_id)
        return answer

    async def device_status(self, user_id: str, device_id: str) -> dict[str, Any] | None:
        """What the client thinks of a device: `signed_by_owner`, `cross_signed`."""
        answer: dict[str, Any] | None = await self._crypto.call(
            "device", user_id=user_id, device_id=device_id
        )
        return answer

    async def until_device(self, user_id: str, device_id: str) -> None:
        """Wait until the client knows a device, and so will encrypt for it."""
        await self._crypto.call("until_device", user_id=user_id, device_id=device_id)

    async def open_secret(self, login: Login, recovery_key: str, name: str) -> str | None:
        """A secret of an account's secret storage, as this client reads it with the recovery key."""
        found: str | None = await self._crypto.call(
            "open_secret",
            url=self.url,
            user_id=login.user_id,
            token=login.access_token,
            recovery_key=recovery_key,
            name=name,
        )
        return found

    async def set_up_account(self, login: Login, password: str) -> str:
        """Give an account an identity and secret storage, as a client does; returns the recovery key."""
        key: str = await self._crypto.call(
            "set_up_account",
            url=self.url,
            user_id=login.user_id,
            device_id=login.device_id,
            token=login.access_token,
            password=password,
        )
        return key

    async def rotate_keys(self, room_id: str) -> None:
        """Encrypt what is said next with a new session."""
        await self._crypto.call("forget_session", room_id=room_id)

    # --- what makes it encrypted --------------------------------------------------------------

    async def send_event(
        self, room_id: str, kind: str, content: dict[str, Any], *, txn: str | None = None
    ) -> str:
        room = self.rooms[room_id]
        if room.encrypted:
            sealed = await self._crypto.call(
                "encrypt",
                room_id=room_id,
                # Whom we see in the room must get the key, also if that client lags behind us.
                members=sorted(room.members("join", "invite")),
                type=kind,
                content=content,
            )
            kind, content = sealed["type"], sealed["content"]
        return await self._put(room_id, kind, content, txn)

    async def _decrypt(self, room_id: str, events: list[Event]) -> None:
        room = self._room(room_id)
        sealed = [
            {**event, "room_id": room_id}
            for event in events
            if event["type"] == "m.room.encrypted"
            and event["content"].get("algorithm")
            and "content" not in room.clear.get(event["event_id"], {})
        ]
        if not sealed:
            return
        self._crypto.rooms |= {event["event_id"]: room_id for event in sealed}
        for clear in await self._crypto.call("decrypt", events=sealed):
            if "content" not in room.clear.get(clear["event_id"], {}):
                room.clear[clear["event_id"]] = clear

    async def _decrypted_late(self, room_id: str, clear: Event) -> None:
        self._room(room_id).clear[clear["event_id"]] = clear
        await self._notify()


class _Crypto:
    """The Node process, and the questions it has not answered yet."""

    def __init__(self, on_late: Any) -> None:
        self.rooms: dict[str, str] = {}
        """The room of every event that was asked about."""
        self._on_late = on_late
        self._process: asyncio.subprocess.Process | None = None
        self._open: dict[int, asyncio.Future[Any]] = {}
        self._ids = itertools.count(1)
        self._reader: asyncio.Task[None] | None = None
        self._complaints = b""

    async def start(self, url: str, login: Login) -> None:
        program = node.node()
        assert program is not None, node.missing()
        self._process = await asyncio.create_subprocess_exec(
            program,
            str(node.DRIVER),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=2**26,
            start_new_session=True,
        )
        self._reader = asyncio.create_task(self._read(self._process))
        await self.call(
            "start",
            url=url,
            user_id=login.user_id,
            device_id=login.device_id,
            token=login.access_token,
        )

    async def call(self, op: str, **args: Any) -> Any:
        """One question, one answer.

        Raises:
            AssertionError: the client failed, or said nothing for half a minute.
        """
        process = self._process
        assert process is not None and process.stdin is not None, "not started"
        number = next(self._ids)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._open[number] = answer
        if self._reader is None or self._reader.done():
            raise AssertionError(self._ended())
        process.stdin.write(json.dumps({"id": number, "op": op, **args}).encode() + b"\n")
        try:
            async with asyncio.timeout(OP_TIMEOUT):
                return await answer
        except TimeoutError:
            raise AssertionError(f"matrix-js-sdk did not {op} within {OP_TIMEOUT} s") from None
        finally:
            self._open.pop(number, None)

    async def stop(self) -> None:
        if self._process is None:
            return
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self._process.wait()
        if self._reader is not None:
            await self._reader
        self._process = None

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None and process.stderr is not None
        complaints = asyncio.create_task(process.stderr.read())
        async for line in process.stdout:
            said = json.loads(line)
            if "decrypted" in said:
                clear = said["decrypted"]
                await self._on_late(self.rooms[clear["event_id"]], clear)
                continue
            answer = self._open.get(said["id"])
            if answer is None or answer.done():
                continue
            if "error" in said:
                answer.set_exception(AssertionError(f"matrix-js-sdk: {said['error']}"))
            else:
                answer.set_result(said["result"])
        self._complaints = await complaints
        for answer in self._open.values():
            if not answer.done():
                answer.set_exception(AssertionError(self._ended()))

    def _ended(self) -> str:
        said = self._complaints.decode(errors="replace")[-2000:]
        return f"the matrix-js-sdk process has ended\n{said}"
