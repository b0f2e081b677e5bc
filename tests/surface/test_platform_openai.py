"""The `openai` adapter against an OpenAI-compatible server: what the model is told, what fails, and what
is cut."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import OpenAIAgent
from store.memory import MemoryStore
from surface.platform.interface import (
    CLOSED,
    Attachment,
    ConfirmationGone,
    Done,
    PlatformError,
    TextDelta,
    TurnRequest,
)
from surface.platform.memory_documents import Remembered
from surface.platform.model import prompt, trimmed
from surface.platform.openai import OpenAIClient
from tests.rig.model_server import ModelServer
from tests.rig.services import free_port, serving

from .test_platform_conformance import a_chat, answer, events, message, read_first, turns


@pytest.fixture(scope="module")
def server():
    model = ModelServer()
    with serving(model.app) as url:
        model.url = f"{url}/v1"
        yield model


def entry(url: str, **options: object) -> OpenAIAgent:
    return OpenAIAgent(
        id="echo", name="P", adapter="openai", url=url, **{"model": "parrot"} | options
    )


@pytest.fixture
async def make(server):
    made = []

    def one(url: str = server.url, store=None, **options: object) -> OpenAIClient:
        made.append(
            OpenAIClient(
                store or MemoryStore(),
                installation_id="inst",
                agent_id="echo",
                options=entry(url, **options),
            )
        )
        return made[-1]

    yield one
    for client in made:
        await client.aclose()


async def test_the_model_is_told_who_it_is_and_what_was_said(make, server):
    client = make(system="You are a parrot.", temperature=0.5, max_tokens=99)
    await answer(client, message("$1", "one"))
    stream = await events(client, message("$2", "two"))
    assert stream[-1] == Done(usage={"input_tokens": 3, "output_tokens": 4})
    asked = server.asked[-1]
    assert [(m["role"], m["content"]) for m in asked["messages"]] == [
        ("system", "You are a parrot."),
        ("user", "one"),
        ("assistant", "one"),
        ("user", "two"),
    ]
    assert (asked["model"], asked["temperature"], asked["max_tokens"]) == ("parrot", 0.5, 99)


async def test_the_answer_comes_as_it_is_written(make):
    stream = await events(make(), message("$1", "one two three"))
    assert [e.text for e in stream if isinstance(e, TextDelta)] == ["one ", "two ", "three"]


async def test_an_answered_message_is_not_asked_again(make, server):
    client = make()
    await answer(client, message("$1", "only once"))
    asked = len(server.asked)
    assert await answer(client, message("$1", "only once")) == "only once"
    assert len(server.asked) == asked


@pytest.mark.parametrize(
    ("said", "code", "retryable"),
    [
        ("fail", "broken", True),
        ("refuse", "unauthorized", False),
        ("busy", "busy", True),
        ("nothing", "empty", True),
        ("garbage", "garbled", False),
        ("cut", "broken_off", True),
        ("half", "broken_off", True),
    ],
)
async def test_what_fails_is_told_and_not_remembered(make, said, code, retryable):
    client = make()
    last = (await events(client, message("$1", said)))[-1]
    assert isinstance(last, PlatformError)
    assert (last.code, last.retryable) == (code, retryable)
    assert await turns(client) == 0
    assert await answer(client, message("$2", "on")) == "on"


@pytest.mark.parametrize(
    ("said", "options"),
    [
        ("silence", {"first_timeout": 0.2}),
        ("hold", {"answer_timeout": 1}),
        ("hold", {"silence_timeout": 0.2}),
    ],
)
async def test_a_model_that_falls_silent_is_given_up(make, said, options):
    last = (await events(make(**options), message("$1", said)))[-1]
    assert isinstance(last, PlatformError)
    assert last.code == "timeout"


async def test_an_api_that_is_not_there_is_told(make):
    client = make(url=f"http://127.0.0.1:{free_port()}/v1")
    (event,) = await events(client, message("$1", "hello"))
    assert (event.code, event.retryable) == ("unreachable", True)
    assert not (await client.health()).ok


async def test_health_knows_the_models(make):
    assert (await make().health()).ok
    health = await make(model="cockatoo").health()
    assert (health.ok, health.detail) == (False, "no model `cockatoo`; there are: parrot")


@pytest.mark.parametrize("way", ["cancel", "close", "leave"])
async def test_a_stopped_answer_ends_the_models_work(make, server, way):
    client, gone = make(), server.gone
    task, first = await read_first(client, message("$1", "hold"))
    assert first.result() == TextDelta("one ")
    match way:
        case "cancel":
            await client.cancel(a_chat(), "$1", request_id="r1")
            assert (await task)[-1].code == "cancelled"
        case "close":
            await client.aclose()
            assert (await task)[-1].code == CLOSED
        case "leave":
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    async with asyncio.timeout(30):
        while server.gone == gone:
            await asyncio.sleep(0.01)
    assert await turns(client) == 0


async def test_what_a_model_cannot_do_is_said(make):
    client = make()
    assert not (client.capabilities.files or client.capabilities.confirmations)
    file = (Attachment("a/b", "b", "text/plain"),)
    request = TurnRequest("$1", "inst", "echo", "1", "@alice:hs", "", file)
    (event,) = await events(client, request)
    assert event.code == "unsupported"
    with pytest.raises(ConfirmationGone):
        await client.answer_confirmation(a_chat(), "$1", True, request_id="r")


async def test_another_message_is_heard_while_one_is_answered(make):
    client = make()
    async with aclosing(client.turn(message("$1", "hold"))) as stream:
        assert await anext(stream) == TextDelta("one ")
        assert await answer(client, message("$2", "hello", "2")) == "hello"


turns_of_any_length = st.lists(
    st.builds(Remembered, st.uuids().map(str), st.text(max_size=50), st.text(max_size=50)),
    max_size=20,
)


@given(turns_of_any_length, st.integers(0, 25), st.integers(0, 1000))
def test_history_is_trimmed_on_whole_turns_from_the_oldest(earlier, most, characters):
    kept = trimmed(earlier, turns=most, characters=characters)
    assert kept == tuple(earlier[len(earlier) - len(kept) :])
    assert len(kept) <= most
    assert sum(len(said.text) + len(said.answer) for said in kept) <= characters
    if len(kept) < min(len(earlier), most):
        one_more = earlier[-len(kept) - 1 :]
        assert sum(len(said.text) + len(said.answer) for said in one_more) > characters


@given(turns_of_any_length)
def test_the_prompt_alternates_and_ends_with_the_message(earlier):
    told = prompt(entry("http://x", system="s"), earlier, "now")
    roles = [said["role"] for said in told]
    assert roles[0] == "system"
    assert told[-1] == {"role": "user", "content": "now"}
    assert roles[1:-1] == ["user", "assistant"] * ((len(told) - 2) // 2)
