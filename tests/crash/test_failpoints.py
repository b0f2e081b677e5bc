"""Killed at every failpoint, in the middle of everything that happens to the bot.

The matrix makes itself: each input is played once undisturbed, which tells the points it passes;
then each of those points is armed, the input played again, and the bot dies there by SIGKILL. After
the next start, `Lane.check` must hold. A sample is taken unless `--full` is given; it has every
failpoint and every input.
"""

from __future__ import annotations

import ast
import asyncio
import random
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from surface.failpoints import COMMITS, ENCRYPTION, POINTS, REQUESTS
from surface.homeserver import Homeserver
from tests.crash.inputs import INPUTS, Clear, Input, Message, New, Streaming
from tests.crash.lane import Lane, Lanes
from tests.rig import node
from tests.rig.crypto_person import CryptoPerson
from tests.rig.seeds import crash_seed

WIDTH = 3
"""Bots at work at once."""
TIMED = (
    "commit.ingest.",
    "request.preview.",
    "request.extra.",
    "request.marker.",
    "commit.mirror.",
    "request.mirror.",
)
"""Points that an input passes more or less often by the homeserver's speed: the last passings are
left out, they may not come."""
LATE = ("request.marker.",)
"""Points that come so long after an input that only an input that waits for them is killed there."""
MATRIX = POINTS - set(ENCRYPTION)
"""The points of this matrix; those about keys are those of `test_encrypted.py`."""
TRIES = 3
"""How often a case is played at most, until it comes to the point."""
PATIENCE = 40
"""Seconds after which an input that has not come to the point is taken to have gone through."""
SURFACE = Path(__file__).parents[2] / "surface"


@dataclass(frozen=True)
class Case:
    """Killed at the n-th passing of a point."""

    input: type[Input]
    point: str
    nth: int

    def __str__(self) -> str:
        return f"{self.input.name}, {self.point}:{self.nth}"


@dataclass
class Matrix:
    """What each input passes, and the cases that are being played."""

    passes: dict[type[Input], Counter[str]]
    tasks: dict[Case, asyncio.Task[None]] = field(default_factory=dict)


def cases_of(passes: dict[type[Input], Counter[str]], *, full: bool) -> Iterator[Case]:
    """Every pair, in a fixed order; unless `full`, no more than the second passing."""
    for kind, counts in passes.items():
        for point in sorted(counts.keys() & MATRIX):
            # An input that waits for late points goes on after them: it is killed at these only.
            waits = kind.waits_for
            if not point.startswith(waits) if waits else point.startswith(LATE):
                continue
            if not point.startswith(kind.sure):
                continue
            times = counts[point]
            if point.startswith(TIMED):
                times = max(1, times // 2)
            for nth in range(1, (times if full else min(times, 2)) + 1):
                yield Case(kind, point, nth)


def sample(cases: list[Case], seed: str) -> list[Case]:
    """A few of the cases: each point, each input, and some second passings."""
    chance = random.Random(seed)
    taken = [
        chance.choice([case for case in cases if case.point == point and case.nth == 1])
        for point in sorted({case.point for case in cases})
    ]
    for kind in INPUTS:
        if all(case.input is not kind for case in taken):
            taken.append(chance.choice([case for case in cases if case.input is kind]))
    return taken + chance.sample([case for case in cases if case.nth == 2], 4)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def matrix(
    request: pytest.FixtureRequest, homeserver: Homeserver, fast_root: Path
) -> AsyncIterator[Matrix]:
    """All cases of the points that are asked for, begun; their tests wait for them."""
    lanes = Lanes(homeserver, fast_root, WIDTH)
    found = Matrix({})
    try:
        counted = await asyncio.gather(*(played(lanes, kind) for kind in INPUTS))
        found.passes = dict(zip(INPUTS, counted, strict=True))
        full = request.config.getoption("--full", default=False)
        cases = list(cases_of(found.passes, full=full))
        if not full:
            cases = sample(cases, crash_seed(request.config))
        asked = {
            item.callspec.params.get("point")
            for item in request.session.items
            if isinstance(item, pytest.Function) and hasattr(item, "callspec")
        }
        for case in cases:
            if case.point in asked:
                found.tasks[case] = asyncio.create_task(killed(lanes, case), name=str(case))
        print(f"{len(found.tasks)} of {len(list(cases_of(found.passes, full=True)))} cases")
        yield found
    finally:
        for task in found.tasks.values():
            task.cancel()
        await asyncio.gather(*found.tasks.values(), return_exceptions=True)
        await lanes.close()


async def played(lanes: Lanes, kind: type[Input]) -> Counter[str]:
    """Play an input undisturbed; returns the points it passes."""
    async with lanes.one() as lane:
        it = kind()
        await prepared(lane, it)
        await it.begin(lane)
        await it.end(lane)
        await lane.settled()
        passed = lane.passed()
        await holds(lane, it)
        return passed


async def prepared(lane: Lane, it: Input) -> None:
    """Nothing of what came before is under way, so that the points passed are those of the input."""
    await it.prepare(lane)
    if lane.bot.pid is not None:
        await lane.settled()
    lane.disarm()


async def killed(lanes: Lanes, case: Case) -> None:
    """Play an input, be killed at the point, start again: all must be as if nothing had been."""
    async with lanes.one() as lane:
        await killed_in(lane, case)


async def killed_in(lane: Lane, case: Case) -> None:
    """How often an input passes a point may hang on the homeserver's speed (two effects settled in
    one commit or in two): if it went through without, all must hold, and it is played again."""
    for _ in range(TRIES):
        it = case.input()
        await prepared(lane, it)
        lane.arm(f"{case.point}:{case.nth}")
        await it.begin(lane)
        await lane.bot.died_within(PATIENCE)
        lane.disarm()
        killed = lane.bot.pid is None
        if killed:
            assert lane.bot.returncode == -signal.SIGKILL
            await lane.bot.start()
        await it.end(lane)
        await holds(lane, it)
        if killed:
            return
    raise AssertionError(f"passed {case.point} less than {case.nth} times, {TRIES} times over")


async def holds(lane: Lane, it: Input) -> None:
    await it.ask(lane)
    await lane.probe(lane.main)
    guests = [guest for guest in (lane.main, lane.newcomer) if guest is not None]
    if lane.newcomer is not None:
        await lane.probe(lane.newcomer)
    for guest in guests:
        await lane.check(guest)
    await it.after(lane)
    assert not lane.bot.complaints()
    if lane.newcomer is not None:
        await lane.newcomer.person.stop()
        lane.newcomer = None


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.minutes
@pytest.mark.timeout(14_400)
@pytest.mark.parametrize("point", sorted(MATRIX))
async def test_killed_at(point: str, matrix: Matrix) -> None:
    """Whatever passes the point is whole after a restart."""
    passing = [kind.name for kind, counts in matrix.passes.items() if counts[point]]
    assert passing, f"no input of these tests passes {point}: add one that does"
    cases = {case: task for case, task in matrix.tasks.items() if case.point == point}
    assert cases
    outcomes = await asyncio.gather(*cases.values(), return_exceptions=True)
    failures = []
    for case, outcome in zip(cases, outcomes, strict=True):
        if isinstance(outcome, Exception):
            outcome.add_note(f"killed in: {case}")
            failures.append(outcome)
        elif isinstance(outcome, BaseException):
            raise outcome
    if failures:
        raise ExceptionGroup(f"killed at {point}", failures)


ENCRYPTED = (
    Case(Message, "commit.ingest.before", 1),
    Case(Message, "commit.ingest.after", 1),
    Case(Message, "request.answer.after", 1),
    Case(Streaming, "request.preview.before", 1),
    Case(New, "request.create.after", 1),
    Case(Clear, "request.notice.after", 1),
)


async def test_killed_in_encrypted_rooms(homeserver: Homeserver, fast_root: Path) -> None:
    """What lies in the inbox is ciphertext, and keys are lost or kept with everything else."""
    if reason := node.missing():
        pytest.skip(reason)
    lane = await Lane.open(homeserver, fast_root, CryptoPerson, encryption=True)
    try:
        for case in ENCRYPTED:
            try:
                await killed_in(lane, case)
            except Exception as error:
                error.add_note(f"killed in: {case}")
                raise
    finally:
        await lane.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_every_input_is_interrupted(matrix: Matrix, request: pytest.FixtureRequest) -> None:
    """The sample leaves no input and no point out."""
    points = {
        item.callspec.params["point"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
        if "point" in item.callspec.params
    }
    if points != MATRIX:
        pytest.skip("only some points are asked for")
    assert {case.input for case in matrix.tasks} == set(INPUTS)
    assert {case.point for case in matrix.tasks} == MATRIX


def test_every_failpoint_in_the_code_is_listed() -> None:
    """What is passed under a name that no list has would be an error in production."""
    found = 0
    for file in sorted(SURFACE.rglob("*.py")):
        for call in ast.walk(ast.parse(file.read_text())):
            if not isinstance(call, ast.Call):
                continue
            where = f"{file.name}:{call.lineno}"
            if isinstance(call.func, ast.Attribute) and call.func.attr == "hit":
                found += 1
                pattern = _pattern(call.args[0])
                assert any(pattern.fullmatch(point) for point in POINTS), where
            for word in call.keywords:
                if word.arg == "point" and isinstance(word.value, ast.Constant):
                    assert word.value.value in {*COMMITS, *REQUESTS}, where
    assert found >= 8, "the calls are not found any more"


def _pattern(name: ast.expr) -> re.Pattern[str]:
    """The names that an argument of `hit` can be; a gap of an f-string is anything."""
    if isinstance(name, ast.Constant):
        return re.compile(re.escape(str(name.value)))
    assert isinstance(name, ast.JoinedStr), f"line {name.lineno}: not a literal"
    parts = [
        re.escape(str(part.value)) if isinstance(part, ast.Constant) else r"[a-z.]+"
        for part in name.values
    ]
    return re.compile("".join(parts))
