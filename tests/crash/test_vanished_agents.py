"""An agent that leaves the registry is never replaced behind anybody's back, and comes back whole."""

from __future__ import annotations

import signal

from tests.crash.people import ask, new_chat, notices, onboarded, words
from tests.rig.bot import ECHO, SHOUT, SLOW, Bot
from tests.rig.fixtures import Make
from tests.rig.person import Person


async def without(bot: Bot, *ids: str, default: str | None = "echo") -> None:
    """Start the bot again with a registry that lacks some agents."""
    await bot.stop()
    bot.agents = [agent for agent in (ECHO, SLOW, SHOUT) if agent["id"] not in ids]
    bot.default = default
    await bot.start()


async def two_chats(bot: Bot, alice: Person) -> tuple[str, str, str]:
    """Home room, a chat with Echo, and one with the Crier, who is selected."""
    home, one = await onboarded(bot, alice)
    two = await new_chat(alice, one, "Two")
    await ask(alice, two, "!agent shout", "Crier")
    await ask(alice, two, "remember", "REMEMBER")
    await ask(alice, one, "hello", "hello")
    return home, one, two


async def everything(bot: Bot, alice: Person) -> dict[str, int]:
    """How much the bot has said, by room."""
    return {room: len(await alice.history(room, sender=bot.user_id)) for room in alice.joined()}


async def test_nobody_is_asked_before_they_say_something(make_bot: Make, person: Make) -> None:
    bot, alice, bob = await make_bot(), await person("alice"), await person("bob")
    _, one, two = await two_chats(bot, alice)
    _, bobs = await onboarded(bot, bob)
    before, chat = await everything(bot, alice), bot.room(two)["platform_chat_id"]

    await without(bot, "shout")
    await ask(bob, bobs, "is it quiet?", "is it quiet?")
    await bot.at_rest()
    assert await everything(bot, alice) == before, "it wrote by itself"
    assert bot.user(alice.user_id)["state"] == "choosing"
    assert bot.room(two)["state"] == "unbound"
    assert bot.room(one)["state"] == "bound", "other rooms keep theirs"

    # Asked at the next message, and nobody else answers it.
    said = await ask(alice, two, "anybody?")
    assert "Which agent" in said
    assert "Crier" not in said
    assert await words(bot, alice, two) == ["REMEMBER"]
    # The choice takes effect, in a fresh context.
    assert "Echo" in await ask(alice, two, "1")
    await ask(alice, two, "better?", "better?")
    assert bot.room(two)["agent_id"] == "echo"
    assert int(bot.room(two)["platform_chat_id"]) > int(chat)
    assert bot.user(alice.user_id)["state"] == "ready"

    # The choice stands when the old agent is back.
    bound = bot.room(two)["platform_chat_id"]
    await without(bot)
    assert bot.room(two)["platform_chat_id"] == bound
    await ask(alice, two, "and now?", "and now?")
    assert bot.user(alice.user_id)["selected_agent_id"] == "echo"


async def test_the_binding_comes_back_with_the_agent(make_bot: Make, person: Make) -> None:
    bot, alice = await make_bot(), await person("alice")
    _, _, two = await two_chats(bot, alice)
    chat = bot.room(two)["platform_chat_id"]
    await without(bot, "shout")
    await ask(alice, two, "anybody?", "Which agent")
    assert bot.user(alice.user_id)["selected_agent_id"] == "shout", "the choice stays on record"

    await without(bot)
    assert bot.user(alice.user_id)["state"] == "ready"
    room = bot.room(two)
    assert (room["state"], room["agent_id"], room["platform_chat_id"]) == ("bound", "shout", chat)
    assert "remember" in await ask(alice, two, "what did I say?", "You said 1 thing")
    await ask(alice, two, "hello", "HELLO")
    three = await new_chat(alice, two, "Three")
    await ask(alice, three, "hello", "HELLO")


async def test_a_chosen_person_is_asked_once_where_the_room_can_talk(
    make_bot: Make, person: Make
) -> None:
    """Their selection is gone, this room's agent is not: it answers, and asks only once."""
    bot, alice = await make_bot(), await person("alice")
    _, one, _ = await two_chats(bot, alice)
    await without(bot, "shout")
    before = len(await notices(bot, alice, one))
    await ask(alice, one, "first", "first")
    await ask(alice, one, "second", "second")
    assert (await words(bot, alice, one))[-2:] == ["first", "second"]
    assert len(await notices(bot, alice, one)) == before + 1


async def test_a_new_chat_has_no_agent_until_one_is_chosen(make_bot: Make, person: Make) -> None:
    bot, alice = await make_bot(), await person("alice")
    _, one, _ = await two_chats(bot, alice)
    await without(bot, "shout")
    three = await new_chat(alice, one, "Three")
    room = bot.room(three)
    assert (room["state"], room["agent_id"]) == ("unbound", None)
    await ask(alice, three, "hello", "Which agent")
    assert await words(bot, alice, three) == []
    await ask(alice, three, "!agent slow", "Poet")
    await ask(alice, three, "hello", "hello")


async def test_what_was_said_while_the_agent_went(make_bot: Make, person: Make) -> None:
    bot, alice = await make_bot(), await person("alice")
    _, _, two = await two_chats(bot, alice)
    await bot.stop()
    event = await alice.send(two, "still there?")
    bot.agents = [ECHO, SLOW]
    await bot.start()
    answer = await alice.answer_to(two, event)
    assert "Which agent" in answer.body
    await ask(alice, two, "!chats", "no agent")
    assert await words(bot, alice, two) == ["REMEMBER"]


async def test_an_accepted_message_whose_agent_went(make_bot: Make, person: Make) -> None:
    """The turn belongs to the agent it was accepted for: nobody else takes it over."""
    bot, alice = await make_bot(), await person("alice")
    _, _, two = await two_chats(bot, alice)
    await bot.stop()
    await bot.start(failpoint="platform.asked")
    event = await alice.send(two, "hello")
    assert await bot.died() == -signal.SIGKILL
    bot.agents = [ECHO, SLOW]
    await bot.start()
    answer = await alice.answer_to(two, event)
    assert "`shout` is not available any more" in answer.body
    await ask(alice, two, "then who?", "Which agent")
    await ask(alice, two, "2", "Poet")
    await ask(alice, two, "hello", "hello")
    assert (await words(bot, alice, two))[0] == "REMEMBER"
    assert len(await words(bot, alice, two)) == 3
