"""A person on the full stack: invites, talks, sends a file; while every service is killed in turn, and all.

    python -m tests.compose.drive docker compose --file …

Started by `run.sh`, on a stack that is up. In the end every message has one answer, and the platform
remembers every message once.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import sys
import time
from collections.abc import Sequence

from tests.rig import node
from tests.rig.crypto_person import CryptoPerson
from tests.rig.person import Person, log_in_by_password

BOT = "@surface:fullstack.test"
KILLED = ("surface", "platform", "synapse", "postgres")
PATIENCE = 180.0
GUIDE = "I can make a report"
"""How the scenario's answer to everything else begins."""


class Stack:
    """The stack, by its compose command."""

    def __init__(self, command: Sequence[str]) -> None:
        self.command = command

    async def __call__(self, *words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *self.command,
            *words,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, complaints = await process.communicate()
        assert process.returncode == 0, f"{words}: {out.decode()}{complaints.decode()}"
        return out.decode()

    async def up(self) -> None:
        """Start what does not run; returns when all is healthy."""
        await self("up", "--detach", "--wait", "--wait-timeout", str(int(PATIENCE)))


class Talk:
    """One conversation, and what has been said in it."""

    def __init__(self, alice: Person, room_id: str) -> None:
        self.alice, self.room_id = alice, room_id
        self.said: list[tuple[str, str]] = []

    async def say(self, text: str) -> str:
        """Say something; returns its event."""
        event_id = await self.alice.send(self.room_id, text)
        self.said.append((event_id, text))
        return event_id

    async def ask(self, text: str) -> None:
        """Say something and wait until it is answered."""
        await self.answered(await self.say(text))

    async def answered(self, event_id: str) -> None:
        """Wait for the complete answer."""
        await self.alice.answer_to(
            self.room_id, event_id, sender=BOT, saying=GUIDE, timeout=PATIENCE
        )


async def onboarded(alice: Person) -> str:
    """From the invitation to the first chat."""
    alice.auto_join_from.add(BOT)
    home = await alice.dm(BOT)
    await alice.message(home, "Welcome!", sender=BOT, timeout=PATIENCE)
    await alice.until(
        lambda: len(alice.spaces()) == 1 and len(alice.joined()) == 3,
        what="being in home room, Space and chat",
        timeout=PATIENCE,
    )
    (chat,) = set(alice.joined()) - {home, *alice.spaces()}
    return chat


async def stop_anywhere(stack: Stack, talk: Talk) -> None:
    """Each service is killed while it is being talked to, then all at once, then all is taken down."""
    for service in KILLED:
        before = await talk.say(f"just before {service} is killed")
        await stack("kill", service)
        if service not in ("synapse", "postgres"):
            during = await talk.say(f"while {service} is away")
        await stack.up()
        await talk.answered(before)
        if service not in ("synapse", "postgres"):
            await talk.answered(during)
        print(f"ok  {service} killed")
    before = await talk.say("just before all are killed")
    await stack("kill", *KILLED)
    await stack.up()
    await talk.answered(before)
    print("ok  all killed")
    before = await talk.say("just before all is taken down")
    await stack("down", "--timeout", "60")
    await stack.up()
    await talk.answered(before)
    print("ok  down and up")


async def main(command: Sequence[str]) -> None:
    """Play it all."""
    encrypting = node.missing() is None
    print("in encrypted rooms" if encrypting else f"in plain rooms: {node.missing()}")
    kind = CryptoPerson if encrypting else Person
    stack, url = Stack(command), f"http://127.0.0.1:{os.environ['SYNAPSE_PORT']}"
    name, password = f"alice{secrets.token_hex(3)}", secrets.token_urlsafe(12)
    await stack("run", "--rm", "-T", "--env", f"PASSWORD={password}", "bootstrap", name)
    login = await log_in_by_password(url, f"@{name}:fullstack.test", password)
    async with kind(url, login, password=password) as alice:
        started = time.monotonic()
        talk = Talk(alice, await onboarded(alice))
        print(f"ok  onboarded in {time.monotonic() - started:.1f} s")
        await talk.ask("hello")
        await alice.send_file(talk.room_id, "words.txt", b"some words")
        asked = await alice.send(talk.room_id, "give it back")
        back = await alice.answer_to(
            talk.room_id, asked, sender=BOT, saying="words.txt", timeout=PATIENCE
        )
        assert await alice.download(back) == b"some words"
        print("ok  talked, sent a file, got it back")
        await stop_anywhere(stack, talk)

        ask = await alice.send(talk.room_id, "what did I say")
        recalled = await alice.answer_to(
            talk.room_id, ask, sender=BOT, saying="all is taken down", timeout=PATIENCE
        )
        for _, text in talk.said:
            times = len(re.findall(re.escape(text), recalled.body))
            assert times == 1, f"{text!r} reached the platform {times} times:\n{recalled.body}"
        seen = alice.messages(talk.room_id, BOT)
        answers = [message for message in seen if GUIDE in message.body]
        assert len(answers) == len(talk.said), [message.body for message in seen]
        print(f"ok  {len(answers)} messages, {len(answers)} answers, nothing lost, nothing twice")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
