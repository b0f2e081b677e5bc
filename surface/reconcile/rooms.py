"""The findings about one room. Pure; a part of `plan`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from machines.effects import FollowUpgrade, InviteUser, LeaveRoom, UnlinkChild
from store.store import Stored
from surface.mirrors.content import Binding, Unreadable, binding_of, says
from surface.mirrors.due import due_binding
from surface.reconcile.observe import Seen
from surface.reconcile.steps import (
    AdoptRoom,
    CarryOver,
    Complete,
    Gone,
    Step,
    Take,
    Tell,
    Want,
    Write,
)
from surface.reconcile.view import AWAY, View, live

TALKING = ("unbound", "bound", "cleared")
"""The states of a chat room that is in its Space."""
DESERTED = "home room without its owner"


def judge_room(view: View, room_id: str) -> Iterator[Step]:
    """What is to be done about a room that is stored, or seen, or both."""
    assert view.seen is not None
    stored, seen = view.documents.rooms.get(room_id), view.seen.rooms.get(room_id)
    if seen is None:
        if stored is not None and stored.body["state"] != "lost":
            if room_id not in view.joining:
                view.changed.add(room_id)
                yield Gone(room_id)
        return
    if seen.odd_marker is not None:
        yield Tell("marker that does not count", room_id, seen.odd_marker)
    if seen.space or room_id in view.retired | view.leaving | view.joining:
        return
    read = view.read_binding(seen)
    if isinstance(read, Unreadable):
        yield Tell("unreadable binding", room_id, read.why)
    binding = view.binding(seen)
    if stored is None or _means_nothing(stored):
        yield from _new(view, stored, seen, binding)
    elif stored.body["state"] == "lost":
        if seen.successor is None:
            yield from _found_again(view, stored, seen)
    elif stored.body["state"] == "home" and view.is_deserted(
        room_id, stored.body["matrix_user_id"]
    ):
        yield Gone(room_id)
        yield Want(LeaveRoom(room_id), DESERTED)
    elif live(stored.body["state"]) and view.after(room_id):
        yield from _upgraded(view, seen)
    else:
        if binding is not None and binding.rev > stored.rev:
            yield _adopt(view, seen, binding, stale=True)
        elif live(stored.body["state"]):
            yield from _settled(view, stored, seen, read)
        if seen.successor is not None and live(stored.body["state"]):
            yield from follow(view, seen, view.seen.rooms.get(seen.successor))


def _settled(
    view: View, stored: Stored, seen: Seen, read: Binding | Unreadable | None
) -> Iterator[Step]:
    steps = list(_known(view, stored, seen))
    yield from steps
    due = due_binding(seen.room_id)
    if not isinstance(read, Unreadable) and due.key not in view.documents.mirrors:
        fits = says(seen.binding, binding_of(stored.body))
        if not fits and not any(isinstance(step, Take) for step in steps):
            yield Write(due)


def _means_nothing(stored: Stored) -> bool:
    return bool(stored.body["state"] == "unprovisioned" and not stored.body["inviter"])


def _new(view: View, stored: Stored | None, seen: Seen, binding: Binding | None) -> Iterator[Step]:
    """A room without a document: ours by a creation, a mirror or a marker, or nothing to us."""
    marker = seen.marker
    if marker is not None:
        if marker.nonce in view.creations_of(marker.owner):
            view.changed.add(seen.room_id)
            yield Complete(marker.owner, marker.nonce, seen.room_id, seen.encrypted)
            return
    if any(map(view.is_live, view.before(seen.room_id))):
        return  # The old room's finding carries the binding over.
    if binding is None and marker is not None and marker.kind == "chat":
        selected = view.selected.get(marker.owner)
        binding = Binding(
            rev=0,
            state="bound" if selected else "unbound",
            room_type="chat",
            matrix_user_id=marker.owner,
            chat_id=marker.chat_id,
            agent_id=selected,
        )
    if binding is not None:
        if any(view.binding(heir) for heir in view.after(seen.room_id)):
            return  # Its successor has the binding already.
        if binding.state == "home" and view.is_deserted(seen.room_id, binding.matrix_user_id):
            yield Want(LeaveRoom(seen.room_id), DESERTED)
            return
        yield _adopt(view, seen, binding, stale=False)
        if seen.successor is not None:
            yield from _upgraded(view, seen)
    elif seen.ours and not seen.space and stored is None:
        yield Tell("no marker", seen.room_id, "made by the bot, and not finished")


def _upgraded(view: View, seen: Seen) -> Iterator[Step]:
    """Its binding goes to the last of its successors that the bot is in; into the next it may be let."""
    assert view.seen is not None
    view.changed.add(seen.room_id)
    new = next(iter(view.after(seen.room_id)), seen)
    if new is not seen and not view.is_live(new):
        view.changed.add(new.room_id)
        yield CarryOver(seen.room_id, new.room_id, new.encrypted, new.name, new.members)
    if new.successor is not None:
        yield from follow(view, new, view.seen.rooms.get(new.successor))


def _found_again(view: View, stored: Stored, seen: Seen) -> Iterator[Step]:
    """The bot is back in a room that was lost: it is what it was."""
    body = stored.body
    if body["matrix_user_id"] is None or (body["room_type"] == "chat") != bool(body["chat_id"]):
        return
    fields = {name: body[name] for name in _SAME}
    state = "home" if body["room_type"] == "home" else "bound"
    if state == "home" and view.is_deserted(seen.room_id, body["matrix_user_id"]):
        return
    whole = {**fields, "rev": stored.rev, "state": state}
    yield _adopt(view, seen, Binding(**whole), stale=False)


_SAME = (
    "room_type",
    "matrix_user_id",
    "space_id",
    "chat_id",
    "display_name",
    "agent_id",
    "platform_chat_id",
    "inviter",
    "foreign",
    "encrypted",
)


def _adopt(view: View, seen: Seen, found: Binding, *, stale: bool) -> AdoptRoom:
    """Take a room over as it was, and as people have left it since."""
    view.changed.add(seen.room_id)
    owner, rev = found.matrix_user_id, found.rev
    others = [user for user in seen.joined() if user != owner]
    if found.state == "unprovisioned":
        others = [user for user in others if user != found.inviter]
        asked = {"inviter": found.inviter, "others": others}
        return AdoptRoom(seen.room_id, "contact", asked, rev=rev, stale=stale)
    assert owner is not None
    name = seen.name or found.display_name
    encrypted = seen.encrypted or found.encrypted
    if found.state == "home":
        home = {"owner": owner, "name": name, "others": others, "encrypted": encrypted}
        return AdoptRoom(seen.room_id, "observed_home", home, rev=rev, stale=stale)
    label = view.label_of(owner).give(seen.room_id, found.chat_id)
    space_id = None if found.foreign else view.space_of.get(owner) or found.space_id
    body = {"space_id": space_id, "foreign": found.foreign, "matrix_user_id": owner}
    out, broken = _link(view, seen, body)
    was = "archived" if out and found.state in TALKING else found.state
    details: dict[str, Any] = {
        "owner": owner,
        "space_id": space_id,
        "chat_id": label,
        "name": name or label,
        "agent_id": found.agent_id,
        "platform_chat_id": found.platform_chat_id,
        "others": others,
        "inviter": found.inviter,
        "foreign": found.foreign,
        "encrypted": encrypted,
        "agent_valid": found.agent_id in view.agents.ids,
    }
    stays = was in TALKING
    relink = stays and broken and not found.foreign and _may_link(view, space_id)
    missing = stays and owner not in seen.members and (seen.room_id, owner) not in view.inviting
    invite = owner if missing else None
    return AdoptRoom(
        seen.room_id,
        "observed_bound",
        details,
        was,
        found.previous_chat_id,
        rev,
        stale,
        relink,
        invite,
    )


def _known(view: View, stored: Stored, seen: Seen) -> Iterator[Step]:
    """A stored room that the bot is in: what people did to it, and what broke."""
    body, room_id = stored.body, seen.room_id
    owner, state = body["matrix_user_id"], body["state"]
    if seen.encrypted and not body["encrypted"]:
        yield Take("room", room_id, "observed_encrypted")
    if seen.name is not None and seen.name != body["display_name"]:
        if room_id not in view.renaming:
            yield Take("room", room_id, "observed_renamed", {"name": seen.name})
    others = [user for user in seen.joined() if user != owner]
    if set(others) != set(body["others"]):
        yield Take("room", room_id, "observed_others", {"others": others})
    if state == "home" or owner is None:
        return
    if body["chat_id"] is None or (state in ("bound", "cleared") and not body["platform_chat_id"]):
        label = view.label_of(owner).give(room_id, body["chat_id"])
        yield Take("room", room_id, "observed_incomplete", {"chat_id": label})
    yield from _place(view, body, seen)


def _place(view: View, body: Mapping[str, Any], seen: Seen) -> Iterator[Step]:
    """Whether a chat room is where it belongs: in the person's Space, with them in it."""
    room_id, owner, state = seen.room_id, body["matrix_user_id"], body["state"]
    out, broken = _link(view, seen, body)
    space_id = view.space_of.get(owner)
    if state in TALKING and out:
        view.changed.add(room_id)
        yield Take("room", room_id, "observed_archived")
        if not body["foreign"] and space_id is not None and _elsewhere(view, body, space_id):
            yield Take("room", room_id, "observed_space_moved", {"space_id": space_id})
        return
    if state in TALKING and owner not in seen.members and (room_id, owner) not in view.inviting:
        yield Want(InviteUser(room_id, owner), "owner was never invited")
    if body["foreign"] or space_id is None or view.seen is None:
        return
    if body["space_id"] != space_id:
        if _elsewhere(view, body, space_id):
            yield Take("room", room_id, "observed_space_moved", {"space_id": space_id})
        return
    space = view.seen.rooms.get(space_id)
    if space is None or (space_id, room_id) in view.linking:
        return
    link = space.children.get(room_id)
    left_over = state == "archived" and link is not None and link[0] == "linked"
    if (state in TALKING and broken) or (left_over and view.documents.me == link_author(link)):
        if not space.may_link:
            yield Tell("no power to link", f"{space_id} {room_id}", "the bot has not the power")
        elif left_over:
            yield Want(UnlinkChild(space_id, room_id), "archived, and still linked")
        else:
            yield Take("room", room_id, "observed_unlinked")


def _elsewhere(view: View, body: Mapping[str, Any], space_id: str) -> bool:
    """The room's Space is not the person's, and nothing before this mends it."""
    return body["space_id"] != space_id and body["space_id"] not in view.moving


def link_author(link: tuple[str, str] | None) -> str | None:
    """Who wrote a link."""
    return link[1] if link else None


def _link(view: View, seen: Seen, body: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether a person took the room out (of the Space, or themselves of it); whether the link is broken."""
    owner, room_id, space_id = body["matrix_user_id"], seen.room_id, body["space_id"]
    invited = (room_id, owner) in view.inviting
    out = seen.members.get(owner) in AWAY and not invited
    space = view.seen.rooms.get(space_id) if view.seen and space_id else None
    if body["foreign"] or space is None or (space_id, room_id) in view.linking:
        return out, False
    link, author = space.children.get(room_id, ("missing", ""))
    removed = link == "removed" and author != view.documents.me
    return out or removed, link != "linked"


def _may_link(view: View, space_id: str | None) -> bool:
    space = view.seen.rooms.get(space_id) if view.seen and space_id else None
    return space is not None and space.may_link


def follow(view: View, old: Seen, new: Seen | None) -> list[Step]:
    """Try the successor of a room once; later an invite will do."""
    assert old.successor is not None
    tell = Tell("upgraded", old.room_id, f"waiting for an invite to {old.successor}")
    if new is not None or tell.key in view.documents.told:
        return []
    return [Want(FollowUpgrade(old.room_id, old.successor), "room upgraded"), tell]
