"""`!clear`, `!undo`, `!context`: this room's memory of the conversation."""

from __future__ import annotations

from surface.commands.said import Said


def clear(said: Said) -> None:
    """Rotate the platform chat, at once."""
    said.room.take("clear", event_id=said.event_id)


def undo(said: Said) -> None:
    """Go back to the chat before."""
    said.room.take("undo", event_id=said.event_id)


def show(said: Said) -> None:
    """Say which agent and which context this room has."""
    r = said.room.record
    agent = said.case.agent(r.agent_id)
    title = agent.name if agent else r.agent_id or ""
    context = r.platform_chat_id or ""
    if said.facts.turns is None:
        said.reply("context-unknown", agent=title, context=context, reason=said.facts.reason)
    else:
        said.reply("context", agent=title, context=context, turns=said.facts.turns)
