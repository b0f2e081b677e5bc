"""One decision, before anything is written: the machines it moves and the effects it wants.

A `Case` is pure and synchronous. It hands out machines restored from documents that were read beforehand;
when a decision asks for one that was not, `NotLoaded` ends it, the ledger reads the document, and the
decision starts again from nothing. That is allowed because a decision has touched nothing yet.

`outcome` turns what happened into one batch for the store: changed documents with the revisions they were
read at, new turns, outbox rows, and the input settled.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, TypeAlias, TypeVar, cast

from config import Agent, Registry
from machines import DialogMachine, RoomMachine, TrayMachine, TurnMachine, UserMachine
from machines.chart import Chart
from machines.dialog import Dialog
from machines.effects import (
    AcceptTurn,
    Amend,
    Answer,
    AnswerQuestion,
    Effect,
    EndTurns,
    FileIn,
    Fresh,
    LoadContext,
    Notice,
    OfferAgents,
    Param,
    SaveContext,
    SendFile,
    SettleQuestion,
    SetTopic,
    StopTurn,
    Text,
)
from machines.room import Room
from machines.tray import Tray
from machines.turn import Turn
from machines.user import User
from store.documents import (
    VERSIONS,
    Document,
    migrated,
    read,
    room_key,
    user_key,
    written,
)
from store.history import Cause, Machine, Step, extended, steps
from store.store import Delete, Put, Stored, Table, Write
from surface import keys
from surface.effects_codec import decode, encode, resolve
from surface.memory import Memory
from surface.mirrors.due import encode as encode_due
from surface.mirrors.due import made_stale
from surface.moves import Change, Move
from surface.texts import Markdown, say

T = TypeVar("T")
Loaded: TypeAlias = Mapping[tuple[Table, str], Stored | None]
Scanned: TypeAlias = Mapping[tuple[Table, str], Sequence[tuple[str, Stored]]]


class NotLoaded(Exception):
    """The decision needs a document, or all with a prefix, that was not read before it."""

    def __init__(self, table: Table, key: str, *, scan: bool = False) -> None:
        self.table, self.key, self.scan = table, key, scan
        super().__init__(f"{table}/{key}")


@dataclass(frozen=True)
class Row:
    """An effect as it lies in the outbox."""

    key: str
    seq: int
    effect: Effect
    locale: str
    boot: str | None = None
    """Set for effects of transient dialogs: dropped by a process with another boot id."""
    fresh: bool = True
    """Not tried yet by anybody; False for rows found in the store at start."""

    @property
    def transaction(self) -> str:
        """The transaction id under which it is sent, always the same."""
        return keys.transaction(self.key)


@dataclass(frozen=True)
class Accepted:
    """A turn that waits, as its room's queue needs to know it."""

    turn_id: str
    room_id: str
    user_id: str
    order: str
    platform_chat_id: str


@dataclass
class Outcome:
    """What a decision comes to."""

    changes: list[Write]
    rows: list[Row]
    ended: list[str]
    """Turns that are over by this decision."""
    accepted: list[Accepted]
    """Turns that are waiting by this decision."""
    mirrors: list[str] = field(default_factory=list)
    """Keys of the mirrors that this decision makes stale."""
    states: list[Change] = field(default_factory=list)
    spared: list[str] = field(default_factory=list)
    """Outbox rows that need not be carried out any more."""


@dataclass(frozen=True)
class World:
    """What a decision may know besides documents."""

    agents: Registry
    locale: str
    """The locale of those who have none of their own."""
    boot: str
    installation_id: str


@dataclass
class _Open:
    machine: Chart[Any]
    document: Document[Any]
    before: dict[str, Any]
    """The body as it was read; for one that is not there, a blank's."""


@dataclass
class Case:
    """One decision in the making.

    Args:
        cause: what is being decided (an event id, an outbox key, a finding); prefix of effect keys.
        by: the same, as it is recorded with each transition.
        at: the time of the decision, ISO 8601, for the record of transitions only.
        order: the position of the input in its room, taken over by a turn it becomes.
    """

    cause: str
    by: Cause
    at: str
    world: World
    memory: Memory
    loaded: Loaded
    scanned: Scanned
    order: str = ""
    body: str = ""
    thread: str | None = None
    sender: str = ""
    files: Sequence[FileIn] = ()
    """What the turn that the input becomes is asked with."""
    _open: dict[tuple[Table, str], _Open] = field(default_factory=dict)
    _runs_were: dict[str, str | None] = field(default_factory=dict)
    """By turn: the state that memory said it was in; None: it did not run."""
    _dialogs: dict[str, DialogMachine] = field(default_factory=dict)
    _dialogs_were: dict[str, tuple[Dialog, str] | None] = field(default_factory=dict)
    _trays: dict[tuple[str, str], TrayMachine] = field(default_factory=dict)
    _trays_were: dict[tuple[str, str], tuple[Tray, str] | None] = field(default_factory=dict)
    _notes: list[Callable[[Memory], object]] = field(default_factory=list)
    _effects: list[Effect] = field(default_factory=list)
    _spared: list[str] = field(default_factory=list)
    _least: dict[tuple[Table, str], int] = field(default_factory=dict)

    # Documents

    def user(self, user_id: str) -> UserMachine:
        """The machine of a person, at its initial state if they are new."""
        blank = User(user_id, locale=self.world.locale)
        machine = self._machine("users", user_key(user_id), UserMachine, blank)
        assert isinstance(machine, UserMachine)
        return machine

    def room(self, room_id: str) -> RoomMachine:
        """The machine of a room, at its initial state if it is new."""
        machine = self._machine("rooms", room_key(room_id), RoomMachine, Room(room_id))
        assert isinstance(machine, RoomMachine)
        return machine

    def turn(self, turn_id: str) -> TurnMachine | None:
        """The machine of a turn where it stands, a running one included; None if it is over."""
        at: tuple[Table, str] = ("turns", turn_id)
        if at not in self._open:
            stored = self._stored("turns", turn_id)
            if stored is None:
                return None
            document: Document[Turn] = read(
                "turns", turn_id, stored, Turn("", "", "", "", "", "", "")
            )
            progress = self.memory.running.get(turn_id)
            self._runs_were[turn_id] = progress.state if progress else None
            state = progress.state if progress else document.state
            restored = self.memory.machines.take(
                TurnMachine, document.record, state, live=progress is not None
            )
            self._open[at] = _Open(restored, document, document.body)
        machine = self._open[at].machine
        assert isinstance(machine, TurnMachine)
        return machine

    def turns_of(self, room_id: str) -> list[TurnMachine]:
        """The turns of a room, in order."""
        found = []
        for key, stored in self.scan("turns", ""):
            if stored.body["room_id"] == room_id:
                turn = self.turn(key)
                if turn is not None and not turn.ended:
                    found.append(turn)
        return sorted(found, key=lambda t: t.record.order)

    def rooms_of(self, user_id: str) -> list[RoomMachine]:
        """The chat rooms of a person by the index, in the order of their labels."""
        rows = [stored.body for _, stored in self.scan("chats", f"chat:{user_id}:")]
        rows.sort(key=lambda row: int(row["chat_id"][1:]))
        return [self.room(row["surface_ref"]) for row in rows if row["user_id"] == user_id]

    def scan(self, table: Table, prefix: str) -> Sequence[tuple[str, Stored]]:
        """All documents with a prefix, as they were read."""
        try:
            rows = self.scanned[(table, prefix)]
        except KeyError:
            raise NotLoaded(table, prefix, scan=True) from None
        return rows

    def outlive(self, table: Table, key: str, rev: int) -> None:
        """A document was lost at this revision: the new one goes on after it."""
        self._least[(table, key)] = rev + 1

    def exists(self, table: Table, key: str) -> bool:
        """Say whether there is a document."""
        return self._stored(table, key) is not None

    # The transient side

    def dialog(self, room_id: str) -> DialogMachine:
        """The open question of a room; a copy until the commit."""
        if room_id not in self._dialogs:
            was = self._dialogs_were[room_id] = self.memory.dialogs.get(room_id)
            record, state = copy.deepcopy(was) if was else (Dialog(room_id), "idle")
            self._dialogs[room_id] = self.memory.machines.take(
                DialogMachine, record, state, live=True
            )
        return self._dialogs[room_id]

    def has_question(self, room_id: str) -> bool:
        """Whether something is asked in a room: a dialog that is idle is not kept."""
        return self.dialog(room_id).state != "idle" or bool(self.dialog(room_id).record.waiting)

    def tray(self, room_id: str, user_id: str) -> TrayMachine:
        """The files that a person has staged in a room; a copy until the commit."""
        at = (room_id, user_id)
        if at not in self._trays:
            was = self._trays_were[at] = self.memory.trays.get(at)
            record, state = copy.deepcopy(was) if was else (Tray(room_id, user_id), "empty")
            self._trays[at] = self.memory.machines.take(TrayMachine, record, state, live=True)
        return self._trays[at]

    def has_staged(self, room_id: str, user_id: str) -> bool:
        """Whether a person has staged files in a room."""
        at = (room_id, user_id)
        tray = self._trays.get(at)
        return at in self.memory.trays if tray is None else tray.state == "holding"

    def transient_rooms(self) -> list[str]:
        """The rooms whose open question, staged files or turns this decision was based on."""
        turns = (self._open[("turns", turn_id)].machine.record for turn_id in self._runs_were)
        trays = (room_id for room_id, _ in self._trays)
        return sorted({*self._dialogs, *trays, *(turn.room_id for turn in turns)})

    def transients_moved(self) -> bool:
        """Whether another decision has changed one of these since."""
        running, dialogs, trays = self.memory.running, self.memory.dialogs, self.memory.trays
        return (
            any(dialogs.get(room_id) is not was for room_id, was in self._dialogs_were.items())
            or any(trays.get(at) is not was for at, was in self._trays_were.items())
            or any(
                (running[turn_id].state if turn_id in running else None) != was
                for turn_id, was in self._runs_were.items()
            )
        )

    def note_pace(self, user_id: str, sent: list[float]) -> None:
        """When somebody has said something lately; taken over with the commit."""
        self._notes.append(lambda memory: memory.pace.__setitem__(user_id, sent))

    def note_warned(self, user_id: str, at: float) -> None:
        """When somebody was told that they are too fast."""
        self._notes.append(lambda memory: memory.warned.__setitem__(user_id, at))

    def note_latest(self, room_id: str, event_id: str) -> None:
        """What was said last in a room."""
        self._notes.append(lambda memory: memory.latest.__setitem__(room_id, event_id))

    def asks_anew(self, user_id: str) -> bool:
        """True once per process for a person who has to choose though their room can talk."""
        if user_id in self.memory.asked_anew:
            return False
        self._notes.append(lambda memory: memory.asked_anew.add(user_id))
        return True

    # Effects

    def locale_of(self, user_id: str | None) -> str:
        """The language to speak with somebody."""
        if user_id is None:
            return self.world.locale
        return self.user(user_id).record.locale

    def say(self, room_id: str, key: str, reply_to: str | None = None, /, **params: Param) -> None:
        """Want a service message."""
        self.want(Notice(room_id, Text(key, params), reply_to))

    def want(self, effect: Effect) -> None:
        """Want something done that no machine asks for by itself."""
        self._collect()
        self._effects.append(effect)

    def settles(self, key: str) -> bool:
        """Whether this decision is the end of that row of the outbox."""
        return self.cause == keys.settling(key)

    def spare(self, key: str) -> None:
        """Settle another row of the outbox with this decision: what it is for is done by this one's."""
        self._spared.append(key)

    def text(self, user_id: str | None, key: str, /, **params: str | int) -> Markdown:
        """A text of the catalogue as a part of another."""
        return Markdown(say(self.locale_of(user_id), key, params))

    def agent(self, agent_id: str | None) -> Agent | None:
        """An agent of the registry."""
        return self.world.agents.get(agent_id) if agent_id else None

    def nonce(self) -> str:
        """The nonce of a creation that this input asks for: the same whenever it is decided."""
        seed = f"{self.world.installation_id}:{self.cause}"
        return blake2b(seed.encode(), digest_size=12).hexdigest()

    # The end

    def outcome(self, settle: Sequence[Delete], number: Callable[[], int]) -> Outcome:
        """The batch that makes this decision true.

        Args:
            settle: what is no longer to be done once this is committed.
            number: gives the next number of an outbox row.
        """
        self._collect()
        out = Outcome([], [], [], [])
        at = 0
        while at < len(self._effects) or self._ask_next():
            effect = self._in_thread(self._effects[at])
            at += 1
            match effect:
                case AcceptTurn():
                    self._accept(effect, out)
                case EndTurns(room_id):
                    # Last words come before what follows the end: nobody speaks after leaving.
                    later = self._effects[at:]
                    del self._effects[at:]
                    self._end_turns(room_id, running_only=False)
                    self._collect()
                    self._effects.extend(later)
                case StopTurn(room_id):
                    self._end_turns(room_id, running_only=True)
                    self._collect()
                case OfferAgents(room_id, reply_to):
                    self._offer_agents(room_id, reply_to)
                    self._collect()
                case SettleQuestion():
                    self._settle_question(effect)
                    self._collect()
                case _:
                    key = keys.effect_key(self.cause, len(out.rows))
                    boot = self.world.boot if _dies_with_us(effect) else None
                    locale = self._locale_for(effect)
                    out.rows.append(Row(key, number(), effect, locale, boot))
        for (table, key), opened in self._open.items():
            self._write(table, key, opened, out)
        out.changes.extend(encode_row(row) for row in out.rows)
        out.changes.extend(settle)
        out.changes.extend(Delete("outbox", key) for key in self._spared)
        out.spared.extend(self._spared)
        return out

    def take_over(self) -> None:
        """After the commit: let memory have what the decision did to the transient machines."""
        for note in self._notes:
            note(self.memory)
        for room_id, machine in self._dialogs.items():
            if machine.state == "idle":
                self.memory.dialogs.pop(room_id, None)
            else:
                self.memory.dialogs[room_id] = (machine.record, machine.state)
        for at, tray in self._trays.items():
            if tray.state == "empty":
                self.memory.trays.pop(at, None)
            else:
                self.memory.trays[at] = (tray.record, tray.state)
        for (table, key), opened in self._open.items():
            if table == "turns" and opened.machine.ended:
                self.memory.running.pop(key, None)
            elif table == "turns" and key in self.memory.running:
                # Who only looked at it may have been overtaken by who moved it.
                if any(move.moved for move in _moves(opened.machine)):
                    self.memory.running[key].state = opened.machine.state

    def moves(self) -> list[Move]:
        """The events that machines have taken, machine by machine."""
        found: list[Move] = []
        for opened in self._open.values():
            found += _moves(opened.machine)
        for room_id, dialog in self._dialogs.items():
            found += _moved("dialog", dialog, room_id, room_id)
        for (room_id, user_id), tray in self._trays.items():
            found += _moved("tray", tray, user_id, room_id)
        return found

    def release(self) -> None:
        """Let the machines be used again. Nothing of this case but what it returned may be used after."""
        for machine in self._machines():
            self.memory.machines.give_back(machine)

    # Inside

    def _stored(self, table: Table, key: str) -> Stored | None:
        try:
            return self.loaded[(table, key)]
        except KeyError:
            raise NotLoaded(table, key) from None

    def _machine(self, table: Table, key: str, kind: type[Chart[Any]], blank: object) -> Chart[Any]:
        at = (table, key)
        if at not in self._open:
            document = read(table, key, self._stored(table, key), blank)
            machine = self.memory.machines.take(kind, document.record, document.state)
            before = document.body or written(table, document.record, machine.stored_state)
            self._open[at] = _Open(machine, document, before)
        return self._open[at].machine

    def _record(self, table: Table, key: str, blank: T) -> T:
        """A document to look at; its machine, if it is there already, may have changed it."""
        opened = self._open.get((table, key))
        if opened is not None:
            return cast("T", opened.machine.record)
        return read(table, key, self._stored(table, key), blank).record

    def _collect(self) -> None:
        """Take the effects that machines have wanted since the last look, in order."""
        for machine in self._machines():
            self._effects.extend(machine.effects)
            machine.effects.clear()

    def _machines(self) -> list[Chart[Any]]:
        documents = [opened.machine for opened in self._open.values()]
        return [*documents, *self._dialogs.values(), *self._trays.values()]

    def _locale_for(self, effect: Effect) -> str:
        """The language of the person whose room it is, or of whoever the decision is about."""
        if not isinstance(effect, Notice | Amend | Answer | SetTopic):
            return self.world.locale
        room = self._record("rooms", room_key(effect.room_id), Room(effect.room_id))
        owner = room.matrix_user_id or self.sender
        if not owner:
            return self.world.locale
        return self._record("users", user_key(owner), User(owner, locale=self.world.locale)).locale

    def _in_thread(self, effect: Effect) -> Effect:
        """What answers a message of a thread belongs there."""
        match effect:
            case Notice(reply_to=said) | SaveContext(event_id=said) | LoadContext(event_id=said):
                if self.thread and said is not None:
                    return replace(effect, thread=self.thread)
        return effect

    def _accept(self, effect: AcceptTurn, out: Outcome) -> None:
        turn = Turn(
            event_id=self.cause,
            room_id=effect.room_id,
            user_id=self.sender,
            body=self.body if effect.body is None else effect.body,
            agent_id=effect.agent_id,
            platform_chat_id="",
            order=self.order,
            thread=self.thread,
            files=list(self.files if effect.body is None else effect.files),
        )
        body = written("turns", turn, "waiting")
        body["platform_chat_id"] = effect.platform_chat_id
        out.changes.append(Put("turns", self.cause, body, None))
        # A chat that is fresh in this very decision has no turns before this one to wait for.
        chat = effect.platform_chat_id if isinstance(effect.platform_chat_id, str) else ""
        out.accepted.append(Accepted(self.cause, effect.room_id, self.sender, self.order, chat))

    def running_in(self, room_id: str) -> TurnMachine | None:
        """The turn that runs in a room just now."""
        for turn_id in self.memory.turns_in(room_id):
            turn = self.turn(turn_id)
            if turn is not None and not turn.ended:
                return turn
        return None

    def files_left(self, turn: TurnMachine) -> list[SendFile]:
        """Files of a running turn's answer that are not in the outbox yet."""
        progress = self.memory.running.get(turn.record.event_id)
        return progress.files[turn.record.files_sent :] if progress else []

    def history(self, room_id: str) -> tuple[Step, ...]:
        """The last transitions of a room, oldest first."""
        self.room(room_id)
        return steps("room", self._open[("rooms", room_key(room_id))].document.history)

    def history_of(self, user_id: str) -> tuple[Step, ...]:
        """The last transitions of a person, oldest first."""
        self.user(user_id)
        return steps("user", self._open[("users", user_key(user_id))].document.history)

    def _end_turns(self, room_id: str, *, running_only: bool) -> None:
        for turn in self.turns_of(room_id):
            progress = self.memory.running.get(turn.record.event_id)
            if running_only and progress is None:
                continue
            text = progress.text if progress else ""
            files = self.files_left(turn)
            turn.take("stop", body=text, ending=Text("turn-stopped"), files=files)

        if self.has_question(room_id):
            self.dialog(room_id).take("agent_done")

    def _settle_question(self, settled: SettleQuestion) -> None:
        turn = self.running_in(settled.room_id)
        if turn is None:
            return
        dialog = self.dialog(settled.room_id)
        still_asked = dialog.state == "confirming" and dialog.of_agent()
        if not still_asked and not dialog.record.waiting and turn.knows("question_over"):
            turn.take("question_over")
        r = turn.record
        self._effects.append(
            AnswerQuestion(
                r.room_id,
                r.user_id,
                r.agent_id,
                r.platform_chat_id,
                settled.question_id,
                settled.accepted,
            )
        )

    def _ask_next(self) -> bool:
        """Where nothing is open any more, ask what an agent has to ask; says whether that was so."""
        free = [d for d in self._dialogs.values() if d.state == "idle" and d.has_waiting()]
        for dialog in free:
            dialog.take("next")
        self._collect()
        return bool(free)

    def _offer_agents(self, room_id: str, reply_to: str | None) -> None:
        owner = self.room(room_id).record.matrix_user_id
        text = Text("agents-choose", {"list": self.agent_list(owner)})
        ids = [agent.id for agent in self.world.agents.agents]
        self.dialog(room_id).take(
            "offer", purpose="agent", choices=ids, text=text, event_id=reply_to
        )

    def agent_list(self, user_id: str | None) -> Markdown:
        """The agents, numbered, one a line."""
        lines = [
            self.text(
                user_id,
                "agent-line",
                n=n,
                name=agent.name,
                id=agent.id,
                description=f": {agent.description}" if agent.description else "",
            )
            for n, agent in enumerate(self.world.agents.agents, 1)
        ]
        return Markdown("\n".join(lines))

    def _write(self, table: Table, key: str, opened: _Open, out: Outcome) -> None:
        machine, document = opened.machine, opened.document
        old = opened.before if document.rev else None
        was = document.state
        if machine.ended:
            out.states.append(Change(table, was, None))
            out.changes.append(Delete(table, key, document.rev))
            out.ended.append(key)
            self._mirror(table, key, old, None, out)
            return
        body = written(table, machine.record, machine.stored_state)
        moves = [move for move in _moves(machine) if move.event != "talk" or move.moved]
        least = self._least.get((table, key), 0)
        # How far a running turn has come is in memory only; of the others every move is recorded.
        recorded = table != "turns" and any(move.moved for move in moves)
        if least <= document.rev and body == opened.before and not recorded:
            return
        if table in ("rooms", "users"):
            more = [move.step(self.at, self.by) for move in moves]
            body["history"] = extended(document.history, more)
        out.changes.append(Put(table, key, body, document.rev, least))
        out.states.append(Change(table, was, body["state"]))
        self._mirror(table, key, old, body, out)

    def _mirror(
        self,
        table: Table,
        key: str,
        old: dict[str, Any] | None,
        new: dict[str, Any] | None,
        out: Outcome,
    ) -> None:
        for due in made_stale(table, key, old, new):
            out.changes.append(encode_due(due))
            out.mirrors.append(due.key)


def _moves(machine: Chart[Any]) -> list[Move]:
    """What a machine with a document did."""
    match machine.record:
        case User() as user:
            return _moved("user", machine, user.user_id, None)
        case Room() as room:
            return _moved("room", machine, room.room_id, room.room_id)
        case Turn() as turn:
            return _moved("turn", machine, turn.event_id, turn.room_id, turn.agent_id)
    return []


def _moved(
    kind: Machine, machine: Chart[Any], key: str, room_id: str | None, agent_id: str | None = None
) -> list[Move]:
    return [
        Move(kind, way.source, way.event, way.target, key, room_id, agent_id, way.effects)
        for way in machine.path
    ]


def _dies_with_us(effect: Effect) -> bool:
    """Whether an effect belongs to a dialog or a running turn of this process only."""
    return isinstance(effect, Amend | AnswerQuestion) or (
        isinstance(effect, Notice) and effect.dialog
    )


def encode_row(row: Row) -> Put:
    """The outbox document of an effect; a `Fresh` in it stays symbolic for the store."""
    body = {
        "v": VERSIONS["outbox"],
        "seq": row.seq,
        "effect": encode(row.effect),
        "locale": row.locale,
        "boot": row.boot,
    }
    return Put("outbox", row.key, body, 0)


def decode_row(key: str, body: Mapping[str, Any]) -> Row:
    """The outbox row of a stored document.

    Raises:
        DocumentError: it holds an effect that this version does not know.
    """
    body = migrated("outbox", dict(body))
    effect = decode(key, body["effect"])
    return Row(key, body["seq"], effect, body["locale"], body["boot"], fresh=False)


def resolved(row: Row, ids: Mapping[Fresh, str]) -> Row:
    """The row with real ids in the place of symbolic ones."""
    return replace(row, effect=resolve(row.effect, ids)) if ids else row
