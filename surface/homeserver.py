"""A real Matrix homeserver of one's own: Synapse from its wheel, on loopback, with SQLite.

`surface demo` runs on it and so do the tests. Two rules: everything it is lies under `root`, so the
same root is the same homeserver again (name, port, users, rooms) and another root shares nothing;
and it never outlives the process that started it (`homeserver_child`).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import http.client
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

from surface.homeserver_files import (
    HOST,
    ROOT_KEY,
    HomeserverError,
    Identity,
    Limits,
    config_path,
    load_identity,
    write_config,
    write_private,
)

__all__ = ["Homeserver", "HomeserverError", "Limits", "Login", "Progress", "RefusedError"]

POLL_SECONDS: Final = 0.05
STOP_SECONDS: Final = 10.0
_CHILD: Final = Path(__file__).with_name("homeserver_child.py")

Progress = Callable[[str], None]


class RefusedError(HomeserverError):
    """The homeserver answered with an error.

    Attributes:
        status: the HTTP status.
        errcode: the Matrix error code, empty if there was none.
    """

    def __init__(self, what: str, status: int, answer: Mapping[str, Any]) -> None:
        self.status = status
        self.errcode = str(answer.get("errcode", ""))
        super().__init__(f"{what}: {status} {self.errcode} {answer.get('error', '')}".rstrip())


@dataclass(frozen=True, slots=True)
class Login:
    """What a client needs to act as a user on one device."""

    user_id: str
    device_id: str
    access_token: str


class Homeserver:
    """One Synapse on loopback. Usable blocking (`launch`, `halt`) and from asyncio.

    Args:
        root: its directory, made if missing. Holds secrets: mode 0700.
        server_name: the part after the colon of its user ids; a root keeps the one it began with.
        port: the port to listen on; by default the root's own, a free one the first time.
        limits: `none` lifts Synapse's rate limits, `default` leaves them as a stock server has
            them.
        sync_cache: keep initial syncs for two minutes as a stock server does. Off, because a
            restarted client then gets a stale `next_batch`.
        room_version: the version of new rooms; by default Synapse's.
        settings: further keys of `homeserver.yaml`; they win.
        start_timeout: seconds until a start counts as failed.
    """

    def __init__(
        self,
        root: Path,
        *,
        server_name: str = "localhost",
        port: int | None = None,
        limits: Limits = "none",
        sync_cache: bool = False,
        room_version: str | None = None,
        settings: Mapping[str, Any] | None = None,
        start_timeout: float = 90.0,
    ) -> None:
        self.root = root.absolute()
        self.server_name = server_name
        self.limits: Limits = limits
        self.sync_cache = sync_cache
        self.room_version = room_version
        self._settings = dict(settings or {})
        self._start_timeout = start_timeout
        self._wanted_port = port
        self._identity: Identity | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._started_at = 0.0

    # --- what it is ---------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port it listens on, the same at every start of this root."""
        return self._identify().port

    @property
    def url(self) -> str:
        """The base URL of its client-server API, without a trailing slash."""
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process id of the running server, or None."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def log_path(self) -> Path:
        """What the server wrote, over all its starts."""
        return self.root / "homeserver.log"

    # --- start and stop -----------------------------------------------------------------------

    async def start(self, on_progress: Progress | None = None) -> None:
        """Start it and return when it answers; does nothing if it runs.

        Raises:
            HomeserverError: it is not installed, its port is taken, or it did not come up.
        """
        if self.pid is not None:
            return
        await asyncio.to_thread(self._end_stale)
        self._spawn(on_progress)
        try:
            # Synapse tells nobody when it is ready.
            while not await asyncio.to_thread(self._ready):  # noqa: ASYNC110
                await asyncio.sleep(POLL_SECONDS)
        except BaseException:
            self.kill()
            raise
        self._report_ready(on_progress)

    def launch(self, on_progress: Progress | None = None) -> None:
        """`start` for callers without an event loop."""
        if self.pid is not None:
            return
        self._end_stale()
        self._spawn(on_progress)
        try:
            while not self._ready():
                time.sleep(POLL_SECONDS)
        except BaseException:
            self.kill()
            raise
        self._report_ready(on_progress)

    async def stop(self) -> None:
        """Stop it in order; does nothing if it is not running."""
        await asyncio.to_thread(self.halt)

    def halt(self) -> None:
        """`stop` for callers without an event loop."""
        if (process := self._process) is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
        self._reap()

    def kill(self) -> None:
        """End it at once, as a crash would: no goodbye, no flush."""
        if self._process is not None:
            self._process.kill()
        self._reap()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    # --- users --------------------------------------------------------------------------------

    async def register(self, localpart: str, password: str, *, admin: bool = False) -> Login:
        """Make a user, without asking any policy of the server.

        Raises:
            RefusedError: with `errcode` `M_USER_IN_USE` if there is such a user.
            HomeserverError: the server does not answer.
        """
        return await asyncio.to_thread(self.register_now, localpart, password, admin=admin)

    def register_now(self, localpart: str, password: str, *, admin: bool = False) -> Login:
        """`register` for callers without an event loop."""
        path = "/_synapse/admin/v1/register"
        nonce = str(self._call("GET", path)["nonce"])
        words = (nonce, localpart, password, "admin" if admin else "notadmin")
        mac = hmac.new(
            self._identify().registration_secret.encode(),
            b"\x00".join(word.encode() for word in words),
            hashlib.sha1,
        )
        body = {
            "nonce": nonce,
            "username": localpart,
            "password": password,
            "admin": admin,
            "mac": mac.hexdigest(),
        }
        return _login(self._call("POST", path, body))

    async def login(self, localpart: str, password: str, *, device_id: str | None = None) -> Login:
        """Log a user in, on a new device unless `device_id` names one.

        Raises:
            RefusedError: the password is wrong, or the server's login limit is reached.
        """
        body: dict[str, Any] = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": localpart},
            "password": password,
        }
        if device_id is not None:
            body["device_id"] = device_id
        return _login(await asyncio.to_thread(self._call, "POST", "/_matrix/client/v3/login", body))

    async def ensure_user(self, localpart: str, password: str, *, admin: bool = False) -> str:
        """Make a user unless there is one, and return the user id. An existing one is left as is.

        Raises:
            HomeserverError: the user could not be made for another reason.
        """
        try:
            await self.register(localpart, password, admin=admin)
        except RefusedError as refused:
            if refused.errcode != "M_USER_IN_USE":
                raise
        return f"@{localpart}:{self.server_name}"

    # --- the process --------------------------------------------------------------------------

    def _spawn(self, on_progress: Progress | None) -> None:
        if importlib.util.find_spec("synapse") is None:
            raise HomeserverError(
                "Synapse is not installed here, and the built-in homeserver is made of it. "
                "Install it with: pip install matrix-surface[demo]"
            )
        say = on_progress or _silent
        first = not (self.root / "homeserver.db").exists()
        self._check_port_is_free()
        config = write_config(
            self.root,
            self._identify(),
            limits=self.limits,
            sync_cache=self.sync_cache,
            room_version=self.room_version,
            settings=self._settings,
        )
        say(f"Starting Synapse on {self.url}" + (" (making its database)" if first else ""))
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            # A session of its own: Ctrl-C in the terminal is for us, and we stop the server when
            # nothing needs it any more.
            self._process = subprocess.Popen(  # noqa: S603  # nosec B603 # our own words
                [sys.executable, "-P", str(_CHILD), "-c", str(config)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.root,
                env=_environment(),
                start_new_session=True,
            )
        self._started_at = time.monotonic()
        write_private(self._pid_path, f"{self._process.pid} {os.getpid()}")

    def _ready(self) -> bool:
        """Whether it answers; raises if it never will."""
        process = self._process
        if process is None:
            raise HomeserverError(f"Synapse in {self.root} was stopped while it was starting.")
        if process.poll() is not None:
            raise self._failure(f"Synapse ended with status {process.returncode} while starting.")
        try:
            self._request("GET", "/_matrix/client/versions", timeout=1.0)
            status, answer = self._request("GET", "/.well-known/matrix/client", timeout=1.0)
        except OSError:
            if time.monotonic() - self._started_at > self._start_timeout:
                raise self._failure(
                    f"Synapse did not answer within {self._start_timeout:.0f} seconds."
                ) from None
            return False
        if status != 200 or answer.get(ROOT_KEY) != self._identify().root_id:
            # Somebody took the port between our check and Synapse's start.
            raise self._failure(f"Another server answers on port {self.port}.")
        return True

    def _report_ready(self, on_progress: Progress | None) -> None:
        took = time.monotonic() - self._started_at
        (on_progress or _silent)(f"Synapse is ready ({took:.1f} s)")

    def _reap(self) -> None:
        if (process := self._process) is None:
            return
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
        self._process = None
        self._pid_path.unlink(missing_ok=True)

    @property
    def _pid_path(self) -> Path:
        return self.root / "homeserver.pid"

    def _end_stale(self) -> None:
        """End a server that an earlier run of this root left behind, and only that.

        Raises:
            HomeserverError: the one found is not left behind: whoever started it still lives.
        """
        try:
            pid, owner = map(int, self._pid_path.read_text().split())
        except (OSError, ValueError):
            return
        config = config_path(self.root)
        if _is_running_on(pid, config):
            if _parent_of(pid) == owner:
                raise HomeserverError(
                    f"The homeserver in {self.root} is already running, started by process "
                    f"{owner}. End that one, or use another directory."
                )
            deadline = time.monotonic() + STOP_SECONDS
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
                os.kill(pid, signal.SIGCONT)  # a stopped one (Ctrl-Z, debugger) hears nothing
                while _is_running_on(pid, config):
                    if time.monotonic() > deadline:
                        os.kill(pid, signal.SIGKILL)
                    time.sleep(POLL_SECONDS)
        self._pid_path.unlink(missing_ok=True)

    def _failure(self, what: str) -> HomeserverError:
        try:
            with self.log_path.open("rb") as log:
                log.seek(self._log_start)
                lines = log.read().decode(errors="replace").splitlines()
        except OSError:
            lines = []
        tail = "\n  ".join(lines[-15:]) or "(it wrote nothing)"
        return HomeserverError(
            f"{what}\nThe end of its log ({self.log_path}):\n  {tail}\n"
            f"If {self.root} is damaged or of another version, remove it and start afresh."
        )

    def _check_port_is_free(self) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, self.port))
            except OSError:
                raise HomeserverError(
                    f"Port {self.port} on {HOST}, which the homeserver in {self.root} uses, is "
                    "taken. End the program that has it, or choose another port."
                ) from None

    def _identify(self) -> Identity:
        if self._identity is None:
            self._identity = load_identity(
                self.root, server_name=self.server_name, port=self._wanted_port
            )
        return self._identity

    # --- HTTP ---------------------------------------------------------------------------------

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            status, answer = self._request(method, path, body, timeout=30.0)
        except OSError as error:
            raise HomeserverError(
                f"The homeserver at {self.url} does not answer: {error}"
            ) from None
        if status != 200:
            raise RefusedError(f"{method} {path}", status, answer)
        return answer

    def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, timeout: float
    ) -> tuple[int, Mapping[str, Any]]:
        """One request, straight to loopback: `http.client` knows no proxies.

        Raises:
            OSError: nothing (or nothing sensible) answered.
        """
        connection = http.client.HTTPConnection(HOST, self.port, timeout=timeout)
        try:
            connection.request(
                method,
                path,
                body=None if body is None else json.dumps(body),
                headers={"Content-Type": "application/json"},
            )
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (http.client.HTTPException, ValueError) as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()
        return response.status, cast("Mapping[str, Any]", answer)


def _login(answer: Mapping[str, Any]) -> Login:
    return Login(
        user_id=str(answer["user_id"]),
        device_id=str(answer["device_id"]),
        access_token=str(answer["access_token"]),
    )


def _silent(_: str) -> None:
    pass


def _environment() -> dict[str, str]:
    """Ours without proxies: Synapse must never leave the machine, nor ask another for it."""
    return {
        name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")
    }


def _is_running_on(pid: int, config: Path) -> bool:
    """Whether `pid` lives and is a server of this configuration: process ids are used again.

    False where there is no /proc to ask; there, only `homeserver_child` ends what was left behind.
    """
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(config) in words


def _parent_of(pid: int) -> int | None:
    try:
        # The name, in parentheses, may hold anything; state and parent follow it.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None
