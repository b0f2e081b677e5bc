"""A step in words, for the operator: what was found, where, and what is done about it. Pure."""

from __future__ import annotations

from machines.effects import Effect, FollowUpgrade, InviteUser, LeaveRoom, UnlinkChild
from surface.reconcile.steps import (
    AdoptPerson,
    AdoptRoom,
    CarryOver,
    Complete,
    Gone,
    Raise,
    Return,
    Step,
    Take,
    Tell,
    Want,
    Write,
)

TAKEN = {
    ("user", "observed_space_gone"): ("Space gone", "the next word or invite makes a new one"),
    ("user", "observed_left"): ("Space left by its owner", "invited again at their next word"),
    ("user", "observed_space_renamed"): ("Space renamed", "the name is kept: {name}"),
    ("user", "observed_counter"): ("label counter too low", "goes on with C{next_chat_index}"),
    ("user", "observed_agent_missing"): ("chosen agent not in the registry", "asked to choose"),
    ("user", "observed_agent_back"): ("chosen agent is back", "chosen again"),
    ("room", "observed_encrypted"): ("room became encrypted", "never written to in plain text"),
    ("room", "observed_renamed"): ("room renamed", "the name is kept: {name}"),
    ("room", "observed_others"): ("others came or went", "noted: {others}"),
    ("room", "observed_incomplete"): ("label or context missing", "filled in, label {chat_id}"),
    ("room", "observed_archived"): ("taken out, or left by its owner", "archived"),
    ("room", "observed_space_moved"): ("not in its owner's Space", "moves to {space_id}"),
    ("room", "observed_unlinked"): ("link in the Space is broken", "linked again"),
    ("room", "observed_agent_missing"): ("agent not in the registry", "asked at the next message"),
    ("room", "observed_agent_back"): ("agent is back", "bound again, in the same context"),
}
"""By machine and event: what was found, and what comes of it, with gaps for the event's details."""


def described(step: Step) -> tuple[str, str, str]:
    """What, where, and what is done: a line of the table, and of the log."""
    match step:
        case Take(machine, key, event, details):
            found, done = TAKEN[machine, event]
            return found, key, done.format_map({k: _listed(v) for k, v in details.items()})
        case AdoptPerson(user_id, details):
            return "person found in Matrix", user_id, f"Space {details.get('room_id') or 'unknown'}"
        case AdoptRoom(room_id, event, details):
            shown = details.get("chat_id") or ("home room" if "home" in event else "undecided")
            return "room found in Matrix", room_id, f"taken over as {shown}"
        case Complete(owner, nonce, room_id):
            return "creation complete", room_id, f"{nonce} of {owner}"
        case Gone(room_id):
            return "room gone, or the bot removed", room_id, "lost"
        case Return(user_id):
            return "person is back", user_id, "welcomed in their Space"
        case CarryOver(old, new):
            return "room upgraded", old, f"what it was goes to {new}"
        case Want(effect, why):
            return why, getattr(effect, "room_id", ""), _wanted(effect)
        case Write(due):
            return "mirror does not fit", due.room_id, f"written again: {due.kind}"
        case Raise(value):
            return "counter too low", "PLATFORM_CHAT_SEQ", f"raised to {value}"
        case Tell(what, where, why):
            return what, where, f"left as it is: {why}"


def _wanted(effect: Effect) -> str:
    match effect:
        case LeaveRoom():
            return "the bot leaves"
        case UnlinkChild(space_id):
            return f"taken out of {space_id}"
        case InviteUser(user_id=user):
            return f"{user} is invited"
        case FollowUpgrade(successor=new):
            return f"the bot tries to join {new}"
        case _:
            return type(effect).__name__


def _listed(value: object) -> str:
    return (", ".join(map(str, value)) or "nobody") if isinstance(value, list) else str(value)
