"""Every text the surface says, from the Fluent catalogues beside this file.

Rule: no text for people stands anywhere else. A `Text` names an entry and fills its gaps; what fills them
may come from strangers, so it is escaped here, once, and can never become markup.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fluent.runtime import FluentBundle
    from fluent.runtime.types import FluentNone, FluentNumber

LOCALES = ("en", "ru")
FOLDER = Path(__file__).parent

_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-!|~])")
_CODE = re.compile(r"(`[^`\n]*`)")
_GAP = re.compile("\ue000([0-9]+)\ue001")


class Markdown(str):
    """A gap's filling that is Markdown already: made by us, never by a stranger."""

    __slots__ = ()


@cache
def _bundle(locale: str) -> FluentBundle:
    from fluent.runtime import FluentBundle, FluentResource  # noqa: PLC0415 — slow to import

    bundle = FluentBundle([locale], use_isolating=False)
    bundle.add_resource(FluentResource((FOLDER / f"{locale}.ftl").read_text(encoding="utf-8")))
    return bundle


def escape(words: str) -> str:
    """Make a stranger's words safe inside Markdown."""
    return _MARKUP.sub(r"\\\1", " ".join(words.split()))


def say(locale: str, key: str, params: Mapping[str, str | int] | None = None) -> str:
    """The text as Markdown.

    Raises:
        KeyError: no such entry, or a gap that nothing fills.
    """
    from fluent.runtime.types import fluent_number  # noqa: PLC0415

    bundle = _bundle(locale if locale in LOCALES else "en")
    message = bundle.get_message(key)
    if message.value is None:
        raise KeyError(key)
    words: list[str] = []
    filled: dict[str, str | FluentNumber | FluentNone] = {}
    for name, value in (params or {}).items():
        if isinstance(value, int):
            filled[name] = fluent_number(value, useGrouping=False)
        else:
            filled[name] = f"\ue000{len(words)}\ue001"
            words.append(value)
    text, errors = bundle.format_pattern(message.value, filled)
    if errors:
        raise KeyError(f"{key}: {errors[0]}")
    parts = _CODE.split(str(text))
    return "".join(
        _GAP.sub(lambda gap: _fill(words[int(gap[1])], code=bool(i % 2)), part)  # noqa: B023
        for i, part in enumerate(parts)
    )


def plain(locale: str, key: str, params: Mapping[str, str | int] | None = None) -> str:
    """The text for places that take no markup, such as names and topics."""
    bundle = _bundle(locale if locale in LOCALES else "en")
    message = bundle.get_message(key)
    if message.value is None:
        raise KeyError(key)
    text, errors = bundle.format_pattern(message.value, dict(params or {}))
    if errors:
        raise KeyError(f"{key}: {errors[0]}")
    return str(text)


def keys(locale: str) -> frozenset[str]:
    """The names of all entries of a catalogue."""
    return frozenset(
        match.group(1)
        for match in re.finditer(
            r"^([a-z][a-z0-9-]*) *=", (FOLDER / f"{locale}.ftl").read_text(encoding="utf-8"), re.M
        )
    )


def _fill(words: str, *, code: bool) -> str:
    if isinstance(words, Markdown):
        return str(words)
    if code:
        return " ".join(words.replace("`", "'").split())
    return escape(words)
