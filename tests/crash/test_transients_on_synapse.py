"""The bot is killed in every transient state, and no command waits for what was forgotten with it.

Every command as the very first word after the restart: `tests/surface/test_restart_in_transients.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from surface.commands.registry import COMMANDS
from tests.crash.people import ask, onboarded
from tests.rig.bot import ECHO, Bot
from tests.rig.fixtures import Make
from tests.rig.person import Person
from tests.surface.test_command_table import PLAUSIBLE

LONG = "one two three four five six seven eight nine ten eleven twelve"
SETTINGS = {"answers": {"placeholder_after": 0.2, "edit_every": 0.2}}


async def a_list_of_saves(bot: Bot, alice: Person, chat: str) -> None:
    await ask(alice, chat, "!save kept", "Saved as")
    await ask(alice, chat, "!load", "kept")


async def a_list_of_agents(bot: Bot, alice: Person, chat: str) -> None:
    await bot.stop()
    bot.agents, bot.default = [agent for agent in bot.agents if agent["id"] != "echo"], None
    await bot.start()
    await ask(alice, chat, "hello", "Which agent")
    bot.kill()
    bot.agents.append(ECHO)
    bot.default = "echo"


async def whether_to_archive(bot: Bot, alice: Person, chat: str) -> None:
    await ask(alice, chat, "!archive", "Archive Chat 1?")


async def whether_to_forget(bot: Bot, alice: Person, chat: str) -> None:
    await ask(alice, chat, "!forget", "Shall I forget you?")


async def an_agents_question(bot: Bot, alice: Person, chat: str) -> None:
    await ask(alice, chat, "confirm", "Shall I go on?")


async def a_staged_file(bot: Bot, alice: Person, chat: str) -> None:
    event, sign = await alice.send_file(chat, "wait.txt", b"x"), (bot.user_id, "📎")
    await alice.until(lambda: sign in alice.reactions(chat, event), what="the sign under the file")


async def thinking(bot: Bot, alice: Person, chat: str) -> None:
    bot.kill()
    await alice.send(chat, LONG)
    bot.launch(failpoint="platform.asked")
    await bot.died()


async def streaming(bot: Bot, alice: Person, chat: str) -> None:
    await ask(alice, chat, "!agent slow", "Poet")
    event = await alice.send(chat, LONG)
    await alice.answer_to(chat, event, saying="two", where=lambda m: m.edits > 0)


Begin = Callable[[Bot, Person, str], Awaitable[None]]
TRANSIENT: tuple[Begin, ...] = (
    a_list_of_saves,
    a_list_of_agents,
    whether_to_archive,
    whether_to_forget,
    an_agents_question,
    a_staged_file,
    thinking,
    streaming,
)


async def every_command_is_answered(alice: Person, chat: str) -> None:
    for spec in COMMANDS:
        await ask(alice, chat, f"!{spec.name} {PLAUSIBLE.get(spec.name, '')}".strip())


@pytest.mark.parametrize("begin", TRANSIENT, ids=lambda begin: begin.__name__)
async def test_after_a_restart_everything_works(begin: Begin, make_bot: Make, person: Make) -> None:
    bot, alice = await make_bot(settings=SETTINGS), await person("alice")
    _, chat = await onboarded(bot, alice)
    await begin(bot, alice, chat)
    bot.kill()
    await bot.start()
    await ask(alice, chat, "hello again", "hello again")
    await every_command_is_answered(alice, chat)
    assert bot.room(chat)["state"] in ("bound", "cleared"), "nothing was confirmed"
    await bot.at_rest()


async def test_asked_whether_to_stay(make_bot: Make, person: Make) -> None:
    bot, alice, bob = await make_bot(), await person("alice"), await person("bob")
    await onboarded(bot, alice)
    team = await alice.create_room(name="Team", preset="private_chat", invite=[bob.user_id])
    await bob.join(team)
    await alice.invite(team, bot.user_id)
    await alice.message(team, "!yes or !no", sender=bot.user_id)
    await bot.at_rest()
    bot.kill()
    await bot.start()
    await ask(alice, team, "!help", "Shall I answer in this room?")
    await ask(alice, team, "!yes", "I answer here from now on")
    await ask(alice, team, f"hello {bot.user_id}", "hello")
    await every_command_is_answered(alice, team)


async def test_killed_while_a_room_is_being_joined(make_bot: Make, person: Make) -> None:
    bot, alice = await make_bot(), await person("alice")
    _, chat = await onboarded(bot, alice)
    await bot.stop()
    home = await alice.dm(bot.user_id)
    bot.launch(failpoint="request.join.after")
    await bot.died()
    await bot.start()
    await alice.message(home, "Here you can give commands too", sender=bot.user_id)
    await every_command_is_answered(alice, home)
    await ask(alice, chat, "hello", "hello")
