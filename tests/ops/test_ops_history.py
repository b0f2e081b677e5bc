"""`surface history`, beside a running bot and of a stopped one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ops.test_ops_commands import STORY, tree
from tests.rig.desk import Desk, onboard
from tests.rig.fixtures import Make
from tests.rig.ops import surface, told

pytestmark = pytest.mark.synapse


@pytest.fixture
async def desk(person: Make, make_bot: Make) -> Desk:
    return await onboard(await person("alice"), await make_bot())


def of(found: Any, machine: str) -> list[tuple[str, str, str]]:
    return [(s["from"], s["event"], s["to"]) for s in found["steps"] if s["machine"] == machine]


async def test_a_room_is_told_of_while_the_bot_runs_and_when_it_is_stopped(desk: Desk) -> None:
    said = await desk.person.send(desk.chat, "hello")
    await desk.person.answer_to(desk.chat, said)
    cleared = await desk.person.send(desk.chat, "!clear")
    await desk.person.answer_to(desk.chat, cleared)
    await desk.bot.at_rest()

    running = await told(desk.bot, "history", "C1", "--user", desk.me)
    assert running["running"] and running["room_id"] == desk.chat
    room = [step for step in running["steps"] if step["machine"] == "room"]
    assert [step["event"] for step in room] == ["provision", "clear"]
    assert room[-1]["cause"] == {"event": cleared}
    assert room[-1]["effects"] == {"DisconnectChat": "chat", "Notice": "talk"}
    space, chat = (step for step in running["steps"] if "CreateRoom" in step["effects"])
    assert (space["machine"], space["event"], chat["event"]) == (
        "user",
        "invited",
        "observed_created",
    )
    turn = [step for step in running["steps"] if step["machine"] == "turn"]
    assert turn[0]["event"] == "start" and turn[-1]["to"] == "answered"
    assert {step["key"] for step in turn} == {said}
    assert [s["at"] for s in running["steps"]] == sorted(s["at"] for s in running["steps"])
    assert await told(desk.bot, "history", desk.chat) == running

    await desk.bot.stop()
    before = tree(desk.bot.state_dir)
    stopped = await told(desk.bot, "history", "chat 1")
    assert tree(desk.bot.state_dir) == before, "a stopped bot's directory is left as it is"
    durable = [step for step in running["steps"] if step["machine"] in ("room", "user")]
    assert not stopped["running"] and stopped["steps"] == durable

    last = await told(desk.bot, "history", desk.chat, "--limit", "1")
    assert last["steps"] == durable[-1:]
    shown = await surface(desk.bot, "history", desk.chat)
    assert shown.returncode == 0 and "The bot is stopped" in shown.stderr
    head, heading, *lines = shown.stdout.splitlines()
    assert head == f"{desk.chat} C1 “Chat 1” of {desk.me}: cleared"
    assert heading.split() == ["at", "machine", "event", "from", "to", "cause", "effects"]
    assert len(lines) == len(durable)
    assert f"event: {cleared}" in lines[-1] and "DisconnectChat (chat), Notice (talk)" in lines[-1]


async def test_what_lives_now_is_told(desk: Desk) -> None:
    await desk.command(desk.chat, "!agent slow")
    said = await desk.person.send(desk.chat, STORY)
    await desk.person.until(
        lambda: [m for m in desk.person.messages_after(desk.chat, said) if "word1" in m.body],
        what="the beginning of the answer",
    )
    asked = await desk.command(desk.chat, "!archive")
    assert asked.body.startswith("Archive ")
    found = await told(desk.bot, "history", desk.chat)
    states = {m["machine"]: (m["key"], m["state"]) for m in found["machines"]}
    assert states["turn"] == (said, "streaming")
    assert states["dialog"] == (desk.chat, "confirming")
    assert states["room"] == (desk.chat, "bound") and states["user"] == (desk.me, "ready")
    assert ("idle", "ask", "confirming") in of(found, "dialog")
    await desk.command(desk.chat, "!no")
    await desk.person.send(desk.chat, "!stop")
    await desk.command(desk.chat, "!why")
    found = await told(desk.bot, "history", desk.chat)
    assert of(found, "turn")[-1] == ("streaming", "stop", "stopped")
    assert {m["machine"] for m in found["machines"]} == {"room", "user"}


async def test_a_room_that_is_not_there(desk: Desk) -> None:
    shown = await surface(desk.bot, "history", "Chat 2")
    assert shown.returncode == 1 and shown.stdout == ""
    assert shown.stderr.startswith("error: there is no room Chat 2: did you mean ")
    assert f"{desk.chat} C1 “Chat 1” of {desk.me}" in shown.stderr
