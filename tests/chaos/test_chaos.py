"""A minute of it, in which each victim is killed and each fault comes once."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.chaos.journal import Journal, story
from tests.chaos.plan import FAULTS, VICTIMS, plan
from tests.chaos.run import run
from tests.chaos.stage import faketime

SEED, SECONDS, PEOPLE = 1, 60.0, 3


@pytest.mark.synapse
@pytest.mark.slow
@pytest.mark.minutes
@pytest.mark.timeout(900)
async def test_a_minute_of_chaos_loses_and_doubles_nothing(fast_root: Path, tmp_path: Path) -> None:
    root = Path(tempfile.mkdtemp(prefix="chaos-", dir=fast_root))
    with Journal(tmp_path / "journal.jsonl") as journal:
        dealt = plan(SEED, SECONDS, PEOPLE)
        verdict = await run(
            dealt, root, journal, people=PEOPLE, blocks=2, say=lambda what, part: None
        )
    for violation in verdict.violations:
        print(f"{violation.kind} in {violation.room_id}: {violation.why}")
        print(story(verdict.journal, violation.room_id, violation.at))
    assert verdict.violations == []
    assert set(verdict.kills) == set(VICTIMS) and min(verdict.kills.values()) >= 1
    assert set(verdict.faults) == set(FAULTS)
    done = {kind for kind, times in verdict.faults.items() if times}
    assert done == set(FAULTS) - set(verdict.skipped)
    assert ("clock jump" in verdict.skipped) == (faketime() is None)
    assert verdict.lives > verdict.kills["bot"]
    assert verdict.lost_sends >= 1 and verdict.repeated_sends >= 1
    assert verdict.count.answers > PEOPLE and verdict.count.replies > PEOPLE
