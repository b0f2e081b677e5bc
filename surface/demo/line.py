"""The line a person is typing: a small editor, pure. Bytes from the terminal in, finished lines out."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field

_KEYS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1bO[A-Za-z]|\x1b[^\[O]|[^\x1b]", re.DOTALL)
_UNFINISHED = re.compile(r"\x1b(?:\[[0-9;?]*|O)?")
_LEFT, _RIGHT = ("\x1b[D", "\x1bOD", "\x02"), ("\x1b[C", "\x1bOC", "\x06")
_UP, _DOWN = ("\x1b[A", "\x1bOA", "\x10"), ("\x1b[B", "\x1bOB", "\x0e")
_HOME = ("\x1b[H", "\x1bOH", "\x1b[1~", "\x01")
_END = ("\x1b[F", "\x1bOF", "\x1b[4~", "\x05")
_BACK, _DELETE = ("\x7f", "\x08"), ("\x1b[3~",)
_ENTER = ("\r", "\n")
_EOF, _CUT_LEFT, _CUT_RIGHT, _CUT_WORD = "\x04", "\x15", "\x0b", "\x17"


class Finished(Exception):
    """The person has ended their input (Ctrl-D on an empty line)."""


@dataclass
class Line:
    """What was typed and where the cursor is; remembers earlier lines."""

    text: str = ""
    cursor: int = 0
    _past: list[str] = field(default_factory=list)
    _at: int = 0
    """Which line of the past is shown; past its end: the one being typed."""
    _draft: str = ""
    _rest: str = ""
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )

    def feed(self, data: bytes) -> list[str]:
        """Take what the terminal sent; returns the lines that were finished by it.

        Raises:
            Finished: Ctrl-D on an empty line.
        """
        keys = self._rest + self._decoder.decode(data)
        self._rest = ""
        lines: list[str] = []
        at = 0
        while at < len(keys):
            match = _KEYS.match(keys, at)
            if match is None:
                # The beginning of a key's sequence; its end comes with the next bytes.
                self._rest = keys[at:] if _UNFINISHED.fullmatch(keys, at) else ""
                break
            at = match.end()
            if match[0] in _ENTER:
                lines.append(self._enter())
            else:
                self._press(match[0])
        return [line for line in lines if line.strip()]

    def _press(self, key: str) -> None:
        if key in _LEFT:
            self.cursor = max(0, self.cursor - 1)
        elif key in _RIGHT:
            self.cursor = min(len(self.text), self.cursor + 1)
        elif key in _HOME:
            self.cursor = 0
        elif key in _END:
            self.cursor = len(self.text)
        elif key in _UP:
            self._recall(self._at - 1)
        elif key in _DOWN:
            self._recall(self._at + 1)
        elif key in _BACK:
            self._cut(self.cursor - 1, self.cursor)
        elif key in _DELETE:
            self._cut(self.cursor, self.cursor + 1)
        elif key == _CUT_LEFT:
            self._cut(0, self.cursor)
        elif key == _CUT_RIGHT:
            self._cut(self.cursor, len(self.text))
        elif key == _CUT_WORD:
            left = self.text[: self.cursor].rstrip()
            self._cut(left.rfind(" ") + 1, self.cursor)
        elif key == _EOF:
            if not self.text:
                raise Finished
            self._cut(self.cursor, self.cursor + 1)
        elif key.isprintable():
            self.text = self.text[: self.cursor] + key + self.text[self.cursor :]
            self.cursor += 1

    def _cut(self, start: int, end: int) -> None:
        start = max(0, start)
        self.text = self.text[:start] + self.text[end:]
        self.cursor = start

    def _recall(self, at: int) -> None:
        if not 0 <= at <= len(self._past):
            return
        if self._at == len(self._past):
            self._draft = self.text
        self._at = at
        self.text = self._past[at] if at < len(self._past) else self._draft
        self.cursor = len(self.text)

    def _enter(self) -> str:
        line = self.text
        if line.strip() and self._past[-1:] != [line]:
            self._past.append(line)
        self.text, self.cursor, self._at, self._draft = "", 0, len(self._past), ""
        return line
