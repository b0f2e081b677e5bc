"""The operators' subcommands beside a real bot."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from surface.ops import listing
from surface.ops.listing import Filters
from tests.rig.bot import PROJECT
from tests.rig.desk import Desk, onboard
from tests.rig.fixtures import Make
from tests.rig.ops import surface, told
from tests.rig.proxy import FaultProxy, Status

pytestmark = pytest.mark.synapse
STORY = " ".join(f"word{n}" for n in range(300))
"""Half a minute to tell: a command may take seconds to start where much else runs."""


@pytest.fixture
async def desk(person: Make, share_bot: Make) -> Desk:
    return await onboard(await person("alice"), await share_bot())


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
    }


async def test_status_in_words_and_in_json(desk: Desk) -> None:
    shown = await surface(desk.bot, "status")
    assert shown.returncode == 0, shown.stderr
    for words in (f"{desk.bot.user_id} is ready", "store", "sync", "last sync", "echo"):
        assert words in shown.stdout
    as_json = await told(desk.bot, "status")
    assert as_json["ready"] and as_json["phase"] == "live" and as_json["pid"] == desk.bot.pid
    assert as_json["user_id"] == desk.bot.user_id
    assert as_json["agents"] == {"echo": True, "slow": True, "shout": True}
    assert as_json["machines"]["room"]["bound"] >= 1
    assert as_json["now"]["outbox"] == 0 and as_json["now"]["sync_age"] < 90


async def test_status_follows_what_happens(desk: Desk) -> None:
    """`--watch --json` is a line for each look."""
    await desk.command(desk.chat, "!agent slow")
    said = await desk.person.send(desk.chat, STORY)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "surface", "status", "--watch", "--json", "--every", "0.2"),
        *("-c", str(desk.bot.root / "surface.yaml")),
        stdout=asyncio.subprocess.PIPE,
        cwd=PROJECT,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(120):
            while not json.loads(await process.stdout.readline())["now"]["turns_running"]:
                pass
            await desk.person.send(desk.chat, "!stop")
            while json.loads(await process.stdout.readline())["now"]["turns_running"]:
                pass
    finally:
        process.terminate()
        await process.wait()
    await desk.person.answer_to(desk.chat, said, saying="word1")


@pytest.mark.parametrize("form", [("--json",), ()], ids=["json", "words"])
async def test_status_waits_for_a_bot_that_is_away(make_bot: Make, form: tuple[str, ...]) -> None:
    """Through a restart, and until Ctrl-C, which is no failure."""
    bot = await make_bot()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "surface", "status", "--watch", "--every", "0.2", *form),
        *("-c", str(bot.root / "surface.yaml")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "COLUMNS": "400", "FORCE_COLOR": "1", "TERM": "xterm"},
        # What runs the tests in the background may have Ctrl-C ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        cwd=PROJECT,
    )
    assert process.stdout is not None and process.stderr is not None
    is_there, is_away = ('"phase": "live"', '"away": "the bot') if form else ("is ", "away")

    async def shown(words: str) -> None:
        assert process.stdout is not None
        seen = ""
        async with asyncio.timeout(60):
            while words not in seen:
                more = await process.stdout.read(65_536)
                assert more, f"it has ended; {seen}"
                seen += more.decode()

    try:
        await shown(is_there)
        bot.kill()
        await shown(is_away)
        await bot.start()
        await shown(bot.user_id)
        process.send_signal(signal.SIGINT)
        said = (await process.communicate())[1].decode()
        assert (process.returncode, said) == (0, "")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_the_socket_is_its_owners_only(desk: Desk) -> None:
    socket = desk.bot.state_dir / "control.sock"
    assert stat.S_ISSOCK(socket.stat().st_mode)
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600


async def test_people_and_rooms_of_a_running_and_of_a_stopped_bot(
    make_bot: Make, person: Make
) -> None:
    bot = await make_bot()
    alice, bob = await onboard(await person("alice"), bot), await onboard(await person("bob"), bot)
    await alice.new("Kitchen")
    await alice.archive(await alice.new("Attic"))
    await bob.command(bob.chat, "!agent shout")
    await bot.at_rest()

    def people(**filters: str) -> list[str]:
        return [p["user_id"] for p in listing.users(bot.state_dir, Filters(**filters))]

    def rooms(**filters: str) -> list[tuple[str, str, str]]:
        found = listing.rooms(bot.state_dir, Filters(**filters))
        return [(room["chat_id"], room["name"], room["state"]) for room in found]

    async def looked() -> list[object]:
        told_users, told_rooms = await told(bot, "users"), await told(bot, "rooms")
        a, b = told_users
        assert (a["user_id"], a["chats"], a["archived"], a["state"]) == (alice.me, 2, 1, "ready")
        assert (b["user_id"], b["chats"], b["archived"], b["agent_id"]) == (bob.me, 1, 0, "shout")
        assert people(agent="shout") == people(person="@bob*") == [bob.me]
        assert people(state="departed") == []
        assert rooms(person=alice.me, kind="chat") == [
            ("C1", "Chat 1", "bound"),
            ("C2", "Kitchen", "bound"),
            ("C3", "Attic", "archived"),
        ]
        assert rooms(state="archived") == [("C3", "Attic", "archived")]
        assert rooms(agent="shout") == rooms(person=bob.me, kind="chat")
        homes = listing.rooms(bot.state_dir, Filters(kind="home"))
        assert [room["room_id"] for room in homes] == [alice.home, bob.home]
        assert {room["room_id"] for room in told_rooms} >= {alice.chat, bob.chat, alice.home}
        return [told_users, told_rooms]

    running = await looked()
    await bot.stop()
    before = tree(bot.state_dir)
    assert await looked() == running
    assert tree(bot.state_dir) == before, "a stopped bot's directory is left as it is"
    shown = await surface(bot, "rooms", "@bob*", "--kind", "chat")
    assert "Chat 1" in shown.stdout and "Kitchen" not in shown.stdout
    (line,) = [line for line in shown.stdout.splitlines() if bob.me in line]
    assert bob.chat in line, "one line each, and whole, for grep"
    nobody = await surface(bot, "status")
    assert nobody.returncode == 1 and "the bot is not running" in nobody.stderr
    assert (await surface(bot, "drain")).returncode == 1


async def test_effects_that_are_stuck_are_shown_retried_and_dropped(
    make_bot: Make, person: Make, proxy: FaultProxy
) -> None:
    bot = await make_bot(url=proxy.url)
    desk = await onboard(await person("alice"), bot)
    await bot.at_rest()
    assert await told(bot, "outbox") == []
    away = proxy.arm("PUT", r"/send/m\.room\.message", Status(502), times=None)
    for text in ("!help rename", "!help new"):
        await desk.person.send(desk.chat, text)
    await away.fired(2)
    async with asyncio.timeout(60):
        while len(rows := await told(bot, "outbox")) < 2 or not rows[0]["attempts"]:
            pass

    assert [row["effect"] for row in rows] == ["Notice", "Notice"]
    assert rows[0]["lane"] == f"talk:{desk.chat}"
    assert "502" in rows[0]["why"] and rows[1]["attempts"] == 0
    shown = await surface(bot, "outbox")
    assert "Notice" in shown.stdout and "rename" not in shown.stdout

    first, second = rows[0]["seq"], rows[1]["seq"]
    tried = await surface(bot, "outbox", "retry", str(first))
    assert tried.stdout == f"row {first}: tried again\n"
    dropped = await surface(bot, "outbox", "drop", str(first), "999999")
    assert dropped.returncode == 1
    assert f"row {first}: dropped" in dropped.stdout and "999999: is not there" in dropped.stdout
    async with asyncio.timeout(60):
        while [row["seq"] for row in await told(bot, "outbox")] != [second]:
            pass
    await bot.stop()
    assert [row["seq"] for row in await told(bot, "outbox")] == [second], "of a stopped bot"

    away.disarm()
    await bot.start()
    await desk.person.until(
        lambda: [m for m in desk.person.messages(desk.chat, bot.user_id) if "!new" in m.body]
    )
    assert not [m for m in desk.person.messages(desk.chat, bot.user_id) if "!rename" in m.body]
    await bot.at_rest()


@pytest.mark.parametrize(
    ("words", "left"),
    [(("drain",), "0 inputs, 0 answers, 0 effects"), (("drain", "--within", "0"), "1 answers")],
    ids=["as long as it takes", "at once"],
)
async def test_drain_lets_answers_finish_and_takes_nothing_new(
    make_bot: Make, person: Make, words: tuple[str, ...], left: str
) -> None:
    bot = await make_bot(settings={"shutdown_grace": 1})
    desk = await onboard(await person("alice"), bot)
    await desk.command(desk.chat, "!agent slow")
    said = await desk.person.send(desk.chat, STORY)
    await desk.person.answer_to(desk.chat, said)

    draining = asyncio.create_task(surface(bot, *words))
    await bot.logged("bot.stopping")
    late = await desk.person.send(desk.chat, "one more")
    done = await draining

    assert done.returncode == 0, done.stderr
    assert "1 answers run" in done.stdout and left in done.stdout
    assert await bot.died() == 0
    assert not (bot.state_dir / "control.sock").exists()
    assert not desk.person.messages_after(desk.chat, late, bot.user_id)
    if len(words) == 1:
        await desk.person.answer_to(desk.chat, said, where=lambda m: m.body == STORY)
    await bot.start()
    await desk.person.answer_to(desk.chat, said, where=lambda m: m.body == STORY, timeout=150)
    await desk.person.answer_to(desk.chat, late, saying="one more")


async def test_a_socket_that_a_killed_bot_left_is_no_obstacle(make_bot: Make) -> None:
    bot = await make_bot()
    bot.kill()
    assert (bot.state_dir / "control.sock").exists()
    gone = await surface(bot, "status")
    assert gone.returncode == 1 and "the bot is not running" in gone.stderr
    await bot.start()
    assert (await told(bot, "status"))["ready"]
