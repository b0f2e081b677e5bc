"""Every command, with its right and wrong uses, in every kind of room.

Most of it runs in plain rooms only: what a command does is the same in encrypted ones, and that it gets
through there is what `test_a_session_of_commands` shows.
"""

from __future__ import annotations

import re

import pytest

from tests.e2e.conftest import Make
from tests.rig.bot import Bot
from tests.rig.desk import Desk, onboard
from tests.rig.person import Person
from tests.rig.view import Message

EVERYWHERE = [
    "!help [COMMAND]",
    "!new [NAME]",
    "!chats",
    "!agent [ID or NUMBER]",
    "!lang LANGUAGE",
    "!why",
    "!forget",
]
IN_CHATS = ["!rename NAME", "!archive"]
WITH_AGENT = ["!clear", "!context", "!save [NAME]", "!load [NAME or NUMBER]"]
OFFERED = {
    "home": EVERYWHERE,
    "unbound": EVERYWHERE + IN_CHATS,
    "bound": EVERYWHERE + IN_CHATS + WITH_AGENT,
    "cleared": EVERYWHERE + IN_CHATS + WITH_AGENT + ["!undo"],
    "archived": [*EVERYWHERE, "!restore CHAT"],
}
WHY_NOT = {
    "home": "this is not a chat room.",
    "unbound": "no agent is chosen yet; say !agent.",
    "archived": "this chat is archived; !restore C1 brings it back.",
}


@pytest.fixture
async def bot(share_bot: Make) -> Bot:
    shared: Bot = await share_bot()
    return shared


@pytest.fixture
async def desk(person: Make, bot: Bot) -> Desk:
    return await onboard(await person("alice"), bot)


async def room_in(state: str, person: Make, share_bot: Make) -> tuple[Desk, str]:
    """Someone with a room in this state; the chat room is always C1."""
    bot = await share_bot(**({"default": None} if state == "unbound" else {}))
    desk = await onboard(await person("alice"), bot)
    match state:
        case "unbound":
            await desk.person.message(desk.chat, "Which agent")
        case "cleared":
            await desk.say(desk.chat, "soon forgotten")
            await desk.command(desk.chat, "!clear")
        case "archived":
            await desk.archive(desk.chat)
    room = desk.home if state == "home" else desk.chat
    assert bot.room(room)["state"] == state
    return desk, room


def words_of(message: Message) -> str:
    """The body as one line."""
    return " ".join(message.body.split())


# --- in every kind of room ------------------------------------------------------------------------


@pytest.mark.parametrize("state", OFFERED)
async def test_help_offers_what_works_here(person: Make, share_bot: Make, state: str) -> None:
    desk, room = await room_in(state, person, share_bot)

    for word in ("!help", "!HELP", "!h", " !help "):
        offered = re.findall(r"^• (!.*?): ", (await desk.command(room, word)).body, re.M)
        assert sorted(offered) == sorted(OFFERED[state])
    talk = "Anything that is not a command goes to the agent"
    assert (talk in (await desk.command(room, "!help")).body) == (state in ("bound", "cleared"))


@pytest.mark.parametrize("state", WHY_NOT)
async def test_what_does_not_work_here_says_why(person: Make, share_bot: Make, state: str) -> None:
    desk, room = await room_in(state, person, share_bot)
    before = desk.bot.room(room)
    known = {usage.split()[0] for usage in OFFERED[state]}
    every = {usage.split()[0] for usage in OFFERED["cleared"]}

    for name in sorted(every - known):
        word = f"{name} Other" if name == "!rename" else name
        refused = await desk.command(room, word)
        assert refused.body == f"{name} does nothing here: {WHY_NOT[state]}"
    assert desk.bot.room(room) == before


@pytest.mark.parametrize("state", OFFERED)
async def test_what_works_everywhere_works_here(person: Make, share_bot: Make, state: str) -> None:
    desk, room = await room_in(state, person, share_bot)

    unknown = words_of(await desk.command(room, "!helpp"))
    assert unknown == "I don't know !helpp. Did you mean !help?"
    assert "C1" in (await desk.command(room, "!chats")).body
    listed = (await desk.command(room, "!agent")).body
    assert "1. Echo (echo)" in listed and "3. Crier (shout)" in listed
    restored = (await desk.command(room, "!restore C9")).body
    nothing = "Archived are: C1" if state == "archived" else "No chat is archived."
    assert nothing in restored
    second = await desk.new("Second", room=room)
    assert desk.bot.room(second)["chat_id"] == "C2"
    assert "Crier" in (await desk.command(room, "!agent shout")).body
    assert desk.document()["selected_agent_id"] == "shout"
    if state in ("home", "archived"):
        # No agent answers here: the room is as it was.
        assert desk.bot.room(room)["state"] == state
        assert desk.bot.room(room)["agent_id"] == (None if state == "home" else "echo")
    else:
        assert (await desk.say(room, "now")).body == "NOW"


@pytest.mark.parametrize("state", ["home", "archived", "unbound"])
async def test_talk_where_nobody_answers_gets_a_hint(
    person: Make, share_bot: Make, state: str
) -> None:
    desk, room = await room_in(state, person, share_bot)
    hint = await desk.command(room, "is anybody there?")
    wanted = {
        "home": "for commands only",
        "archived": "!restore C1 brings it back",
        "unbound": "Which agent",
    }
    assert wanted[state] in hint.body
    if state == "home":
        assert desk.chat in (hint.formatted or "")
    await desk.bot.at_rest("turns")


async def test_a_session_of_commands(someone: Make, share_bot: Make, mode: str) -> None:
    bot = await share_bot(encryption=mode == "encrypted")
    desk = await onboard(await someone("alice"), bot)
    chat = desk.chat
    await desk.say(chat, "remember this")
    work = await desk.new("Work", room=chat)

    await desk.command(work, "!agent 3")
    await desk.command(work, "!rename Loud work")
    assert (await desk.say(work, "psst")).body == "PSST"
    assert "1 message in it" in (await desk.command(work, "!context")).body
    await desk.command(chat, "!clear")
    await desk.command(chat, "!undo")
    assert "1. remember this" in (await desk.say(chat, "what did I say?")).body
    await desk.archive(work)
    hint = await desk.command(work, "hello?")
    await desk.command(desk.home, "!restore c2")
    assert "1. psst" in (await desk.say(work, "what did I say?")).body
    chats = await desk.command(desk.home, "!chats")
    assert re.search(r"C1 Chat 1 .* · Echo\n• C2 Loud work .* · Crier", chats.body)
    if mode == "encrypted":
        assert hint.encrypted
        for room in (desk.home, chat, work):
            kinds = {event["type"] for event in desk.person.messages_raw(room)}
            assert "m.room.encrypted" in kinds and "m.room.message" not in kinds
            assert not any(m.undecryptable for m in desk.person.messages(room))


# --- !help, and what is no command ----------------------------------------------------------------


async def test_help_explains_one_command(desk: Desk) -> None:
    for word in ("!help clear", "!help !clear", "!help CLEAR", "!help очистить"):
        body = (await desk.command(desk.home, word)).body
        assert body.startswith("!clear") and "fresh context" in body
    unknown = (await desk.command(desk.home, "!help bananas")).body
    assert "!bananas" in unknown and "!help" in unknown


async def test_the_nearest_command_is_suggested(desk: Desk) -> None:
    for typo, meant in (("!halp", "help"), ("!cler", "clear"), ("!Arhive x", "archive")):
        answer = words_of(await desk.command(desk.chat, typo))
        assert answer.endswith(f"Did you mean !{meant}?"), answer
    helpless = words_of(await desk.command(desk.chat, "!xyzzy plugh"))
    assert "I don't know !xyzzy" in helpless and "!help" in helpless
    assert "nothing was said" in (await desk.command(desk.chat, "!context")).body


async def test_what_only_looks_like_a_command_is_talk(desk: Desk) -> None:
    for text in ("! help", "!!", "!", "!1", "well !help", "¡help!", "42", "1."):
        assert (await desk.say(desk.chat, text)).body == text


async def test_what_takes_nothing_is_not_given_anything(desk: Desk) -> None:
    before = desk.bot.room(desk.chat)
    for name in ("chats", "clear", "undo", "context", "archive"):
        refused = (await desk.command(desk.chat, f"!{name} now")).body
        assert refused == f"!{name} takes nothing after it."
    assert desk.bot.room(desk.chat) == before


# --- !new, !chats, !rename ------------------------------------------------------------------------


async def test_new_makes_a_room_with_the_next_label(desk: Desk) -> None:
    alice = desk.person
    named = await desk.new("Project *X* [a](http://b.c)")
    unnamed = await desk.new(room=named)

    assert alice.name(named) == "Project *X* [a](http://b.c)"
    assert alice.name(unnamed) == "Chat 3"
    assert alice.children(desk.space) == [desk.chat, named, unnamed]
    rooms = desk.bot.rooms_of(desk.me)
    assert [(r["chat_id"], r["room_id"], r["agent_id"]) for r in rooms] == [
        ("C1", desk.chat, "echo"),
        ("C2", named, "echo"),
        ("C3", unnamed, "echo"),
    ]
    contexts = [int(r["platform_chat_id"]) for r in rooms]
    assert contexts == sorted(set(contexts))
    told = next(m for m in alice.messages(desk.home) if m.body.startswith("Made"))
    assert "Project *X* [a](http://b.c)" in told.body and named in (told.formatted or "")
    assert "http://b.c" not in (told.formatted or "").replace("[a](http://b.c)", "")
    assert {m.room_id for m in await desk.bot.made(desk.me)} == {
        desk.space,
        desk.chat,
        named,
        unnamed,
    }


BAD_NAMES = {
    "x" * 81: "80 characters at most",
    "bell \a": "characters I cannot use",
    "two\nlines": "characters I cannot use",
    "\u202eevil": "characters I cannot use",
    "\u200d": "characters I cannot use",
}


@pytest.mark.parametrize("command", ["!new", "!rename"])
async def test_names_that_are_refused(desk: Desk, command: str) -> None:
    before = desk.document()
    for name, why in BAD_NAMES.items():
        assert why in (await desk.command(desk.chat, f"{command} {name}")).body
    assert desk.document() == before
    assert desk.bot.room(desk.chat)["display_name"] == "Chat 1"
    assert desk.person.name(desk.chat) == "Chat 1"


@pytest.mark.parametrize("name", ["x" * 80, "Семья 👨‍👩‍👧 🏳️‍🌈", "می‌خواهم"])
async def test_names_that_are_taken(desk: Desk, name: str) -> None:
    await desk.command(desk.chat, f"!rename {name}")
    await desk.person.until(lambda: desk.person.name(desk.chat) == name)


async def test_rename_names_the_room(desk: Desk) -> None:
    alice = desk.person
    assert (await desk.command(desk.chat, "!rename")).body == "Say which name: !rename NAME"

    renamed = await desk.command(desk.chat, "!rename  Plans *for* 2030 ")

    assert renamed.body == "C1 is now called Plans *for* 2030."
    await alice.until(lambda: alice.name(desk.chat) == "Plans *for* 2030")
    assert desk.bot.room(desk.chat)["display_name"] == "Plans *for* 2030"
    assert "Plans *for* 2030" in (await desk.command(desk.home, "!chats")).body
    assert (await desk.say(desk.chat, "still you?")).body == "still you?"


async def test_a_name_given_in_the_client_is_taken_over(desk: Desk) -> None:
    await desk.person.set_state(desk.chat, "m.room.name", {"name": "By hand"})
    await desk.say(desk.chat, "heard after it")
    assert "C1 By hand" in (await desk.command(desk.home, "!chats")).body


async def test_chats_lists_rooms_with_links_agents_and_what_is_archived(desk: Desk) -> None:
    second, third = await desk.new("Second"), await desk.new("Third")
    await desk.command(second, "!agent shout")
    await desk.archive(third)

    listed = await desk.command(desk.home, "!chats")

    lines = [line for line in listed.body.splitlines() if line.startswith("•")]
    assert [line[:4] for line in lines] == ["• C1", "• C2", "• C3"]
    assert lines[0].endswith("· Echo") and desk.chat in lines[0]
    assert lines[1].endswith("· Crier") and second in lines[1]
    assert lines[2] == "• C3 Third · archived, !restore C3 brings it back"


# --- !agent ---------------------------------------------------------------------------------------


async def test_agent_shows_who_answers(desk: Desk) -> None:
    await desk.command(desk.home, "!agent slow")
    shown = (await desk.command(desk.chat, "!agent")).body
    assert shown.startswith("In this room: Echo (echo). For new chats: Poet.")
    assert (await desk.command(desk.home, "!agent")).body.startswith("For new chats: Poet.")
    # Shown, not asked: a number is talk here.
    assert (await desk.say(desk.chat, "3")).body == "3"


async def test_agent_changes_this_room_and_new_ones_and_no_other(desk: Desk) -> None:
    alice = desk.person
    second = await desk.new("Second")
    await desk.say(desk.chat, "for the first agent only")
    before, other = desk.bot.room(desk.chat), desk.bot.room(second)

    chosen = await desk.command(desk.chat, "!agent 3")

    assert chosen.body.startswith("Crier (shout) answers here from now on")
    after = desk.bot.room(desk.chat)
    assert (after["state"], after["agent_id"]) == ("bound", "shout")
    assert int(after["platform_chat_id"]) > int(before["platform_chat_id"])
    assert desk.bot.room(second) == other
    await alice.until(lambda: "Crier" in (alice.state(desk.chat, "m.room.topic") or {})["topic"])
    # What was said to one agent is not told to another.
    assert (await desk.say(desk.chat, "what did I say?")).body == "You said nothing yet."
    assert (await desk.say(second, "quiet")).body == "quiet"
    third = await desk.new("Third")
    assert (await desk.say(third, "loud")).body == "LOUD"


async def test_the_same_agent_again_keeps_the_context(desk: Desk) -> None:
    await desk.say(desk.chat, "keep me")
    before = desk.context()
    same = await desk.command(desk.chat, "!agent echo")
    assert same.body == "Echo (echo) answers here already; new chats get it too."
    assert desk.context() == before
    assert "1. keep me" in (await desk.say(desk.chat, "what did I say?")).body


async def test_an_unknown_agent_changes_nothing(desk: Desk) -> None:
    before = desk.bot.room(desk.chat), desk.document()
    for wrong in ("nobody", "0", "4", "99999999999999999999", "-1", "echo slow", "*x*"):
        refused = (await desk.command(desk.chat, f"!agent {wrong}")).body
        assert refused == f"There is no agent {wrong}. There are: echo, slow, shout."
    assert (desk.bot.room(desk.chat), desk.document()) == before


# --- !clear, !undo, !context ----------------------------------------------------------------------


async def test_clear_names_the_contexts_and_undo_goes_back(desk: Desk) -> None:
    await desk.say(desk.chat, "remember")
    old = desk.context()

    cleared = await desk.command(desk.chat, "!clear")

    new = desk.context()
    assert int(new) > int(old)
    assert f"New context {new}." in cleared.body
    assert f"!undo goes back to context {old}," in cleared.body
    again = await desk.command(desk.chat, "!clear")
    assert again.body == f"The context {new} is fresh already: nothing was said in it."
    assert desk.context() == new
    undone = await desk.command(desk.chat, "!undo")
    assert undone.body == f"Undone: back in context {old}."
    assert desk.context() == old
    assert "1. remember" in (await desk.say(desk.chat, "what did I say?")).body
    assert "nothing to undo" in (await desk.command(desk.chat, "!undo")).body
    # The one that was given up is never given out again.
    await desk.command(desk.chat, "!clear")
    assert int(desk.context()) > int(new)


async def test_undo_is_refused_once_something_was_said(desk: Desk) -> None:
    assert "nothing to undo" in (await desk.command(desk.chat, "!undo")).body
    await desk.command(desk.chat, "!clear")
    new = desk.context()
    await desk.command(desk.chat, "!help")
    await desk.say(desk.chat, "a fresh start")

    refused = await desk.command(desk.chat, "!undo")

    assert "nothing to undo" in refused.body
    assert desk.context() == new
    assert "1. a fresh start" in (await desk.say(desk.chat, "what did I say?")).body


async def test_context_counts_what_was_said(desk: Desk) -> None:
    for count in ("nothing was said", "1 message in it", "2 messages in it"):
        told = (await desk.command(desk.chat, "!context")).body
        assert "• agent: Echo" in told
        assert f"• context: {desk.context()}" in told
        assert count in told
        await desk.say(desk.chat, "one more")


# --- !archive, !restore ---------------------------------------------------------------------------


async def test_archive_takes_the_room_out_of_the_space_and_restore_brings_it_back(
    desk: Desk,
) -> None:
    alice, second = desk.person, await desk.new("Second")
    await desk.say(second, "remember")
    context = desk.context(second)

    archived = await desk.archive(second)

    assert "!restore C2" in archived.body
    await alice.until(lambda: alice.children(desk.space) == [desk.chat])
    assert second in alice.joined() and desk.bot.user_id in alice.members(second)
    hint = await desk.command(second, "are you there?")
    assert "archived" in hint.body and "!restore C2" in hint.body
    await alice.until(lambda: alice.state(second, "m.space.parent", desk.space) == {})
    assert desk.bot.documents("chats")[f"chat:{desk.me}:C2"]["archived"] is True
    restored = await desk.command(second, "!restore C2")
    assert restored.body.startswith("C2 is back: Second") and second in (restored.formatted or "")
    await alice.until(lambda: alice.children(desk.space) == [desk.chat, second])
    assert desk.context(second) == context
    assert desk.bot.documents("chats")[f"chat:{desk.me}:C2"]["archived"] is False
    recalled = await desk.say(second, "what did I say?")
    assert recalled.body == "You said 1 thing:\n\n1. remember"


@pytest.mark.parametrize("word", ["C1", "c1", "1", "С1", "с1"])
async def test_restore_takes_the_label_in_many_spellings(desk: Desk, word: str) -> None:
    await desk.archive(desk.chat)
    await desk.command(desk.home, f"!restore {word}")
    assert desk.bot.room(desk.chat)["state"] == "bound"


async def test_restore_wants_to_know_which(desk: Desk) -> None:
    assert (await desk.command(desk.home, "!restore")).body == "No chat is archived."
    second = await desk.new("Second")
    for room in (desk.chat, second):
        await desk.archive(room)
    which = words_of(await desk.command(desk.home, "!restore"))
    assert which == "Which chat? Say !restore C1, for instance. Archived are: C1, C2"
    for wrong in ("C3", "nonsense", "C", "*"):
        refused = words_of(await desk.command(desk.home, f"!restore {wrong}"))
        assert refused == f"There is no archived chat {wrong}. Archived are: C1, C2"
    assert [r["state"] for r in desk.bot.rooms_of(desk.me)] == ["archived", "archived"]


async def test_who_leaves_a_chat_has_archived_it(desk: Desk) -> None:
    alice: Person = desk.person
    second = await desk.new("Second")
    await desk.say(second, "remember")
    await alice.leave(second)
    # Answered after the bot has heard that alice left.
    await desk.say(desk.chat, "where am I?")
    assert "C2 Second · archived" in (await desk.command(desk.home, "!chats")).body

    await desk.command(desk.home, "!restore C2")

    assert await alice.accept_invites_from(desk.bot.user_id) == [second]
    assert "1. remember" in (await desk.say(second, "what did I say?")).body


async def test_everybody_has_their_own_chats(desk: Desk, person: Make, bot: Bot) -> None:
    bob = await onboard(await person("bob"), bot)
    await desk.new("Alice's own")
    await desk.archive(desk.chat)
    assert "Alice" not in (await bob.command(bob.home, "!chats")).body
    assert (await bob.command(bob.home, "!restore C1")).body == "No chat is archived."
    assert desk.bot.room(desk.chat)["state"] == "archived"


# --- in Russian -----------------------------------------------------------------------------------


async def test_commands_in_russian(person: Make, share_bot: Make) -> None:
    desk = await onboard(await person("alice"), await share_bot(locale="ru"))
    for word in ("!help", "!помощь"):
        assert "Что здесь можно делать" in (await desk.command(desk.chat, word)).body
    assert "Чат 1" in (await desk.command(desk.chat, "!чаты")).body
    assert "Может быть, !clear?" in (await desk.command(desk.chat, "!cler")).body
    for turns in ("ещё ничего не сказано", "1 сообщение", "2 сообщения", "3 сообщения"):
        assert turns in (await desk.command(desk.chat, "!context")).body
        await desk.say(desk.chat, "привет")
    assert (await desk.say(desk.chat, "Что я говорил?")).body.startswith("Вы сказали (4):")
    assert "Очищено" in (await desk.command(desk.chat, "!очистить")).body
    assert "Отменено" in (await desk.command(desk.chat, "!undo")).body
    assert "не комната чата" in (await desk.command(desk.home, "!archive")).body
