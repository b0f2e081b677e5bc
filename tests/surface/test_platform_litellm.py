"""The `openai` adapter against a server that we have not written: the LiteLLM proxy."""

from __future__ import annotations

import pytest

from config import OpenAIAgent
from store.memory import MemoryStore
from surface.platform.interface import Done, PlatformError
from surface.platform.openai import OpenAIClient
from tests.rig import litellm

from .test_platform_conformance import a_chat, events, message, text_of, turns

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    if reason := litellm.missing():
        pytest.skip(reason)
    with litellm.proxy(tmp_path_factory.mktemp("litellm")) as url:
        yield url


@pytest.fixture
async def make(api):
    made = []

    def one(**options: str) -> OpenAIClient:
        given = {"model": "parrot", "api_key": litellm.KEY} | options
        entry = OpenAIAgent(id="echo", name="P", adapter="openai", url=api, **given)
        made.append(
            OpenAIClient(MemoryStore(), installation_id="inst", agent_id="echo", options=entry)
        )
        return made[-1]

    yield one
    for client in made:
        await client.aclose()


async def test_it_answers_in_pieces_and_is_remembered(make):
    client = make(system="Be brief.")
    for number in (1, 2):
        stream = await events(client, message(f"${number}", "hello"))
        assert text_of(stream) == litellm.ANSWER
        assert len(stream) > 3
        assert isinstance(stream[-1], Done)
    assert await turns(client) == 2
    saved = await client.save_context(a_chat(), "x", request_id="r1")
    assert saved.turns == 2


async def test_health_knows_its_models(make):
    assert (await make().health()).ok
    health = await make(model="cockatoo").health()
    assert (health.ok, health.detail) == (False, "no model `cockatoo`; there are: parrot, ill")


@pytest.mark.parametrize(
    ("options", "code"),
    [({"model": "cockatoo"}, "refused"), ({"model": "ill"}, "busy")],
)
async def test_what_it_refuses_is_told(make, options, code):
    client = make(**options)
    (event,) = await events(client, message("$1", "hello"))
    assert isinstance(event, PlatformError)
    assert event.code == code
    assert await turns(client) == 0


async def test_a_wrong_key_is_refused(make):
    (event,) = await events(make(api_key="sk-wrong"), message("$1", "hello"))
    assert isinstance(event, PlatformError)
    assert event.code in ("unauthorized", "refused")
    assert "sk-wrong" not in event.message
