"""One client per agent, built from the registry's entry."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from config.agents import EchoAgent
from config.agents import Registry as ConfiguredRegistry
from store.memory import MemoryStore
from surface.platform.directory import AdapterMissing, AgentMissing, Directory
from surface.platform.interface import CLOSED

from .test_platform_conformance import answer, events, message


@dataclass(frozen=True)
class Entry:
    id: str
    adapter: str = "echo"
    style: str = "plain"
    delay: float = 0.0


@dataclass(frozen=True)
class BareEntry:
    id: str
    adapter: str


@dataclass
class Registry:
    entries: dict[str, object] = field(default_factory=dict)

    @property
    def agents(self):
        return tuple(self.entries.values())

    def get(self, agent_id):
        return self.entries.get(agent_id)


@pytest.fixture
def registry():
    return Registry({"echo": Entry("echo"), "loud": Entry("loud", style="shout")})


@pytest.fixture
def directory(registry):
    return Directory(registry, MemoryStore(), "inst")


async def test_every_agent_answers_in_its_own_way(directory):
    echo, loud = directory.client_for("echo"), directory.client_for("loud")
    assert await answer(echo, message("$1", "hi")) == "hi"
    assert await answer(loud, message("$1", "hi", agent_id="loud")) == "HI"


async def test_the_configured_registry_is_one():
    agents = (EchoAgent(id="loud", name="Loud", adapter="echo", style="shout"),)
    directory = Directory(ConfiguredRegistry(agents=agents), MemoryStore(), "inst")
    client = directory.client_for("loud")
    assert client is directory.client_for("loud")
    assert await answer(client, message("$1", "hi", agent_id="loud")) == "HI"


async def test_an_agent_keeps_its_client(directory):
    assert directory.client_for("echo") is directory.client_for("echo")


async def test_an_unknown_agent_is_missing_and_the_known_are_named(directory):
    with pytest.raises(AgentMissing, match=r"`resaercher`.*echo, loud") as missing:
        directory.client_for("resaercher")
    assert missing.value.agent_id == "resaercher"


async def test_an_agent_that_left_the_registry_is_missing(directory, registry):
    directory.client_for("loud")
    del registry.entries["loud"]
    with pytest.raises(AgentMissing):
        directory.client_for("loud")


async def test_a_changed_entry_gets_a_new_client_and_keeps_its_memory(directory, registry):
    before = directory.client_for("loud")
    await answer(before, message("$1", "hi", agent_id="loud"))
    registry.entries["loud"] = replace(registry.entries["loud"], style="plain")
    after = directory.client_for("loud")
    assert after is not before
    assert await answer(after, message("$2", "hi", agent_id="loud")) == "hi"
    assert (await after.describe_context(message("", "", agent_id="loud").chat)).turns == 2


@pytest.mark.parametrize("entry", [BareEntry("x", "telepathy"), BareEntry("x", "echo")])
async def test_an_entry_that_cannot_be_built_says_why(directory, registry, entry):
    registry.entries["x"] = entry
    with pytest.raises(AdapterMissing, match="agent `x`"):
        directory.client_for("x")


async def test_closing_closes_all_also_the_replaced(directory, registry):
    before = directory.client_for("loud")
    registry.entries["loud"] = replace(registry.entries["loud"], style="plain")
    clients = [(before, "loud"), (directory.client_for("loud"), "loud")]
    clients.append((directory.client_for("echo"), "echo"))
    await directory.aclose()
    for client, agent_id in clients:
        [event] = await events(client, message("$9", "hi", agent_id=agent_id))
        assert event.code == CLOSED


async def test_a_client_that_fails_to_close_does_not_keep_the_others_open(directory):
    echo, loud = directory.client_for("echo"), directory.client_for("loud")

    async def broken():
        raise OSError("no")

    echo.aclose = broken
    with pytest.raises(ExceptionGroup):
        await directory.aclose()
    assert not (await loud.health()).ok
