"""Where events come from is read from the code; here it is held against what really happens."""

from __future__ import annotations

import itertools
import re
from typing import Any, get_args

import pytest
from syrupy.assertion import SnapshotAssertion

from machines import MACHINES
from machines.effects import Effect
from machines.tables import describe
from store.documents import SHAPES
from surface.aftermath import Result
from surface.commands.registry import COMMANDS
from surface.diagrams import overview, sequence, svg
from surface.diagrams.calls import code
from surface.diagrams.drawn import drawn
from surface.diagrams.origins import KINDS, Origin, answers, begun, comes_back, lanes, origins
from surface.inputs import (
    Ciphertext,
    Edit,
    Encrypted,
    Input,
    Invite,
    Marked,
    Membership,
    Message,
    Named,
    Reaction,
    Redaction,
    Removed,
    Unlinked,
    Upgraded,
)
from surface.ledger import Decided
from tests.machines.kit import AnyChart, named
from tests.surface.place import ALICE, BOB, ROOM, ROOMS, SPACE, USERS, asking, place, running

EVENTS = [(chart.__name__, event) for chart in MACHINES for event in describe(chart).events]


def test_every_event_of_every_machine_is_sent_by_somebody() -> None:
    assert [taken for taken in EVENTS if not origins().get(taken)] == []
    assert set(origins()) == set(EVENTS), "and nothing else is"


def test_what_sends_an_event_exists() -> None:
    inputs = {kind.__name__ for kind in get_args(Input)}
    effects = {kind.__name__ for kind in get_args(Effect)}
    commands = {f"!{spec.name}" for spec in COMMANDS}
    known = {"input": inputs, "command": commands, "outcome": effects, "decision": effects | {""}}
    for taken, those in origins().items():
        for origin in those:
            assert origin.kind in KINDS
            assert origin.what in known.get(origin.kind, {origin.what}), (taken, origin)


@pytest.mark.parametrize(
    ("machine", "event", "kind", "what"),
    [
        ("RoomMachine", "clear", "command", "!clear"),
        ("RoomMachine", "archive", "command", "!yes"),
        ("RoomMachine", "observed_archived", "input", "Unlinked"),
        ("RoomMachine", "observed_archived", "reconciler", ""),
        ("UserMachine", "observed_created", "outcome", "CreateRoom"),
        ("UserMachine", "forget", "operator", ""),
        ("TurnMachine", "delta", "agent", "TextDelta"),
        ("TurnMachine", "stop", "decision", "EndTurns"),
        ("TurnMachine", "finish", "turn", ""),
        ("DialogMachine", "expire", "timer", ""),
    ],
)
def test_each_kind_of_sender_is_found(machine: str, event: str, kind: str, what: str) -> None:
    assert Origin(kind, what) in origins()[machine, event]


def test_what_a_no_never_leads_to_is_not_said_to_come_from_it() -> None:
    taken = [of for of, those in origins().items() if Origin("command", "!no") in those]
    assert ("DialogMachine", "no") in taken
    assert ("RoomMachine", "archive") not in taken
    assert ("UserMachine", "forget") not in taken


def test_every_effect_has_a_lane() -> None:
    assert set(lanes()) == {kind.__name__ for kind in get_args(Effect)}
    assert lanes()["FetchFile"] == "files"
    assert lanes()["EndTurns"] == "decision"


def test_only_a_question_comes_back_when_it_is_posted() -> None:
    assert comes_back("DialogMachine", "Notice") == (("DialogMachine", "posted"),)
    assert comes_back("RoomMachine", "Notice") == ()
    assert comes_back("RoomMachine", "LoadContext") == answers()["LoadContext"]
    assert begun() == {"AcceptTurn": "TurnMachine"}


def test_the_tables_of_the_machines_are_those_their_documents_lie_in() -> None:
    kept = {chart.__name__: sequence.tables_of(chart.__name__)[:1] for chart in MACHINES}
    assert [table for (table,) in filter(None, kept.values())] == list(SHAPES)
    assert kept["DialogMachine"] == kept["TrayMachine"] == ()


@pytest.mark.parametrize("chart", MACHINES, ids=named)
def test_the_way_of_every_event_can_be_drawn(chart: AnyChart) -> None:
    table = describe(chart)
    for event in table.events:
        source = sequence.source(table, event)
        told = set(re.findall(r"participant (\w+)", source))
        for start, end in re.findall(r"^ +(\w+)-+>>(\w+):", source, re.MULTILINE):
            assert {start, end} <= told
        for effect, lane in sequence.journey(table, event).effects:
            assert effect in source
            assert lane == "decision" or f"(lane {lane})" in source


def test_an_event_that_is_none_is_refused() -> None:
    with pytest.raises(KeyError, match="sing"):
        sequence.source(describe(MACHINES[0]), "sing")


@pytest.mark.parametrize("chart", MACHINES, ids=named)
def test_the_sequences_are_as_expected(chart: AnyChart, snapshot: SnapshotAssertion) -> None:
    table = describe(chart)
    assert "\n".join(sequence.source(table, event) for event in table.events) == snapshot


def test_the_overview_is_as_expected(snapshot: SnapshotAssertion) -> None:
    assert overview.source([describe(chart) for chart in MACHINES]) == snapshot


def test_the_overview_shows_every_machine_table_and_sender() -> None:
    shown = set(svg.texts(drawn("Overview")))
    assert {chart.__name__ for chart in MACHINES} <= shown
    assert {*SHAPES, "chats", "mirrors", "outbox", "inbox", "reconciler", "operator"} <= shown


INPUTS: tuple[Input, ...] = (
    Message("$m1", ROOM, ALICE, "hello", "m.text"),
    Message("$m2", ROOM, ALICE, "2", "m.text"),
    Edit(ROOM, ALICE, "$running", "better"),
    Redaction(ROOM, ALICE, "$running"),
    Reaction("$r1", ROOM, ALICE, "$question", "✅"),
    Reaction("$r2", ROOM, ALICE, "$question", "1️⃣"),
    Reaction("$r3", ROOM, ALICE, "$running", "🛑"),
    Invite("!elsewhere", BOB, True),
    Membership(ROOM, ALICE, ALICE, "leave"),
    Membership(ROOM, ALICE, ALICE, "join"),
    Membership(ROOM, BOB, BOB, "join"),
    Membership(SPACE, ALICE, ALICE, "leave"),
    Membership(SPACE, ALICE, ALICE, "join"),
    Removed(ROOM),
    Removed(SPACE),
    Named(ROOM, "Another"),
    Named(SPACE, "Another"),
    Unlinked(ROOM, SPACE),
    Upgraded(ROOM, "!next"),
    Encrypted(ROOM),
    Marked("!made", ALICE, "n", False),
    Ciphertext("$c", ROOM, ALICE),
)
COMMAND_LINES = (
    *(f"!{spec.name}" for spec in COMMANDS),
    *(
        "!agent shout",
        "!restore C2",
        "!lang ru",
        "!save plans",
        "!load 1",
        "!rename New",
        "!new shout",
    ),
)
RESULTS = {
    "done": Result(event_id="$e", room_id="!made"),
    "refused": Result(refused="M_FORBIDDEN", reason="No."),
}
QUESTIONS = (None, "archive", "forget", "agent", "load", "agent_question")


def told(decided: Decided[Any], origin: Origin) -> list[str]:
    """What a decision did that the diagrams do not say can come of such an origin."""
    return [
        f"{taken}: from {origin}"
        for move in decided.moves
        for taken in [(f"{move.machine.capitalize()}Machine", move.event)]
        if origin not in origins()[taken] and not _at_once(taken)
    ]


def _at_once(taken: tuple[str, str]) -> bool:
    return any(origin.kind == "decision" for origin in origins()[taken])


@pytest.mark.parametrize(
    ("room", "user"),
    [*((room, "ready") for room in ROOMS), *(("bound", user) for user in USERS if user != "ready")],
)
async def test_whatever_happens_comes_from_where_the_diagrams_say(room: str, user: str) -> None:
    """Every input and command, in every state, whatever is open there; and what became of each effect."""
    wrong: list[str] = []
    kinds: set[str] = set()
    for question in QUESTIONS if (room, user) == ("bound", "ready") else QUESTIONS[:1]:
        happenings = [(event, Origin("input", type(event).__name__)) for event in INPUTS]
        happenings += [
            (Message("$c", ROOM, ALICE, line, "m.text"), Origin("command", line.split()[0]))
            for line in COMMAND_LINES
        ]
        for event, origin in happenings:
            here = await place(room, user)
            if question is not None:
                await running(here)
                asking(here, question)
            decisions: list[Decided[Any]] = []
            here.ledger.listen(decisions.append)
            done = await here.receive(event)
            by_message = Origin("input", type(event).__name__)
            for decided in decisions:
                wrong += [
                    line
                    for line in told(decided, origin)
                    if line.replace(f"from {origin}", f"from {by_message}")
                    in told(decided, by_message)
                ]
                kinds.update(move.event for move in decided.moves)
            decisions.clear()
            for row, result in zip(done.rows, itertools.cycle(RESULTS.values()), strict=False):
                await here.settle(row, result)
                effect = Origin("outcome", type(row.effect).__name__)
                wrong += [line for decided in decisions for line in told(decided, effect)]
                decisions.clear()
    assert wrong == []
    assert kinds, "nothing happened at all"


async def test_what_the_diagrams_do_not_say_would_be_told() -> None:
    here, decisions = await place(), list[Decided[Any]]()
    here.ledger.listen(decisions.append)
    await here.say("!clear")
    (decided,) = decisions
    assert told(decided, Origin("command", "!clear")) == []
    assert told(decided, Origin("command", "!undo")) == ["('RoomMachine', 'clear'): from `!undo`"]


def test_a_function_is_found_by_its_name_wherever_it_stands() -> None:
    module, name = code().named("lane_of")
    assert name == "lane_of"
    assert module.startswith("surface.")
    with pytest.raises(LookupError, match="0 functions are called lane_off"):
        code().named("lane_off")
