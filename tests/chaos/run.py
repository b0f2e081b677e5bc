"""One run from the first invitation to the verdict: people and weather, then calm, then the judge.

The order at the end: the weather stops, what waits is done, everybody says one last thing in every room and
hears the answer; by the order of /sync all that came before was heard as well. Then blocks of equal work show
what leaks. Only then the rooms are read, and the bot is stopped for a comparison of store and Matrix.

Who is not answered where nothing goes wrong ends what comes before the judge, and not the judgement.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from surface import keys
from surface.matrix.rooms import SOURCE
from tests.chaos.evidence import Witness
from tests.chaos.journal import Journal
from tests.chaos.judge import Count, Evidence, Said, Violation, judge
from tests.chaos.leaks import Sample, leaks, sample
from tests.chaos.people import Talker
from tests.chaos.plan import Plan
from tests.chaos.stage import LOUD, PATIENCE, Stage
from tests.chaos.weather import Weather
from tests.rig import laws
from tests.rig.bot import POLL, Bot
from tests.rig.cli import surface
from tests.rig.person import Person

WRONG: Final = frozenset({"input.broke", "input.refused", "turn.broke"})
"""What the bot logs when it cannot handle what came: nothing that comes may lead there."""
BLOCK: Final = 12
"""Messages of each person in one block of equal work."""

QUIET: Final = 10
"""Looks in a row at which there is nothing to do."""

Say = Callable[[str, float], None]
"""Takes what is being done, and which part of the whole is done."""


@dataclass
class Verdict:
    """What came of a run."""

    plan: Plan
    violations: list[Violation] = field(default_factory=list)
    count: Count = field(default_factory=Count)
    kills: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    busy_kills: int = 0
    """Kills of the bot that met work under way."""
    skipped: dict[str, str] = field(default_factory=dict)
    lost_sends: int = 0
    """Messages that the bot sent, and was surely not told that they had arrived."""
    repeated_sends: int = 0
    """Those of them that it sent again."""
    errors: Counter[str] = field(default_factory=Counter)
    """What the bot logged as an error, and how often."""
    deeds: int = 0
    lives: int = 0
    samples: list[Sample] = field(default_factory=list)
    journal: list[dict[str, Any]] = field(default_factory=list)


async def run(
    plan: Plan, root: Path, journal: Journal, *, people: int, blocks: int, say: Say
) -> Verdict:
    """Live through a plan.

    Args:
        root: where all processes keep what they keep; new.
        people: how many.
        blocks: blocks of equal work at the end, after one that warms up.
        say: told how far it is.
    """
    verdict = Verdict(plan)
    async with AsyncExitStack() as stack:
        say("starting homeserver, platform and bot", 0)
        stage = await stack.enter_async_context(Stage.open(journal, root))
        talkers = [await _talker(stack, stage, journal) for _ in range(people)]
        for who, talker in enumerate(talkers):
            verdict.violations += await _met(talker, 2 + who % 2)
        if not verdict.violations:
            await _through(verdict, stage, talkers, blocks, say)
        say("reading all rooms", 1)
        await _judge(verdict, stage, talkers, blocks)
    verdict.journal = journal.lines
    return verdict


async def _through(
    verdict: Verdict, stage: Stage, talkers: Sequence[Talker], blocks: int, say: Say
) -> None:
    """Weather, calm and equal work."""
    say("people talk, and things go wrong", 0)
    weather = Weather(stage, verdict.plan)
    await _live(verdict.plan, stage, talkers, weather, say)
    verdict.kills, verdict.faults = dict(weather.kills), dict(weather.faults)
    verdict.skipped, verdict.busy_kills = weather.skipped, stage.busy_kills
    verdict.deeds = sum(talker.done for talker in talkers)
    say("calm: everybody hears a last answer", 1)
    verdict.violations += await _settled(stage)
    bound = _bound(stage)
    verdict.violations += await _probe(stage, talkers, bound)
    verdict.violations += await _settled(stage)
    verdict.lost_sends = weather.lost_sends
    verdict.repeated_sends = weather.repeated_sends
    say("equal work, to see what leaks", 1)
    verdict.violations += await _work(verdict.samples, stage, talkers, blocks, bound)


async def _talker(stack: AsyncExitStack, stage: Stage, journal: Journal) -> Talker:
    person = await Person.register(stage.homeserver, "alice")
    talker = Talker(person, stage.bot.user_id, journal)
    await stack.enter_async_context(person)
    return talker


async def _met(talker: Talker, chats: int) -> list[Violation]:
    """Let somebody meet the bot; returns who cannot."""
    try:
        await talker.meet(chats)
    except AssertionError as error:
        why = str(error).partition("\n")[0]
        return [Violation("deaf", f"nothing goes wrong yet, but {why}", talker.home or None)]
    return []


async def _live(
    plan: Plan, stage: Stage, talkers: Sequence[Talker], weather: Weather, say: Say
) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def does(who: int) -> None:
        for act in plan.acts:
            if act.who == who:
                await asyncio.sleep(max(0.0, began + act.at - loop.time()))
                await talkers[who].act(act)

    async def tells() -> None:
        while (part := (loop.time() - began) / plan.seconds) < 1:
            kills = sum(weather.kills.values())
            say(f"people talk, and things go wrong: {kills} kills", part)
            await asyncio.sleep(0.5)

    async with asyncio.TaskGroup() as all_of_it:
        for who in range(len(talkers)):
            all_of_it.create_task(does(who))
        all_of_it.create_task(weather.rage())
        all_of_it.create_task(tells())


def _bound(stage: Stage) -> dict[str, str]:
    """The chats in which an agent answers, and which."""
    rooms = stage.bot.documents("rooms").values()
    return {room["room_id"]: room["agent_id"] for room in rooms if room["state"] == "bound"}


def _answer(bound: Mapping[str, str], room: str, text: str) -> str | None:
    """What has to be answered to a text when all is calm; None where no agent answers."""
    if room not in bound:
        return None
    return text.upper() if bound[room] in LOUD else text


async def _probe(
    stage: Stage, talkers: Sequence[Talker], bound: Mapping[str, str]
) -> list[Violation]:
    """Everybody says something in each room, and hears the answer; returns who does not."""

    words = "last words"

    async def hears(talker: Talker, room: str) -> list[Violation]:
        said = await talker.say(room, words, hears=_answer(bound, room, words))
        return await _hears(stage, talker, said, PATIENCE)

    heard = [hears(talker, room) for talker in talkers for room in (talker.home, *talker.chats())]
    return [violation for found in await asyncio.gather(*heard) for violation in found]


async def _hears(stage: Stage, talker: Talker, said: Said, patience: float) -> list[Violation]:
    """Wait for an answer to what somebody said; returns that there is none."""
    try:
        await talker.person.answer_to(
            said.room_id, said.event_id, sender=stage.bot.user_id, timeout=patience
        )
    except AssertionError:
        why = f"nobody answers {said.event_id} though all is calm"
        return [Violation("deaf", why, said.room_id, said.sent)]
    return []


async def _settled(stage: Stage) -> list[Violation]:
    """Wait until the bot has nothing to do, for as long as what it has to do changes; returns what stays.

    Polled: no commit wakes another process.
    """
    loop = asyncio.get_running_loop()
    quiet, before, moved = 0, "", loop.time()
    while quiet < QUIET:
        busy = stage.bot.pending() | stage.bot.documents("mirrors")
        quiet, left = (0, json.dumps(busy)) if busy else (quiet + 1, "")
        if left != before:
            before, moved = left, loop.time()
        if left and loop.time() - moved > PATIENCE:
            return [Violation("restless", f"the bot does not come to rest: {left[:1_000]}")]
        await asyncio.sleep(POLL * 5)
    return []


async def _work(
    samples: list[Sample],
    stage: Stage,
    talkers: Sequence[Talker],
    blocks: int,
    bound: Mapping[str, str],
) -> list[Violation]:
    """Blocks of the same work, until somebody is not answered; returns who is not.

    Args:
        samples: what the bot holds after each is put here.
    """
    for block in range(blocks + 1):
        for number in range(BLOCK):
            done = await asyncio.gather(
                *(_piece(stage, talker, block, number, bound) for talker in talkers)
            )
            if deaf := [violation for found in done for violation in found]:
                return deaf
        if restless := await _settled(stage):
            return restless
        samples.append(await sample(stage.bot, stage.temporary))
        stage.journal.note("sample", block=block, **samples[-1])
    return []


async def _piece(
    stage: Stage, talker: Talker, block: int, number: int, bound: Mapping[str, str]
) -> list[Violation]:
    rooms = [talker.home, *talker.chats()]
    room = rooms[number % len(rooms)]
    match number % 4:
        case 0:
            said = await talker.command(room, "!context")
        case 1:
            said = await talker.send_file(
                room, f"work {block}.{number}", f"work{block}-{number}.bin"
            )
        case _:
            words = f"work {block}.{number} with some words"
            said = await talker.say(room, words, hears=_answer(bound, room, words))
    return await _hears(stage, talker, said, PATIENCE * 3)


async def _judge(verdict: Verdict, stage: Stage, talkers: Sequence[Talker], blocks: int) -> None:
    """Everything that must be true, held against what is; of leaks only if all of the work was done."""
    bot, found = stage.bot, verdict.violations
    witness = Witness(stage.homeserver.url, bot)
    try:
        rooms = {room_id: await witness.timeline(room_id) for room_id in await witness.rooms()}
        said = [said for talker in talkers for said in talker.said]
        evidence = Evidence(
            said, rooms, bot.user_id, stage.deaths, _decided(bot), stage.journal.moment
        )
        violations, verdict.count = judge(evidence)
        for room_id, timeline in rooms.items():
            stage.journal.lines += _spoken(stage, room_id, timeline)
        found += violations
        for talker in talkers:
            if not talker.met:
                continue  # That has been told, and there may be nothing to compare.
            its = await witness.household(talker.person.user_id)
            found += [Violation("law", law) for law in laws.broken(its)]
        in_use = Counter(name for name, _ in laws.ids_in_use(bot.documents("rooms").values()))
        found += [
            Violation("law", f"{name} is used {n} times") for name, n in in_use.items() if n > 1
        ]
        homes = {talker.home for talker in talkers}
        found += [Violation("orphan", room) for room in await witness.unmarked(homes)]
    finally:
        await witness.close()
    if len(verdict.samples) > blocks:
        found += [Violation("leak", leak) for leak in leaks(verdict.samples, BLOCK * len(talkers))]
    found += [Violation("ended", surprise) for surprise in stage.surprises]
    if stage.platform.pid is None:
        found.append(Violation("ended", "the platform ended by itself"))
    found += [
        Violation("broke", json.dumps(line)[:600])
        for line in bot.events(runs=True)
        if line.get("event") in WRONG or _is_traceback(line)
    ]
    verdict.errors = Counter(
        str(line["event"]) for line in bot.events(runs=True) if line.get("level") == "error"
    )
    verdict.lives = len(stage.deaths) + 1
    await stage.let_go()
    try:
        await bot.stop()
    except AssertionError as error:
        found.append(Violation("ended", str(error)[:600]))
    config = str(bot.write_config())
    done = await surface("reconcile", "--dry-run", "--full", "--json", "-c", config)
    steps = json.loads(done.stdout)["steps"] if done.returncode == 0 else [done.stderr]
    found += [Violation("reconcile", f"would still do {step}") for step in steps]


def _decided(bot: Bot) -> frozenset[str]:
    """The transaction ids of the effects of all decisions that the bot has logged."""
    return frozenset(
        keys.transaction(keys.effect_key(line["cause"], n))
        for line in bot.events("decision", runs=True)
        for n in range(len(line["effects"]))
    )


def _spoken(
    stage: Stage, room_id: str, timeline: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """What the bot has said in a room, as lines of a journal."""
    return [
        {
            "t": stage.journal.moment(event["origin_server_ts"]),
            "what": "bot says",
            "room": room_id,
            "event": event["event_id"],
            "words": event["content"].get("body", "")[:60],
            "source": event["content"].get(SOURCE),
        }
        for event in timeline
        if event["sender"] == stage.bot.user_id and event["type"] == "m.room.message"
    ]


def _is_traceback(line: Mapping[str, Any]) -> bool:
    """Whether something was written that is no log line, nor the word with which the bot ends."""
    said = str(line.get("event", "")).strip()
    return line.get("level") == "raw" and bool(said) and not said.startswith("error: ")
