"""Every command in every room, whoever the person is: something is said or done, never nothing.

The table is the registry itself, so a command that is added is tried here without being named.
"""

from __future__ import annotations

import pytest

from machines import RoomMachine, UserMachine
from machines.effects import CreateRoom, LoadContext, SaveContext
from surface.aftermath import Result
from surface.commands.registry import BY_NAME, COMMANDS
from surface.commands.said import Facts
from surface.commands.spec import Spec
from surface.inputs import Message, Reaction
from surface.platform.interface import PlatformError
from surface.texts import LOCALES
from tests.surface.place import ALICE, BOB, ROOM, ROOMS, USERS, asking, place, running, stored

DEAF = {"unprovisioned", "lost"}
"""Rooms of which nobody knows whose they are, or which the bot is not in."""
PLAUSIBLE = {
    "help": "new",
    "new": "Holidays",
    "rename": "Holidays",
    "agent": "shout",
    "save": "plans",
    "load": "PLANS",
    "restore": "C2",
    "lang": "ru",
}
NONSENSE = ("🦖 **<b>`x`</b>**", "x" * 900, "9" * 5000, "\u202e\x00\n!yes", "C99", "0")
UNKNOWN = ("!dance", "!hlep", "!удали", "!x 1 2 3", "!save-all", "!ß", "!" + "a" * 32)
OPEN = ("agent", "load", "archive", "forget", "agent_question")


def ways(spec: Spec, user: str) -> list[str]:
    """The command with nothing, something plausible, and nonsense behind it; and by its other names."""
    arguments = ["", PLAUSIBLE.get(spec.name, "please")]
    if user == "ready":
        arguments += NONSENSE
    return [f"!{spec.name} {a}".strip() for a in arguments] + [f"!{a}" for a in spec.aliases]


def test_every_state_is_tried() -> None:
    assert {state for _, state in ROOMS.values()} == set(RoomMachine.durable_states())
    assert {s for _, s in USERS.values()} == set(UserMachine.durable_states()) - {"unprovisioned"}
    assert set(PLAUSIBLE) == {spec.name for spec in COMMANDS if spec.takes}


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("spec", COMMANDS, ids=lambda spec: spec.name)
async def test_no_command_meets_silence(spec: Spec, room: str, locale: str) -> None:
    for user in USERS:
        for body in ways(spec, user):
            there = await place(room, user, locale)
            said = await there.say(body)
            if room not in DEAF:
                assert said.words or said.turns or said.asked, (user, body)
                assert {row.locale for row in said.rows} <= {locale, "ru"}, (user, body)
            assert [row.key for row in await stored(there)] == [row.key for row in said.rows]


@pytest.mark.parametrize("spec", COMMANDS, ids=lambda spec: spec.name)
async def test_a_room_that_is_nobodys_takes_no_commands(spec: Spec) -> None:
    assert (await (await place("unprovisioned")).say(f"!{spec.name}")).rows == []


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("room", ROOMS)
async def test_an_unknown_command_is_answered(room: str, locale: str) -> None:
    for user in USERS:
        for body in UNKNOWN:
            assert body[1:].split()[0] not in BY_NAME
            said = await (await place(room, user, locale)).say(body)
            if room == "undecided":
                assert said.words == ["bind-question"]
            elif room not in DEAF:
                assert {*said.words} & {"command-unknown", "command-unknown-near"}, (user, body)


@pytest.mark.parametrize("purpose", OPEN)
@pytest.mark.parametrize("spec", COMMANDS, ids=lambda spec: spec.name)
async def test_no_command_meets_silence_while_something_is_asked(spec: Spec, purpose: str) -> None:
    for room in set(ROOMS) - DEAF:
        there = await place(room)
        asking(there, purpose)
        if purpose == "agent_question" and room == "bound":
            await running(there, "asking")
        said = await there.say(f"!{spec.name}")
        assert said.words or said.turns or said.rows, room


@pytest.mark.parametrize("refused", [None, "M_UNKNOWN"])
@pytest.mark.parametrize(
    ("body", "kind"),
    [("!save plans", SaveContext), ("!load plans", LoadContext), ("!new Plans", CreateRoom)],
)
@pytest.mark.parametrize("room", ["bound", "cleared"])
async def test_what_takes_a_while_is_spoken_of_when_it_is_done(
    room: str, body: str, kind: type, refused: str | None
) -> None:
    there = await place(room)
    (row,) = (await there.say(body)).asked
    assert isinstance(row.effect, kind)
    said = await there.settle(row, Result(room_id="!fresh", refused=refused, reason="broken"))
    assert len(said.words) == 1
    assert ("failed" in said.words[0]) is (refused is not None)


@pytest.mark.parametrize(
    ("then", "words"),
    [
        ((), "load-failed"),
        (("hello",), "load-failed-stays"),
        (("!undo",), "load-failed-elsewhere"),
        (("!load older",), "load-failed-elsewhere"),
        (("hello", "!clear"), "load-failed-elsewhere"),
    ],
)
async def test_a_load_that_fails_late_says_what_is_true(then: tuple[str, ...], words: str) -> None:
    there = await place("bound")
    (row,) = (await there.say("!load plans")).asked
    for body in then:
        await there.say(body)
    said = await there.settle(row, Result(refused="down", reason="It is down."))
    assert said.words == [words]
    assert "It is down. " in there.heard[-1]["body"] + " "


async def test_retry_is_held_to_the_number_of_messages_that_may_wait() -> None:
    there = await place("failed")
    there.memory.waiting[ALICE] = there.house.limits.waiting
    for _ in range(2):
        said = await there.say("!retry")
        assert (said.words, said.turns) == (["limit-waiting"], [])
    there.memory.waiting[ALICE] -= 1
    assert (await there.say("!retry")).turns


async def test_a_lost_room_says_that_it_is_lost() -> None:
    there = await place("lost")
    said = await there.say("!clear")
    assert said.words == ["command-not-here"]
    assert "I was removed from this room" in there.heard[-1]["body"]


@pytest.mark.parametrize("locale", LOCALES)
async def test_help_says_how_commands_are_written_in_the_persons_language(locale: str) -> None:
    there = await place("bound", locale=locale)
    for body in ("!help", "!help rename"):
        await there.say(body)
        words = {"en": "!rename NAME", "ru": "!rename ИМЯ"}
        assert words[locale] in there.heard[-1]["body"]


@pytest.mark.parametrize("room", ["bound", "cleared"])
@pytest.mark.parametrize("state", ["thinking", "streaming", "asking"])
async def test_stop_ends_a_running_turn_and_says_so(room: str, state: str) -> None:
    there = await place(room)
    await running(there, state)
    said = await there.say("!stop")
    assert said.words == ["answer"]
    assert "$running" not in there.memory.running


@pytest.mark.parametrize("room", sorted(set(ROOMS) - DEAF - {"undecided"}))
@pytest.mark.parametrize("purpose", OPEN)
@pytest.mark.parametrize("key", ["✅", "❌", "1️⃣", "9️⃣", "🛑", "👍", ""])
async def test_no_reaction_breaks_anything(room: str, purpose: str, key: str) -> None:
    there = await place(room)
    asking(there, purpose)
    await there.receive(Reaction("$r", ROOM, ALICE, "$question", key))
    await there.receive(Reaction("$r", ROOM, ALICE, "$question", key, stale_question=True))
    await there.receive(Reaction("$r", ROOM, BOB, "$question", key))


@pytest.mark.parametrize("body", ["hello", "1", "0", "9999", "!yes", "!no", "!agent 9", "", " "])
@pytest.mark.parametrize("purpose", OPEN)
async def test_whatever_answers_an_open_question_is_taken_somehow(purpose: str, body: str) -> None:
    for room in set(ROOMS) - DEAF:
        there = await place(room)
        asking(there, purpose)
        said = await there.say(body)
        if body.strip() and room not in ("undecided", "company"):
            assert said.words or said.turns or said.rows, room


@pytest.mark.parametrize(
    "facts",
    [
        Facts(),
        Facts(saves=(), turns=0),
        Facts(failed=PlatformError("x", "is down", retryable=True)),
    ],
)
@pytest.mark.parametrize("body", ["!load", "!load plans", "!context"])
async def test_a_platform_that_knows_nothing_is_spoken_of(body: str, facts: Facts) -> None:
    for room in ("bound", "cleared"):
        assert len((await (await place(room)).say(body, facts=facts)).words) == 1


@pytest.mark.parametrize("spec", COMMANDS, ids=lambda spec: spec.name)
async def test_who_may_not_command_is_not_heard(spec: Spec) -> None:
    for room in ROOMS:
        there = await place(room)
        assert (await there.say(f"!{spec.name}", sender=BOB, mentions=True)).rows == []


async def test_other_bots_notices_are_not_heard() -> None:
    for room in ROOMS:
        there = await place(room)
        message = Message("$n", ROOM, ALICE, "!help", "m.notice", mentions=True)
        assert (await there.receive(message)).rows == [], room
