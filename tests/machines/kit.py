"""Machines in any state, and plausible details for every event: what the generated tests run on.

`DETAILS` has to name every event of every machine (a test holds it to that), so that an event added
to a chart cannot be forgotten here. An event with several variants has several guards to satisfy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from machines import (
    MACHINES,
    DialogMachine,
    RoomMachine,
    TrayMachine,
    TurnMachine,
    UserMachine,
)
from machines.chart import Chart
from machines.dialog import Dialog
from machines.effects import FileIn, SendFile, Text
from machines.room import Room
from machines.tray import MOST_STAGED, Tray
from machines.turn import Turn
from machines.user import Creation, User

AnyChart = type[Chart[Any]]
Details = Mapping[str, Any]

ALICE = "@alice:localhost"
SAID = {"event_id": "$said"}
ADOPTED = {"owner": ALICE, "space_id": "!space", "chat_id": "C1", "name": "Chat 1"}
TAKEN_IN = {"owner": ALICE, "chat_id": "C3", "name": "Team", "others": ["@bob:localhost"]}
ASKED = {
    "nonce": "n2",
    "space_name": "Lambda — Alice",
    "first_chat_name": "Chat 1",
    "home_room": "!dm",
}
CAT = FileIn("$cat", "inbox/cat.png", "cat.png", "image/png")
BROKEN = {"reason": "M_FORBIDDEN"}
ENDED = {"body": "so far", "ending": Text("stopped")}

DETAILS: Mapping[AnyChart, Mapping[str, list[Details]]] = {
    UserMachine: {
        "invited": [ASKED, {**ASKED, "home_room": "!dm2", "agent_id": "echo"}],
        "returned": [ASKED],
        "new_chat": [{"nonce": "n3", "name": "Plans", "asked_in": "!dm"}],
        "select_agent": [{"agent_id": "echo"}],
        "observed_created": [
            {"nonce": "n1", "room_id": "!space"},
            {"nonce": "n1.1", "room_id": "!chat"},
            {"nonce": "n1.1", "room_id": "!chat", "agent_valid": False},
            {"nonce": "of somebody else", "room_id": "!chat"},
        ],
        "create_failed": [
            {"nonce": "n1", **BROKEN},
            {"nonce": "n1.1", **BROKEN},
            {"nonce": "n1.1", "agent_valid": False, **BROKEN},
            {"nonce": "of somebody else", **BROKEN},
        ],
        "observed_space": [
            {"room_id": "!space"},
            {"room_id": "!space", "selected_agent_id": "echo", "home_rooms": ["!dm"]},
            {"room_id": None, "away": True},
        ],
        "observed_home_moved": [{"home_room": "!dm", "successor": "!dm2"}],
        "observed_space_moved": [{"room_id": "!space2"}],
        "observed_space_renamed": [{"name": "Mine"}],
        "observed_left": [{}],
        "observed_space_gone": [{}],
        "observed_agent_missing": [{}],
        "observed_agent_back": [{}],
        "observed_home_gone": [{"home_room": "!dm"}],
        "observed_counter": [{"next_chat_index": 7}],
        "take_label": [{}],
        "set_locale": [{"locale": "ru"}],
        "forget": [{}],
    },
    RoomMachine: {
        "greet": [{"owner": ALICE}],
        "provision": [ADOPTED, {**ADOPTED, "agent_id": "echo"}],
        "contact": [{"inviter": ALICE, "others": ["@bob:localhost"]}],
        "take_in": [TAKEN_IN, {**TAKEN_IN, "agent_id": "echo"}],
        "talk": [SAID],
        "bind": [{"agent_id": "echo"}, {"agent_id": "researcher"}],
        "clear": [SAID],
        "undo": [SAID],
        "save": [{"name": "s1", **SAID}],
        "load": [{"save_id": "1", "name": "s1", **SAID}],
        "load_failed": [{"platform_chat_id": "7"}, {"platform_chat_id": "another"}],
        "turn_failed": [
            {"body": "what failed", "files": [CAT], "platform_chat_id": "7"},
            {"body": "what failed", "platform_chat_id": "6"},
        ],
        "retry": [{}],
        "forget": [{}],
        "rename": [{"name": "Plans", **SAID}],
        "archive": [SAID],
        "restore": [{}, {"agent_valid": False}],
        "observed_bound": [
            ADOPTED,
            {**ADOPTED, "agent_id": "echo", "platform_chat_id": "40"},
            {**ADOPTED, "agent_id": "echo", "agent_valid": False},
        ],
        "observed_cleared": [{"previous_chat_id": "39"}],
        "observed_again": [{}],
        "observed_replaced": [{}],
        "observed_space_moved": [{"space_id": "!space2"}],
        "observed_incomplete": [{"chat_id": "C9"}],
        "observed_home": [{"owner": ALICE}],
        "observed_gone": [{}],
        "observed_archived": [{}],
        "observed_unlinked": [{}],
        "observed_owner_joined": [{}],
        "observed_others": [{"others": ["@bob:localhost"]}],
        "observed_agent_missing": [{}],
        "observed_agent_back": [{}],
        "observed_renamed": [{"name": "Renamed elsewhere"}],
        "observed_encrypted": [{}],
    },
    TurnMachine: {
        "start": [{}, {"repeatable": False}],
        "delta": [{}],
        "question_asked": [{}],
        "question_over": [{}],
        "place": [{"body": "Once"}],
        "placeholder_sent": [{"placeholder_id": "$placeholder"}],
        "finish": [{"body": "Once upon a time."}],
        "fail": [ENDED],
        "stop": [ENDED],
        "send_files": [{"files": [SendFile("!room", "$said", "out.png", "out.png", "image/png")]}],
        "replace": [{"body": "what I meant"}],
        "withdraw": [{}],
    },
    DialogMachine: {
        "offer": [{"purpose": "agent", "choices": ["echo", "other"], "text": Text("agents")}],
        "ask": [{"purpose": "archive", "text": Text("sure")}],
        "agent_asks": [{"question": "q1", "text": Text("shall I")}],
        "next": [{}],
        "posted": [{"list_event_id": "$list"}],
        "pick": [{"number": 2}, {"number": 9}],
        "yes": [{}],
        "no": [{}],
        "cancel": [{}],
        "expire": [{}],
        "agent_done": [{}],
    },
    TrayMachine: {
        "stage": [{"file": FileIn("$dog", "inbox/dog.png", "dog.png", "image/png")}],
        "unstage": [{"event_id": "$cat"}, {"event_id": "$another"}],
        "signed": [{"event_id": "$cat", "sign_id": "$sign"}],
        "collect": [{}],
        "drop": [{}],
        "expire": [{}],
    },
}


def user(**changes: Any) -> User:
    """Alice with a Space, an agent, a home room, and two creations on their way."""
    values: dict[str, Any] = {
        "space_id": "!space",
        "home_rooms": ["!dm"],
        "next_chat_index": 3,
        "selected_agent_id": "echo",
        "creations": {
            "n1": Creation("space", "Lambda — Alice"),
            "n1.1": Creation("chat", "Chat 2", "C2", "echo", "!dm"),
        },
    }
    return User(ALICE, **{**values, **changes})


def room(**changes: Any) -> Room:
    """Alice's chat C1 with the agent `echo`."""
    values: dict[str, Any] = {
        "room_type": "chat",
        "matrix_user_id": ALICE,
        "space_id": "!space",
        "chat_id": "C1",
        "display_name": "Chat 1",
        "agent_id": "echo",
        "platform_chat_id": "7",
    }
    return Room("!room", **{**values, **changes})


def turn(**changes: Any) -> Turn:
    """A message of Alice's in her room."""
    return Turn("$said", "!room", ALICE, "Tell me a story", "echo", "7", "1", **changes)


def _dialog() -> Dialog:
    return Dialog("!room", purpose="agent", choices=["echo", "other"])


RECORDS: Mapping[AnyChart, list[Callable[[], Any]]] = {
    UserMachine: [
        user,
        lambda: user(selected_agent_id=None),
        lambda: user(space_id=None, creations={}),
    ],
    RoomMachine: [
        room,
        lambda: room(previous_chat_id="6"),
        lambda: room(previous_chat_id="6", replaced_chat_id="6"),
        lambda: room(previous_chat_id="6", replaced_chat_id="5"),
        lambda: room(failed_body="what failed", failed_files=[CAT]),
        lambda: room(agent_id=None, platform_chat_id=None),
    ],
    TurnMachine: [turn, lambda: turn(placeholder_asked=True, placeholder_id="$placeholder")],
    DialogMachine: [
        _dialog,
        lambda: Dialog("!room", purpose="agent_question", subject="q0"),
        lambda: Dialog("!room", waiting=[("q2", Text("and this"), None)]),
    ],
    TrayMachine: [
        lambda: Tray("!room", ALICE, staged=[CAT]),
        lambda: Tray("!room", ALICE, staged=[CAT] * MOST_STAGED),
        lambda: Tray("!room", ALICE, staged=[CAT], signs={CAT.event_id: "$sign"}),
    ],
}
"""Records a machine may have in some state; `living` says which fit which state."""


def living(chart: AnyChart, state: str) -> Iterator[Chart[Any]]:
    """Fresh machines of this chart in this state, one per record that is possible there."""
    for make in RECORDS[chart]:
        if possible(chart, state, record := make()):
            yield chart(record, state, live=True)


def possible(chart: AnyChart, state: str, record: Any) -> bool:
    """What always holds of a record in a state."""
    match record:
        case Room():
            if state in {"bound", "cleared"} and None in {record.agent_id, record.platform_chat_id}:
                return False
            return record.previous_chat_id is None or state == "cleared"
        case User():
            return state not in {"choosing", "ready"} or record.space_id is not None
        case _:
            return True


def memory(machine: Chart[Any]) -> Any:
    """All that a refused event must leave alone, as it is now."""
    return deepcopy((machine.state, machine.record, machine.effects, machine.path))


STATES = [(chart, state) for chart in MACHINES for state in map(str, chart.states_map)]
"""Every state of every machine."""


def named(value: Any) -> str:
    """A readable id for a parametrized test."""
    return value.__name__ if isinstance(value, type) else str(value)
