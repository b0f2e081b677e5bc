"""All commands, in one table: what they are called, what they do, and where they can be given.

The table drives dispatch, `!help` and the README. A command whose machine event the room's state does not
know is not offered there, and answers with the reason.
"""

from __future__ import annotations

from rapidfuzz import fuzz, process

from surface.commands import agents, answers, chats, contexts, files, person
from surface.commands.help import show as show_help
from surface.commands.said import Said
from surface.commands.spec import Spec

COMMANDS: tuple[Spec, ...] = (
    Spec("help", lambda said: show_help(said, COMMANDS), aliases=("h", "помощь")),
    Spec("new", chats.new, aliases=("новый",), now=chats.may_grow),
    Spec("chats", chats.show, aliases=("чаты",), takes=False),
    Spec("rename", chats.rename, "rename"),
    Spec("agent", agents.agent, aliases=("agents", "агент")),
    Spec("clear", contexts.clear, "clear", aliases=("очистить",), takes=False),
    Spec("undo", contexts.undo, "undo", takes=False),
    Spec("context", contexts.show, "clear", takes=False),
    Spec("save", contexts.save, "save"),
    Spec("load", contexts.load, "load"),
    Spec("stop", answers.stop, "save", aliases=("стоп",), takes=False, now=answers.is_running),
    Spec("retry", answers.retry, takes=False, now=answers.has_failed),
    Spec("drop", files.drop, takes=False, now=files.has_staged),
    Spec("yes", answers.yes, aliases=("y", "да"), takes=False, now=answers.is_asked),
    Spec("no", answers.no, aliases=("n", "нет"), takes=False, now=answers.is_asked),
    Spec("archive", chats.archive, "archive", takes=False),
    Spec("restore", chats.restore, now=chats.has_archived),
    Spec("lang", person.lang, aliases=("язык",)),
    Spec("why", lambda said: person.why(said, possible(said)), takes=False),
    Spec("forget", person.forget, takes=False),
)

BY_NAME = {name: spec for spec in COMMANDS for name in (spec.name, *spec.aliases)}


def dispatch(said: Said, name: str) -> None:
    """Give a command to its handler, or say why not. Never silence."""
    spec = BY_NAME.get(name)
    if spec is None:
        near = nearest(name)
        if near is None:
            said.reply("command-unknown", name=name)
        else:
            said.reply("command-unknown-near", name=name, near=near)
    elif said.arguments and not spec.takes:
        said.reply("command-no-arguments", name=spec.name)
    elif not spec.fits(said):
        if spec.name == "undo" and said.room.state == "bound":
            said.reply("undo-nothing")
        else:
            said.reply("command-not-here", name=spec.name, why=said.why_not())
    else:
        spec.handler(said)


def possible(said: Said) -> str:
    """The commands that do something in this room now, as one writes them."""
    return ", ".join(f"!{spec.name}" for spec in COMMANDS if spec.is_offered(said))


def nearest(name: str) -> str | None:
    """The known command most like a misspelt one, if any is like it."""
    names = [known for known in BY_NAME if len(known) > 2]
    found = process.extractOne(name, names, scorer=fuzz.ratio, score_cutoff=60)
    return found[0] if found else None
