"""`surface history` and `surface diagrams --room` of a bot that is stopped, as they are typed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from machines.room import Room
from machines.turn import Turn
from machines.user import User
from store import Put, TinyStore
from store.documents import room_key, user_key, written
from store.history import Cause, Step, Wanted, plain
from tests.ops.test_ops_history import lit_states, walked
from tests.rig.cli import Installation

ALICE = "@alice:hs"
CLEARED = Step(
    "room",
    "bound",
    "clear",
    "cleared",
    "2026-01-02T03:04:05+00:00",
    Cause("event", "$said"),
    (Wanted("DisconnectChat", "chat"), Wanted("Notice", "talk")),
)
CHOSE = Step("user", "choosing", "select_agent", "ready", CLEARED.at, Cause("bot", "CreateRoom"))


async def fill(path: Path) -> None:
    path.parent.mkdir()
    chat = Room("!chat:hs", room_type="chat", matrix_user_id=ALICE, chat_id="C1")
    chat.display_name, chat.agent_id, chat.platform_chat_id = "\x1b[2JAttic", "echo", "7"
    unknown = written("rooms", Room("!new:hs"), "unprovisioned", history=[])
    turn = written("turns", Turn("$q", "!chat:hs", ALICE, "secret", "echo", "7", "1"), "waiting")
    rooms = written("rooms", chat, "cleared", history=[plain(CLEARED)])
    person = written("users", User(ALICE, space_id="!space"), "ready", history=[plain(CHOSE)])
    store = TinyStore.open(path)
    await store.save(
        [
            Put("rooms", room_key("!chat:hs"), rooms, 0),
            Put("rooms", room_key("!new:hs"), unknown, 0),
            Put("users", user_key(ALICE), person, 0),
            Put("turns", "$q", turn, 0),
        ]
    )
    await store.aclose()


@pytest.fixture
def here(tmp_path: Path) -> Installation:
    made = Installation(tmp_path)
    asyncio.run(fill(made.state_dir / "lambda_matrix.db"))
    return made


def test_history_is_a_table(here: Installation) -> None:
    shown = here.surface("history", "C1")
    head, _, room, user = shown.stdout.splitlines()
    assert head == f"!chat:hs C1 “\N{REPLACEMENT CHARACTER}[2JAttic” of {ALICE}: cleared"
    assert room.split()[:6] == ["2026-01-02", "03:04:05", "room", "clear", "bound", "cleared"]
    assert " ".join(room.split()).endswith("event: $said DisconnectChat (chat), Notice (talk)")
    assert "bot: CreateRoom" in user


def test_history_for_programs(here: Installation) -> None:
    told = json.loads(here.surface("history", "!chat:hs", "--json").stdout)
    assert (told["room_id"], told["running"]) == ("!chat:hs", False)
    assert {m["machine"]: m["state"] for m in told["machines"]} == {
        "room": "cleared",
        "user": "ready",
        "turn": "waiting",
    }
    assert [step["event"] for step in told["steps"]] == ["clear", "select_agent"]
    assert "secret" not in json.dumps(told)


def test_a_room_to_which_nothing_has_happened(here: Installation) -> None:
    assert "nothing has happened yet" in here.surface("history", "!new:hs").stdout


@pytest.mark.parametrize(
    ("words", "file", "state"),
    [
        ((), "C1.svg", "cleared"),
        (("RoomMachine",), "C1.svg", "cleared"),
        (("user",), "C1-user.svg", "ready"),
        (("TurnMachine",), "C1-turn.svg", "waiting"),
        (("--output", "other.svg"), "other.svg", "cleared"),
        (("--output", "state"), "state/C1.svg", "cleared"),
    ],
)
def test_a_diagram_of_a_room_is_a_file(
    here: Installation, words: tuple[str, ...], file: str, state: str
) -> None:
    done = here.surface("diagrams", *words, "--room", "C1", "--user", ALICE)
    assert (done.returncode, done.stdout) == (0, f"{file}\n"), done.stderr
    assert lit_states((here.root / file).read_text()) == [state]


def test_a_diagram_can_go_on(here: Installation) -> None:
    svg = here.surface("diagrams", "--room", "C1", "-o", "-").stdout
    assert svg.startswith("<svg") and walked(svg) == {"clear"}
    into = here.surface("diagrams", "--room", "C1", "-o", "new/folder/")
    assert into.stdout == "new/folder/C1.svg\n", into.stderr
    unlabelled = here.surface("diagrams", "--room", "!new:hs")
    assert unlabelled.stdout == "room.svg\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("tray", "--room", "C1"), "the bot is stopped, and nothing is kept of a tray"),
        (
            ("CatMachine", "--room", "C1"),
            "there is no machine 'CatMachine'; one of UserMachine, Room",
        ),
        (("--room", "C1", "--check"), "neither another --format nor --event nor --check goes"),
        (
            ("--room", "C1", "--event", "talk"),
            "--room shows a picture: neither another --format nor",
        ),
        (("--room", "C9"), "there is no room C9: `surface rooms` lists them"),
        (
            ("--room", "C1", "-o", "no/such/file.svg"),
            "no/such/file.svg: cannot be written: No such",
        ),
    ],
)
def test_what_cannot_be_shown_is_one_complaint(
    here: Installation, words: tuple[str, ...], said: str
) -> None:
    before = here.tree()
    assert said in here.complaint("diagrams", *words)
    assert here.tree() == before
