"""`!help`: what can be done in this room, taken from the machine."""

from __future__ import annotations

from collections.abc import Sequence

from surface import texts
from surface.commands.said import Said
from surface.commands.spec import Spec


def show(said: Said, commands: Sequence[Spec]) -> None:
    """List what works here, or explain one command."""
    asked = said.arguments.removeprefix("!").casefold()
    locale = said.user.record.locale
    if asked:
        for spec in commands:
            if asked in (spec.name, *spec.aliases):
                said.reply("help-one", usage=spec.usage(locale), summary=said.text(spec.summary))
                return
        said.reply("command-unknown", name=asked[:32])
        return
    lines = [
        said.text("help-line", usage=spec.usage(locale), summary=said.text(spec.summary))
        for spec in commands
        if spec.is_offered(said)
    ]
    if said.room.knows("talk") and said.room.state in ("bound", "cleared"):
        lines.append(texts.Markdown("\n" + said.text("help-talk")))
    said.reply("help-head", list=texts.Markdown("\n".join(lines)))
