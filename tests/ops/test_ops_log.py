"""What the log tells and what it never tells; what a service manager is told."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from surface.files.names import inbox_path
from surface.logs import Hashing, hash_key
from tests.rig.bot import AGENTS, PASSWORD, Bot
from tests.rig.desk import Desk, onboard
from tests.rig.fixtures import Make
from tests.rig.ops import surface

SECRET = "xyzzy-plugh"
NAME = "Plover Room"


async def conversation(desk: Desk) -> None:
    """Everything in which somebody says something, well and badly."""
    await desk.say(desk.chat, f"my secret is {SECRET}")
    await unheard(desk)
    await desk.command(desk.chat, "!agent slow")
    growing = await desk.person.send(desk.chat, f"{SECRET} and a few words more to say")
    await desk.person.answer_to(desk.chat, growing, saying="more to say")
    await desk.command(desk.chat, f"!save {SECRET}")
    await desk.command(desk.chat, f"!{SECRET}")
    await desk.command(desk.chat, f"!load {SECRET}")
    await desk.new(NAME)
    content = {"msgtype": "m.file", "body": f"{SECRET}.txt", "url": "mxc://localhost/nothing"}
    sent = await desk.person.send_event(desk.chat, "m.room.message", content)
    await desk.person.answer_to(desk.chat, sent, saying=SECRET)
    assert f"{SECRET}.txt" not in (await desk.bot.logged("file.not_there"))["path"]
    await desk.command(desk.chat, "!agent nobody")
    failed = await desk.person.send(desk.chat, f"{SECRET}?")
    await desk.person.answer_to(desk.chat, failed)
    await desk.bot.at_rest()


async def unheard(desk: Desk) -> None:
    """More is said while the bot is away than one sync brings: a gap, filled from the room's history."""
    await desk.bot.stop()
    for number in range(60):
        last = await desk.person.send(desk.chat, f"{SECRET}, {number}.")
    await desk.bot.start(timeout=60)
    await desk.person.answer_to(desk.chat, last, saying=f"{SECRET}, {number}.", timeout=60)
    filled = desk.bot.events("gap.filled", room=desk.chat)
    assert [line for line in filled if line["inputs"]], "no gap (say more)"


NOBODY = {"id": "nobody", "name": "Nobody", "adapter": "http", "url": "http://127.0.0.1:9"}


@pytest.mark.synapse
async def test_nothing_that_was_said_is_logged_or_recorded(
    make_bot: Make, someone: Make, mode: str
) -> None:
    bot: Bot = await make_bot(
        encryption=mode == "encrypted",
        agents=(*AGENTS, NOBODY),
        settings={"log": {"format": "json", "level": "debug"}},
    )
    desk = await onboard(await someone("alice"), bot)
    await conversation(desk)
    recent = (await surface(bot, "history", desk.chat, "--json")).stdout
    assert '"turn"' in recent
    await bot.stop()

    log = (bot.root / "bot.log").read_text()
    assert len(bot.events("decision")) > 20
    session = json.loads((bot.state_dir / "matrix_store" / "session.json").read_text())
    secrets = (SECRET, NAME, PASSWORD, session["access_token"], session["pickle_key"])
    assert not [secret for secret in secrets if secret in log]
    for documents in (bot.documents("rooms"), bot.documents("users")):
        records = json.dumps([document["history"] for document in documents.values()])
        assert "event" in records and not [secret for secret in secrets if secret in records]
    assert not [secret for secret in secrets if secret in recent]


@pytest.mark.synapse
async def test_each_decision_is_one_line(make_bot: Make, person: Make) -> None:
    bot: Bot = await make_bot()
    desk = await onboard(await person("alice"), bot)
    said = await desk.person.send(desk.chat, "hello")
    await desk.person.answer_to(desk.chat, said)
    await bot.at_rest()

    (accepted,) = bot.events("decision", cause=said)
    assert accepted["room"] == desk.chat and accepted["ms"] > 0
    assert accepted["moves"] == ["room bound --talk--> bound"]
    (started,) = bot.events("decision", cause=f"{said}/start")
    assert started["moves"] == ["turn waiting --start--> thinking"]
    (ended,) = bot.events("decision", cause=f"{said}/final")
    assert ended["moves"][0] == "turn streaming --finish--> answered"
    assert ended["effects"] == ["Answer"] and ended["room"] == desk.chat


@pytest.mark.synapse
async def test_ids_can_be_hashed(make_bot: Make, person: Make) -> None:
    bot: Bot = await make_bot(
        settings={"log": {"format": "json", "level": "debug", "ids": "hashed"}}
    )
    desk = await onboard(await person("alice"), bot)
    await desk.say(desk.chat, "one")
    await bot.stop()
    await bot.start()
    await desk.say(desk.chat, "two")
    await bot.stop()

    log = (bot.root / "bot.log").read_text()
    assert not [
        some for some in (desk.me, bot.user_id, desk.chat, desk.home, desk.space) if some in log
    ]
    assert not re.search(r"\$[A-Za-z0-9_\-]{43}", log)
    talks = [
        line["room"]
        for line in bot.events("decision", runs=True)
        if "room bound --talk--> bound" in line["moves"]
    ]
    assert len(talks) == 2 and len(set(talks)) == 1, "the same room is the same hash, for ever"
    key = bot.state_dir / "log.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "text",
    [
        "@alice:localhost",
        "matrix_user:@alice:hs.example.org:8448",
        "!abc:hs",
        "!" + "r" * 43,
        "$" + "e" * 43 + "/final/0",
        "chat:@a.b_c=d/e+f:hs:C3",
        "Lost: PUT !room:hs refused @bob:hs",
    ],
)
def test_what_is_an_id(text: str) -> None:
    hashed = Hashing(b"k" * 32).hashed(text)
    assert not re.search(r"[@!$](?!~[0-9a-f]{12})", hashed)
    assert hashed == Hashing(b"k" * 32).hashed(text) != Hashing(b"l" * 32).hashed(text)


@pytest.mark.parametrize(
    "text", ["@o'brien~x:hs", "@al!ce:hs", "@алиса:hs", "@alice:[::1]:8448", "#général:hs"]
)
def test_old_ids_may_hold_nearly_everything(text: str) -> None:
    for said in (text, f"no {text} here", {"why": {text: [text]}}, {text}):
        hashed = str(Hashing(b"k" * 32).hashed(said))
        assert re.search(r"[@#]~[0-9a-f]{12}", hashed)
        assert not any(part in hashed for part in ("brien", "al!", "али", "alice", "::1", "ral:"))


def test_whose_file_it_was_is_hashed() -> None:
    path = inbox_path("@alice:hs", "!room:hs", "$event", 0, "plans.txt")
    hashed = Hashing(b"k" * 32).hashed(path)
    assert hashed.startswith("surfaces/matrix/~") and "alice" not in hashed
    assert path.endswith(hashed.partition("/inbox/")[2])


@pytest.mark.parametrize("value", ["!help", "5$ for @nobody", "mail!", 7, None, ["no", {"id": 1}]])
def test_what_is_none(value: Any) -> None:
    assert Hashing(b"k" * 32).hashed(value) == value


def test_the_key_is_made_once(tmp_path: Path) -> None:
    assert hash_key(tmp_path / "state") == hash_key(tmp_path / "state") != hash_key(tmp_path)


@pytest.mark.synapse
async def test_the_service_manager_is_told(make_bot: Make, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        address = tmp_path / "notify"
        manager.bind(str(address))
        manager.settimeout(60)
        bot: Bot = await make_bot(env={"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "200000"})

        async def hears(wanted: str) -> list[str]:
            heard: list[str] = []
            while wanted not in heard:
                heard += (await asyncio.to_thread(manager.recv, 4096)).decode().split("\n")
            return heard

        assert (await hears("READY=1"))[0] == "READY=1"
        assert await hears("WATCHDOG=1") and await hears("WATCHDOG=1")
        stopping = asyncio.create_task(hears("STOPPING=1"))
        await bot.stop()
        await stopping
