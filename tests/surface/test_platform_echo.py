"""What is the echo agent's own: its words, its pace, and how it bears a store that fails."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import aclosing, closing
from datetime import UTC, datetime

import pytest

from store import TinyStore
from store.memory import MemoryStore
from store.store import Conflict, Put, StoreError
from surface.platform import chat_memory
from surface.platform.echo import EchoClient
from surface.platform.interface import CANCELLED, CallFailed, Done, PlatformError, TextDelta

from .test_platform_conformance import Options, a_chat, answer, events, message, turns


def an_echo(store=None, style="plain", delay=0.0, **more) -> EchoClient:
    return EchoClient(
        store or MemoryStore(),
        installation_id="inst",
        agent_id="echo",
        options=Options(style, delay),
        **more,
    )


@pytest.mark.parametrize(
    ("style", "said"), [("plain", "Hi Bob"), ("shout", "HI BOB"), ("reverse", "boB iH")]
)
async def test_the_text_is_said_back_in_the_agents_style(style, said):
    assert await answer(an_echo(style=style), message("$1", "Hi Bob")) == said


async def test_without_a_delay_the_answer_is_one_piece():
    stream = await events(an_echo(), message("$1", "one two three"))
    assert stream == [TextDelta("one two three"), Done({"words": 3})]


async def test_with_a_delay_the_answer_comes_word_by_word():
    stream = await events(an_echo(delay=0.001), message("$1", " one  two\nthree"))
    assert [event.text for event in stream[:-1]] == [" ", "one  ", "two\n", "three"]


@pytest.mark.parametrize("question", ["what did I say?", "  What  did i SAY", "WHAT DID I SAY?!"])
async def test_asked_what_was_said_it_lists_the_messages(question):
    client = an_echo()
    assert await answer(client, message("$1", question)) == "You said nothing yet."
    assert await answer(client, message("$2", question)) == (
        f"You said 1 thing:\n\n1. {' '.join(question.split())}"
    )
    assert "You said 2 things:" in await answer(client, message("$3", question))


async def test_asked_in_russian_it_answers_in_russian():
    client = an_echo()
    assert await answer(client, message("$1", "Что я говорил?")) == "Пока ничего."
    assert await answer(client, message("$2", "что я говорила")) == (
        "Вы сказали (1):\n\n1. Что я говорил?"
    )


async def test_a_long_chat_keeps_its_latest_messages(monkeypatch):
    monkeypatch.setattr(chat_memory, "REMEMBERED", 3)
    client = an_echo()
    for n in range(5):
        await answer(client, message(f"${n}", f"word {n}"))
    assert (await client.describe_context(a_chat())).summary == "word 2"
    assert await turns(client) == 3


async def test_cancel_in_the_middle_of_the_words_ends_the_stream():
    client = an_echo(delay=3600)
    async with aclosing(client.turn(message("$1", "one two three"))) as stream:
        assert await anext(stream) == TextDelta("one ")
        following = asyncio.ensure_future(anext(stream))
        await client.cancel(a_chat(), "$1", request_id="r1")
        assert (await following).code == CANCELLED
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
    assert await turns(client) == 1


async def test_a_reader_cancelled_in_the_middle_leaves_the_message_once():
    store = MemoryStore()
    client = an_echo(store, delay=3600)
    stream = client.turn(message("$1", "one two three"))
    await anext(stream)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.wait({waiting}, timeout=0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await answer(an_echo(store), message("$1", "one two three")) == "one two three"
    assert await turns(client) == 1


async def test_the_date_of_a_save_is_by_the_given_clock():
    moment = datetime(2024, 5, 17, 12, 30, tzinfo=UTC)
    client = an_echo(now=lambda: moment)
    await client.save_context(a_chat(), "x", request_id="r1")
    assert [save.saved_at for save in await client.list_contexts("@alice:hs")] == [moment]


async def test_a_chat_of_another_agent_is_refused():
    with pytest.raises(ValueError, match="other"):
        await an_echo().describe_context(a_chat(agent_id="other"))


class Contended(MemoryStore):
    """Another writer comes in before the first save; a full disk refuses all of them."""

    full = False
    rival: Put | None = None

    async def save(self, changes, *, durable=True):
        if self.full:
            raise StoreError("the disk is full")
        if self.rival is not None:
            rival, self.rival = self.rival, None
            await super().save([rival])
        return await super().save(changes, durable=durable)


async def test_a_message_that_lost_a_race_joins_what_was_said_meanwhile():
    store, elsewhere = Contended(), MemoryStore()
    await answer(an_echo(elsewhere), message("$0", "I was first"))
    [(key, theirs)] = await elsewhere.scan("echo")
    store.rival = Put("echo", key, theirs.body, expect=0)
    said = await answer(an_echo(store), message("$1", "what did I say?"))
    assert "I was first" in said
    assert await turns(an_echo(store)) == 2


async def test_a_store_that_always_moves_ends_in_an_error_and_not_in_a_loop():
    class Restless(MemoryStore):
        async def save(self, changes, *, durable=True):
            raise Conflict([("echo", "any")])

    [event] = await events(an_echo(Restless()), message("$1", "hello"))
    assert (event.code, event.retryable) == ("memory_busy", True)


async def test_a_full_disk_is_an_event_of_the_stream():
    store = Contended()
    store.full = True
    stream = await events(an_echo(store), message("$1", "hello"))
    assert stream == [PlatformError("store_failed", "the disk is full", retryable=True)]


async def test_an_unreadable_memory_is_named_and_left_as_it_is():
    store = MemoryStore()
    client = an_echo(store)
    await answer(client, message("$1", "hello"))
    [(key, stored)] = await store.scan("echo")
    damaged = {"v": 2, "user_id": "@alice:hs"}
    await store.save([Put("echo", key, damaged, expect=stored.rev)])
    [event] = await events(client, message("$2", "hello again"))
    assert (event.code, event.retryable) == ("memory_unreadable", False)
    assert key in event.message
    with pytest.raises(CallFailed, match="memory_unreadable"):
        await client.describe_context(a_chat())
    left = await store.get("echo", key)
    assert {name: left.body[name] for name in damaged} == damaged


async def test_a_memory_of_an_older_version_is_read_and_kept(tmp_path):
    file = tmp_path / "lambda_matrix.db"
    store = TinyStore.open(file)
    await answer(an_echo(store), message("$1", "hello"))
    await store.aclose()
    with closing(sqlite3.connect(file)) as database, database:
        [(text,)] = database.execute("select json from documents where tbl = 'echo'")
        now = json.loads(text)
        old = {**now, "v": 1, "messages": json.loads(now["messages"])}
        database.execute("update documents set json = ? where tbl = 'echo'", (json.dumps(old),))
    store = TinyStore.open(file)
    assert "hello" in await answer(an_echo(store), message("$2", "what did I say?"))
    [(_, stored)] = await store.scan("echo")
    assert stored.body["v"] == 2
    await store.aclose()


async def test_a_closed_store_is_told_by_health():
    store = MemoryStore()
    client = an_echo(store)
    await store.aclose()
    health = await client.health()
    assert not health.ok
    assert "closed" in health.detail
