"""`!new`, `!chats`, `!rename`, `!archive`, `!restore`: a person's chat rooms."""

from __future__ import annotations

from machines import RoomMachine
from machines.effects import Text
from surface import texts
from surface.commands.names import is_fine
from surface.commands.said import Said
from surface.limits import too_many_rooms
from surface.onboarding import agent_for
from surface.render import link


def may_grow(said: Said) -> bool:
    """The person has a Space for one more chat."""
    return said.user.knows("new_chat")


def has_archived(said: Said) -> bool:
    """There is a chat to bring back."""
    return bool(_archived(said))


def _archived(said: Said) -> dict[str, RoomMachine]:
    return {
        room.record.chat_id or "": room
        for room in said.case.rooms_of(said.user.record.user_id)
        if room.state == "archived"
    }


def new(said: Said) -> None:
    """Ask for one more chat room."""
    if not may_grow(said):
        said.reply("command-not-here", name="new", why=said.text("why-no-space"))
        return
    if too_many_rooms(said.case, said.user, said.house.limits):
        said.reply("limit-rooms", most=said.house.limits.rooms)
        return
    name = said.arguments or texts.plain(
        said.user.record.locale, "chat-name", {"n": said.user.record.next_chat_index}
    )
    if is_fine(said, name):
        said.user.take(
            "new_chat",
            nonce=said.case.nonce(),
            name=name,
            asked_in=said.room_id,
            event_id=said.event_id,
        )


def show(said: Said) -> None:
    """List the person's chats with links."""
    lines = []
    for room in said.case.rooms_of(said.user.record.user_id):
        r = room.record
        chat, name = r.chat_id or "", r.display_name or ""
        pill = link(r.room_id, name)
        if room.state == "archived":
            lines.append(said.text("chat-line-archived", chat=chat, name=name))
        elif room.state == "unbound":
            lines.append(said.text("chat-line-unbound", chat=chat, room=pill))
        elif room.state in ("bound", "cleared"):
            agent = said.case.agent(r.agent_id)
            title = agent.name if agent else r.agent_id or ""
            lines.append(said.text("chat-line", chat=chat, room=pill, agent=title))
    if lines:
        said.reply("chats-list", list=texts.Markdown("\n".join(lines)))
    else:
        said.reply("chats-none")


def rename(said: Said) -> None:
    """Give this chat another name."""
    if not said.arguments:
        said.reply("command-needs-name")
    elif is_fine(said, said.arguments):
        said.room.take("rename", name=said.arguments, event_id=said.event_id)


def archive(said: Said) -> None:
    """Ask before this chat is taken out of the Space."""
    said.case.dialog(said.room_id).take(
        "ask",
        purpose="archive",
        text=Text("archive-question", {"name": said.room.record.display_name or ""}),
        event_id=said.event_id,
    )


def restore(said: Said) -> None:
    """Bring an archived chat back, from any room."""
    archived = _archived(said)
    listed = ", ".join(archived)
    wanted = said.arguments.upper().removeprefix("С")
    wanted = wanted if wanted.startswith("C") else f"C{wanted}"
    if not archived:
        said.reply("restore-none")
    elif not said.arguments:
        said.reply("restore-which", chats=listed)
    elif wanted not in archived:
        said.reply("restore-unknown", chat=said.arguments[:20], chats=listed)
    else:
        room = archived[wanted]
        valid = agent_for(said.case, room.record.agent_id) is not None
        room.take("restore", agent_valid=valid)
        pill = link(room.record.room_id, room.record.display_name)
        said.reply("restored", chat=wanted, room=pill)
