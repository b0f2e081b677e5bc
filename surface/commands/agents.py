"""`!agent`: who answers here and in new chats."""

from __future__ import annotations

from config import Agent
from machines import RoomMachine, UserMachine
from machines.effects import OfferAgents
from surface.case import Case
from surface.commands.said import Said


def agent(said: Said) -> None:
    """Show the agents, or choose one."""
    if not said.arguments:
        _show(said)
        return
    chosen = find(said.case, said.arguments)
    if chosen is None:
        known = ", ".join(a.id for a in said.case.world.agents.agents)
        said.reply("agent-unknown", id=said.arguments[:40], known=known)
    else:
        choose(said.case, said.user, said.room, chosen, said.event_id)


def find(case: Case, words: str) -> Agent | None:
    """The agent behind an id, or else behind a number of the list: an id may be a number too."""
    agents = case.world.agents.agents
    named = case.agent(words.strip("`").casefold())
    if named is not None:
        return named
    if words.isascii() and words.isdecimal() and len(words) < 5:
        number = int(words)
        return agents[number - 1] if 1 <= number <= len(agents) else None
    return None


def choose(case: Case, user: UserMachine, room: RoomMachine, chosen: Agent, event_id: str) -> None:
    """Make an agent the person's choice and this room's; rooms that never had one get it too."""
    if user.knows("select_agent"):
        user.take("select_agent", agent_id=chosen.id)
    for other in case.rooms_of(user.record.user_id):
        if other is not room and other.state == "unbound" and other.record.agent_id is None:
            other.take("bind", agent_id=chosen.id)
    if not room.knows("bind"):
        case.say(
            room.record.room_id, "agent-selected-home", event_id, name=chosen.name, id=chosen.id
        )
        return
    _close_other_lists(case, user, room)
    same = room.record.agent_id == chosen.id and room.state != "unbound"
    if (
        room.state == "unbound"
        and room.record.agent_id == chosen.id
        and room.knows("observed_agent_back")
    ):
        room.take("observed_agent_back")
    else:
        room.take("bind", agent_id=chosen.id)
    key = "agent-selected-same" if same else "agent-selected"
    case.say(room.record.room_id, key, event_id, name=chosen.name, id=chosen.id)


def _close_other_lists(case: Case, user: UserMachine, room: RoomMachine) -> None:
    """What was asked elsewhere has been answered here: a number said there is talk again."""
    theirs = {other.record.room_id for other in case.rooms_of(user.record.user_id)}
    for room_id in theirs | set(user.record.home_rooms) - {room.record.room_id}:
        dialog = case.dialog(room_id)
        if room_id != room.record.room_id and dialog.record.purpose == "agent":
            if dialog.knows("cancel"):
                dialog.take("cancel")


def _show(said: Said) -> None:
    listed = said.case.agent_list(said.user.record.user_id)
    selected = said.case.agent(said.user.record.selected_agent_id)
    title = selected.name if selected else said.text("agent-none")
    here = said.case.agent(said.room.record.agent_id)
    if said.room.state in ("bound", "cleared") and here is not None:
        said.reply("agent-current", name=here.name, id=here.id, selected=title, list=listed)
    elif said.room.knows("bind"):
        said.case.want(OfferAgents(said.room_id, said.event_id))
    else:
        said.reply("agent-current-home", selected=title, list=listed)
