"""`!clear`, `!undo`, `!context`, `!save`, `!load`: this room's memory of the conversation."""

from __future__ import annotations

from datetime import datetime

from machines.effects import Text
from surface import texts
from surface.commands.names import is_fine
from surface.commands.said import Said
from surface.platform.interface import PlatformError, SavedContext
from surface.reasons import reason

LISTED = 20
"""Saves that a list shows; the rest can be loaded by name."""


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
        said.reply("context-unknown", agent=title, context=context, reason=_unknown(said))
    else:
        said.reply("context", agent=title, context=context, turns=said.facts.turns)


def save(said: Said) -> None:
    """Have the platform save the context, under a name or the time."""
    name = said.arguments or said.case.at[:16].replace("T", " ")
    if is_fine(said, name):
        said.room.take("save", name=name, event_id=said.event_id)


def load(said: Said) -> None:
    """List the saves, or load one by name."""
    saves = said.facts.saves
    if saves is None:
        said.reply("saves-unknown", reason=_unknown(said))
    elif not saves:
        said.reply("saves-none")
    elif said.arguments:
        _load_named(said, saves)
    else:
        shown = saves[:LISTED]
        text = Text("saves-choose", {"list": _list(said, shown)})
        said.case.dialog(said.room_id).take(
            "offer",
            purpose="load",
            choices=[save.id for save in shown],
            labels=[save.name for save in shown],
            text=text,
            event_id=said.event_id,
        )


def load_save(said: Said, save_id: str, name: str) -> None:
    """Seed a fresh context from a save."""
    if said.room.knows("load"):
        said.room.take("load", save_id=save_id, name=name, event_id=said.event_id)
    else:
        said.reply("command-not-here", name="load", why=said.why_not())


def _load_named(said: Said, saves: tuple[SavedContext, ...]) -> None:
    wanted = said.arguments.casefold()
    exact = [save for save in saves if save.name.casefold() == wanted]
    number = int(wanted) if wanted.isascii() and wanted.isdecimal() and len(wanted) < 5 else 0
    if exact:
        load_save(said, exact[0].id, exact[0].name)
    elif 1 <= number <= min(len(saves), LISTED):
        load_save(said, saves[number - 1].id, saves[number - 1].name)
    else:
        known = ", ".join(save.name for save in saves[:LISTED])
        said.reply("save-unknown", name=said.arguments[:80], known=known)


def _unknown(said: Said) -> str:
    """Why the platform did not say what the command is about; nobody asked: as if it were gone."""
    failed = said.facts.failed or PlatformError("agent_missing", "", retryable=False)
    return reason(said.case.locale_of(said.user.record.user_id), failed)


def _list(said: Said, saves: tuple[SavedContext, ...]) -> texts.Markdown:
    lines = [
        said.text("save-line", n=n, name=save.name, turns=save.turns, age=_age(said, save))
        for n, save in enumerate(saves, 1)
    ]
    return texts.Markdown("\n".join(lines))


def _age(said: Said, save: SavedContext) -> texts.Markdown:
    if save.saved_at is None:
        return said.text("age-unknown")
    minutes = int((datetime.fromisoformat(said.case.at) - save.saved_at).total_seconds() // 60)
    if minutes < 60:
        return said.text("age-minutes", n=max(minutes, 0))
    if minutes < 24 * 60:
        return said.text("age-hours", n=minutes // 60)
    return said.text("age-days", n=minutes // (24 * 60))
