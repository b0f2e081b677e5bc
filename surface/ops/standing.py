"""Where the machines of one room stand, and how they came there; the bot may run or not.

What is durable (the room, its owner, turns that wait) is read from the database, as `listing` does. What
lives only in the process is asked of it through its socket: how far a turn has come, the open question,
staged files, and what these did lately. Names only, never what was said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from store.history import Machine, Step, heard, merged, steps, whole
from surface.memory import Memory
from surface.ops.client import ask, is_running
from surface.ops.listing import documents
from surface.ops.lookup import the_room
from surface.ops.recent import Recent


@dataclass(frozen=True, slots=True)
class Standing:
    """One machine.

    Args:
        key: room id, MXID (of a tray, too), or a turn's source event id.
    """

    machine: Machine
    key: str
    state: str


@dataclass(frozen=True, slots=True)
class Standings:
    """All machines of a room.

    Args:
        room: the body of its document.
        running: whether the bot was asked; if not, what lives only in the process is missing.
        steps: what they did, as far as it is recorded, oldest first.
    """

    room: Mapping[str, Any]
    running: bool
    machines: tuple[Standing, ...]
    steps: tuple[Step, ...]

    def state_of(self, machine: Machine) -> str | None:
        """Where the last of these machines stands; None if there is none."""
        return next((s.state for s in reversed(self.machines) if s.machine == machine), None)

    def steps_of(self, machine: Machine) -> tuple[Step, ...]:
        """What it did; of turns and trays only the last one, of which there is a step."""
        its = [step for step in self.steps if step.machine == machine]
        return tuple(step for step in its if step.key == its[-1].key)


def of_room(state_dir: Path, meant: str, person: str | None = None) -> Standings:
    """The machines of the room that is meant.

    Raises:
        Failure: no such room, or more than one.
        StoreError: the database cannot be read.
    """
    running = is_running(state_dir)
    rooms, users, turns = documents(state_dir, ("rooms", "users", "turns"))
    room = the_room(rooms, meant, person)
    its = room["room_id"]
    machines, records = [Standing("room", its, room["state"])], [steps("room", room["history"])]
    for user in users:
        if user["user_id"] == room["matrix_user_id"]:
            machines.append(Standing("user", user["user_id"], user["state"]))
            records.append(steps("user", user["history"]))
    waiting = sorted((t for t in turns if t["room_id"] == its), key=lambda t: str(t["order"]))
    live: dict[str, Any] = {"machines": [], "steps": []}
    if running:
        live = ask(state_dir, f"/room?id={quote(its, safe='')}")
        records.append(tuple(map(heard, live["steps"])))
    living = [Standing(**machine) for machine in live["machines"]]
    run = {machine.key for machine in living if machine.machine == "turn"}
    machines += living
    machines += [
        Standing("turn", turn["event_id"], turn["state"])
        for turn in waiting
        if turn["event_id"] not in run
    ]
    return Standings(room, running, tuple(machines), merged(*records))


def living(memory: Memory, recent: Recent, room_id: str) -> dict[str, Any]:
    """What only the process knows of a room, as the socket tells it."""
    found = [Standing("turn", turn, state) for turn, state in memory.turns_in(room_id).items()]
    if (dialog := memory.dialogs.get(room_id)) is not None:
        found.append(Standing("dialog", room_id, dialog[1]))
    trays = memory.trays_in(room_id)
    found += [Standing("tray", user_id, state) for user_id, (_, state) in trays.items()]
    return {
        "machines": [asdict(it) for it in found],
        "steps": [whole(step) for step in recent.of(room_id)],
    }
