"""HTTP services of the tests, on loopback: uvicorn in a thread, and the reference platform as a
process of its own, to be killed and started again.

One rule: a service keeps its port over restarts, as a deployed one would.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

PROJECT = Path(__file__).parents[2]
PATIENCE = 60.0


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(app: Any, port: int = 0) -> Iterator[str]:
    """Run an ASGI application in a thread; gives its URL."""
    started, urls = threading.Event(), []

    class Server(uvicorn.Server):
        async def startup(self, *args: Any, **kwargs: Any) -> None:
            await super().startup(*args, **kwargs)
            urls.extend(
                f"http://127.0.0.1:{bound.getsockname()[1]}"
                for listening in self.servers
                for bound in listening.sockets
            )
            started.set()

    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_level="error", timeout_graceful_shutdown=0, ws="none"
    )
    server = Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    assert started.wait(PATIENCE), "the service did not start"
    try:
        yield urls[0]
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the service did not stop"


class PlatformProcess:
    """`surface platform` as an operator runs it.

    Args:
        root: holds settings, scenario and state.
        agents: the registry of the platform.
        scenario: played by agents whose `script` is `scenario.yaml`.
        settings: further settings; they win.
    """

    def __init__(
        self,
        root: Path,
        agents: Sequence[Mapping[str, Any]],
        scenario: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        self.root = root
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[str] | None = None
        root.mkdir(parents=True, exist_ok=True)
        (root / "scenario.yaml").write_text(json.dumps(scenario or {"otherwise": []}))
        (root / "platform.yaml").write_text(
            json.dumps({"port": self.port, "agents": [dict(a) for a in agents], **settings})
        )

    def start(self) -> None:
        """Start it, and wait until it listens."""
        process = self._process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "surface",
                "platform",
                "-c",
                str(self.root / "platform.yaml"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
            start_new_session=True,
        )
        assert process.stderr is not None
        said: list[str] = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("listening on"):
                break
        else:
            raise AssertionError(f"the platform did not start: {''.join(said)}")
        # Its log goes on, and must not fill the pipe.
        threading.Thread(target=process.stderr.read, daemon=True).start()

    @property
    def pid(self) -> int | None:
        """The running process, None if there is none."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def kill(self) -> None:
        """End it at once, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    def stop(self) -> int:
        """Ask it to stop; returns its exit status."""
        assert self._process is not None
        self._process.terminate()
        status = self._process.wait(PATIENCE)
        self._process = None
        return status
