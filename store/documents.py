"""What is kept: the documents, their shape, and the one place that says what may be written.

A machine's record and its state become one document: the record's fields, `state`, and `v`, the version
of its shape. `check` is called by every store inside `save`: a transient state, an unknown field or a
missing one is refused there, whoever tries. `project` derives the surface-neutral `chats` index from the
rooms, in the same transaction.

A document whose `v` is older is migrated when it is read (`MIGRATIONS`); a newer one is an error that
names it, never silently replaced.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import (
    Any,
    Generic,
    Literal,
    TypeAlias,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import TypeAdapter, ValidationError

from machines import RoomMachine, TurnMachine, UserMachine
from machines.chart import Chart
from machines.effects import Fresh
from machines.room import Room
from machines.turn import Turn
from machines.user import User
from store.history import with_tagged_cause
from store.store import Delete, DocumentError, Put, Stored, Table, Write

VERSIONS: Mapping[Table, int] = {
    "users": 2,
    "rooms": 3,
    "chats": 1,
    "meta": 2,
    "inbox": 2,
    "turns": 2,
    "outbox": 4,
    "dirty": 2,
    "mirrors": 1,
    "echo": 2,
    "openai": 1,
    "platform": 1,
    "journal": 1,
}
"""The version of each table's documents as this program writes them."""

Migration = Callable[[dict[str, Any]], dict[str, Any]]
MIGRATIONS: Mapping[tuple[Table, int], Migration] = {
    # As text, a long conversation is not looked at where nobody asks for it.
    ("echo", 1): lambda body: {**body, "v": 2, "messages": json.dumps(body["messages"])},
    # Effects may name a thread; those of before name none.
    ("outbox", 1): lambda body: {**body, "v": 2},
    # Effects may be about files; those of before are not.
    ("outbox", 2): lambda body: {**body, "v": 3},
    # Answers say whether they have a placeholder; those of before only if they know which.
    ("outbox", 3): lambda body: {**body, "v": 4},
    ("rooms", 1): lambda body: {**body, "v": 2, "failed_files": []},
    ("rooms", 2): lambda body: {
        **body,
        "v": 3,
        "history": [with_tagged_cause(step) for step in body["history"]],
    },
    # Of what a person did before, nothing is known.
    ("users", 1): lambda body: {**body, "v": 2, "history": []},
    ("turns", 1): lambda body: {**body, "v": 2, "files": [], "files_sent": 0},
    ("inbox", 1): lambda body: {**body, "v": 2, "late": False, "sent": None},
    ("dirty", 1): lambda body: {**body, "v": 2, "late": False, "after": None},
    # Since version 2 a sequence may have a `reserved` end, which version 1 would have passed unseen.
    ("meta", 1): lambda body: {**body, "v": 2},
}
"""From (table, old version) to a function that makes a document one version newer."""


@dataclass(frozen=True)
class Shape:
    """How one table's documents look: the record behind them, and the machine whose state they hold."""

    adapter: TypeAdapter[Any]
    states: tuple[str, ...]
    names: frozenset[str]


def _shape(record: type, machine: type[Chart[Any]], *more: str) -> Shape:
    assert is_dataclass(record)
    names = frozenset({f.name for f in fields(record)} | {"state", "v", *more})
    return Shape(TypeAdapter(record), machine.durable_states(), names)


SHAPES: Mapping[Table, Shape] = {
    "users": _shape(User, UserMachine, "history"),
    "rooms": _shape(Room, RoomMachine, "history"),
    "turns": _shape(Turn, TurnMachine),
}


Kinds: TypeAlias = Mapping[str, frozenset[type]]
"""What the fields of a document may be; JSON's types."""


def _kinds(hint: Any) -> frozenset[type]:
    if isinstance(hint, UnionType):
        return frozenset().union(*map(_kinds, get_args(hint)))
    if get_origin(hint) is Literal:
        return frozenset(map(type, get_args(hint)))
    kind = get_origin(hint) or hint
    return frozenset({dict if is_dataclass(kind) else kind})


def _fields(record: type, *, history: bool) -> Kinds:
    kinds = {name: _kinds(hint) for name, hint in get_type_hints(record).items()}
    more = {"history": frozenset({list})} if history else {}
    return {**kinds, "state": frozenset({str}), **more}


_TEXT, _NUMBER, _FLAG = frozenset({str}), frozenset({int}), frozenset({bool})
_NONE = frozenset({NoneType})
FIELDS: Mapping[Table, Kinds] = {
    "users": _fields(User, history=True),
    "rooms": _fields(Room, history=True),
    "turns": _fields(Turn, history=False),
    "inbox": {
        **dict.fromkeys(("room_id", "order", "kind", "content"), _TEXT),
        "late": _FLAG,
        "sent": _NUMBER | _NONE,
    },
    "outbox": {
        "seq": _NUMBER,
        "effect": frozenset({dict}),
        "locale": _TEXT,
        "boot": _TEXT | _NONE,
    },
    "dirty": {
        **dict.fromkeys(("kind", "room_id", "start"), _TEXT),
        **dict.fromkeys(("until", "after"), _TEXT | _NONE),
        "sync": _NUMBER,
        "late": _FLAG,
    },
    "mirrors": dict.fromkeys(("kind", "room_id", "table", "document"), _TEXT),
}
"""What is read of a document without its record being made: it is there, and of the right type."""
_NUMERAL = re.compile("[0-9]{1,20}")
_FORMS = {
    "platform_chat_id": _NUMERAL,
    "previous_chat_id": _NUMERAL,
    "chat_id": re.compile("C[0-9]{1,9}"),
}
"""How texts are spelt that are counted on."""
META: Mapping[str, Kinds] = {
    "next_batch": {"token": _TEXT, "sync": _NUMBER},
    "installation_id": {"value": _TEXT},
    "PLATFORM_CHAT_SEQ": {"value": _NUMBER},
    "told": {"keys": frozenset({list})},
}
"""The same of the documents in `meta`, by their keys."""


def user_key(user_id: str) -> str:
    """The key of a person's document."""
    return f"matrix_user:{user_id}"


def room_key(room_id: str) -> str:
    """The key of a room's document."""
    return f"matrix_room:{room_id}"


def chat_key(user_id: str, chat_id: str) -> str:
    """The key in the surface-neutral index."""
    return f"chat:{user_id}:{chat_id}"


R = TypeVar("R")


@dataclass
class Document(Generic[R]):
    """A record as read for one decision: with its state and the revision it was read at."""

    record: R
    state: str | None
    """None: there is no document yet."""
    rev: int
    history: list[dict[str, Any]]
    """Of rooms and persons; see `store.history`."""
    body: dict[str, Any]
    """What `written` would make of it, without the history; empty where there is no document yet."""


def check(table: Table, key: str, body: dict[str, Any]) -> None:
    """Refuse what must not be written.

    Raises:
        DocumentError: wrong version, a transient or unknown state, an unknown or missing field, a
            wrong type.
    """
    if body.get("v") != VERSIONS[table]:
        raise DocumentError(f"{table}/{key}: `v` is {body.get('v')!r}, must be {VERSIONS[table]}")
    shape = SHAPES.get(table)
    if shape is None:
        return
    if body.get("state") not in shape.states:
        raise DocumentError(
            f"{table}/{key}: state {body.get('state')!r} may not be stored; "
            f"one of {', '.join(shape.states)}"
        )
    unknown = set(body) - shape.names
    if unknown:
        raise DocumentError(f"{table}/{key}: unknown field {sorted(unknown)[0]!r}")
    missing = shape.names - set(body)
    if missing:
        raise DocumentError(f"{table}/{key}: field {sorted(missing)[0]!r} is missing")
    _parse(table, key, shape, body)


def check_readable(table: Table, key: str, body: Mapping[str, Any]) -> None:
    """Refuse a document that this version of the program cannot read.

    Raises:
        DocumentError: the document is of a newer version, has none, or lacks what it must hold.
    """
    version = body.get("v")
    if type(version) is not int or version < 1:
        raise DocumentError(f"{table}/{key}: has no version `v`; the file may be damaged")
    if version > VERSIONS[table]:
        raise DocumentError(
            f"{table}/{key}: is of version {version}, this program reads up to {VERSIONS[table]}; "
            "run the newer program again, or restore a backup of this version"
        )
    kinds = META.get(key) if table == "meta" else FIELDS.get(table)
    if kinds is None:
        return
    try:
        current = migrated(table, dict(body)) if version < VERSIONS[table] else body
    except (AttributeError, LookupError, TypeError, ValueError):
        raise DocumentError(f"{table}/{key}: damaged, it cannot be brought up to date") from None
    for name, form in _FORMS.items():
        if isinstance(text := current.get(name), str) and not form.fullmatch(text):
            raise DocumentError(f"{table}/{key}: damaged, field {name!r} is {text!r:.40}")
    for name, kind in kinds.items():
        if name not in current:
            raise DocumentError(f"{table}/{key}: damaged, field {name!r} is missing")
        if type(current[name]) not in kind:
            raise DocumentError(f"{table}/{key}: damaged, field {name!r} is {current[name]!r:.40}")


def migrated(table: Table, body: dict[str, Any]) -> dict[str, Any]:
    """Bring a document to the version that this program writes."""
    while body["v"] < VERSIONS[table]:
        body = MIGRATIONS[(table, body["v"])](body)
    return body


def read(table: Table, key: str, stored: Stored | None, blank: R) -> Document[R]:
    """Turn a stored document into a record; `blank` stands for one that is not there.

    Raises:
        DocumentError: the document is not what this version writes.
    """
    if stored is None:
        return Document(blank, None, 0, [], {})
    shape = SHAPES[table]
    body = migrated(table, stored.body)
    if body.get("state") not in shape.states:
        raise DocumentError(f"{table}/{key}: unknown state {body.get('state')!r}")
    record = _parse(table, key, shape, body)
    history = body.get("history", [])
    body = {name: value for name, value in body.items() if name != "history"}
    return Document(cast("R", record), body["state"], stored.rev, list(history), body)


def written(table: Table, record: object, state: str, **more: Any) -> dict[str, Any]:
    """Make the body of a document; a `Fresh` in it stays symbolic for the store to resolve."""
    return {**_plain(record), "state": state, "v": VERSIONS[table], **more}


def project(
    table: Table, key: str, old: dict[str, Any] | None, new: dict[str, Any] | None
) -> list[Write]:
    """The `chats` rows that follow from a change of a room."""
    if table != "rooms":
        return []
    writes: list[Write] = []
    before, after = _chat_row(old), _chat_row(new)
    if before is not None and (after is None or after[0] != before[0]):
        writes.append(Delete("chats", before[0]))
    if after is not None and after != before:
        writes.append(Put("chats", after[0], after[1], None))
    return writes


def _chat_row(room: dict[str, Any] | None) -> tuple[str, dict[str, Any]] | None:
    if room is None or not room.get("chat_id") or not room.get("matrix_user_id"):
        return None
    if room["state"] == "lost":
        return None
    key = chat_key(room["matrix_user_id"], room["chat_id"])
    return key, {
        "v": VERSIONS["chats"],
        "user_id": room["matrix_user_id"],
        "chat_id": room["chat_id"],
        "platform": "matrix",
        "surface_ref": room["room_id"],
        "name": room["display_name"],
        "archived": room["state"] == "archived",
    }


def _parse(table: Table, key: str, shape: Shape, body: Mapping[str, Any]) -> object:
    plain = {k: v for k, v in body.items() if k not in ("state", "v", "history")}
    try:
        return shape.adapter.validate_python(plain)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DocumentError(f"{table}/{key}: `{where}`: {first['msg']}") from None


def _plain(value: Any) -> Any:
    """Like `dataclasses.asdict`, but leaves a `Fresh`, and what it does not know, as it is."""
    kind: type[object] = type(value)
    if kind in _SCALARS:
        return value
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    names = _fields_of(kind)  # type: ignore[arg-type]
    return value if names is None else {name: _plain(getattr(value, name)) for name in names}


_SCALARS = frozenset({str, int, bool, type(None)})


@cache
def _fields_of(kind: type) -> tuple[str, ...] | None:
    if kind is Fresh or not is_dataclass(kind):
        return None
    return tuple(field.name for field in fields(kind))
