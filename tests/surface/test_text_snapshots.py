"""Every text in every language as people get it: the plain body and the HTML.

A text with a number in it is shown with numbers that languages count differently.
"""

from __future__ import annotations

import re

import pytest
from syrupy.assertion import SnapshotAssertion

from surface import render, texts
from surface.texts import Markdown

ROOM = "!PlansAndTrips:example.org"
LISTS = {
    "agents-choose": "agent-line",
    "agent-current": "agent-line",
    "agent-current-home": "agent-line",
    "chats-list": "chat-line",
    "saves-choose": "save-line",
    "help-head": "help-line",
}
"""Texts around a list, and the text of its lines."""
PARTS = {
    "selected": "agent-none",
    "why": "why-home",
    "meaning": "state-cleared",
    "steps": "why-no-steps",
    "age": "age-unknown",
    "by": "why-by-event",
    "summary": "cmd-clear",
}
"""Gaps that another text fills."""
GAPS: dict[str, str | int] = {
    "agent": "Echo",
    "at": "2026-02-03 04:05:06",
    "chat": "C2",
    "chats": render.link(ROOM, "Plans & *Trips*"),
    "context": "41",
    "description": ": Says it back, *loudly*",
    "effects": "DisconnectChat, Notice",
    "event": "clear",
    "files": "a.png, b *c*.pdf",
    "id": "echo",
    "known": "echo, shout",
    "last": 3,
    "max": 80,
    "name": "Plans & *Trips*",
    "near": "clear",
    "now": "cleared",
    "number": 7,
    "old": "7",
    "possible": "!help, !new, !clear",
    "prompt": Markdown("Shall I delete **all** files?"),
    "reason": "it is <down>",
    "room": render.link(ROOM, "Plans & *Trips*"),
    "space": render.link("!Space:example.org", "Lambda — Alice"),
    "state": "cleared",
    "usage": "!rename NAME",
    "was": "bound",
}
COUNTED = frozenset({"n", "turns", "most", "again", "commands"})
"""Gaps that hold a number."""
NUMBERS = (0, 1, 2, 5, 21)


def entry(locale: str, key: str) -> str:
    """A text as it stands in the catalogue."""
    catalogue = (texts.FOLDER / f"{locale}.ftl").read_text(encoding="utf-8")
    found = re.search(rf"^{key} *=(.*?)(?=^#|^[a-z][a-z0-9-]* *=|\Z)", catalogue, re.M | re.S)
    assert found is not None
    return found[1]


def gaps(key: str) -> set[str]:
    """The names of a text's gaps; in all languages they are the same."""
    return set(re.findall(r"\$(\w+)", entry("en", key)))


def filled(locale: str, key: str, number: int) -> dict[str, str | int]:
    """Something plausible for every gap."""
    params: dict[str, str | int] = {}
    for gap in gaps(key):
        if gap in COUNTED:
            params[gap] = number
        elif gap == "list":
            lines = [texts.say(locale, LISTS[key], filled(locale, LISTS[key], n)) for n in (1, 2)]
            params[gap] = Markdown("\n".join(lines))
        elif gap in PARTS:
            params[gap] = Markdown(texts.say(locale, PARTS[gap], filled(locale, PARTS[gap], 0)))
        else:
            params[gap] = GAPS[gap]
    return params


def numbers(key: str) -> tuple[int, ...]:
    """One number for a text that says the same with all of them."""
    return NUMBERS if any("->" in entry(locale, key) for locale in texts.LOCALES) else (3,)


@pytest.mark.parametrize("key", sorted(texts.keys("en")))
@pytest.mark.parametrize("locale", texts.LOCALES)
def test_every_text_is_as_expected(locale: str, key: str, snapshot: SnapshotAssertion) -> None:
    shown = []
    for number in numbers(key):
        content = render.notice(locale, key, filled(locale, key, number))
        assert content["msgtype"] == "m.notice"
        assert content["m.mentions"] == {}
        shown.append(f"{content['body']}\n--- HTML\n{content.get('formatted_body', '(none)')}")
    assert "\n\n======\n".join(shown) == snapshot


def test_no_text_leaves_a_gap_open() -> None:
    used = {gap for key in texts.keys("en") for gap in gaps(key)}
    assert used <= set(GAPS) | set(PARTS) | COUNTED | {"list"}
    assert set(GAPS) <= used, "nobody asks for it any more"
