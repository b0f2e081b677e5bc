"""The disk is lost, in part or whole: everything comes back from Matrix as it was."""

from __future__ import annotations

import json
import shutil
from typing import Any

from tests.crash.people import ask, new_chat, notices, onboarded
from tests.rig.api import MatrixApi
from tests.rig.bot import SHOUT, Bot
from tests.rig.cli import surface
from tests.rig.fixtures import Make
from tests.rig.person import Person

NOT_MIRRORED = {"rev", "history", "failed_body", "replaced_chat_id"}
"""What documents hold besides: revisions, what happened to them, and what was said."""


def lose_database(bot: Bot) -> None:
    for file in bot.state_dir.glob("lambda_matrix.db*"):
        file.unlink()


def lose_session(bot: Bot) -> None:
    shutil.rmtree(bot.state_dir / "matrix_store")


def kept(bot: Bot) -> dict[str, Any]:
    """All that must come back; lost rooms are not in Matrix."""
    rooms = {
        key: {k: v for k, v in room.items() if k not in NOT_MIRRORED}
        for key, room in bot.documents("rooms").items()
        if room["state"] != "lost"
    }
    users = {
        key: {
            k: sorted(v) if k == "home_rooms" else v
            for k, v in user.items()
            if k not in NOT_MIRRORED
        }
        for key, user in bot.documents("users").items()
    }
    chats = {k: {**c, "rev": 0} for k, c in bot.documents("chats").items()}
    return {"rooms": rooms, "users": users, "chats": chats}


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What is not as it was, field by field."""
    found = []
    for table, documents in before.items():
        found += [f"{table} {key}: is new" for key in after[table].keys() - documents.keys()]
        for key, body in documents.items():
            now = after[table].get(key, {})
            fields = {k for k in body.keys() | now.keys() if body.get(k) != now.get(k)}
            found += [f"{table} {key} {k}: {body.get(k)} -> {now.get(k)}" for k in sorted(fields)]
    return found


async def leaves(bot: Bot, room_id: str) -> None:
    """The bot is out of a room, and did not do it: nobody may remove the maker of a room (version 12)."""
    api = MatrixApi(bot.url, bot.login.access_token)
    try:
        await api.call("POST", "rooms", room_id, "leave")
    finally:
        await api.close()


async def everything_said(bot: Bot, people: list[Person]) -> dict[str, int]:
    return {
        room: len(await person.history(room, sender=bot.user_id))
        for person in people
        for room in person.joined()
    }


async def three_people(make_bot: Make, person: Make) -> tuple[Bot, list[Person], dict[str, str]]:
    """A bot with three people and twelve rooms of all states; returns some of the rooms by name."""
    bot = await make_bot()
    alice, bob, carol = [await person(name) for name in ("alice", "bob", "carol")]
    _, one = await onboarded(bot, alice)
    await ask(alice, one, "remember this", "remember this")
    cleared = await new_chat(alice, one, "Cleared")
    await ask(alice, cleared, "something", "something")
    await ask(alice, cleared, "!clear", "Cleared:")
    archived = await new_chat(alice, one, "Archived")
    await ask(alice, archived, "!archive", "Archive")
    await ask(alice, archived, "!yes", "Archived.")
    renamed = await new_chat(alice, one, "Plain")
    await ask(alice, renamed, "!rename Fancy", "Fancy")

    _, shouting = await onboarded(bot, bob)
    await ask(bob, shouting, "!agent shout", "Crier")
    await ask(bob, shouting, "!lang ru", "русски")
    gone = await new_chat_in_russian(bob, shouting, "Gone")
    await leaves(bot, gone)
    await bob.until_member(gone, bot.user_id, "leave")

    _, mine = await onboarded(bot, carol)
    left = await new_chat(carol, mine, "Left")
    await carol.leave(left)
    team = await carol.create_room(name="Team", preset="private_chat", invite=[alice.user_id])
    await alice.join(team)
    await carol.invite(team, bot.user_id)
    await carol.message(team, "!yes", sender=bot.user_id)
    await ask(carol, team, "!yes", "C3")
    await ask(carol, mine, "bye", "bye")
    rooms = {"one": one, "cleared": cleared, "team": team, "archived": archived, "mine": mine}
    return bot, [alice, bob, carol], rooms | {"shouting": shouting, "left": left}


async def new_chat_in_russian(person: Person, room_id: str, name: str) -> str:
    await person.send(room_id, f"!new {name}")
    await person.until(
        lambda: name in [person.name(r) for r in person.joined()], what=f"being in {name}"
    )
    return next(r for r in person.joined() if person.name(r) == name)


async def test_a_lost_database_is_rebuilt(make_bot: Make, person: Make) -> None:
    bot, people, rooms = await three_people(make_bot, person)
    alice, bob, carol = people
    await bot.stop()
    before, said, made = kept(bot), await everything_said(bot, people), await bot.made()
    states = sorted(room["state"] for room in bot.documents("rooms").values())
    assert len(states) == 12, states
    assert set(states) == {"home", "bound", "cleared", "archived", "lost"}
    issued = int(bot.documents("meta")["PLATFORM_CHAT_SEQ"]["value"])
    installation = bot.documents("meta")["installation_id"]["value"]

    lose_database(bot)
    await bot.start()
    done = await bot.logged("reconcile.done")
    assert done["adopted"] == 14, "three people and eleven rooms"
    assert bot.documents("meta")["installation_id"]["value"] == installation
    assert not differences(before, kept(bot))

    # Labels go on, ids are new, and nothing old is answered.
    four = await new_chat(alice, rooms["one"], "Five")
    assert bot.room(four)["chat_id"] == "C5"
    assert int(bot.room(four)["platform_chat_id"]) > issued
    assert "previous" not in await ask(alice, rooms["cleared"], "!undo", "Undone")
    await ask(bob, rooms["shouting"], "hello", "HELLO")
    await ask(alice, rooms["one"], "!restore C3", "C3 is back")
    await ask(alice, rooms["archived"], "there?", "there?")
    assert len(await bot.made()) == len(made) + 1, "only the one that was asked for"
    after = await everything_said(bot, people)
    expected = {rooms["one"]: 2, rooms["cleared"]: 1, rooms["shouting"]: 1, rooms["archived"]: 1}
    for room, count in said.items():
        assert after[room] == count + expected.get(room, 0), room

    await bot.stop()
    lose_database(bot)
    await bot.start()
    await ask(carol, rooms["mine"], "and again", "and again")
    rest = bot.room(four)
    assert (rest["chat_id"], rest["agent_id"], rest["state"]) == ("C5", "echo", "bound")


async def test_a_disk_that_dies_right_after_an_id_was_issued(make_bot: Make, person: Make) -> None:
    bot, alice = await make_bot(), await person("alice")
    _, chat = await onboarded(bot, alice)
    # Nothing is left to decide of the first contact: what is killed below is the `!clear`, which is
    # heard once more after the loss, and gets an id once more.
    await ask(alice, chat, "hello", "hello")
    await bot.at_rest()
    seen = {bot.room(chat)["platform_chat_id"]}
    for n in range(3):
        await bot.stop()
        await bot.start(failpoint="commit.input.after")
        await alice.send(chat, "!clear")
        await bot.died()
        fresh = bot.room(chat)["platform_chat_id"]
        assert fresh not in seen
        seen.add(fresh)
        lose_database(bot)
        await bot.start()
        await ask(alice, chat, f"round {n}", f"round {n}")
        seen.add(bot.room(chat)["platform_chat_id"])
    before = len(seen)
    await ask(alice, chat, "!clear", "Cleared:")
    assert bot.room(chat)["platform_chat_id"] not in seen and before == 1 + 2 * 3


async def test_a_disk_that_dies_right_after_a_label_was_told(make_bot: Make, person: Make) -> None:
    """Of a room that the bot did not make: nothing but the mirrors tells its label."""
    bot, alice, bob = await make_bot(), await person("alice"), await person("bob")
    _, chat = await onboarded(bot, alice)
    team = await alice.create_room(name="Team", preset="private_chat", invite=[bob.user_id])
    await bob.join(team)
    await alice.invite(team, bot.user_id)
    await alice.message(team, "!yes or !no", sender=bot.user_id)
    await bot.at_rest("inbox", "outbox", "mirrors")
    await ask(alice, team, "!yes", "as your chat C2")
    bot.kill()
    before = bot.room(team)
    lose_database(bot)
    await bot.start()
    other = await new_chat(alice, chat, "Other")
    assert bot.room(other)["chat_id"] == "C3"
    same = ("chat_id", "agent_id", "platform_chat_id", "matrix_user_id", "foreign", "state")
    assert [bot.room(team)[k] for k in same] == [before[k] for k in same]


async def test_a_lost_session_is_a_new_device(make_bot: Make, person: Make) -> None:
    bot, alice = await make_bot(), await person("alice")
    _, chat = await onboarded(bot, alice)
    await bot.stop()
    assert not bot.events("session.new_device"), "at the very first login none was lost"
    device = json.loads((bot.state_dir / "matrix_store" / "session.json").read_text())["device_id"]
    before = kept(bot)
    lose_session(bot)
    event = await alice.send(chat, "meanwhile")
    await bot.start()
    line = await bot.logged("session.new_device")
    assert line["device"] != device
    await alice.answer_to(chat, event, saying="meanwhile")
    assert not differences(before, kept(bot))


async def test_everything_lost_and_nothing_in_matrix_is_a_clean_start(
    make_bot: Make, person: Make
) -> None:
    bot, alice = await make_bot(), await person("alice")
    await bot.stop()
    lose_database(bot)
    lose_session(bot)
    await bot.start()
    _, chat = await onboarded(bot, alice)
    await ask(alice, chat, "hello", "hello")
    assert len(await bot.made()) == 2


async def test_everything_lost_but_matrix(make_bot: Make, person: Make) -> None:
    bot, alice = await make_bot(), await person("alice")
    _, chat = await onboarded(bot, alice)
    await bot.stop()
    before = kept(bot)
    lose_database(bot)
    lose_session(bot)
    await bot.start()
    assert not differences(before, kept(bot))
    await ask(alice, chat, "hello", "hello")
    assert len(await bot.made()) == 2


async def test_an_old_copy_of_the_database_learns_what_it_missed(
    make_bot: Make, person: Make
) -> None:
    bot, alice = await make_bot(), await person("alice")
    _, chat = await onboarded(bot, alice)
    await bot.stop()
    copy = (bot.state_dir / "lambda_matrix.db").read_bytes()
    await bot.start()
    two = await new_chat(alice, chat, "Two")
    await ask(alice, chat, "!agent shout", "Crier")
    await bot.stop()
    before = kept(bot)
    lose_database(bot)
    (bot.state_dir / "lambda_matrix.db").write_bytes(copy)
    preview = await ask_dry_run(bot, "--full")
    assert {step["step"] for step in preview["steps"]} >= {"AdoptPerson", "AdoptRoom"}
    bot.full = True
    await bot.start()
    assert not differences(before, kept(bot))
    await ask(alice, two, "hello", "hello")
    await ask(alice, chat, "hello", "HELLO")


async def ask_dry_run(bot: Bot, *options: str) -> Any:
    words = ("reconcile", "--dry-run", "--json", "-c", str(bot.write_config()))
    done = await surface(*words, *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def test_a_vanished_agent_and_a_lost_database(make_bot: Make, person: Make) -> None:
    """The binding waits in the mirror for the day the agent comes back."""
    bot, alice = await make_bot(), await person("alice")
    _, chat = await onboarded(bot, alice)
    await ask(alice, chat, "!agent shout", "Crier")
    await bot.stop()
    chat_id = bot.room(chat)["platform_chat_id"]
    agents, bot.agents = bot.agents, [a for a in bot.agents if a is not SHOUT]
    lose_database(bot)
    await bot.start()
    assert (bot.room(chat)["state"], bot.user(alice.user_id)["state"]) == ("unbound", "choosing")
    assert len(await notices(bot, alice, chat)) == 1, "nobody is asked at the start"
    await bot.stop()
    bot.agents = agents
    lose_database(bot)
    await bot.start()
    room = bot.room(chat)
    assert (room["state"], room["agent_id"], room["platform_chat_id"]) == (
        "bound",
        "shout",
        chat_id,
    )
    await ask(alice, chat, "hello", "HELLO")
