"""The contract of `surface.platform.interface`, shown by every adapter.

An adapter joins by an entry in `PLATFORMS`: how its client is made for an installation and an agent
over one shared backing (a service on loopback; for adapters that stand in for a platform, the store),
and how to word what the tests need said. What an adapter declares it cannot do is skipped, not weakened.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace

import pytest

from config import HttpAgent, OpenAIAgent
from store.memory import MemoryStore
from surface.platform.echo import EchoClient
from surface.platform.http import HttpClient
from surface.platform.interface import (
    CANCELLED,
    CLOSED,
    Attachment,
    ChatInUse,
    ConfirmationAsked,
    ConfirmationGone,
    Done,
    FileOut,
    PlatformClient,
    PlatformError,
    SaveMissing,
    TextDelta,
    TurnEvent,
    TurnRequest,
)
from surface.platform.openai import OpenAIClient
from surface.platform.reference.brain import Beat, Brain, EchoBrain, Task
from surface.platform.reference.desk import Desk
from surface.platform.reference.llm import LlmBrain
from surface.platform.reference.service import make_app
from surface.platform.wire import Abilities, AgentCard
from tests.rig.model_server import ModelServer
from tests.rig.services import serving

ALICE, BOB = "@alice:hs", "@bob:hs:8448"


@dataclass(frozen=True)
class Options:
    style: str = "plain"
    delay: float = 0.0


@dataclass(frozen=True)
class Platform:
    """A platform under test: `client` may be called again, as after a restart of the surface.

    Attributes:
        recall: asks for what was said before.
        confirm: lets the agent ask back.
        fail: lets it fail.
        hold: begins an answer, and keeps it open.
        silence: gets no answer at all; empty: the agent cannot be silent.
    """

    client: Callable[..., PlatformClient]
    recall: str = "What did I say?"
    confirm: str = "confirm"
    fail: str = "fail"
    hold: str = "confirm"
    silence: str = ""


class Brooding(EchoBrain):
    """The echo brain, but it can fall silent, also in the middle of an answer."""

    async def answer(self, task: Task) -> AsyncGenerator[Beat, None]:
        if task.message.text == "hold":
            yield Beat(TextDelta("one two"))
        if task.message.text in ("hold", "silence"):
            await asyncio.Event().wait()
        async for beat in super().answer(task):
            yield beat


@contextmanager
def _echo(delay: float) -> Iterator[Platform]:
    store = MemoryStore()

    def client(installation_id: str = "inst", agent_id: str = "echo") -> PlatformClient:
        return EchoClient(
            store,
            installation_id=installation_id,
            agent_id=agent_id,
            options=Options(delay=delay),
        )

    yield Platform(client)


@contextmanager
def _http(brain: Callable[[], Brain], abilities: Abilities) -> Iterator[Platform]:
    brains = {name: brain() for name in ("echo", "other")}
    cards = [AgentCard(id=name, name=name, abilities=abilities) for name in brains]
    with serving(make_app(Desk(MemoryStore(), brains), cards, "secret")) as url:

        def client(
            installation_id: str = "inst", agent_id: str = "echo", **limits: float
        ) -> PlatformClient:
            entry = HttpAgent(
                id=agent_id, name="E", adapter="http", url=url, token="secret", **limits
            )
            return HttpClient(installation_id=installation_id, agent_id=agent_id, options=entry)

        yield Platform(client, hold="hold", silence="silence")


@contextmanager
def _http_llm() -> Iterator[Platform]:
    with serving(ModelServer().app) as url:
        entry = OpenAIAgent(id="m", name="M", adapter="openai", url=f"{url}/v1", model="parrot")
        abilities = Abilities(confirmations=False, files=False)
        with _http(lambda: LlmBrain(entry), abilities) as made:
            yield made


@contextmanager
def _openai() -> Iterator[Platform]:
    store = MemoryStore()
    with serving(ModelServer().app) as url:

        def client(
            installation_id: str = "inst", agent_id: str = "echo", **limits: float
        ) -> PlatformClient:
            entry = OpenAIAgent(
                id=agent_id, name="E", adapter="openai", url=f"{url}/v1", model="parrot", **limits
            )
            return OpenAIClient(
                store, installation_id=installation_id, agent_id=agent_id, options=entry
            )

        yield Platform(client, hold="hold", silence="silence")


PLATFORMS = {
    "echo": lambda: _echo(0),
    "slow echo": lambda: _echo(0.001),
    "http": lambda: _http(lambda: Brooding(Options()), Abilities()),
    "slow http": lambda: _http(lambda: Brooding(Options(delay=0.001)), Abilities()),
    "http to a model": _http_llm,
    "openai": _openai,
}


@pytest.fixture(params=PLATFORMS)
def platform(request: pytest.FixtureRequest) -> Iterator[Platform]:
    with PLATFORMS[request.param]() as made:
        yield made


@pytest.fixture
async def client(platform: Platform):
    made = platform.client()
    await made.health()  # from then on it knows what the platform can do
    yield made
    await made.aclose()


def message(message_id: str, text: str, chat: str = "1", **changes: str) -> TurnRequest:
    return replace(
        TurnRequest(
            message_id=message_id,
            installation_id="inst",
            agent_id="echo",
            platform_chat_id=chat,
            user_id=ALICE,
            text=text,
        ),
        **changes,
    )


def a_chat(number: str = "1", **changes: str):
    return message("", "", number, **changes).chat


async def events(client: PlatformClient, request: TurnRequest) -> list[TurnEvent]:
    async with aclosing(client.turn(request)) as stream:
        return [event async for event in stream]


def text_of(stream: list[TurnEvent]) -> str:
    return "".join(event.text for event in stream if isinstance(event, TextDelta))


async def answer(client: PlatformClient, request: TurnRequest) -> str:
    stream = await events(client, request)
    assert isinstance(stream[-1], Done), stream
    return text_of(stream)


async def turns(client: PlatformClient, chat: str = "1", **changes: str) -> int:
    return (await client.describe_context(a_chat(chat, **changes))).turns


# --- a turn


async def test_a_message_is_answered_and_the_stream_ends_with_one_done(client):
    stream = await events(client, message("$1", "hello there  world\n"))
    assert text_of(stream) == "hello there  world\n"
    assert [type(event) for event in stream].count(Done) == 1
    assert isinstance(stream[-1], Done)


async def test_an_answer_is_seen_while_it_is_made(client, platform):
    if platform.hold == platform.confirm:
        pytest.skip("says nothing before it is through")
    task, first = await read_first(client, message("$1", platform.hold))
    assert isinstance(first.result(), TextDelta)
    assert not task.done()
    await client.cancel(a_chat(), "$1", request_id="r1")
    assert "one two".startswith(text_of(await task))


async def test_silence_ends_in_an_error_and_nothing_is_remembered(platform):
    if not platform.silence:
        pytest.skip("cannot be silent")
    impatient = platform.client(first_timeout=0.3)
    (event,) = await events(impatient, message("$1", platform.silence))
    assert isinstance(event, PlatformError)
    assert (event.code, event.retryable) == ("timeout", True)
    assert await turns(impatient) == 0
    await impatient.aclose()


async def test_a_failure_is_the_last_event_and_may_be_asked_again(client, platform):
    for _ in range(2):
        stream = await events(client, message("$1", platform.fail))
        assert [type(event) for event in stream] == [PlatformError]
        assert stream[-1].retryable
    assert await turns(client) == 0


async def test_turn_does_nothing_before_the_stream_is_read(client):
    stream = client.turn(message("$1", "hello"))
    assert await turns(client) == 0
    await stream.aclose()
    assert await turns(client) == 0


async def test_a_file_comes_back_out(client):
    if not client.capabilities.files:
        pytest.skip("no files")
    sent = Attachment("surfaces/matrix/a/b/inbox/1-cat.png", "cat.png", "image/png")
    stream = await events(client, replace(message("$1", ""), attachments=(sent,)))
    assert stream[:-1] == [FileOut(sent.workspace_path, "cat.png", "image/png")]
    assert isinstance(stream[-1], Done)


# --- memory


async def test_a_chat_remembers_between_turns(client, platform):
    await answer(client, message("$1", "apples"))
    await answer(client, message("$2", "pears"))
    said = await answer(client, message("$3", platform.recall))
    assert said.index("apples") < said.index("pears")


async def test_a_chat_remembers_across_a_restart(client, platform):
    await answer(client, message("$1", "apples"))
    await client.aclose()
    assert "apples" in await answer(platform.client(), message("$2", platform.recall))


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"platform_chat_id": "2"},
        {"platform_chat_id": "11"},
        {"agent_id": "other"},
        {"installation_id": "reset"},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_no_chat_sees_anything_of_another(client, platform, elsewhere):
    await answer(client, message("$1", "a secret"))
    theirs = message("$2", platform.recall, **elsewhere)
    other = platform.client(theirs.installation_id, theirs.agent_id)
    assert (await other.describe_context(theirs.chat)).turns == 0
    assert "secret" not in await answer(other, theirs)
    assert (await other.describe_context(theirs.chat)).turns == 1
    assert await turns(client) == 1


async def test_the_context_of_an_unused_chat_is_empty(client):
    described = await client.describe_context(a_chat("77"))
    assert (described.turns, described.summary, described.saves) == (0, "", ())


async def test_a_context_is_described_by_its_length_and_beginning(client):
    await answer(client, message("$1", "how to bake bread"))
    await answer(client, message("$2", "and cake"))
    described = await client.describe_context(a_chat())
    assert described.turns == 2
    assert "bread" in described.summary
    assert described.loaded_from is None


# --- twice is once


async def test_the_same_message_is_answered_the_same_and_remembered_once(client, platform):
    if not client.capabilities.dedupes:
        pytest.skip("does not dedupe")
    await answer(client, message("$1", "apples"))
    first = await answer(client, message("$2", platform.recall))
    await answer(client, message("$3", "pears"))
    again = await answer(client, message("$2", platform.recall))
    assert first == again
    assert await turns(client) == 3


async def test_the_same_message_at_the_same_time_is_remembered_once(client):
    if not client.capabilities.dedupes:
        pytest.skip("does not dedupe")
    request = message("$1", "apples and pears")
    answers = await asyncio.gather(*(answer(client, request) for _ in range(5)))
    assert set(answers) == {"apples and pears"}
    assert await turns(client) == 1


async def test_two_messages_at_the_same_time_are_both_remembered(client):
    await asyncio.gather(*(answer(client, message(f"${n}", f"word {n}")) for n in range(8)))
    assert await turns(client) == 8


async def test_a_turn_cut_by_a_crash_is_answered_whole_the_next_time(client, platform):
    if not client.capabilities.dedupes:
        pytest.skip("does not dedupe")
    request = message("$1", "one two three four")
    async with aclosing(client.turn(request)) as stream:
        await anext(stream)
    reborn = platform.client()
    assert await answer(reborn, request) == "one two three four"
    assert await turns(reborn) == 1


# --- cancelling


async def read_first(client: PlatformClient, request: TurnRequest):
    """Start a turn in a task; return the task and a future of its first event."""
    first: asyncio.Future[TurnEvent] = asyncio.get_running_loop().create_future()

    async def read() -> list[TurnEvent]:
        seen: list[TurnEvent] = []
        async with aclosing(client.turn(request)) as stream:
            async for event in stream:
                seen.append(event)
                if not first.done():
                    first.set_result(event)
        return seen

    task = asyncio.create_task(read())
    await asyncio.wait({first, task}, return_when=asyncio.FIRST_COMPLETED)
    return task, first


async def test_cancel_ends_the_stream_and_leaves_the_memory_whole(client, platform):
    await answer(client, message("$0", "before"))
    task, _ = await read_first(client, message("$1", platform.hold))
    await client.cancel(a_chat(), "$1", request_id="r1")
    assert (await task)[-1] == PlatformError(CANCELLED, (await task)[-1].message, False)
    assert "before" in await answer(client, message("$2", platform.recall))


async def test_cancel_reaches_only_its_message_and_chat(client, platform):
    if not client.capabilities.confirmations:
        pytest.skip("nothing to hold the stream open with")
    task, _ = await read_first(client, message("$1", platform.confirm))
    await client.cancel(a_chat(), "$other", request_id="r1")
    await client.cancel(a_chat("2"), "$1", request_id="r2")
    await client.answer_confirmation(a_chat(), "$1", True, request_id="r3")
    assert isinstance((await task)[-1], Done)


async def test_cancelling_what_does_not_run_is_no_error(client):
    await client.cancel(a_chat(), "$never", request_id="r1")
    await answer(client, message("$1", "hello"))
    await client.cancel(a_chat(), "$1", request_id="r2")
    assert await answer(client, message("$2", "still here")) == "still here"


async def test_a_cancelled_reader_leaves_the_memory_whole(client, platform):
    task, _ = await read_first(client, message("$1", platform.hold))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await turns(client) == 0
    assert await answer(client, message("$2", "after")) == "after"


async def test_a_closed_client_ends_its_streams(client, platform):
    task, _ = await read_first(client, message("$1", platform.hold))
    await client.aclose()
    assert (await task)[-1].code == CLOSED


# --- asking back


@pytest.mark.parametrize("accepted", [True, False])
async def test_the_agent_asks_back_and_goes_on_with_the_answer(client, platform, accepted):
    if not client.capabilities.confirmations:
        pytest.skip("does not ask back")
    task, first = await read_first(client, message("$1", platform.confirm))
    question = first.result()
    assert isinstance(question, ConfirmationAsked)
    await client.answer_confirmation(a_chat(), question.id, accepted, request_id="r1")
    stream = await task
    assert isinstance(stream[-1], Done)
    assert ("yes" in text_of(stream)) is accepted
    # The answer is settled: neither a late second one nor asking again changes it.
    await client.answer_confirmation(a_chat(), question.id, not accepted, request_id="r1")
    assert await answer(client, message("$1", platform.confirm)) == text_of(stream)


async def test_a_question_cut_by_a_crash_is_asked_again_under_its_id(client, platform):
    if not client.capabilities.confirmations:
        pytest.skip("does not ask back")
    asked = []
    for life in (client, platform.client()):
        async with aclosing(life.turn(message("$1", platform.confirm))) as stream:
            asked.append(await anext(stream))
    assert isinstance(asked[0], ConfirmationAsked)
    assert asked[0] == asked[1]


async def test_an_answer_nobody_waits_for_is_told_so(client):
    if not client.capabilities.confirmations:
        pytest.skip("does not ask back")
    with pytest.raises(ConfirmationGone):
        await client.answer_confirmation(a_chat(), "$never", True, request_id="r1")


# --- saves


@pytest.fixture
def saving(client):
    if not client.capabilities.saves:
        pytest.skip("no saves")
    return client


async def test_a_save_seeds_a_fresh_chat(saving, platform):
    await answer(saving, message("$1", "apples"))
    saved = await saving.save_context(a_chat("1"), "fruit", request_id="r1")
    assert (saved.name, saved.turns) == ("fruit", 1)
    loaded = await saving.load_context(a_chat("2"), saved.id, request_id="r2")
    assert loaded == saved
    assert "apples" in await answer(saving, message("$2", platform.recall, "2"))
    described = await saving.describe_context(a_chat("2"))
    assert (described.turns, described.loaded_from, described.saves) == (2, "fruit", (saved,))


async def test_a_save_and_its_chats_go_their_own_ways(saving):
    await answer(saving, message("$1", "apples"))
    saved = await saving.save_context(a_chat("1"), "fruit", request_id="r1")
    await answer(saving, message("$2", "pears"))
    await saving.load_context(a_chat("2"), saved.id, request_id="r2")
    await answer(saving, message("$3", "plums", "2"))
    await answer(saving, message("$4", "figs", "2"))
    assert [s.turns for s in await saving.list_contexts(ALICE)] == [1]
    assert (await turns(saving, "1"), await turns(saving, "2")) == (2, 3)


async def test_saves_are_listed_newest_first_and_only_to_their_user(saving):
    await answer(saving, message("$1", "apples"))
    for name in ("b", "c", "a", "8448:a", "имя с пробелом"):
        await saving.save_context(a_chat(), name, request_id=f"r-{name}")
    await answer(saving, message("$2", "pears", "2", user_id=BOB))
    await saving.save_context(a_chat("2", user_id=BOB), "bobs", request_id="r-bob")
    assert [save.name for save in await saving.list_contexts(ALICE)] == [
        "имя с пробелом",
        "8448:a",
        "a",
        "c",
        "b",
    ]
    assert [save.name for save in await saving.list_contexts(BOB)] == ["bobs"]
    # "@bob:hs" begins like "@bob:hs:8448", and is someone else.
    assert await saving.list_contexts("@bob:hs") == []


async def test_saves_of_another_agent_or_installation_are_not_there(saving, platform):
    saved = await saving.save_context(a_chat(), "mine", request_id="r1")
    for installation_id, agent_id in (("inst", "other"), ("reset", "echo")):
        other = platform.client(installation_id, agent_id)
        assert await other.list_contexts(ALICE) == []
        chat = a_chat("2", installation_id=installation_id, agent_id=agent_id)
        with pytest.raises(SaveMissing):
            await other.load_context(chat, saved.id, request_id="r2")


async def test_another_users_save_cannot_be_loaded(saving):
    saved = await saving.save_context(a_chat(), "mine", request_id="r1")
    with pytest.raises(SaveMissing):
        await saving.load_context(a_chat("2", user_id=BOB), saved.id, request_id="r2")
    assert await turns(saving, "2", user_id=BOB) == 0


async def test_a_taken_name_is_replaced_by_a_new_request_and_kept_by_a_repeated_one(saving):
    await answer(saving, message("$1", "apples"))
    first = await saving.save_context(a_chat(), "fruit", request_id="r1")
    await answer(saving, message("$2", "pears"))
    assert await saving.save_context(a_chat(), "fruit", request_id="r1") == first
    second = await saving.save_context(a_chat(), "fruit", request_id="r2")
    assert (first.turns, second.turns) == (1, 2)
    assert await saving.save_context(a_chat(), "fruit", request_id="r1") == second
    assert await saving.list_contexts(ALICE) == [second]


async def test_a_load_repeated_has_no_second_effect(saving):
    await answer(saving, message("$1", "apples"))
    saved = await saving.save_context(a_chat(), "fruit", request_id="r1")
    await saving.load_context(a_chat("2"), saved.id, request_id="r2")
    await answer(saving, message("$2", "pears", "2"))
    await saving.load_context(a_chat("2"), saved.id, request_id="r2")
    assert await turns(saving, "2") == 2


async def test_a_chat_with_a_memory_cannot_be_loaded_over(saving):
    await answer(saving, message("$1", "apples"))
    saved = await saving.save_context(a_chat(), "fruit", request_id="r1")
    await answer(saving, message("$2", "pears", "2"))
    with pytest.raises(ChatInUse):
        await saving.load_context(a_chat("2"), saved.id, request_id="r2")
    assert await turns(saving, "2") == 1


async def test_a_save_that_is_not_there_is_named(saving):
    with pytest.raises(SaveMissing, match="fruit"):
        await saving.load_context(a_chat("2"), "fruit", request_id="r1")


# --- leaving and forgetting


async def test_a_disconnected_chat_can_be_returned_to(client, platform):
    await answer(client, message("$1", "apples"))
    await client.disconnect_chat(a_chat(), request_id="r1")
    await client.disconnect_chat(a_chat(), request_id="r1")
    assert "apples" in await answer(client, message("$2", platform.recall))


async def test_disconnecting_does_not_end_a_running_turn(client, platform):
    if not client.capabilities.confirmations:
        pytest.skip("nothing to hold the stream open with")
    task, _ = await read_first(client, message("$1", platform.confirm))
    await client.disconnect_chat(a_chat(), request_id="r1")
    await client.answer_confirmation(a_chat(), "$1", True, request_id="r2")
    assert isinstance((await task)[-1], Done)


async def test_a_forgotten_user_is_gone_and_nobody_else(client):
    await answer(client, message("$1", "apples"))
    await answer(client, message("$2", "pears", "2", user_id=BOB))
    if client.capabilities.saves:
        await client.save_context(a_chat(), "mine", request_id="r1")
        await client.save_context(a_chat("2", user_id=BOB), "bobs", request_id="r2")
    await client.forget_user(ALICE, request_id="r3")
    await client.forget_user(ALICE, request_id="r3")
    assert await turns(client, "1") == 0
    assert await turns(client, "2", user_id=BOB) == 1
    if client.capabilities.saves:
        assert await client.list_contexts(ALICE) == []
        assert [save.name for save in await client.list_contexts(BOB)] == ["bobs"]


# --- health


async def test_a_platform_that_can_be_reached_is_healthy(client):
    assert (await client.health()).ok
