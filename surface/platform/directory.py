"""Who answers for which agent: one client per entry of the agent registry.

One rule: a client is built from its entry when it is first asked for, and from no other source.
The registry is asked every time, so an agent that left it is `AgentMissing` from then on, and an
entry that has changed gets a new client; the old one lives until `aclose`, for the turns still
running on it.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Collection, Mapping
from typing import Final, Protocol, TypeAlias, runtime_checkable

import structlog

from config import HttpAgent, OpenAIAgent
from store.store import Store

from .echo import EchoClient, EchoOptions
from .extras import missing_extra
from .interface import CallFailed, PlatformClient, PlatformError

log = structlog.get_logger()


class AgentEntry(Protocol):
    """What every entry of the registry has; the rest is its adapter's options."""

    @property
    def id(self) -> str:
        """The `agent_id`."""
        ...

    @property
    def adapter(self) -> str:
        """How the agent is reached."""
        ...


class AgentRegistry(Protocol):
    """The agents the operator has configured."""

    @property
    def agents(self) -> Collection[AgentEntry]:
        """All entries, in the operator's order."""
        ...

    def get(self, agent_id: str, /) -> AgentEntry | None:
        """Return the entry of an agent, or None."""
        ...


class AgentMissing(CallFailed):
    """The registry has no such agent."""

    def __init__(self, agent_id: str, known: Collection[str]) -> None:
        self.agent_id = agent_id
        said = f"agent `{agent_id}` is not in the registry; known: {', '.join(known) or 'none'}"
        super().__init__(PlatformError("agent_missing", said, retryable=False))


class AdapterMissing(CallFailed):
    """An entry names an adapter this program does not have, or lacks that adapter's options."""

    def __init__(self, said: str) -> None:
        super().__init__(PlatformError("not_installed", said, retryable=False))


class Directory:
    """The clients of all agents of one installation.

    Args:
        registry: the agents there are.
        store: for the adapters that stand in for a platform; stays open.
        installation_id: given to every client.
    """

    def __init__(self, registry: AgentRegistry, store: Store, installation_id: str) -> None:
        self.registry = registry
        self._store = store
        self._installation_id = installation_id
        self._clients: dict[str, tuple[AgentEntry, PlatformClient]] = {}
        self._replaced: list[PlatformClient] = []

    def client_for(self, agent_id: str) -> PlatformClient:
        """Return the client of an agent; the same one as long as its entry stays the same.

        Raises:
            AgentMissing: the registry has no such agent.
            AdapterMissing: its entry cannot be made into a client.
        """
        entry = self.registry.get(agent_id)
        if entry is None:
            raise AgentMissing(agent_id, [known.id for known in self.registry.agents])
        if (built := self._clients.get(agent_id)) is not None:
            if built[0] == entry:
                return built[1]
            self._replaced.append(built[1])
        builder = _BUILDERS.get(entry.adapter)
        if builder is None:
            raise AdapterMissing(
                f"agent `{agent_id}` has the adapter `{entry.adapter}`, which this program does "
                f"not have; one of {', '.join(_BUILDERS)}"
            )
        try:
            client = builder(entry, self._store, self._installation_id)
        except ModuleNotFoundError as error:
            what = f"agent `{agent_id}`, adapter `{entry.adapter}`,"
            raise AdapterMissing(missing_extra(what, error)) from error
        self._clients[agent_id] = (entry, client)
        return client

    async def warm(self) -> None:
        """Import what the registry's agents need, beside the event loop: some of it takes seconds.

        What is not installed is told to the operator now, and to whoever asks for such an agent.
        """
        for adapter in dict.fromkeys(entry.adapter for entry in self.registry.agents):
            if (module := _MODULES.get(adapter)) is None:
                continue
            try:
                await asyncio.to_thread(importlib.import_module, module)
            except ModuleNotFoundError as error:
                why = missing_extra(f"the adapter `{adapter}`", error)
                ids = [entry.id for entry in self.registry.agents if entry.adapter == adapter]
                log.error("agents.not_installed", agents=", ".join(ids), why=why)

    async def aclose(self) -> None:
        """Close all clients, each of them even if another fails.

        Raises:
            ExceptionGroup: of what the failing ones raised.
        """
        clients = [*self._replaced, *(client for _, client in self._clients.values())]
        self._replaced.clear()
        self._clients.clear()
        outcomes = await asyncio.gather(
            *(client.aclose() for client in clients), return_exceptions=True
        )
        failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        if failures:
            raise ExceptionGroup("closing the agents' clients", failures)


Builder: TypeAlias = Callable[[AgentEntry, Store, str], PlatformClient]


@runtime_checkable
class _EchoEntry(AgentEntry, EchoOptions, Protocol):
    """An entry that has all an echo agent needs."""


def _echo(entry: AgentEntry, store: Store, installation_id: str) -> PlatformClient:
    if not isinstance(entry, _EchoEntry):
        raise AdapterMissing(f"agent `{entry.id}`: an echo agent needs `style` and `delay`")
    return EchoClient(store, installation_id=installation_id, agent_id=entry.id, options=entry)


def _http(entry: AgentEntry, _: Store, installation_id: str) -> PlatformClient:
    from .http import HttpClient  # noqa: PLC0415 — an extra, and slow to import

    if not isinstance(entry, HttpAgent):
        raise AdapterMissing(f"agent `{entry.id}`: an http agent needs a `url`")
    return HttpClient(installation_id=installation_id, agent_id=entry.id, options=entry)


def _openai(entry: AgentEntry, store: Store, installation_id: str) -> PlatformClient:
    from .openai import OpenAIClient  # noqa: PLC0415 — an extra, and slow to import

    if not isinstance(entry, OpenAIAgent):
        raise AdapterMissing(f"agent `{entry.id}`: an openai agent needs a `model`")
    return OpenAIClient(store, installation_id=installation_id, agent_id=entry.id, options=entry)


_BUILDERS: Final[Mapping[str, Builder]] = {"echo": _echo, "http": _http, "openai": _openai}

_MODULES: Final[Mapping[str, str]] = {
    "http": "surface.platform.http",
    "openai": "surface.platform.openai",
}
"""The modules of adapters that are slow to import."""
