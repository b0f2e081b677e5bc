"""Runs the reference platform: from its settings to a listening service."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn

from config.platform import Brain as BrainSettings
from config.platform import EchoBrain as EchoSettings
from config.platform import LlmBrain as LlmSettings
from config.platform import PlatformSettings, ScriptedBrain
from store import TinyStore
from surface.platform.wire import Abilities, AgentCard

from . import scripted
from .brain import Brain, EchoBrain
from .desk import Desk
from .service import make_app

GRACE = 5
"""Seconds that streams get to end when the service is told to stop; their readers come back later."""


def serve(settings: PlatformSettings) -> None:
    """Run the service until SIGTERM or Ctrl-C. Says `listening on URL` on stderr when it listens.

    Raises:
        StoreError: the state file is locked, damaged or not writable.
        ConfigError: a scenario cannot be used.
    """
    brains = {agent.id: _brain(agent, settings.workspace) for agent in settings.agents}
    store = TinyStore.open(settings.state)
    token = settings.token.get_secret_value() if settings.token else None
    app = make_app(Desk(store, brains), [_card(agent) for agent in settings.agents], token)
    server = _Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_level="warning",
            timeout_graceful_shutdown=GRACE,
            ws="none",
        )
    )
    server.run()


class _Server(uvicorn.Server):
    async def startup(self, *args: object, **kwargs: object) -> None:
        await super().startup(*args, **kwargs)  # type: ignore[arg-type]
        for server in self.servers if self.started else ():
            for socket in server.sockets:
                host, port = socket.getsockname()[:2]
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
