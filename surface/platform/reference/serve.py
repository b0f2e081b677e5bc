"""Runs the reference platform: from its settings to a listening service."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from config.errors import ConfigError, shown_path
from config.platform import Brain as BrainSettings
from config.platform import EchoBrain as EchoSettings
from config.platform import LlmBrain as LlmSettings
from config.platform import PlatformSettings, ScriptedBrain
from store import Owner, Store, TinyStore
from surface.platform.wire import Abilities, AgentCard

from . import scripted
from .brain import Brain, EchoBrain
from .desk import Desk
from .service import make_app

OWNER = Owner("platform", "`state`")
GRACE = 5
"""Seconds that streams get to end when the service is told to stop; their readers come back later."""


def serve(settings: PlatformSettings) -> None:
    """Run the service until SIGTERM or Ctrl-C. Says `listening on URL` on stderr when it listens.

    Raises:
        StoreError: the state file is locked, damaged or not writable.
        ConfigError: a scenario, the address or the workspace cannot be used.
    """
    brains = {agent.id: _brain(agent, settings.workspace) for agent in settings.agents}
    # All that can be refused is, before anything is made.
    listening = _bound(settings.host, settings.port)
    with closing(listening):
        _made(settings.workspace)
        store = TinyStore.open(settings.state, owner=OWNER)
        asyncio.run(_serve(settings, store, Desk(store, brains), listening))


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise ConfigError(
            [
                f"{host}:{port}: cannot be listened on ({error.strerror}); set another `host` or `port`"
            ]
        ) from None
    return listening


def _made(workspace: Path) -> None:
    try:
        workspace.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            [f"{shown_path(workspace)}: cannot be made ({error.strerror}); set another `workspace`"]
        ) from None


async def _serve(
    settings: PlatformSettings, store: Store, desk: Desk, listening: socket.socket
) -> None:
    token = settings.token.get_secret_value() if settings.token else None
    server = _Server(
        uvicorn.Config(
            make_app(desk, [_card(agent) for agent in settings.agents], token),
            log_level="warning",
            timeout_graceful_shutdown=GRACE,
            ws="none",
        )
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.handle_exit, number, None)
    stopping = asyncio.create_task(_let_go(server, desk))
    try:
        await server.serve([listening])
    finally:
        stopping.cancel()
        await desk.aclose()
        await store.aclose()


async def _let_go(server: _Server, desk: Desk) -> None:
    """End all streams as soon as the service is told to stop: it would wait for them."""
    await server.told.wait()
    await desk.aclose()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.told = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: told to stop, this process ends with 0."""
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal."""
        super().handle_exit(sig, frame)
        self.told.set()

    async def startup(self, *args: Any, **kwargs: Any) -> None:
        """Listen, and say where."""
        await super().startup(*args, **kwargs)
        for server in self.servers if self.started else ():
            for listening in server.sockets:
                host, port = listening.getsockname()[:2]
                host = f"[{host}]" if ":" in host else host
                sys.stderr.write(f"listening on http://{host}:{port}\n")
                sys.stderr.flush()


def _brain(agent: BrainSettings, workspace: Path) -> Brain:
    match agent:
        case EchoSettings():
            return EchoBrain(agent)
        case ScriptedBrain():
            scenario = scripted.load_scenario(agent.script)
            return scripted.ScriptedBrain(scenario, agent.id, workspace)
        case LlmSettings():
            from .llm import LlmBrain  # noqa: PLC0415 — the SDK is slow to import, and an extra

            return LlmBrain(agent)


def _card(agent: BrainSettings) -> AgentCard:
    model = isinstance(agent, LlmSettings)
    abilities = Abilities(confirmations=not model, files=not model)
    return AgentCard(
        id=agent.id, name=agent.name, description=agent.description, abilities=abilities
    )
