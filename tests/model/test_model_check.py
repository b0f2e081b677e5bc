"""Every state of a very small world is looked at, and the nearest of larger ones; more of them by
`python -m tests.model`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
import structlog

from tests.model import beginnings, story
from tests.model.__main__ import main
from tests.model.search import around, search
from tests.model.world import ALICE, Action, Budget, SmallWorld


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("begin", beginnings.EVERY)
def test_every_state_is_lawful_that_one_deed_leads_to(begin: beginnings.Beginning) -> None:
    found = search([asyncio.run(begin(Budget(person=1, crashes=0, losses=0)))], most=1_000)
    assert found.broken is None, story.told(found.broken.why, found.broken.path)
    assert found.left == 0, "not all of it was searched"
    assert found.steps >= found.states > 1


@pytest.mark.parametrize("begin", beginnings.EVERY)
def test_the_nearest_states_are_lawful_with_kills_and_a_lost_disk(
    begin: beginnings.Beginning,
) -> None:
    found = search([asyncio.run(begin(Budget(person=2, crashes=1, losses=1)))], most=150)
    assert found.broken is None, story.told(found.broken.why, found.broken.path)
    assert found.states == 150


def test_a_broken_law_is_found_by_the_shortest_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lawful = SmallWorld.check

    async def no_space_may_be_made(self: SmallWorld) -> None:
        await lawful(self)
        for room in self.homeserver.rooms.values():
            if room.content("m.room.create").get("type") == "m.space":
                raise AssertionError("a Space was made")

    monkeypatch.setattr(SmallWorld, "check", no_space_may_be_made)
    found = search([asyncio.run(beginnings.nobody(Budget(3, 1, 0)))], most=2_000)
    assert found.broken is not None
    assert [(a.who, a.what) for a in found.broken.path] == [
        ("bot", "starts for the first time"),
        ("alice", "invites the bot to talk"),
        ("bot", "hears"),
        ("matrix", "carries out JoinRoom"),
        ("bot", "learns what came of JoinRoom"),
        ("matrix", "carries out CreateRoom"),
    ]
    words = story.told(found.broken.why, found.broken.path)
    assert words.splitlines()[0] == "1. bot starts for the first time"
    assert words.splitlines()[1] == "2. alice invites the bot to talk"
    assert words.splitlines()[-1] == "Then: AssertionError: a Space was made"
    picture = story.drawn(found.broken.why, found.broken.path)
    assert picture.splitlines()[0] == "sequenceDiagram"
    assert len(picture.splitlines()) == 1 + 4 + 6 + 1


@pytest.mark.parametrize("error", [AssertionError("no chats"), KeyError("chat")], ids=repr)
def test_a_law_that_a_beginning_breaks_is_told_as_a_story(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def there_may_be_no_rooms(self: SmallWorld) -> None:
        if self.homeserver.rooms:
            raise error

    monkeypatch.setattr(SmallWorld, "check", there_may_be_no_rooms)
    assert main(["--states", "1", "--jobs", "1"]) == 1
    printed = capsys.readouterr().out
    assert "1. bot starts for the first time\n2. alice invites the bot to talk\nThen: " in printed
    assert f"Then: {type(error).__name__}: {error}" in printed and "sequenceDiagram" in printed


def test_it_says_what_it_has_not_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--states", "1", "--jobs", "1"]) == 0
    printed = capsys.readouterr().out
    assert "1 states, " in printed and "NOT exhaustive: " in printed
    assert "turn " not in printed and "Turns are not modelled" in printed


@pytest.mark.parametrize(
    "option",
    ["--states=0", "--states=-5", "--person=-1", "--crashes=-1", "--losses=x", "--jobs=0"],
)
def test_numbers_that_are_none_are_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([option])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("usage: python -m tests.model ") and "whole number" in said


def test_several_processes_find_the_same() -> None:
    begin = asyncio.run(beginnings.settled(Budget(1, 1, 0)))
    alone = search([begin], most=60)
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        together = search([begin], most=60, expand=lambda worlds: pool.map(around, worlds))
    assert (alone.states, alone.steps, alone.left) == (
        together.states,
        together.steps,
        together.left,
    )
    assert alone.moves == together.moves


async def test_a_world_thaws_as_it_was_frozen() -> None:
    world = await beginnings.settled(Budget(1, 1, 1))
    again = SmallWorld.thawed(world.frozen())
    assert again.identity() == world.identity()
    assert await again.options() == await world.options()
    await again.do(Action("alice", "says", next(iter(again.homeserver.rooms)), "!new"))
    assert again.identity() != world.identity()


async def test_what_only_has_other_names_is_the_same_world() -> None:
    one, other = (
        await beginnings.settled(Budget(2, 0, 0)),
        await beginnings.settled(Budget(2, 0, 0)),
    )
    next(other.inputs)
    room_id = next(iter(one.homeserver.rooms))
    for world in (one, other):
        world.says(room_id, "!new")
        await world.hear_all()
    assert one.identity() == other.identity()
    other.goes(room_id, ALICE, "leave", heard=False)
    assert one.identity() != other.identity()
