"""`surface forget` and `surface logout`, by the real command line, beside and after a real bot."""

from __future__ import annotations

import json

import pytest

from tests.crash.people import ask, onboarded
from tests.rig.bot import Bot
from tests.rig.cli import surface
from tests.rig.fixtures import Make

pytestmark = pytest.mark.synapse


async def told(bot: Bot, *words: str, fails: bool = False) -> str:
    done = await surface(*words, "-c", str(bot.write_config()))
    assert done.returncode == (1 if fails else 0), done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return " ".join((done.stderr if fails else done.stdout).split())


def device(bot: Bot) -> str:
    session = json.loads((bot.state_dir / "matrix_store" / "session.json").read_text())
    return str(session["device_id"])


async def test_forget_is_decided_at_once_and_carried_out_by_the_next_start(
    make_bot: Make, person: Make
) -> None:
    bot, alice, bob = await make_bot(), await person("alice"), await person("bob")
    home, chat = await onboarded(bot, alice)
    _, other = await onboarded(bot, bob)
    await ask(alice, chat, "remember me", "remember me")
    space = bot.user(alice.user_id)["space_id"]
    assert "is in use by another surface" in await told(
        bot, "forget", alice.user_id, "--yes", fails=True
    )
    await bot.stop()

    said = await told(bot, "forget", alice.user_id, "--yes")
    assert said == (
        f"{alice.user_id} is forgotten. The next start leaves 3 rooms and tells the agents."
    )
    assert alice.user_id not in json.dumps(bot.documents("users") | bot.documents("chats"))
    assert "remember me" in json.dumps(bot.documents("echo")), "the agents hear of it at the start"

    await bot.start()
    for room in (home, chat, space):
        await alice.until_member(room, bot.user_id, "leave")
    await bot.at_rest()
    assert "remember me" not in json.dumps(bot.documents("echo"))
    assert not bot.rooms_of(alice.user_id)
    await ask(bob, other, "still here", "still here")
    # A start that knows nothing but Matrix does not remember either.
    await bot.stop()
    for file in bot.state_dir.glob("lambda_matrix.db*"):
        file.unlink()
    await bot.start()
    assert list(bot.documents("users")) == [f"matrix_user:{bob.user_id}"]

    assert "is not known" in await forgotten_twice(bot, alice.user_id)


async def forgotten_twice(bot: Bot, user_id: str) -> str:
    await bot.stop()
    return await told(bot, "forget", user_id, "--yes", fails=True)


async def test_logout_ends_the_device_and_nothing_else(make_bot: Make, person: Make) -> None:
    bot, alice = await make_bot(), await person("alice")
    _, chat = await onboarded(bot, alice)
    assert "is in use by another surface" in await told(bot, "logout", "--yes", fails=True)
    await bot.stop()
    old = device(bot)
    said = await told(bot, "logout", "--yes")
    assert f"device {old}" in said and "logs in as a new device" in said
    assert old not in await bot.devices()
    assert not list((bot.state_dir / "matrix_store").iterdir())
    assert "is not logged in" in await told(bot, "logout", "--yes", fails=True)

    await bot.start()
    assert device(bot) != old
    await ask(alice, chat, "hello", "hello")


async def test_logout_without_a_yes_says_what_is_lost_and_does_nothing(make_bot: Make) -> None:
    bot = await make_bot()
    await bot.stop()
    said = await surface("logout", "-c", str(bot.write_config()))
    assert said.returncode == 1
    assert "can never be read" in said.stdout
    assert device(bot) in await bot.devices()


async def test_a_homeserver_that_is_away_ends_nothing(make_bot: Make) -> None:
    bot = await make_bot()
    await bot.stop()
    old, bot.url = device(bot), "http://127.0.0.1:9"
    assert "does not log" in await told(bot, "logout", "--yes", fails=True)
    assert device(bot) == old
