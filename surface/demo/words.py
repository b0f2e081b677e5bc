"""From a message to what a terminal shows: HTML becomes styled text, and nothing can escape it.

Rule: what comes from Matrix is a stranger's. Control characters never reach the terminal, and markup that
is not understood shows its words.
"""

from __future__ import annotations

import re
import unicodedata
from html.parser import HTMLParser

from rich.text import Text

_STYLES = {
    "strong": "bold",
    "b": "bold",
    "em": "italic",
    "i": "italic",
    "del": "strike",
    "s": "strike",
    "code": "cyan",
    "a": "underline",
    **{f"h{n}": "bold" for n in range(1, 7)},
}
_BLOCKS = frozenset({"p", "pre", "blockquote", "table", *(f"h{n}" for n in range(1, 7))})
_TO_A_ROOM = "https://matrix.to/"


def shown(body: str, html: str | None = None) -> Text:
    """A message's words, styled if there is HTML."""
    if html is None:
        return Text(clean(body))
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.result() or Text(clean(body))


def clean(words: str) -> str:
    """Words without anything that a terminal would obey."""
    return "".join(
        char for char in words if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cs")
    )


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._text = Text()
        self._styles: list[tuple[str, str]] = []
        self._lists: list[int | None] = []
        self._targets: list[str] = []
        self._verbatim = 0

    def result(self) -> Text:
        self._text.rstrip()
        return self._text

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in _STYLES:
            self._styles.append((tag, _STYLES[tag]))
        if tag in _BLOCKS:
            self._break(1 if self._lists else 2)
        match tag:
            case "br":
                self._text.append("\n")
            case "ol":
                start = given.get("start") or "1"
                self._open_list(int(start) if start.isdecimal() else 1)
            case "ul":
                self._open_list(None)
            case "li":
                self._item()
            case "tr":
                self._break(1)
            case "a":
                self._targets.append(given.get("href") or "")
            case "pre":
                self._verbatim += 1

    def handle_endtag(self, tag: str) -> None:
        match tag:
            case "a" if self._targets:
                target = self._targets.pop()
                if target and not target.startswith(_TO_A_ROOM):
                    self._write(f" ({clean(target)})")
            case "ol" | "ul" if self._lists:
                self._lists.pop()
                self._break(1 if self._lists else 2)
            case "td" | "th":
                self._write("  ")
            case "pre" if self._verbatim:
                self._verbatim -= 1
        if tag in _BLOCKS:
            self._break(1 if self._lists else 2)
        for at in range(len(self._styles) - 1, -1, -1):
            if self._styles[at][0] == tag:
                del self._styles[at]
                break

    def handle_data(self, data: str) -> None:
        words = clean(data)
        if not self._verbatim:
            words = re.sub(r"\s+", " ", words)
            if self._text.plain[-1:] in ("", " ", "\n"):
                words = words.lstrip(" ")
        self._write(words)

    def _write(self, words: str) -> None:
        style = " ".join(dict.fromkeys(style for _, style in self._styles))
        self._text.append(words, style or None)

    def _open_list(self, start: int | None) -> None:
        self._break(1 if self._lists else 2)
        self._lists.append(start)

    def _item(self) -> None:
        self._break(1)
        indent = "  " * (len(self._lists) - 1)
        number = self._lists[-1] if self._lists else None
        if number is None:
            self._text.append(f"{indent}• ")
        else:
            self._text.append(f"{indent}{number}. ")
            self._lists[-1] = number + 1

    def _break(self, lines: int) -> None:
        """Begin on a new line, with `lines - 1` empty ones before it; not after a bullet."""
        plain = self._text.plain
        if not plain.strip() or plain.endswith("• ") or re.search(r"(^|\n) *\d+\. $", plain):
            return
        if loose := len(plain) - len(plain.rstrip(" ")):
            self._text.right_crop(loose)
            plain = self._text.plain
        there = len(plain) - len(plain.rstrip("\n"))
        self._text.append("\n" * max(0, lines - there))
