"""What only memory knew is gone with the process, and nothing waits for it: every command, every transient.

On the real homeserver: `tests/crash/test_transients_on_synapse.py`.
"""

from __future__ import annotations

import pytest

from surface.commands.registry import COMMANDS
from surface.commands.spec import Spec
from tests.surface.place import Place, asking, place, restarted, running
from tests.surface.test_command_table import OPEN, PLAUSIBLE
from tests.surface.test_files_decisions import send, taken

RUNNING = ("thinking", "streaming")
LEFT = (*OPEN, "staged file")
"""What is open in a room: questions and lists, and a file that waits for words."""


async def left_open(what: str) -> Place:
    """A process has left this open in the room and died; an agent that asks has a turn in the store."""
    there = await place()
    if what == "staged file":
        await send(there)
        assert there.memory.trays
        return restarted(there)
    if what == "agent_question":
        await running(there, "thinking")
    asking(there, what)
    return restarted(there)


def words(spec: Spec) -> str:
    return f"!{spec.name} {PLAUSIBLE.get(spec.name, '')}".strip()


@pytest.mark.parametrize("what", LEFT)
@pytest.mark.parametrize("spec", COMMANDS, ids=lambda spec: spec.name)
async def test_every_command_works_as_if_nothing_had_been_open(spec: Spec, what: str) -> None:
    there, blank = await left_open(what), await place()
    if what == "agent_question":
        await running(blank, "thinking")
        blank = restarted(blank)
    said, wanted = await there.say(words(spec)), await blank.say(words(spec))
    assert (said.words, len(said.asked)) == (wanted.words, len(wanted.asked))
    assert said.words or said.asked


@pytest.mark.parametrize("what", LEFT)
@pytest.mark.parametrize("body", ["hello", "1", "2 or 3"])
async def test_what_is_said_is_talk(body: str, what: str) -> None:
    there = await left_open(what)
    said = await there.say(body)
    assert said.turns and not said.words
    assert await taken(there, said) == []


@pytest.mark.parametrize("spec", COMMANDS, ids=lambda spec: spec.name)
async def test_a_question_whether_to_stay_is_put_again(spec: Spec) -> None:
    there = await place("undecided")
    asking(there, "bind")
    there = restarted(there)
    assert (await there.say(words(spec))).words == ["bind-question"]
    assert "bind-done" in (await there.say("!yes")).words


@pytest.mark.parametrize("state", RUNNING)
@pytest.mark.parametrize("spec", COMMANDS, ids=lambda spec: spec.name)
async def test_every_command_works_while_a_cut_turn_waits_to_run_again(
    spec: Spec, state: str
) -> None:
    there = await place()
    await running(there, state)
    there = restarted(there)
    said = await there.say(words(spec))
    assert said.words or said.asked
    if spec.name not in ("archive", "forget"):
        assert (await there.say("hello")).turns
