"""`!lang`, `!why`, `!forget`: what concerns the person and their view of things."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from machines.effects import Text
from store.history import Kind, Step, merged
from surface import texts
from surface.commands.said import Said

STEPS = 5
"""Transitions that `!why` tells of."""
BY: Final[Mapping[Kind, str]] = {
    "event": "why-by-event",
    "reconciler": "why-by-reconciler",
    "operator": "why-by-operator",
    "bot": "why-by-bot",
}


def lang(said: Said) -> None:
    """Choose the language the surface speaks."""
    wanted = said.arguments.casefold()
    if wanted not in texts.LOCALES:
        said.reply("lang-which", known=", ".join(texts.LOCALES), now=said.user.record.locale)
        return
    said.user.take("set_locale", locale=wanted)
    said.reply("lang-set")


def why(said: Said, possible: str) -> None:
    """This room's state, how it came there, and what is possible now; in a home room, the person's ways too.

    Args:
        possible: the commands that fit, as written.
    """
    steps = said.case.history(said.room_id)
    if said.room.state == "home":
        steps = merged(steps, said.case.history_of(said.user.record.user_id))
    lines = [_told(said, step) for step in steps[-STEPS:]] or [said.text("why-no-steps")]
    said.reply(
        "why",
        state=said.room.state,
        meaning=said.text(f"state-{said.room.state}"),
        steps=texts.Markdown("\n".join(lines)),
        possible=possible,
    )


def _told(said: Said, step: Step) -> texts.Markdown:
    by = said.text(BY[step.cause.kind])
    if step.effects:
        by = said.text("why-so", by=by, effects=", ".join(w.effect for w in step.effects))
    return said.text(
        "why-step-you" if step.machine == "user" else "why-step",
        at=step.at[:19].replace("T", " "),
        event=step.event,
        was=step.source,
        now=step.target,
        by=by,
    )


def forget(said: Said) -> None:
    """Ask before everything about the person is deleted. Nobody else can ask for that."""
    if not said.by_owner:
        said.reply("forget-owner-only")
        return
    said.case.dialog(said.room_id).take(
        "ask", purpose="forget", text=Text("forget-question"), event_id=said.event_id
    )
