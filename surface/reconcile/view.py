"""What a plan is made from, and what it has settled so far. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from config import Registry
from machines.effects import (
    CreateRoom,
    Effect,
    FollowUpgrade,
    InviteUser,
    JoinRoom,
    LeaveRoom,
    LinkChild,
    RenameRoom,
    UnlinkChild,
)
from store.store import Stored
from surface.mirrors.content import Binding, Profile, Unreadable, read_binding, read_profile
from surface.reconcile.observe import Picture, Seen

AWAY = ("leave", "ban")


@dataclass(frozen=True)
class Documents:
    """What the store holds, as far as a plan needs it."""

    me: str = ""
    """The bot's user id."""
    users: Mapping[str, Stored] = field(default_factory=dict)
    """By user id."""
    rooms: Mapping[str, Stored] = field(default_factory=dict)
    """By room id."""
    pending: tuple[Effect, ...] = ()
    """The effects in the outbox."""
    sequence: int = 0
    """The last id that was issued."""
    mirrors: frozenset[str] = frozenset()
    """Keys of the mirrors that are due anyway."""
    told: frozenset[str] = frozenset()
    """What was told before and cannot be mended."""


@dataclass
class Labels:
    """The labels of one person's chats."""

    of: dict[str, str] = field(default_factory=dict)
    """The room of each label."""
    next: int = 1

    def claim(self, room_id: str, label: str) -> None:
        """A room has a label; if two say so of one, the first has it."""
        self.of.setdefault(label, room_id)
        self.next = max(self.next, int(label[1:]) + 1)

    def give(self, room_id: str, wanted: str | None) -> str:
        """The label that a room gets: the one it wants, unless another room has it."""
        if wanted is None or self.of.get(wanted, room_id) != room_id:
            wanted = f"C{self.next}"
        self.of[wanted] = room_id
        self.next = max(self.next, int(wanted[1:]) + 1)
        return wanted


class View:
    """One comparison: the documents, the picture, and what was decided on the way."""

    def __init__(self, documents: Documents, agents: Registry, seen: Picture | None) -> None:
        self.documents, self.agents, self.seen = documents, agents, seen
        self.retired: set[str] = set()
        """Rooms that the bot leaves, or that need no more looking at."""
        self.changed: set[str] = set()
        """Persons and rooms whose document an earlier step changes."""
        self.moving: set[str] = set()
        """Spaces whose rooms an earlier step moves into another one."""
        self.abandoned: set[str] = set()
        """Persons whose creations an earlier step drops, with the Space that they were for."""
        self.space_of: dict[str, str | None] = {}
        self.selected: dict[str, str | None] = {}
        self.indexed: dict[str, dict[str, Any]] = {}
        """Details of the persons that are adopted."""
        self.leaving: set[str] = set()
        self.joining: set[str] = set()
        self.renaming: set[str] = set()
        self.creating_space: set[str] = set()
        self.inviting: set[tuple[str, str]] = set()
        self.linking: set[tuple[str, str]] = set()
        for effect in documents.pending:
            self._note(effect)
        self._bindings: dict[str, Binding | Unreadable | None] = {}

    def _note(self, effect: Effect) -> None:
        match effect:
            case LeaveRoom(room):
                self.leaving.add(room)
            case JoinRoom(room_id=room) | FollowUpgrade(successor=room):
                self.joining.add(room)
            case RenameRoom(room_id=room):
                self.renaming.add(room)
            case CreateRoom(kind="space", owner=owner):
                self.creating_space.add(owner)
            case InviteUser(room, user):
                self.inviting.add((room, user))
            case LinkChild(space, room) | UnlinkChild(space, room):
                self.linking.add((space, room))
            case _:
                pass

    def read_binding(self, seen: Seen) -> Binding | Unreadable | None:
        """The mirror of a room, read once."""
        if seen.room_id not in self._bindings:
            self._bindings[seen.room_id] = read_binding(seen.binding)
        return self._bindings[seen.room_id]

    def binding(self, seen: Seen) -> Binding | None:
        """The mirror of a room, if it says anything."""
        read = self.read_binding(seen)
        return read if isinstance(read, Binding) else None

    def is_stored(self, seen: Seen) -> bool:
        """Whether a document names this room as what it is."""
        return self.is_live(seen) or seen.room_id in self._stored_spaces

    def is_live(self, seen: Seen) -> bool:
        """Whether a document says what this room is, and that it means something."""
        room = self.documents.rooms.get(seen.room_id)
        return room is not None and live(room.body["state"])

    @cached_property
    def _stored_spaces(self) -> frozenset[str]:
        return frozenset(u.body["space_id"] for u in self.documents.users.values()) - {None}

    @cached_property
    def labels(self) -> dict[str, Labels]:
        """Of every person, which labels are in use; the stored and mirrored ones first."""
        found: dict[str, Labels] = {}
        for user_id, user in self.documents.users.items():
            labels = found.setdefault(user_id, Labels())
            labels.next = user.body["next_chat_index"]
        for room_id, room in self.documents.rooms.items():
            owner, label = room.body["matrix_user_id"], room.body["chat_id"]
            if owner and label:
                found.setdefault(owner, Labels()).claim(room_id, label)
        for room_id, seen in (self.seen.rooms if self.seen else {}).items():
            binding = self.binding(seen)
            if room_id not in self.documents.rooms and binding and binding.chat_id:
                assert binding.matrix_user_id is not None
                found.setdefault(binding.matrix_user_id, Labels()).claim(room_id, binding.chat_id)
        for seen in self.seen.rooms.values() if self.seen else ():
            marker = seen.marker
            if marker is not None and marker.chat_id is not None:
                labels = found.setdefault(marker.owner, Labels())
                labels.next = max(labels.next, int(marker.chat_id[1:]) + 1)
        for user_id, user in self.documents.users.items():
            for creation in user.body["creations"].values():
                if creation["chat_id"]:
                    labels = found[user_id]
                    labels.next = max(labels.next, int(creation["chat_id"][1:]) + 1)
        return found

    def label_of(self, user_id: str) -> Labels:
        """The labels of one person."""
        return self.labels.setdefault(user_id, Labels())

    @cached_property
    def _successors(self) -> dict[str, str]:
        """Of every upgraded room, the one that takes its place and in which the bot is: both say so."""
        rooms = self.seen.rooms if self.seen else {}
        found = {}
        for room_id, seen in rooms.items():
            new = rooms.get(seen.successor) if seen.successor else None
            if new is not None and new.predecessor == room_id and new.space == seen.space:
                found[room_id] = new.room_id
        return found

    @cached_property
    def _predecessors(self) -> dict[str, str]:
        return {new: old for old, new in self._successors.items()}

    def after(self, room_id: str) -> list[Seen]:
        """The rooms that took the place of this one, one after the other; the last first."""
        return self._chain(self._successors, room_id)

    def before(self, room_id: str) -> list[Seen]:
        """The rooms whose place this one took, one after the other; the first one first."""
        return self._chain(self._predecessors, room_id)

    def heir(self, seen: Seen) -> Seen:
        """The last room of a chain of upgrades, the room itself if it was not upgraded."""
        return next(iter(self.after(seen.room_id)), seen)

    def _chain(self, links: Mapping[str, str], room_id: str) -> list[Seen]:
        """Whatever bites its own tail, which only a forger makes, is no chain."""
        found, at = dict[str, Seen](), links.get(room_id)
        while at is not None and at not in found and self.seen is not None:
            found[at] = self.seen.rooms[at]
            at = links.get(at)
        return [] if at is not None else list(reversed(found.values()))

    def profile(self, seen: Seen) -> Profile | Unreadable | None:
        """The mirror in a Space, or what the one says whose place it took."""
        read = read_profile(seen.profile)
        for old in reversed(self.before(seen.room_id)):
            if read is None and isinstance(before := read_profile(old.profile), Profile):
                read = before
        return read

    @cached_property
    def _spaces(self) -> dict[str, list[Seen]]:
        found: dict[str, list[Seen]] = {}
        rooms: Mapping[str, Seen] = self.seen.rooms if self.seen else {}
        for seen in sorted(rooms.values(), key=lambda s: (s.created, s.room_id)):
            if not seen.space:
                continue
            first = next(iter(self.before(seen.room_id)), seen)
            owner = first.marker.owner if first.marker and first.marker.kind == "space" else None
            if owner is None and isinstance(profile := self.profile(seen), Profile):
                owner = profile.user_id
            if owner is not None:
                found.setdefault(owner, []).append(seen)
        return found

    def spaces_of(self, user_id: str) -> list[Seen]:
        """The Spaces of a person that the bot is in, oldest first."""
        found = self._spaces.get(user_id, ())
        return [s for s in found if s.room_id not in self.retired | self.leaving]

    @cached_property
    def _rooms(self) -> dict[str, list[tuple[str, bool]]]:
        """Of every person, the rooms that are theirs by mirror or marker, and whether it is a home."""
        found: dict[str, list[tuple[str, bool]]] = {}
        for room_id, seen in sorted((self.seen.rooms if self.seen else {}).items()):
            binding = self.binding(seen)
            owner = binding.matrix_user_id if binding else None
            if owner is None and seen.marker is not None and seen.marker.kind == "chat":
                owner = seen.marker.owner
            if owner is not None:
                home = binding is not None and binding.state == "home"
                found.setdefault(owner, []).append((room_id, home))
        return found

    def creations_of(self, user_id: str) -> Mapping[str, Any]:
        """The creations of a person that are still wanted."""
        user = self.documents.users.get(user_id)
        return {} if user is None or user_id in self.abandoned else user.body["creations"]

    def has_rooms(self, user_id: str) -> bool:
        """Whether chat rooms of this person are found."""
        return any(not home for _, home in self._rooms.get(user_id, ()))

    def homes_of(self, user_id: str) -> list[str]:
        """The home rooms of this person that are found."""
        return [room_id for room_id, home in self._rooms.get(user_id, ()) if home]

    def is_deserted(self, room_id: str, owner: str | None) -> bool:
        """Whether a home room is not there at all, or its owner has left it for no successor."""
        seen = self.seen.rooms.get(room_id) if self.seen else None
        if seen is None:
            return True
        return seen.members.get(owner or "") in AWAY and not self.after(room_id)

    def belongs(self, room_id: str, user_id: str) -> bool:
        """Whether a room is this person's by document, mirror or marker."""
        stored = self.documents.rooms.get(room_id)
        if stored is not None:
            return bool(stored.body["matrix_user_id"] == user_id)
        return room_id in dict(self._rooms.get(user_id, ()))


def live(state: str) -> bool:
    """Whether a room in this state means something to the bot."""
    return state in ("home", "unbound", "bound", "cleared", "archived")
