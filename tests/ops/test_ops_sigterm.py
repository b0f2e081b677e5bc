"""SIGTERM under load: twenty answers are being written."""

from __future__ import annotations

import asyncio

import pytest

from tests.rig.bot import Bot
from tests.rig.desk import Desk, onboard
from tests.rig.fixtures import Make

pytestmark = [pytest.mark.synapse, pytest.mark.minutes]
ROOMS = 20
SETTINGS = {"answers": {"placeholder_after": 0.3, "edit_every": 1.0}}


def story(number: int, words: int) -> str:
    return " ".join(f"room{number}word{n}" for n in range(words))


async def asked(desk: Desk, words: int) -> dict[str, tuple[str, str]]:
    """Twenty rooms, in each of which an answer has begun: by room, the message and its answer's text."""
    await desk.command(desk.chat, "!agent slow")
    rooms = [desk.chat, *[await desk.new() for _ in range(ROOMS - 1)]]
    texts = {room: story(number, words) for number, room in enumerate(rooms)}
    said = await asyncio.gather(*(desk.person.send(room, text) for room, text in texts.items()))
    await asyncio.gather(
        *(desk.person.answer_to(room, event) for room, event in zip(rooms, said, strict=True))
    )
    return {room: (event, texts[room]) for room, event in zip(rooms, said, strict=True)}


async def answered_once(desk: Desk, talk: dict[str, tuple[str, str]]) -> None:
    """Each message has its whole answer, in one message and no other."""
    for room, (said, text) in talk.items():
        await desk.person.answer_to(room, said, where=lambda m, t=text: m.body == t)
        answers = desk.person.messages_after(room, said, desk.bot.user_id)
        assert [message.body for message in answers] == [text], room


@pytest.mark.parametrize(
    ("grace", "all_finish"),
    [(600, True), (1, False)],
    ids=["within the grace all are finished", "beyond it they are taken up after the restart"],
)
async def test_sigterm_under_twenty_streaming_answers(
    make_bot: Make, person: Make, grace: int, all_finish: bool
) -> None:
    bot: Bot = await make_bot(settings={**SETTINGS, "shutdown_grace": grace})
    desk = await onboard(await person("alice"), bot)
    talk = await asked(desk, 200)
    assert len(bot.documents("turns")) == ROOMS, "some had ended before all had begun"

    await bot.stop(timeout=280)  # SIGTERM; insists on exit code 0

    assert (bot.documents("turns") == {}) == all_finish
    if all_finish:
        assert bot.pending() == {}
        await answered_once(desk, talk)
    await bot.start()
    await answered_once(desk, talk)
    await bot.at_rest()
