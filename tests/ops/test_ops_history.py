"""`surface history` and `surface diagrams --room`, beside a running bot and of a stopped one."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from tests.ops.test_ops_commands import STORY, tree
from tests.rig.desk import Desk, onboard
from tests.rig.fixtures import Make
from tests.rig.ops import surface, told

SVG = "{http://www.w3.org/2000/svg}"

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


async def test_a_rooms_diagram_shows_where_it_stands(desk: Desk, tmp_path: Path) -> None:
    await desk.command(desk.chat, "!clear")
    said = await desk.person.send(desk.chat, "hello")
    await desk.person.answer_to(desk.chat, said)
    await desk.command(desk.chat, "!clear")
    await desk.bot.at_rest()

    printed = await surface(desk.bot, "diagrams", "--room", desk.chat, "--output", "-")
    assert printed.returncode == 0, printed.stderr
    assert lit_states(printed.stdout) == ["cleared"]
    assert {"clear", "talk"} <= walked(printed.stdout) and "undo" not in walked(printed.stdout)
    turn = await surface(desk.bot, "diagrams", "TurnMachine", "--room", desk.chat, "-o", "-")
    assert lit_states(turn.stdout) == ["answered"] and "finish" in walked(turn.stdout)
    dialog = await surface(desk.bot, "diagrams", "DialogMachine", "--room", desk.chat, "-o", "-")
    assert lit_states(dialog.stdout) == ["idle"]

    await desk.bot.stop()
    before, file = tree(desk.bot.state_dir), tmp_path / "its.svg"
    words = ("diagrams", "--room", "C1", "--user", desk.me, "--output", str(file))
    written = await surface(desk.bot, *words)
    assert written.stdout.strip() == str(file) and file.read_text() == printed.stdout
    person = await surface(desk.bot, "diagrams", "UserMachine", "--room", desk.chat, "-o", "-")
    assert lit_states(person.stdout) == ["ready"]
    transient = await surface(desk.bot, "diagrams", "TurnMachine", "--room", desk.chat, "-o", "-")
    assert transient.returncode == 1 and "only a running bot knows" in transient.stderr
    unknown = await surface(desk.bot, "diagrams", "CatMachine", "--room", desk.chat, "-o", "-")
    assert unknown.returncode == 1 and "one of UserMachine, RoomMachine" in unknown.stderr
    assert tree(desk.bot.state_dir) == before


def lit_states(svg: str) -> list[str]:
    """The states with the mark of where it is now."""
    boxes = [g for g in ET.fromstring(svg).iter(f"{SVG}g") if g.get("data-state")]
    return [
        box.get("data-state", "")
        for box in boxes
        if any((text.text or "") == "now" for text in box.iter(f"{SVG}text"))
    ]


def walked(svg: str) -> set[str]:
    """The events whose lines are emphasised."""
    lines = [e for e in ET.fromstring(svg).iter() if "walked" in (e.get("class") or "").split()]
    return {line.get("data-event", "") for line in lines} - {""}
