"""The reference platform as a process of its own: killed and started again, it loses nothing and does
nothing twice."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from config import HttpAgent
from store import TinyStore
from surface.platform.http import HttpClient
from surface.platform.interface import (
    Attachment,
    ConfirmationAsked,
    Done,
    FileOut,
    PlatformError,
    Status,
    TextDelta,
)
from surface.platform.reference.journal import Journal
from tests.rig.model_server import ModelServer
from tests.rig.services import PROJECT, PlatformProcess, serving

from .test_platform_conformance import a_chat, answer, events, message, text_of, turns

GUIDE = {"id": "guide", "name": "Guide", "brain": "scripted", "script": "scenario.yaml"}
ECHO = {"id": "echo", "name": "Echo", "brain": "echo", "delay": 0.02}
WORDS = " ".join(f"word{n}" for n in range(60))
SCENARIO = {
    "rules": [
        {
            "on": "^long",
            "do": [
                {"work": "digging"},
                {"slowly": WORDS, "every": 0.02},
                {"file": "found.txt", "text": "bones, {text}"},
                {"say": " end"},
            ],
        },
        {
            "on": "^ask",
            "do": [
                {"work": "thinking"},
                {"ask": "Really?", "yes": [{"say": "yes"}], "no": [{"say": "no"}]},
                {"ask": "Sure?", "yes": [{"say": " sure"}], "no": [{"say": " unsure"}]},
            ],
        },
        {"on": "^back", "do": [{"attachments": True}]},
        {"on": "^fail", "do": [{"work": "trying"}, {"say": "a"}, {"fail": "no luck"}]},
        {"on": "^wait", "do": [{"status": "sleeping"}, {"wait": 3600}]},
        {"on": "^said", "do": [{"recall": True}]},
    ],
    "otherwise": [{"say": "you said: {text}"}],
}


@pytest.fixture
def platform(tmp_path: Path):
    process = PlatformProcess(tmp_path, [GUIDE, ECHO], SCENARIO, token="s3cret")
    process.start()
    yield process
    process.kill()


@pytest.fixture
async def guide(platform):
    client = to(platform, "guide")
    yield client
    await client.aclose()


def to(platform: PlatformProcess, agent: str, token: str = "s3cret") -> HttpClient:
    entry = HttpAgent(
        id=agent, name="G", adapter="http", url=platform.url, token=token, reconnect_timeout=60
    )
    return HttpClient(installation_id="inst", agent_id=agent, options=entry)


def to_guide(message_id: str, text: str, chat: str = "1"):
    return message(message_id, text, chat, agent_id="guide")


async def counted(platform: PlatformProcess, label: str) -> int:
    """How often the agent did something; ends the platform."""
    platform.kill()
    store = TinyStore.open(platform.root / "platform.db")
    try:
        return await Journal(store).count(to_guide("", "").chat, label)
    finally:
        await store.aclose()


@pytest.mark.parametrize("end", ["kill", "stop"])
async def test_ended_in_the_middle_of_an_answer_it_goes_on_where_it_was(platform, guide, end):
    seen, deltas = [], 0
    async with aclosing(guide.turn(to_guide("$1", "long"))) as stream:
        async for event in stream:
            seen.append(event)
            deltas += isinstance(event, TextDelta)
            if deltas in (5, 25) and isinstance(event, TextDelta):
                getattr(platform, end)()
                platform.start()
    assert seen[0] == Status("digging")
    assert text_of(seen) == f"{WORDS} end"
    assert [type(event) for event in seen].count(FileOut) == 1
    assert isinstance(seen[-1], Done)
    (file,) = (event for event in seen if isinstance(event, FileOut))
    assert (platform.root / "agents" / file.workspace_path).read_text() == "bones, long"
    assert await turns(guide, agent_id="guide") == 1
    assert await counted(platform, "digging") == 1


async def test_killed_with_nobody_there_it_answers_whole_the_next_time(platform, guide):
    async with aclosing(guide.turn(to_guide("$1", "long"))) as stream:
        async for event in stream:
            if isinstance(event, TextDelta):
                break
    platform.kill()
    platform.start()
    assert await answer(guide, to_guide("$1", "long")) == f"{WORDS} end"
    assert await answer(guide, to_guide("$1", "long")) == f"{WORDS} end"
    assert await counted(platform, "digging") == 1


async def test_a_surface_that_leaves_finds_its_answer_finished(platform, guide):
    async with aclosing(guide.turn(to_guide("$1", "long"))) as stream:
        await anext(stream)
    reborn = to(platform, "guide")
    assert await answer(reborn, to_guide("$1", "long")) == f"{WORDS} end"
    await reborn.aclose()
    assert await counted(platform, "digging") == 1


async def test_a_question_and_its_answer_outlive_a_kill(platform, guide):
    seen = []
    async with aclosing(guide.turn(to_guide("$1", "ask"))) as stream:
        async for event in stream:
            seen.append(event)
            if event == ConfirmationAsked("$1", "Really?"):
                platform.kill()
                platform.start()
                await answered(guide, "$1", True)
            if event == ConfirmationAsked("$1/2", "Sure?"):
                await answered(guide, "$1/2", False)
    assert text_of(seen) == "yes unsure"
    assert await counted(platform, "thinking") == 1


async def answered(guide: HttpClient, question: str, accepted: bool) -> None:
    """Answer as soon as the platform has the turn again: it comes back when the stream does."""
    for _ in range(500):
        try:
            await guide.answer_confirmation(
                to_guide("", "").chat, question, accepted, request_id=f"r{question}"
            )
        except Exception:
            await asyncio.sleep(0.02)
        else:
            return
    raise AssertionError("nobody waited for the answer")


async def test_a_failure_is_worked_on_anew_when_it_is_asked_again(platform, guide):
    for _ in range(2):
        stream = await events(guide, to_guide("$1", "fail"))
        assert stream == [
            Status("trying"),
            TextDelta("a"),
            PlatformError("scripted_failure", "no luck", retryable=True),
        ]
    assert await turns(guide, agent_id="guide") == 0
    assert await counted(platform, "trying") == 2


async def test_stopping_ends_the_work_on_the_platform(platform, guide):
    chat = to_guide("", "").chat
    async with aclosing(guide.turn(to_guide("$1", "wait"))) as stream:
        assert await anext(stream) == Status("sleeping")
        await guide.cancel(chat, "$1", request_id="r1")
        assert (await anext(stream)).code == "cancelled"
    # It was over at once for everybody: asked again, it begins anew.
    async with aclosing(guide.turn(to_guide("$1", "wait"))) as stream:
        assert await anext(stream) == Status("sleeping")


async def test_memory_and_saves_outlive_the_process(platform, guide):
    await answer(guide, to_guide("$1", "apples"))
    await guide.save_context(to_guide("", "").chat, "fruit", request_id="r1")
    assert platform.stop() == 0
    platform.start()
    assert "apples" in await answer(guide, to_guide("$2", "said"))
    (saved,) = await guide.list_contexts(a_chat().user_id)
    assert (saved.name, saved.turns) == ("fruit", 1)


async def test_files_come_back(platform, guide):
    sent = Attachment("surfaces/matrix/a/b/inbox/1-cat.png", "cat.png", "image/png")
    request = replace(to_guide("$1", "back"), attachments=(sent,))
    assert await events(guide, request) == [
        FileOut(sent.workspace_path, sent.filename, sent.mime_type),
        Done(),
    ]


async def test_a_wrong_token_is_refused(platform):
    client = to(platform, "guide", token="wrong")
    (event,) = await events(client, to_guide("$1", "hello"))
    assert (event.code, event.retryable) == ("unauthorized", False)
    assert not (await client.health()).ok
    await client.aclose()


async def test_health_knows_whether_the_agent_is_there(platform, guide):
    assert (await guide.health()).ok
    stranger = to(platform, "stranger")
    health = await stranger.health()
    assert not health.ok
    assert health.detail == "no agent `stranger` there; there are: guide, echo"
    await stranger.aclose()


async def test_a_model_cut_by_a_kill_fails_clearly_and_is_asked_again(tmp_path):
    model = ModelServer()
    with serving(model.app) as url:
        brain = {"id": "guide", "name": "M", "brain": "llm", "model": "parrot", "url": f"{url}/v1"}
        platform = PlatformProcess(tmp_path, [brain], token="s3cret")
        platform.start()
        client = to(platform, "guide")
        try:
            await answer(client, to_guide("$0", "before"))
            seen = []
            async with aclosing(client.turn(to_guide("$1", "hold"))) as stream:
                async for event in stream:
                    seen.append(event)
                    if isinstance(event, TextDelta) and text_of(seen) == "one two":
                        platform.kill()
                        platform.start()
            assert isinstance(seen[-1], PlatformError)
            assert (seen[-1].code, seen[-1].retryable) == ("interrupted", True)
            assert len(model.asked) == 2, "nobody asked the model again"
            assert await answer(client, to_guide("$2", "What did I say?")) == "before"
        finally:
            await client.aclose()
            platform.kill()


def complaint(process: PlatformProcess) -> str:
    """What the platform says when it does not start; nothing is left of that."""
    before = sorted(process.root.iterdir())
    config = str(process.root / "platform.yaml")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "surface", "platform", "-c", config],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error:") == 1
    assert sorted(process.root.iterdir()) == before
    return done.stderr


def test_a_scenario_that_cannot_be_played_is_named(tmp_path):
    scenario = {"otherwise": [{"say": "a", "fail": "b"}, {"sya": "c"}]}
    said = complaint(PlatformProcess(tmp_path, [GUIDE], scenario))
    assert "a step does one of say, slowly" in said
    assert "sya" in said


def test_an_address_in_use_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = complaint(PlatformProcess(tmp_path, [ECHO], port=port))
    assert f"127.0.0.1:{port}: cannot be listened on" in said
    assert "set another `host` or `port`" in said


def test_a_workspace_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    said = complaint(PlatformProcess(tmp_path, [ECHO], workspace="file/agents"))
    assert "set another `workspace`" in said


async def test_a_second_one_on_the_same_file_names_the_platforms_own_setting(tmp_path):
    second = PlatformProcess(tmp_path, [ECHO])
    (tmp_path / "agents").mkdir()
    store = TinyStore.open(tmp_path / "platform.db")
    try:
        said = complaint(second)
    finally:
        await store.aclose()
    assert "is in use by another platform" in said and "give this one its own `state`." in said
    assert "state_dir" not in said and "surface" not in said
