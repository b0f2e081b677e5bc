"""Agents beyond the embedded one, on a real homeserver: a platform in a process of its own, and a model
behind an OpenAI-compatible API."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import HttpAgent
from machines.dialog import YES
from store import TinyStore
from surface.platform.http import HttpClient
from surface.platform.interface import ChatRef, PlatformError
from surface.platform.reference.journal import Journal
from surface.turn_run import THINKING
from tests.e2e.conftest import Make
from tests.rig.bot import Bot
from tests.rig.desk import Desk, onboard
from tests.rig.model_server import ModelServer
from tests.rig.services import PlatformProcess, serving

GUIDE = {"id": "guide", "name": "Guide", "brain": "scripted", "script": "scenario.yaml"}
WORDS = " ".join(f"word{n}" for n in range(80))
SCENARIO = {
    "rules": [
        {"on": "^long", "do": [{"work": "digging"}, {"slowly": WORDS, "every": 0.05}]},
        {
            "on": "^order",
            "do": [{"ask": "Really?", "yes": [{"work": "ordering"}, {"say": "Ordered."}]}],
        },
        {
            "on": "^begin",
            "do": [{"say": "Let me see "}, {"ask": "May I?", "yes": [{"say": "and done."}]}],
        },
        {"on": "^wait", "do": [{"say": "A moment "}, {"wait": 3600}]},
        {"on": "^said", "do": [{"recall": True}]},
    ],
    "otherwise": [{"say": "heard: {text}"}],
}
QUICK = {"answers": {"placeholder_after": 0.1, "edit_every": 0.1}}


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[PlatformProcess]:
    process = PlatformProcess(tmp_path / "platform", [GUIDE], SCENARIO, token="s3cret")
    process.start()
    yield process
    process.kill()


@pytest.fixture
def model() -> Iterator[tuple[ModelServer, str]]:
    server = ModelServer()
    with serving(server.app) as url:
        yield server, f"{url}/v1"


def guide_at(platform: PlatformProcess, **more: object) -> dict[str, object]:
    entry = {"id": "guide", "name": "Guide", "adapter": "http", "url": platform.url}
    return {**entry, "token": "s3cret", "reconnect_timeout": 60, **more}


def parrot_at(url: str) -> dict[str, object]:
    entry = {"id": "parrot", "name": "Parrot", "adapter": "openai", "url": url}
    return {**entry, "model": "parrot", "api_key": "s3cret"}


async def met(person: Make, bot: Bot) -> Desk:
    return await onboard(await person("alice"), bot)


async def begun(desk: Desk, room: str, words: str, beginning: str) -> str:
    """Say something, and wait until the answer grows; returns the message's id."""
    said = await desk.person.send(room, words)
    await desk.person.answer_to(room, said, sender=desk.bot.user_id, saying=beginning)
    return said


def installation(desk: Desk) -> str:
    return str(desk.bot.documents("meta")["installation_id"]["value"])


async def looked_into(platform: PlatformProcess, desk: Desk, said: str) -> tuple[int, object]:
    """How often the guide did its work, and how a turn ended; ends the platform."""
    platform.kill()
    chat = ChatRef(installation(desk), "guide", desk.context(), desk.me)
    store = TinyStore.open(platform.root / "platform.db")
    try:
        record = await Journal(store).find(chat, said)
        assert record is not None
        return await Journal(store).count(chat, "digging"), record.end
    finally:
        await store.aclose()


async def test_two_rooms_talk_to_two_kinds_of_agents_at_once(person, make_bot, platform, model):
    _, url = model
    agents = [guide_at(platform), parrot_at(url)]
    bot = await make_bot(agents=agents, default="guide", settings=QUICK)
    desk = await met(person, bot)
    other = await desk.new("Birds")
    await desk.command(other, "!agent parrot")

    # This stream stays open until its question is answered; the other room does not wait for it.
    said = await begun(desk, desk.chat, "begin", "Let me see")
    question = await desk.person.answer_to(desk.chat, said, saying="May I?")
    assert (await desk.say(other, "polly")).body == "polly"
    assert (await desk.say(other, "What did I say?")).body == "polly"
    await desk.person.react(desk.chat, question.event_id, YES)
    whole = "Let me see and done."
    await desk.person.answer_to(desk.chat, said, where=lambda m: m.body == whole)


async def test_answers_leave_no_connections_behind(person, make_bot, platform):
    bot = await make_bot(agents=[guide_at(platform)], default="guide")
    desk = await met(person, bot)
    open_now = []
    for n in range(12):
        said = await desk.person.send(desk.chat, f"hello {n}")
        await desk.person.answer_to(desk.chat, said, saying=f"heard: hello {n}")
        await bot.at_rest()
        open_now.append(sockets(bot.pid))
    assert open_now[-1] <= open_now[2] + 2, open_now


def sockets(pid: int) -> int:
    """How many a process has open."""
    files = Path(f"/proc/{pid}/fd")
    return sum(str(file.readlink()).startswith("socket:") for file in files.iterdir())


async def test_a_platform_killed_in_an_answer_gives_it_whole_and_works_once(
    person, make_bot, platform
):
    bot = await make_bot(agents=[guide_at(platform)], default="guide", settings=QUICK)
    desk = await met(person, bot)
    said = await begun(desk, desk.chat, "long", "word3")
    platform.kill()
    platform.start()
    await desk.person.answer_to(desk.chat, said, where=lambda m: m.body == WORDS)
    assert (await desk.say(desk.chat, "hello")).body == "heard: hello"
    texts = [m.body for m in desk.person.messages_after(desk.chat, said, bot.user_id)]
    assert texts == [WORDS, "heard: hello"]
    work, end = await looked_into(platform, desk, said)
    assert work == 1
    assert not isinstance(end, PlatformError)


async def test_a_surface_killed_in_an_answer_gives_it_whole_and_works_once(
    person, make_bot, platform
):
    bot = await make_bot(agents=[guide_at(platform)], default="guide", settings=QUICK)
    desk = await met(person, bot)
    said = await begun(desk, desk.chat, "long", "word3")
    bot.kill()
    await bot.start()
    await desk.person.answer_to(desk.chat, said, where=lambda m: m.body == WORDS)
    assert len(desk.person.messages_after(desk.chat, said, bot.user_id)) == 1
    assert (await looked_into(platform, desk, said))[0] == 1


async def test_an_agents_question_is_answered_by_a_tap(someone, mode, make_bot, platform):
    encrypted = mode == "encrypted"
    bot = await make_bot(
        agents=[guide_at(platform)], default="guide", settings=QUICK, encryption=encrypted
    )
    desk = await met(someone, bot)
    said = await begun(desk, desk.chat, "begin", "Let me see")
    question = await desk.person.answer_to(desk.chat, said, saying="May I?")
    await desk.person.react(desk.chat, question.event_id, YES)
    whole = await desk.person.answer_to(
        desk.chat, said, where=lambda m: m.body == "Let me see and done."
    )
    assert (question.encrypted, whole.encrypted) == (encrypted, encrypted)
    again = await desk.say(desk.chat, "said")
    assert "begin" in again.body
    assert again.encrypted == encrypted


async def test_stop_ends_the_work_on_the_platform_too(person, make_bot, platform):
    bot = await make_bot(agents=[guide_at(platform)], default="guide", settings=QUICK)
    desk = await met(person, bot)
    said = await begun(desk, desk.chat, "wait", "A moment")
    await desk.person.send(desk.chat, "!stop")
    await desk.person.answer_to(desk.chat, said, saying="Stopped.")
    assert (await desk.say(desk.chat, "hello")).body == "heard: hello"
    _, end = await looked_into(platform, desk, said)
    assert isinstance(end, PlatformError)
    assert end.code == "cancelled"


async def test_a_fresh_installation_never_sees_an_older_ones_chats(person, make_bot, platform):
    desks = []
    for _ in range(2):
        bot = await make_bot(agents=[guide_at(platform)], default="guide")
        desks.append(await met(person, bot))
    old, new = desks
    assert old.context() == new.context(), "the numbers begin anew"
    await old.say(old.chat, "a secret")
    await old.command(old.chat, "!save mine")
    assert (await new.say(new.chat, "said")).body == "You said nothing yet."
    assert "secret" in (await old.say(old.chat, "said")).body


@pytest.mark.parametrize("locale", ["en", "ru"])
async def test_a_platform_that_is_away_is_told_and_asked_again(person, make_bot, platform, locale):
    agents = [guide_at(platform, reconnect_timeout=0.5)]
    bot = await make_bot(agents=agents, default="guide", locale=locale)
    desk = await onboard(await person("alice"), bot)
    platform.kill()
    said = await desk.person.send(desk.chat, "hello")
    told = {"en": "cannot be reached", "ru": "недоступен"}[locale]
    await desk.person.answer_to(desk.chat, said, saying=told)
    for command in ("!save plans", "!load", "!context"):
        assert told in (await desk.command(desk.chat, command)).body
    platform.start()
    await bot.at_rest()
    # It is left alone for a while; then it is asked again.
    async with asyncio.timeout(60):
        while True:
            again = await desk.person.send(desk.chat, "!retry")
            heard = await desk.person.answer_to(desk.chat, again)
            if heard.body == "heard: hello":
                break
            assert told in heard.body


async def test_a_platform_that_is_away_forgets_as_soon_as_it_is_back(person, make_bot, platform):
    echo = {"id": "echo", "name": "Echo", "adapter": "echo"}
    bot = await make_bot(agents=[echo, guide_at(platform)], default="guide")
    desk = await met(person, bot)
    await desk.say(desk.chat, "a secret")
    chat = ChatRef(installation(desk), "guide", desk.context(), desk.me)
    platform.kill()
    await desk.command(desk.home, "!forget")
    await desk.person.send(desk.home, "!yes")
    await bot.logged("effect.put_off", effect="ForgetUser")
    platform.start()
    await bot.at_rest()
    options = HttpAgent(id="guide", name="G", adapter="http", url=platform.url, token="s3cret")
    client = HttpClient(installation_id=chat.installation_id, agent_id="guide", options=options)
    assert (await client.describe_context(chat)).turns == 0
    await client.aclose()


async def test_an_agent_whose_extra_is_not_installed_is_told(person, make_bot, tmp_path):
    absent = tmp_path / "absent" / "openai"
    absent.mkdir(parents=True)
    (absent / "__init__.py").write_text("raise ModuleNotFoundError('gone', name='openai')")
    bot = await make_bot(
        agents=[parrot_at("http://127.0.0.1:9/v1")],
        default="parrot",
        env={"PYTHONPATH": str(absent.parent)},
        may_complain=True,
    )
    line = await bot.logged("agents.not_installed", agents="parrot")
    assert "pip install 'matrix-surface[openai]'" in line["why"]
    desk = await met(person, bot)
    said = await desk.person.send(desk.chat, "hello")
    await desk.person.answer_to(desk.chat, said, saying="Only its operator can mend that")
    assert "cannot be reached from here" in (await desk.command(desk.chat, "!load")).body


async def test_a_model_cut_by_a_restart_is_not_asked_twice_unasked(person, make_bot, model):
    server, url = model
    bot = await make_bot(agents=[parrot_at(url)], default="parrot", settings=QUICK)
    desk = await met(person, bot)
    said = await begun(desk, desk.chat, "hold", "one two")
    bot.kill()
    await bot.start()
    await desk.person.answer_to(desk.chat, said, saying="!retry")
    assert len(server.asked) == 1
    assert server.keys == ["Bearer s3cret"]


async def test_saves_of_a_model_are_kept_by_the_surface(person, make_bot, model):
    _, url = model
    bot = await make_bot(agents=[parrot_at(url)], default="parrot")
    desk = await met(person, bot)
    await desk.say(desk.chat, "apples")
    await desk.command(desk.chat, "!save fruit")
    await desk.command(desk.chat, "!clear")
    assert (await desk.say(desk.chat, "What did I say?")).body == "nothing"
    await desk.command(desk.chat, "!load fruit")
    assert (await desk.say(desk.chat, "What did I say?")).body == "apples"
    assert THINKING not in [m.body for m in desk.person.messages(desk.chat, bot.user_id)]


@pytest.mark.parametrize("way", ["SIGHUP", "the file"])
async def test_a_changed_registry_is_read_while_an_answer_is_under_way(
    person, make_bot, platform, way
):
    echo = {"id": "echo", "name": "Echo", "adapter": "echo"}
    bot = await make_bot(agents=[guide_at(platform)], default="guide", settings=QUICK)
    desk = await met(person, bot)
    said = await begun(desk, desk.chat, "long", "word3")

    bot.agents, bot.default = [echo], "echo"
    bot.write_config()
    if way == "SIGHUP":
        bot.signal(signal.SIGHUP)
    await bot.logged("agents.reloaded")

    await desk.person.answer_to(desk.chat, said, where=lambda m: m.body == WORDS)
    assert bot.room(desk.chat)["state"] == "unbound"
    asked = await desk.person.send(desk.chat, "hello")
    await desk.person.answer_to(desk.chat, asked, saying="Which agent")
    await desk.command(desk.chat, "!agent echo")
    assert (await desk.say(desk.chat, "hello")).body == "hello"


async def test_a_registry_that_cannot_be_read_changes_nothing(person, make_bot, platform):
    bot = await make_bot(agents=[guide_at(platform)], default="guide")
    desk = await met(person, bot)
    (bot.root / "agents.yaml").write_text("agents: [{id: guide}]")
    bot.signal(signal.SIGHUP)
    await bot.logged("agents.not_reloaded")
    assert (await desk.say(desk.chat, "hello")).body == "heard: hello"
