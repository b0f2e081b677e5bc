"""Writes down what Synapse really sends to a bot: `recorded.json`, the shapes that the fuzz begins from.

    uv run python -m tests.fuzz.record

A person meets the bot, talks, edits, reacts, redacts, sends a file, writes to its device, renames, and
leaves; the responses to /sync are taken as they pass by. Ids get the names that the tests know.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import tempfile
from pathlib import Path
from typing import Any

from surface.homeserver import Homeserver
from tests.fuzz.shapes import ALICE, HOME, ME, RECORDED, ROOM, SPACE
from tests.rig.bot import Bot
from tests.rig.desk import Desk, onboard
from tests.rig.person import Person
from tests.rig.proxy import FaultProxy, Rewrite

LONGEST = 30_000
"""Characters of a response that is kept; the first of all is longer, and says nothing more."""


async def live(desk: Desk) -> None:
    """What a person does, each of it once."""
    person, chat = desk.person, desk.chat
    await desk.say(chat, "hello")
    said = await person.send(chat, "to be changed")
    await person.edit(chat, said, "changed")
    await person.react(chat, said, "👍")
    await desk.command(chat, "!agent")
    await person.send_file(chat, "look", b"\x89PNG\r\n\x1a\n", filename="cat.png")
    await person.redact(chat, said)
    await person.set_state(chat, "m.room.name", {"name": "Kitchen"})
    await person.set_state(chat, "m.room.topic", {"topic": "What is for dinner?"})
    ciphertext = {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AwgA", "session_id": "x"}
    sealed = {**ciphertext, "sender_key": "y", "device_id": "D"}
    await person.send_event(chat, "m.room.encrypted", sealed)
    to_device = {"messages": {desk.bot.user_id: {"*": sealed}}}
    await person.api.call("PUT", "sendToDevice", "m.room.encrypted", "t1", json=to_device)
    await desk.command(chat, "!new Garden")
    await person.leave(chat)
    await desk.command(desk.home, "!chats")


async def record(root: Path) -> list[Any]:
    """Start everything, live, and return the responses."""
    seen: list[bytes] = []

    def taken(body: bytes) -> bytes:
        seen.append(body)
        return body

    homeserver = Homeserver(root / "homeserver")
    await homeserver.start()
    try:
        async with FaultProxy(homeserver.url) as proxy:
            proxy.arm("GET", "/sync$", Rewrite(taken), times=None)
            bot = await Bot.register(homeserver, root, url=proxy.url)
            await bot.start()
            try:
                async with await Person.register(homeserver, "alice") as person:
                    desk = await onboard(person, bot)
                    await live(desk)
            finally:
                await bot.stop()
    finally:
        await homeserver.stop()
    names = {bot.user_id: ME, desk.me: ALICE, desk.home: HOME, desk.space: SPACE, desk.chat: ROOM}
    return [_named(body.decode(), names) for body in seen if len(body) < LONGEST]


def _named(text: str, names: dict[str, str]) -> Any:
    for found, name in names.items():
        text = text.replace(found, name)
    text = re.sub(r"\b1[0-9]{12}\b", "1700000000000", text)
    return json.loads(text)


if __name__ == "__main__":
    about = "Writes down what Synapse sends to a bot, into tests/fuzz/recorded.json."
    argparse.ArgumentParser("python -m tests.fuzz.record", description=about).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        recorded = asyncio.run(record(Path(folder)))
    RECORDED.write_text("[\n" + ",\n".join(json.dumps(one) for one in recorded) + "\n]\n")
    print(f"{len(recorded)} responses, {RECORDED.stat().st_size} bytes")
