"""What a `save` will write, decided without writing: the semantics every store shares.

The rule: a store only reads documents and writes the outcome of `decide` in one transaction.
Revisions, fresh ids, the checks and the projection into `chats` live here and nowhere else, so no
two stores can differ in them. Pure apart from the reader passed in.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from machines.effects import PLATFORM_CHAT_SEQ, Fresh
from store.store import (
    Body,
    Changes,
    Conflict,
    Delete,
    DocumentError,
    Put,
    Saved,
    SequenceSpent,
    Stored,
    Table,
    Write,
)

At: TypeAlias = tuple[Table, str]
Read: TypeAlias = Callable[[Table, str], Stored | None]

MAX_DEPTH = 200
"""How deep a body may nest; what can be written must be readable again from any stack."""

_AS_IT_IS = frozenset({str, int, bool, type(None), Fresh})
_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


class Rules(Protocol):
    """What documents must look like; the module `store.documents` is the real one."""

    def check(self, table: Table, key: str, body: dict[str, Any], /) -> None:
        """Raise `DocumentError` for a body that must not be written."""

    def check_readable(self, table: Table, key: str, body: dict[str, Any], /) -> None:
        """Raise `DocumentError` for a body that this version cannot read."""

    def project(
        self,
        table: Table,
        key: str,
        old: dict[str, Any] | None,
        new: dict[str, Any] | None,
        /,
    ) -> Iterable[Write]:
        """Return the writes that follow from this one."""
        ...


@dataclass(frozen=True, slots=True)
class Batch:
    """The documents to put and the keys to remove, and what the caller is told."""

    puts: dict[At, Stored]
    gone: set[At]
    saved: Saved


def freeze(changes: Changes) -> tuple[Write, ...]:
    """Copy the changes, so that whoever made them may go on using their bodies.

    Raises:
        DocumentError: a body is no JSON object, a key no text, or a document written twice.
    """
    seen: set[At] = set()
    frozen: list[Write] = []
    for write in changes:
        at = (write.table, write.key)
        if at in seen:
            raise DocumentError(f"{write.table}/{write.key}: written twice in one save")
        seen.add(at)
        if not storable_key(write.key):
            raise DocumentError(f"{write.table}/{write.key!r}: the key is not valid Unicode")
        if isinstance(write, Put):
            body = _frozen_body(write)
            write = Put(write.table, write.key, body, write.expect, write.least_rev)  # noqa: PLW2901
        frozen.append(write)
    return tuple(frozen)


def decide(changes: tuple[Write, ...], read: Read, rules: Rules) -> Batch:
    """Compare, number, check and project frozen changes against what `read` shows.

    Raises:
        Conflict: a document has moved.
        SequenceSpent: an id would be beyond the reserved end of its sequence.
        DocumentError: a body must not be written, or what it would replace cannot be read.
    """

    def readable(table: Table, key: str) -> Stored | None:
        # What cannot be read must not be replaced either.
        if (stored := read(table, key)) is not None:
            rules.check_readable(table, key, stored.body)
        return stored

    olds = _compared(changes, readable)
    sequences = _Sequences(changes, readable)
    bodies: dict[At, dict[str, Any] | None] = {}
    follow: list[Write] = []
    for write in changes:
        at, old = (write.table, write.key), olds[write.table, write.key]
        body = _filled(write.body, sequences) if isinstance(write, Put) else None
        if body is not None:
            rules.check(*at, body)
        bodies[at] = body
        follow += rules.project(*at, None if old is None else old.body, body)
    # A label given up by one room and taken by another in the same save must stay: puts come last.
    for write in sorted(follow, key=lambda write: isinstance(write, Put)):
        at = (write.table, write.key)
        olds |= _compared((write,), readable)
        body = _frozen_body(write) if isinstance(write, Put) else None
        if body is not None:
            rules.check(*at, body)
        bodies[at] = body
    for name, last in sequences.last.items():
        at = ("meta", name)
        old = olds.setdefault(at, readable(*at))
        body = bodies.get(at) or ({"v": 1} if old is None else old.body)
        bodies[at] = {**body, "value": last}
    least = {(w.table, w.key): w.least_rev for w in changes if isinstance(w, Put)}
    puts = {
        at: Stored(max(1 if (old := olds[at]) is None else old.rev + 1, least.get(at, 0)), body)
        for at, body in bodies.items()
        if body is not None
    }
    gone = {at for at, body in bodies.items() if body is None and olds[at] is not None}
    revs = {at: stored.rev for at, stored in puts.items()}
    return Batch(puts=puts, gone=gone, saved=Saved(revs=revs, ids=sequences.issued))


def gives_out_ids(changes: Iterable[Write]) -> bool:
    """Whether frozen changes hold a `Fresh`."""
    return any(isinstance(write, Put) and _holds_fresh(write.body) for write in changes)


def pack(stored: Stored) -> dict[str, Any]:
    """The document as it is kept: the body with its revision."""
    return {"rev": stored.rev, **stored.body}


def unpack(table: str, key: str, document: Mapping[str, Any]) -> Stored:
    """The reverse of `pack`.

    Raises:
        DocumentError: there is no revision in it.
    """
    body = dict(document)
    rev = body.pop("rev", None)
    if type(rev) is not int or rev < 1:
        raise DocumentError(f"{table}/{key}: damaged, its revision is {rev!r}")
    return Stored(rev=rev, body=body)


def to_json(document: dict[str, Any]) -> str:
    """Text that any JSON reader and any text encoding bears (ASCII, lone surrogates escaped)."""
    return _ENCODER.encode(document)


def storable_key(key: str) -> bool:
    """Whether a key can be encoded; a lone surrogate from a homeserver's JSON cannot."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def _compared(changes: Iterable[Write], read: Read) -> dict[At, Stored | None]:
    olds: dict[At, Stored | None] = {}
    moved: list[At] = []
    for write in changes:
        at = (write.table, write.key)
        old = olds[at] = read(*at)
        if write.expect is not None and write.expect != (0 if old is None else old.rev):
            moved.append(at)
    if moved:
        raise Conflict(moved)
    return olds


def _frozen_body(put: Put) -> dict[str, Any]:
    at = f"{put.table}/{put.key}"
    if not isinstance(put.body, Mapping):
        raise DocumentError(f"{at}: the body is no JSON object")
    if "rev" in put.body:
        raise DocumentError(f"{at}: field `rev` is the store's own")
    frozen: dict[str, Any] = {}
    for name, value in put.body.items():
        try:
            if not isinstance(name, str):
                raise TypeError("is not named by a text")
            frozen[str.__str__(name)] = value if type(value) in _AS_IT_IS else _frozen(value, 1)
        except TypeError as error:
            raise DocumentError(f"{at}: field `{name}` {error}") from None
    return frozen


def _frozen(value: Any, depth: int) -> Any:
    """A copy made of plain JSON values and `Fresh`, of what is not `_AS_IT_IS` already; what JSON cannot hold
    is a TypeError."""
    if depth > MAX_DEPTH:
        raise TypeError(f"nests deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        return {
            key if type(key) is str else _frozen_key(key): (
                inner if type(inner) in _AS_IT_IS else _frozen(inner, depth + 1)
            )
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [inner if type(inner) in _AS_IT_IS else _frozen(inner, depth + 1) for inner in value]
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TypeError(f"holds {value}, which JSON cannot")
        return float(value)
    raise TypeError(f"holds a {type(value).__name__}, which JSON cannot")


def _frozen_key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"holds an object with the key {key!r}, which is not text")
    return str.__str__(key)


class _Sequences:
    """Gives out the ids of one save. Only instances of `Fresh` are filled in, never lookalikes."""

    def __init__(self, changes: tuple[Write, ...], read: Read) -> None:
        self.issued: dict[Fresh, str] = {}
        self.last: dict[str, int] = {}
        self._read = read
        self._writes = {write.key: write for write in changes if write.table == "meta"}
        if PLATFORM_CHAT_SEQ in self._writes:
            self.last[PLATFORM_CHAT_SEQ] = self._start(PLATFORM_CHAT_SEQ)

    def issue(self, fresh: Fresh) -> str:
        if fresh not in self.issued:
            name = fresh.sequence
            if name not in self.last:
                self.last[name] = self._start(name)
            if (reserved := self._reserved(name)) is not None and self.last[name] >= reserved:
                raise SequenceSpent(name, reserved)
            self.last[name] += 1
            self.issued[fresh] = str(self.last[name])
        return self.issued[fresh]

    def _reserved(self, name: str) -> int | None:
        """The last id that may be issued, by a write of the same save or by what is stored."""
        write, stored = self._writes.get(name), self._read("meta", name)
        body = write.body if isinstance(write, Put) else stored.body if stored else {}
        reserved = body.get("reserved")
        if reserved is not None and type(reserved) is not int:
            raise DocumentError(f"meta/{name}: not a sequence, `reserved` is {reserved!r}")
        return reserved

    def _start(self, name: str) -> int:
        """The last id issued, or what a write of the same save raises it to."""
        stored, write = self._read("meta", name), self._writes.get(name)
        last = 0 if stored is None else _counted(name, stored.body)
        if isinstance(write, Delete):
            raise DocumentError(f"meta/{name}: a sequence is never removed, its ids would repeat")
        if isinstance(write, Put):
            raised = _counted(name, write.body)
            if raised < last:
                raise DocumentError(f"meta/{name}: a sequence never goes back ({last} to {raised})")
            return raised
        return last


def _counted(name: str, body: Body) -> int:
    value = body.get("value")
    if type(value) is not int or value < 0:
        raise DocumentError(f"meta/{name}: not a sequence, its value is {value!r}")
    return value


def _holds_fresh(value: Any) -> bool:
    """Whether there is a `Fresh` in a frozen object or list."""
    for inner in value.values() if type(value) is dict else value:
        kind = type(inner)
        if kind is Fresh or ((kind is dict or kind is list) and _holds_fresh(inner)):
            return True
    return False


def _filled(body: Any, sequences: _Sequences) -> dict[str, Any]:
    """A frozen body with its ids. It stays as it was: a save may be decided twice."""
    filled: dict[str, Any] = _resolved(body, sequences) if _holds_fresh(body) else body
    return filled


def _resolved(value: Any, sequences: _Sequences) -> Any:
    """Fill in the ids of a frozen body; what is frozen has exact types."""
    kind = type(value)
    if kind is dict:
        return {key: _resolved(inner, sequences) for key, inner in value.items()}
    if kind is list:
        return [_resolved(inner, sequences) for inner in value]
    return sequences.issue(value) if kind is Fresh else value
