"""A platform that does not keep the contract, seen from a room: every message has one clear answer, and the
next message is answered as if nothing had been."""

from __future__ import annotations

import asyncio
import json
import resource
from collections.abc import AsyncIterator
from typing import Any

import pytest

from surface.platform.interface import (
    ConfirmationAsked,
    Done,
    FileOut,
    PlatformError,
    Status,
    TextDelta,
    TurnEvent,
)
from surface.platform.wire import frame, length
from surface.turn_run import THINKING
from tests.e2e.conftest import Make
from tests.rig.bad_platform import FAULTS, HEAD, WHOLE, Step, Wire, answered, listening
from tests.rig.desk import Desk, onboard

TOLD = {
    "agent_unknown": "could not answer: It is agent\\_unknown.",
    "broken": "could not answer: ",
    "broken_off": "broke off",
    "busy": "too much to do",
    "garbled": "cannot be understood",
    "http_302": "could not answer: The platform refused",
    "silent": "took too long",
    "timeout": "took too long",
    "too_long": "grew too long",
    "unauthorized": "does not accept this bot",
}


def stream(*events: TurnEvent) -> list[Step]:
    place, frames = 0, b""
    for event in events:
        place += length(event)
        frames += frame(place, event).encode()
    return [HEAD, frames]


LIES: dict[str, tuple[list[Step], str]] = {
    "a long excuse": (stream(PlatformError("x", "sorry " * 50_000, True)), "sorry sorry"),
    "markup in an excuse": (
        stream(PlatformError("x", "<b>no</b> @room [x](http://evil)", False)),
        "@room",
    ),
    "no excuse at all": (stream(PlatformError("", "", False)), "could not answer"),
    "an endless round of questions": (
        stream(*(ConfirmationAsked(f"q{n}", f"Really {n}?") for n in range(500))),
        "grew too long",
    ),
    "a question without a name": (stream(ConfirmationAsked("", "Really?")), "cannot be understood"),
    "files without end": (
        stream(*(FileOut(f"a/{n}", "a", "text/plain") for n in range(2000))),
        "grew too long",
    ),
    "busy without end": (stream(*[Status("busy")] * 30_000), "grew too long"),
    "half a surrogate pair": (
        [HEAD, b'event: delta\nid: 1\ndata: {"text": "\\ud800"}\n\n'],
        "cannot be understood",
    ),
    "a NUL in the text": (stream(TextDelta("a\0b"), Done()), "b"),
}


def answers_to(text: str) -> list[Step]:
    if text in FAULTS:
        return FAULTS[text][0]
    return LIES[text][0] if text in LIES else [HEAD, WHOLE]


class Liar(Wire):
    """A platform that goes wrong in the way it is told to, and is well otherwise.

    Attributes:
        says: bodies of the answers to other calls than messages, by the end of their path.
    """

    def __init__(self) -> None:
        super().__init__([])
        self.says: dict[str, Any] = {}

    def script(self, request: str) -> list[Step]:
        line, body = request.splitlines()[0], request.splitlines()[-1]
        path = line.split()[1].partition("?")[0]
        if path.endswith("/messages"):
            return answers_to(json.loads(body)["text"])
        said = next((s for end, s in self.says.items() if path.endswith(end)), None)
        kind = "content-type: application/json"
        return answered("204 Done") if said is None else answered("200 OK", json.dumps(said), kind)


@pytest.fixture
async def liar() -> AsyncIterator[tuple[Liar, int]]:
    wire = Liar()
    async with listening(wire) as port:
        yield wire, port


@pytest.fixture
async def desk(person: Make, make_bot: Any, liar: tuple[Liar, int]) -> Desk:
    entry = {"id": "liar", "name": "Liar", "adapter": "http", "url": f"http://127.0.0.1:{liar[1]}"}
    limits = {"reconnect_timeout": 0, "silence_timeout": 3, "first_timeout": 6}
    bot = await make_bot(agents=[entry | limits], default="liar")
    return await onboard(await person("alice"), bot)


async def told(desk: Desk, words: str) -> str:
    """Say something, and return all that was said until the next message was answered."""
    said = await desk.person.send(desk.chat, words)
    await desk.person.answer_to(
        desk.chat, said, sender=desk.bot.user_id, where=lambda m: m.body != THINKING
    )
    after = await desk.person.send(desk.chat, "hello")
    await desk.person.answer_to(desk.chat, after, where=lambda m: m.body == "hi")
    heard = desk.person.messages_after(desk.chat, said, desk.bot.user_id)
    return "\n".join(m.body for m in heard if m.body != "hi")


async def test_every_fault_is_told_in_the_room_and_the_next_message_is_answered(desk):
    for fault, (_, code, _) in FAULTS.items():
        assert TOLD[code] in await told(desk, fault), fault
    await desk.bot.at_rest()
    assert not desk.bot.complaints()


async def test_a_platform_that_lies_is_told_and_the_room_goes_on(desk):
    for lie, (_, words) in LIES.items():
        heard = await told(desk, lie)
        assert words in heard, f"{lie}: {heard[:300]}"
        assert len(heard) < 10_000, lie
    await desk.bot.at_rest()
    assert not desk.bot.complaints()


SAVE = {"id": "a", "name": "fruit", "turns": 1, "summary": "", "saved_at": "2026-01-02T03:04:05Z"}
LISTS: dict[str, tuple[Any, str]] = {
    "a date without a zone": ([SAVE | {"saved_at": "2026-01-02T03:04:05"}], "cannot be understood"),
    "no number": ([SAVE | {"turns": 10**4000}], "cannot be understood"),
    "less than nothing": ([SAVE | {"turns": -1}], "cannot be understood"),
    "a name without end": ([SAVE | {"name": "x" * 100_000}], "cannot be understood"),
    "no list": (SAVE, "cannot be understood"),
    "a list without end": ([SAVE | {"id": str(n)} for n in range(5_000)], "fruit"),
    "the truth": ([SAVE], "fruit"),
}


async def test_a_platform_that_lies_about_saves_is_told(desk, liar):
    for lie, (said, words) in LISTS.items():
        liar[0].says["/saves"] = said
        heard = (await desk.command(desk.chat, "!load")).body
        assert words in heard, f"{lie}: {heard[:300]}"
        assert len(heard) < 10_000, lie
    await desk.bot.at_rest()
    assert not desk.bot.complaints()


class Patient(Liar):
    """Has been asked something, and answers when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.may_answer = asyncio.Event(), asyncio.Event()

    def script(self, request: str) -> list[Step]:
        if request.splitlines()[0].split()[1].endswith("/messages"):
            return [HEAD, self._wait, WHOLE]
        return super().script(request)

    async def _wait(self, _wire: Wire, _writer: asyncio.StreamWriter) -> None:
        self.asked.set()
        await self.may_answer.wait()


async def test_a_disk_that_cannot_be_written_is_not_the_agents_fault(person, make_bot):
    """What the agent says cannot be written down: it is asked again, and nobody is told of a broken agent."""
    patient = Patient()
    async with listening(patient) as port:
        entry = {"id": "a", "name": "A", "adapter": "http", "url": f"http://127.0.0.1:{port}"}
        quiet = {"answers": {"placeholder_after": 60}}
        bot = await make_bot(agents=[entry], default="a", settings=quiet, may_complain=True)
        desk = await onboard(await person("alice"), bot)
        await bot.at_rest()
        said = await desk.person.send(desk.chat, "hello")
        await patient.asked.wait()
        hard = resource.prlimit(bot.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(bot.pid, resource.RLIMIT_FSIZE, (4_096, hard))
        patient.may_answer.set()
        await bot.logged("store.failed")
        resource.prlimit(bot.pid, resource.RLIMIT_FSIZE, (hard, hard))
        answer = await desk.person.answer_to(desk.chat, said, sender=bot.user_id)
        assert answer.body == "hi"
        assert bot.events("turn.adapter_broke") == []
