"""The bot under test, as its own process: what an operator would start, kill and look into.

One rule: nobody polls. A thread reads the bot's log line by line and wakes whoever waits for one, so
that a `Bot` may outlive the event loop of the test that started it. Its store is read the way an
inspector would: over a read-only connection of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from surface.homeserver import Homeserver, Login
from tests.rig.api import MatrixApi

T = TypeVar("T")
Line = dict[str, Any]

PASSWORD = "the bot's password"
TIMEOUT = 60.0
POLL = 0.02
MARKER, CREATE = "lambda.surface.room", "m.room.create"
ECHO: Mapping[str, Any] = {"id": "echo", "name": "Echo", "adapter": "echo"}
SLOW: Mapping[str, Any] = {"id": "slow", "name": "Poet", "adapter": "echo", "delay": 0.1}
SHOUT: Mapping[str, Any] = {"id": "shout", "name": "Crier", "adapter": "echo", "style": "shout"}
AGENTS = (ECHO, SLOW, SHOUT)
PROJECT = Path(__file__).parents[2]
_names = itertools.count(1)


class Bot:
    """One installation of the bot: its account, configuration and state directory; and its process,
    which can be started again as often as a test likes.

    Attributes:
        agents: what the registry holds; like all that follows, read anew at every start.
        default: the registry's default agent, None for none.
        encryption: whether new rooms are encrypted.
        settings: further settings; they win.
        env: further environment variables.
        url: where the bot finds the homeserver.
        login: a device of the bot's account that the bot does not know: the test's eyes (`made`).
    """

    def __init__(
        self,
        url: str,
        login: Login,
        root: Path,
        *,
        encryption: bool = False,
        agents: Sequence[Mapping[str, Any]] = AGENTS,
        default: str | None = "echo",
        locale: str = "en",
        settings: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.url = url
        self._direct_url = url
        self.login = login
        self.user_id = login.user_id
        self.root = root
        self.encryption = encryption
        self.agents = list(agents)
        self.default = default
        self.settings: dict[str, Any] = {"locale": locale, **(settings or {})}
        self.env = dict(env or {})
        self.full = False
        """Whether it looks at all rooms first when it starts."""
        self.program: Sequence[str] = ("-P", "-m", "surface")
        """What Python runs as the bot."""
        self.returncode: int | None = None
        """How the last process ended; negative: by that signal."""
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._lines: list[Line] = []
        self._run_starts_at = 0
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._lock = threading.Lock()
        self._ended, self._asked_to_stop = True, False

    @classmethod
    async def register(cls, homeserver: Homeserver, root: Path, **options: Any) -> Self:
        """A new bot account (`lambda` and a number) and an installation in `root`; not started."""
        login = await homeserver.register(f"lambda{next(_names)}", PASSWORD)
        bot = cls(options.pop("url", homeserver.url), login, root, **options)
        bot._direct_url = homeserver.url
        return bot

    # --- the process --------------------------------------------------------------------------

    @property
    def pid(self) -> int | None:
        """The running process, None if there is none."""
        return None if self._process is None or self._ended else self._process.pid

    def launch(self, *, failpoint: str | None = None) -> None:
        """Start the process and wait for nothing."""
        assert self._ended, f"{self.user_id} is running"
        config = self.write_config()
        env = {k: v for k, v in os.environ.items() if not k.startswith("SURFACE_")} | self.env
        if failpoint is not None:
            env["SURFACE_FAILPOINT"] = failpoint
        self._join_reader()
        self._ended, self._asked_to_stop, self.returncode = False, False, None
        with self._lock:
            self._run_starts_at = len(self._lines)
        out = (self.root / "stdout").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, *self.program, "run", "-c", str(config)]
            + (["--full"] if self.full else []),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            cwd=PROJECT,
            env=env,
            start_new_session=True,
        )
        out.close()
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()

    async def start(self, *, failpoint: str | None = None, timeout: float = TIMEOUT) -> None:
        """Start the process; returns when it is ready to answer.

        Raises:
            AssertionError: it ended before that, or took too long; with its log.
        """
        self.launch(failpoint=failpoint)
        await self.logged("bot.ready", timeout=timeout)

    async def stop(self, *, timeout: float = 60.0) -> None:
        """Stop it as an operator would (SIGTERM).

        Raises:
            AssertionError: it took too long, or its exit code was not 0; with its log.
        """
        self.ask_to_stop()
        code = await self.died(timeout=timeout)
        assert code == 0, self._said(f"{self.user_id} ended with {code} after SIGTERM")

    def halt(self, *, timeout: float = 60.0) -> None:
        """`stop` for callers without an event loop."""
        self.ask_to_stop()
        assert self._process is not None
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(self._said(f"{self.user_id} did not stop")) from None
        self._join_reader()
        code = self.returncode
        assert code == 0, self._said(f"{self.user_id} ended with {code} after SIGTERM")

    def ask_to_stop(self) -> None:
        """SIGTERM, once: a second one might meet a process that is past heeding it."""
        if not self._asked_to_stop:
            self._asked_to_stop = True
            self.signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a power cut would; returns when it is gone. Harmless if it is."""
        if self.pid is not None:
            self.signal(signal.SIGKILL)
        self._join_reader()

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def died(self, *, timeout: float = TIMEOUT) -> int:
        """Wait until the process has ended; returns its exit code (-9: by SIGKILL)."""
        await self._until(lambda: self._ended, timeout, "the end of the process", die=False)
        assert self.returncode is not None
        return self.returncode

    async def died_within(self, seconds: float) -> bool:
        """Whether the process ends within this time."""
        try:
            await self.died(timeout=seconds)
        except AssertionError:
            return False
        return True

    # --- its log ------------------------------------------------------------------------------

    def events(self, name: str | None = None, *, runs: bool = False, **fields: Any) -> list[Line]:
        """The log lines of this run (`runs`: of all) with this event and these fields."""
        with self._lock:
            lines = self._lines[0 if runs else self._run_starts_at :]
        return [
            line
            for line in lines
            if (name is None or line.get("event") == name)
            and all(line.get(key) == value for key, value in fields.items())
        ]

    async def logged(self, name: str, *, timeout: float = TIMEOUT, **fields: Any) -> Line:
        """The first log line of this run with this event and these fields, now or later.

        Raises:
            AssertionError: not within `timeout` seconds, or the process ended before.
        """
        what = f"{name} {fields or ''}"
        return (await self._until(lambda: self.events(name, **fields), timeout, what))[0]

    async def decided(self, move: str, *, timeout: float = TIMEOUT) -> Line:
        """The first decision of this run with this transition (`dialog idle --ask--> confirming`),
        now or later."""

        def found() -> list[Line]:
            return [line for line in self.events("decision") if move in line["moves"]]

        return (await self._until(found, timeout, f"the transition {move}"))[0]

    def complaints(self) -> list[Line]:
        """What was logged as an error over all runs, and what is no log line at all (tracebacks)."""
        return [line for line in self.events(runs=True) if line.get("level") in _BAD]

    # --- its store ----------------------------------------------------------------------------

    @property
    def state_dir(self) -> Path:
        return self.root / "state"

    @property
    def workspace(self) -> Path:
        return self.root / "workspace"

    @property
    def crypto_dir(self) -> Path:
        return self.state_dir / "matrix_store"

    @property
    def device_id(self) -> str:
        """The bot's device, as it is now."""
        return str(json.loads((self.crypto_dir / "session.json").read_text())["device_id"])

    def recovery_keys(self) -> list[str]:
        """The recovery keys it has shown on standard output, over all runs."""
        text = (self.root / "stdout").read_text()
        return re.findall(r"^ +(E[1-9A-Za-z]{3}(?: [1-9A-Za-z]{4}){11})$", text, re.M)

    def documents(self, table: str) -> dict[str, dict[str, Any]]:
        """A table of the store by key, as committed by now; the bot may be running."""
        uri = f"file:{self.state_dir / 'lambda_matrix.db'}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as db:
            rows = db.execute("select key, json from documents where tbl = ?", (table,))
            return {key: json.loads(text) for key, text in rows}

    def user(self, user_id: str) -> dict[str, Any]:
        """A person's document."""
        return self.documents("users")[f"matrix_user:{user_id}"]

    def room(self, room_id: str) -> dict[str, Any]:
        """A room's document."""
        return self.documents("rooms")[f"matrix_room:{room_id}"]

    def rooms_of(self, user_id: str) -> list[dict[str, Any]]:
        """The chat rooms of a person, by label."""
        rooms = self.documents("rooms").values()
        found = [r for r in rooms if r["matrix_user_id"] == user_id and r["chat_id"]]
        return sorted(found, key=lambda r: int(r["chat_id"][1:]))

    def pending(self) -> dict[str, dict[str, dict[str, Any]]]:
        """What is not finished, by table; empty if all is."""
        tables = ("inbox", "turns", "outbox", "dirty")
        return {table: rows for table in tables if (rows := self.documents(table))}

    async def at_rest(self, *tables: str) -> None:
        """Wait until nothing is left to do (of these tables): a room hears the last word a moment
        before its row is settled.

        Raises:
            AssertionError: something stays.
        """

        def left() -> dict[str, Any]:
            return {t: rows for t, rows in self.pending().items() if not tables or t in tables}

        try:
            async with asyncio.timeout(TIMEOUT):
                while left():
                    await asyncio.sleep(POLL)  # SQLite tells no other process of a change.
        except TimeoutError:
            raise AssertionError(self._said(f"still pending: {left()}")) from None

    # --- its account --------------------------------------------------------------------------

    async def made(self, owner: str | None = None) -> list[Made]:
        """The rooms the bot has created and is in, by the homeserver's account: what to count for
        "no second Space"; `owner`: only that person's, and those without a marker."""
        everything = {"room": {"timeline": {"limit": 0}, "state": {"types": [MARKER, CREATE]}}}
        api = MatrixApi(self._direct_url, self.login.access_token)
        try:
            answer = await api.call("GET", "sync", query={"filter": json.dumps(everything)})
        finally:
            await api.close()
        found = []
        for room_id, data in answer.get("rooms", {}).get("join", {}).items():
            events = data["state"]["events"] + data["timeline"]["events"]
            state = {event["type"]: event for event in events if event.get("state_key") == ""}
            if state[CREATE]["sender"] != self.user_id:
                continue
            marker = state.get(MARKER, {}).get("content", {})
            if owner in (None, marker.get("owner", owner)):
                found.append(Made(room_id, marker.get("kind"), marker.get("chat_id"), marker))
        return found

    async def write_account_data(self, kind: str, content: dict[str, Any]) -> None:
        """Set account data of the bot's account, as another installation of it would."""
        api = MatrixApi(self._direct_url, self.login.access_token)
        try:
            await api.call("PUT", "user", self.user_id, "account_data", kind, json=content)
        finally:
            await api.close()

    async def devices(self) -> set[str]:
        """The devices of the bot's account."""
        api = MatrixApi(self._direct_url, self.login.access_token)
        try:
            answer = await api.call("GET", "devices")
        finally:
            await api.close()
        return {str(device["device_id"]) for device in answer["devices"]}

    # --- inside -------------------------------------------------------------------------------

    def write_config(self) -> Path:
        """Write settings and registry as they are now; returns the settings' path."""
        self.root.mkdir(parents=True, exist_ok=True)
        registry: dict[str, Any] = {"agents": [dict(agent) for agent in self.agents]}
        if self.default is not None:
            registry["default"] = self.default
        (self.root / "agents.yaml").write_text(json.dumps(registry))
        config = self.root / "surface.yaml"
        values: dict[str, Any] = {
            "homeserver": self.url,
            "user_id": self.user_id,
            "password": PASSWORD,
            "state_dir": str(self.state_dir),
            "workspace_dir": str(self.workspace),
            "agents": str(self.root / "agents.yaml"),
            "encryption": self.encryption,
            "ops": {"port": 0},
            "log": {"format": "json"},
        }
        config.write_text(json.dumps(values | self.settings))
        return config

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        with process.stderr, (self.root / "bot.log").open("ab") as log:
            for raw in process.stderr:
                log.write(raw)
                log.flush()
                text = raw.decode(errors="replace").rstrip()
                try:
                    line = json.loads(text)
                except ValueError:
                    line = None
                if not isinstance(line, dict):
                    line = {"event": text, "level": "raw"}
                with self._lock:
                    self._lines.append(line)
                self._wake()
        self.returncode = process.wait()
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        with self._lock:
            waiting = list(self._waiting)
        for loop, event in waiting:
            with suppress(RuntimeError):  # its test is over
                loop.call_soon_threadsafe(event.set)

    def _join_reader(self) -> None:
        if self._reader is not None:
            self._reader.join()

    async def _until(
        self, found: Callable[[], T], timeout: float, what: str, *, die: bool = True
    ) -> T:
        waiter = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._waiting.append(waiter)
        try:
            async with asyncio.timeout(timeout):
                while True:
                    waiter[1].clear()
                    ended = self._ended
                    if value := found():
                        return value
                    if ended and die:
                        end = f"{self.user_id} ended with {self.returncode} before {what}"
                        raise AssertionError(self._said(end))
                    await waiter[1].wait()
        except TimeoutError:
            end = f"{self.user_id} waited {timeout} s in vain for {what}"
            raise AssertionError(self._said(end)) from None
        finally:
            with self._lock:
                self._waiting.remove(waiter)

    def tail(self, most: int = 200) -> str:
        """The last lines that it logged, over all runs."""
        lines = self.events(runs=True)[-most:]
        return "\n  ".join([self.user_id, *(json.dumps(ln, ensure_ascii=False) for ln in lines)])

    def _said(self, what: str) -> str:
        return f"{what}; its log:\n{self.tail(30)}"


@dataclass(frozen=True)
class Made:
    """A room the bot has created."""

    room_id: str
    kind: str | None
    """`space` or `chat`; None: it has no marker, its creation was cut off."""
    chat_id: str | None
    marker: dict[str, Any]


_BAD = frozenset({"error", "critical", "raw"})
