"""What has to be mended, found by comparing documents with the world. Pure.

Every row of the design's table of findings is here or in `rooms`. Each becomes a machine's event or an
effect, never an assignment; applying a plan and planning again gives an empty plan. What is on its way in
the outbox is not asked for a second time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from config import Registry
from machines.effects import InviteUser, LeaveRoom, UnlinkChild
from store.store import Stored
from surface.mirrors.content import Profile, Unreadable, profile_of, read_profile, says
from surface.mirrors.due import due_profile
from surface.reconcile.observe import Picture, Seen
from surface.reconcile.rooms import follow, judge_room
from surface.reconcile.steps import (
    AdoptPerson,
    CarryOver,
    Complete,
    Raise,
    Return,
    Step,
    Take,
    Tell,
    Want,
    Write,
)
from surface.reconcile.view import AWAY, Documents, View, live


def plan(documents: Documents, agents: Registry, seen: Picture | None = None) -> list[Step]:
    """The steps to take, in order; none when everything fits.

    Args:
        documents: what the store holds.
        agents: the registry.
        seen: what Matrix looks like; None: only the registry is compared.
    """
    view = View(documents, agents, seen)
    steps = list(_counters(view))
    if seen is not None:
        steps += _doubles(view)
        for user_id in _owners(view):
            steps += _person(view, user_id)
        for room_id in sorted({*documents.rooms, *seen.rooms}):
            steps += judge_room(view, room_id)
        steps += _labels(view)
    steps += _registry(view)
    return [s for s in steps if not (isinstance(s, Tell) and s.key in documents.told)]


def _counters(view: View) -> Iterator[Step]:
    """No id that is in use, by the store or by a mirror, may be issued again."""
    highest = 0
    for room in view.documents.rooms.values():
        for name in ("platform_chat_id", "previous_chat_id", "replaced_chat_id"):
            chat = room.body[name]
            highest = max(highest, int(chat) if chat else 0)
    if view.seen is not None:
        for seen in view.seen.rooms.values():
            if (binding := view.binding(seen)) is not None:
                for chat in (binding.platform_chat_id, binding.previous_chat_id):
                    highest = max(highest, int(chat) if chat else 0)
    if highest > view.documents.sequence:
        yield Raise(highest)


def _doubles(view: View) -> Iterator[Step]:
    """Of two rooms with one nonce the stored one is kept, else the older; the other is left."""
    by_nonce: dict[str, list[Seen]] = defaultdict(list)
    assert view.seen is not None
    for seen in view.seen.rooms.values():
        if seen.marker is not None and seen.room_id not in view.leaving:
            by_nonce[seen.marker.nonce].append(seen)
    for rooms in by_nonce.values():
        if len(rooms) < 2:
            continue
        rooms.sort(key=lambda s: (not view.is_stored(s), s.created, s.room_id))
        for double in rooms[1:]:
            if not view.is_stored(double):
                view.retired.add(double.room_id)
                yield from _retire(view, double, "made twice")


def _retire(view: View, double: Seen, why: str) -> Iterator[Step]:
    assert view.seen is not None
    for space in view.seen.rooms.values():
        link = space.children.get(double.room_id)
        if link is not None and link[0] != "removed" and space.may_link:
            if (space.room_id, double.room_id) not in view.linking:
                yield Want(UnlinkChild(space.room_id, double.room_id), why)
    yield Want(LeaveRoom(double.room_id), why)


def _owners(view: View) -> Iterable[str]:
    assert view.seen is not None
    owners = set(view.documents.users)
    for seen in view.seen.rooms.values():
        if seen.room_id in view.retired:
            continue
        if seen.marker is not None:
            owners.add(seen.marker.owner)
        if (binding := view.binding(seen)) is not None and binding.matrix_user_id:
            owners.add(binding.matrix_user_id)
        if isinstance(profile := read_profile(seen.profile), Profile):
            owners.add(profile.user_id)
    return sorted(owners)


def _person(view: View, user_id: str) -> Iterator[Step]:
    """One person: which Space is theirs, whether they are in it, and what its mirror says."""
    assert view.seen is not None
    stored = view.documents.users.get(user_id)
    body = stored.body if stored else None
    state = body["state"] if body else "unprovisioned"
    known = body["space_id"] if body else None
    creation = _creation_of_space(body)
    current = _current(view, known, creation, view.spaces_of(user_id))
    yield from _other_spaces(view, user_id, known, current)
    gone = known is not None and known not in view.seen.rooms
    view.space_of[user_id] = current.room_id if current else None
    profile = _profile(view, current, user_id)
    if isinstance(profile, Unreadable) and current is not None:
        yield Tell("unreadable profile", current.room_id, profile.why)
    read = profile if isinstance(profile, Profile) else None
    view.selected[user_id] = (
        body["selected_agent_id"] if body else read.selected_agent_id if read else None
    )
    moved = current is not None and known not in (None, current.room_id) and not gone
    if moved:
        assert known is not None and current is not None
        view.moving.add(known)
        yield CarryOver(known, current.room_id, encrypted=False)
    if body is None or state == "unprovisioned":
        if current is not None or view.has_rooms(user_id):
            yield _adoption(view, user_id, None, current, read)
    elif state == "provisioning" and known is None:
        if current is not None and creation is not None and user_id not in view.creating_space:
            yield Complete(user_id, creation, current.room_id, current.encrypted)
    elif gone:
        view.abandoned.add(user_id)
        yield Take("user", user_id, "observed_space_gone")
        if current is not None:
            yield _adoption(view, user_id, body, current, read)
    elif known is None:
        if current is not None:
            yield _adoption(view, user_id, body, current, read)
    elif read is not None and stored is not None and read.rev > stored.rev:
        view.abandoned.add(user_id)
        yield _adoption(view, user_id, body, current, read, stale=True)
    elif current is not None and stored is not None:
        yield from _in_space(view, user_id, stored, current, profile, moved=moved)
    if current is not None and current.successor is not None:
        yield from follow(view, current, view.seen.rooms.get(current.successor))


def _current(
    view: View, known: str | None, creation: str | None, spaces: list[Seen]
) -> Seen | None:
    """The Space that a person keeps: the stored one, the one being made, or else the oldest.

    Of one that was upgraded it is the last in whose room the bot is.
    """
    assert view.seen is not None
    if known is not None and known in view.seen.rooms:
        return view.heir(view.seen.rooms[known])
    made = [s for s in spaces if s.marker is not None and s.marker.nonce == creation]
    kept = next(iter(made or spaces), None)
    return view.heir(kept) if kept is not None else None


def _other_spaces(
    view: View, user_id: str, known: str | None, current: Seen | None
) -> Iterator[Step]:
    """What is known is taken out of every other Space, and the bot leaves it."""
    for other in view.spaces_of(user_id):
        if current is None or other.room_id == current.room_id:
            continue
        view.retired.add(other.room_id)
        if view.heir(other).room_id != current.room_id:
            yield from _move_out(view, user_id, other)
        elif other.room_id != known:
            # Carrying it over makes the bot leave the one that is stored.
            yield Want(LeaveRoom(other.room_id), "upgraded Space")


def _creation_of_space(body: Mapping[str, Any] | None) -> str | None:
    creations = body["creations"] if body else {}
    return next((n for n, c in creations.items() if c["kind"] == "space"), None)


def _profile(view: View, current: Seen | None, user_id: str) -> Profile | Unreadable | None:
    read = view.profile(current) if current else None
    if isinstance(read, Profile) and read.user_id != user_id:
        return Unreadable(f"it is about {read.user_id}")
    return read


def _move_out(view: View, user_id: str, other: Seen) -> Iterator[Step]:
    """A second Space: what is known is taken out of it, and the bot leaves."""
    for room_id, (link, _) in sorted(other.children.items()):
        pending = (other.room_id, room_id) in view.linking
        if link != "removed" and not pending and view.belongs(room_id, user_id):
            if other.may_link:
                yield Want(UnlinkChild(other.room_id, room_id), "second Space")
    if other.room_id not in view.leaving:
        yield Want(LeaveRoom(other.room_id), "second Space")


def _adoption(
    view: View,
    user_id: str,
    body: Mapping[str, Any] | None,
    current: Seen | None,
    profile: Profile | None,
    *,
    stale: bool = False,
) -> Step:
    view.changed.add(user_id)
    selected = view.selected[user_id] if not (stale and profile) else profile.selected_agent_id
    view.selected[user_id] = selected
    member = current.members.get(user_id) if current else None
    homes = list(profile.home_rooms) if profile else []
    homes += [home for home in view.homes_of(user_id) if home not in homes]
    index = max(
        view.label_of(user_id).next,
        profile.next_chat_index if profile else 1,
        body["next_chat_index"] if body else 1,
    )
    view.label_of(user_id).next = index
    details: dict[str, Any] = {
        "room_id": current.room_id if current else None,
        "away": current is None or member in AWAY,
        "selected_agent_id": selected,
        "agent_valid": selected in view.agents.ids,
        "space_name": (current.name if current else None)
        or (profile.space_name if profile else None),
        "display_name": profile.display_name if profile else None,
        "locale": profile.locale if profile else None,
        "home_rooms": [h for h in homes if not view.is_deserted(h, user_id)],
    }
    pending = current is not None and (current.room_id, user_id) in view.inviting
    invite = current is not None and member is None and not pending
    view.indexed[user_id] = details
    return AdoptPerson(user_id, details, profile.rev if profile else 0, stale, invite)


def _in_space(
    view: View,
    user_id: str,
    stored: Stored,
    space: Seen,
    profile: Profile | Unreadable | None,
    *,
    moved: bool,
) -> Iterator[Step]:
    body, member = stored.body, space.members.get(user_id)
    state, renamed = body["state"], False
    if member in AWAY and state in ("ready", "choosing", "provisioning"):
        if (space.room_id, user_id) not in view.inviting:
            view.changed.add(user_id)
            yield Take("user", user_id, "observed_left")
    elif member == "join" and state == "departed":
        view.changed.add(user_id)
        yield Return(user_id)
    elif member is None and state in ("ready", "choosing", "provisioning"):
        if (space.room_id, user_id) not in view.inviting:
            yield Want(InviteUser(space.room_id, user_id), "owner was never invited")
    if space.name is not None and space.name != body["space_name"]:
        renamed = True
        yield Take("user", user_id, "observed_space_renamed", {"name": space.name})
    due = due_profile(user_id, space.room_id)
    fits = says(space.profile, profile_of(body, space.room_id))
    if not fits and not isinstance(profile, Unreadable):
        changes = moved or renamed or user_id in view.changed
        if due.key not in view.documents.mirrors and not changes:
            yield Write(due)


def _labels(view: View) -> Iterator[Step]:
    """No label that is in use may be given out again."""
    for user_id, labels in sorted(view.labels.items()):
        stored = view.documents.users.get(user_id)
        if user_id in view.indexed:
            # The adoption was planned before all rooms were seen; it is carried out after this.
            view.indexed[user_id]["next_chat_index"] = labels.next
        elif stored is not None and stored.body["next_chat_index"] < labels.next:
            if stored.body["state"] != "unprovisioned":
                yield Take("user", user_id, "observed_counter", {"next_chat_index": labels.next})


def _registry(view: View) -> Iterator[Step]:
    """Agents that went, and agents that came back."""
    for user_id, stored in view.documents.users.items():
        user, known = stored.body, stored.body["selected_agent_id"] in view.agents.ids
        if user_id in view.changed:
            continue
        if user["state"] == "ready" and not known:
            yield Take("user", user_id, "observed_agent_missing")
        elif user["state"] == "choosing" and known:
            yield Take("user", user_id, "observed_agent_back")
    for room_id, stored in view.documents.rooms.items():
        room, known = stored.body, stored.body["agent_id"] in view.agents.ids
        if room_id in view.changed or not live(room["state"]):
            continue
        if room["state"] in ("bound", "cleared") and not known:
            yield Take("room", room_id, "observed_agent_missing")
        elif room["state"] == "unbound" and known and room["platform_chat_id"] is not None:
            yield Take("room", room_id, "observed_agent_back")
