"""From an invite to a Space with a first chat room: pure decisions.

The surface's side of UserMachine and RoomMachine: which of their events an invite, a joined room and a
created room mean, and the names that new rooms get.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from config import Access
from machines import RoomMachine, UserMachine
from machines.effects import CreateRoom, JoinRoom, LeaveRoom, Text, WriteMirrors
from store.documents import room_key
from surface import texts
from surface.case import Case
from surface.inputs import Invite
from surface.render import link
from surface.upgrades import binding_of, carry_over, owner_of_space

NAME_LIMIT = 100
"""Characters of a person's own name that go into the name of their Space."""


def invited(case: Case, invite: Invite, access: Access) -> None:
    """Somebody invites the bot: join, or decline if they may not use it."""
    if access.permits(invite.inviter):
        case.want(JoinRoom(invite.room_id, invite.inviter, invite.direct))
    else:
        case.want(LeaveRoom(invite.room_id))


def joined(
    case: Case,
    effect: JoinRoom,
    *,
    others: Sequence[str],
    encrypted: bool,
    display_name: str | None,
    predecessor: str | None = None,
    space: bool = False,
    space_owner: str | None = None,
) -> None:
    """The bot is in a room it was invited to."""
    there, new = {effect.inviter, *others}, effect.room_id
    if predecessor and carry_over(case, predecessor, new, encrypted=encrypted, joined=there):
        return
    if space:
        _in_a_space(case, effect, space_owner, away=space_owner not in there)
        return
    room = case.room(new)
    if room.state == "lost":
        if room.record.room_type == "chat" and room.record.chat_id is not None:
            found_again(case, room, joined=there, encrypted=encrypted)
            return
        room.take("observed_again")
    if encrypted and not room.record.encrypted:
        room.take("observed_encrypted")
    if not effect.direct and others:
        if room.knows("contact"):
            room.take("contact", inviter=effect.inviter, others=list(others))
            ask_to_stay(case, effect.room_id)
        return
    if room.knows("greet"):
        room.take("greet", owner=effect.inviter)
    user = case.user(effect.inviter)
    if display_name:
        user.record.display_name = display_name[:NAME_LIMIT]
    meet(case, effect.inviter, home_room=effect.room_id)


def found_again(case: Case, room: RoomMachine, *, joined: Collection[str], encrypted: bool) -> None:
    """The bot is back in a chat room that was lost: it is what it was, as people have left it since.

    Args:
        joined: who is in it besides the bot.
    """
    r = room.record
    owner = r.matrix_user_id
    if owner is None or r.chat_id is None:
        return
    was_in = r.space_id
    space_id = None if r.foreign else case.user(owner).record.space_id or was_in
    others = sorted(set(joined) - {owner})
    room.take("observed_again")
    binding = binding_of(case, room, owner=owner, others=others, encrypted=encrypted)
    room.take("observed_bound", **{**binding, "space_id": space_id})
    if owner not in joined:
        room.take("observed_archived")
    elif space_id != was_in:
        room.take("observed_unlinked")


def _in_a_space(case: Case, effect: JoinRoom, owner: str | None, *, away: bool) -> None:
    """Nobody talks in a Space, so the bot stays only in one that is a person's own."""
    if owner_of_space(case, effect.room_id) is not None:
        return
    user = case.user(owner) if owner is not None else None
    if user is None or user.state != "departed" or user.record.space_id is not None:
        case.want(LeaveRoom(effect.room_id))
        for home in case.user(effect.inviter).record.home_rooms[:1]:
            case.say(home, "space-declined")
        return
    user.take(
        "observed_space",
        room_id=effect.room_id,
        away=away,
        selected_agent_id=user.record.selected_agent_id,
        agent_valid=case.agent(user.record.selected_agent_id) is not None,
    )
    for chat in case.rooms_of(user.record.user_id):
        if not chat.record.foreign and chat.knows("observed_space_moved"):
            chat.take("observed_space_moved", space_id=effect.room_id)


def ask_to_stay(case: Case, room_id: str) -> None:
    """A room that the bot did not make: its inviter says whether the bot is to answer in it."""
    case.dialog(room_id).take("ask", purpose="bind", text=Text("bind-question"))


def stay(case: Case, room: RoomMachine) -> None:
    """The inviter said yes: the room becomes a chat, where it is."""
    owner = room.record.inviter
    if owner is None:
        return  # It means something to us already: the question is out of date.
    user = case.user(owner)
    if not (room.knows("take_in") and user.knows("take_label")):
        case.say(room.record.room_id, "bind-needs-space")
        return
    chat_id = f"C{user.record.next_chat_index}"
    user.take("take_label")
    agent_id = agent_for(case, user.record.selected_agent_id)
    room.take(
        "take_in",
        owner=owner,
        chat_id=chat_id,
        name=room.record.display_name or chat_id,
        others=list(room.record.others),
        agent_id=agent_id,
    )
    agent = case.agent(agent_id)
    # The rooms that the bot makes carry their label; of this one only the mirrors will tell it.
    case.want(WriteMirrors(room.record.room_id))
    if agent is not None:
        case.say(room.record.room_id, "bind-done", chat=chat_id, agent=agent.name)


def forget(case: Case, user: UserMachine, room_id: str | None) -> None:
    """Delete what is kept about a person, and leave their rooms.

    Args:
        room_id: where they asked for it, and are told; None: somebody else did.
    """
    person = user.record.user_id
    theirs = [
        stored.body["room_id"]
        for _, stored in case.scan("rooms", "")
        if person in (stored.body["matrix_user_id"], stored.body["inviter"])
    ]
    if room_id is not None:
        case.say(room_id, "forgotten")
        theirs.append(room_id)
    for room in [case.room(each) for each in dict.fromkeys(theirs)]:
        if room.knows("forget"):
            room.take("forget")
    for where, whose in list(case.memory.trays):
        if whose == person:
            case.tray(where, whose).take("drop")
    user.take("forget")


def leave_if_nobodys(case: Case, effect: CreateRoom, room_id: str) -> None:
    """A room that was still being made when its owner was forgotten is not kept either."""
    user, room = case.user(effect.owner).record, case.room(room_id)
    if effect.nonce in user.creations or user.space_id == room_id or room.record.matrix_user_id:
        return
    if case.exists("rooms", room_key(room_id)):
        room.take("forget")
    else:
        case.want(LeaveRoom(room_id))


def meet(case: Case, user_id: str, home_room: str) -> None:
    """A person is there, in a home room of theirs: see to it that they have a Space."""
    user = case.user(user_id)
    was = user.state
    user.take(
        "invited",
        home_room=home_room,
        agent_valid=case.agent(user.record.selected_agent_id) is not None,
        **intent(case, user_id),
    )
    if was == "departed" and user.state in ("ready", "choosing"):
        case.say(home_room, "come-back")
    elif was in ("ready", "choosing"):
        case.say(home_room, "home-again", chats=chat_links(case, user_id))


def intent(case: Case, user_id: str) -> dict[str, str | None]:
    """What a person's Space and first chat are to be called, should they have to be made."""
    record = case.user(user_id).record
    name = record.display_name or user_id[1:].partition(":")[0]
    return {
        "nonce": case.nonce(),
        "space_name": texts.plain(record.locale, "space-name", {"name": name}),
        "first_chat_name": texts.plain(record.locale, "chat-name", {"n": record.next_chat_index}),
        "agent_id": default_agent(case),
    }


def created(case: Case, owner: str, nonce: str, room_id: str, *, encrypted: bool) -> None:
    """A Space or chat room that was asked for exists; hearing of it again changes nothing."""
    user = case.user(owner)
    creation = user.record.creations.get(nonce)
    if creation is None or not user.knows("observed_created"):
        return
    agent = case.agent(user.record.selected_agent_id)
    user.take("observed_created", nonce=nonce, room_id=room_id, agent_valid=agent is not None)
    if creation.kind == "chat":
        assert creation.chat_id is not None and user.record.space_id is not None
        room = case.room(room_id)
        if not room.knows("provision"):
            return  # The reconciler was faster: it has found the room by its marker.
        room.take(
            "provision",
            owner=owner,
            space_id=user.record.space_id,
            chat_id=creation.chat_id,
            name=creation.name,
            agent_id=agent_for(case, creation.agent_id),
            encrypted=encrypted,
        )


def default_agent(case: Case) -> str | None:
    """Whom a new person gets without choosing: the default, or the only one there is."""
    agents = case.world.agents
    return agents.default or (agents.agents[0].id if len(agents.agents) == 1 else None)


def agent_for(case: Case, agent_id: str | None) -> str | None:
    """The agent, if the registry has it."""
    return agent_id if case.agent(agent_id) is not None else None


def chat_links(case: Case, user_id: str) -> texts.Markdown:
    """Links to a person's chats, for a sentence."""
    links = [
        link(room.record.room_id, room.record.display_name)
        for room in case.rooms_of(user_id)
        if room.state in ("bound", "cleared", "unbound")
    ]
    return texts.Markdown(", ".join(links)) if links else case.text(user_id, "none")
