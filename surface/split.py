"""Cuts a long answer into parts that fit into events, at the borders of its paragraphs.

Rule: nothing is lost and nothing is torn that can be kept whole. A code block that does not fit is cut
between its lines and fenced again in every part, with its language; a paragraph is cut between lines,
then words, and only then anywhere.

To say whether a part fits costs its rendering, so that is asked a few times for each part, whatever the
number of its paragraphs, and parts are made as they are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

from markdown_it import MarkdownIt

_BLOCKS = MarkdownIt("commonmark").enable(["table"])
_BLOCKS.parse("warm")  # Looks its rules up now: it is used in threads.

Fits = Callable[[str], bool]


def split(markdown: str, fits: Fits) -> Iterator[str]:
    """The parts of `markdown`, each of which `fits`; a single one if it fits as it is.

    Args:
        markdown: the answer.
        fits: says whether a part is small enough; must hold for a single character.
    """
    if fits(markdown):
        yield markdown
        return
    pieces = _pieces(re.sub(r"\r\n?", "\n", markdown), fits)
    held = list(islice(pieces, 1))
    if not held:
        # Nothing but blank lines; too many of them.
        yield markdown[:1]
    while held:
        low = high = 1
        while high <= len(held) and fits(_joined(held, high)):
            low, high = high, 2 * high
            held += islice(pieces, max(0, high - len(held)))
        count = _most(partial(_joined, held), fits, low, min(high, len(held) + 1))
        yield _joined(held, count)
        held = held[count:] or list(islice(pieces, 1))


def _joined(pieces: list[str], count: int) -> str:
    return "\n\n".join(pieces[:count])


def _head(text: str, length: int) -> str:
    return text[:length]


def _most(beginning: Callable[[int], str], fits: Fits, low: int, high: int) -> int:
    """About the greatest number whose beginning fits: `low` does, `high` does not.

    The more it costs to ask, the less exactly: of thousands, to an eighth.
    """
    while high - low > max(1, high // (64 if high < 1_000 else 8)):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(beginning(middle)) else (low, middle)
    return low


def _pieces(markdown: str, fits: Fits) -> Iterator[str]:
    """The top-level blocks, those that do not fit cut smaller."""
    lines = markdown.split("\n")
    end = 0
    for token in _BLOCKS.parse(markdown):
        if token.level != 0 or token.map is None or token.nesting == -1:
            continue
        first, last = token.map
        if first < end:
            continue
        # What makes no block of its own (link definitions) belongs to the words all the same.
        yield from _small("\n".join(lines[end:first]), fits)
        end = last
        block = "\n".join(lines[first:last]).rstrip("\n")
        if token.type == "fence" and not fits(block):
            yield from _fenced(token.content, token.markup, token.info, fits)
        else:
            yield from _small(block, fits)
    yield from _small("\n".join(lines[end:]), fits)


def _small(block: str, fits: Fits) -> Iterator[str]:
    block = block.strip("\n")
    if block.strip():
        yield from _cut(block, fits)


def _fenced(code: str, fence: str, info: str, fits: Fits) -> Iterator[str]:
    def wrapped(inner: str) -> str:
        return f"{fence}{info}\n{inner}\n{fence}"

    if not fits(wrapped("x")):  # The language alone is too long: it is no language.
        info = ""
    for inner in _cut(code.rstrip("\n"), lambda text: fits(wrapped(text))):
        yield wrapped(inner)


def _cut(text: str, fits: Fits) -> Iterator[str]:
    """Cut between lines, then words, then anywhere: always as much as fits."""
    while not fits(text):
        at = low = _most(partial(_head, text), fits, 1, len(text))
        for border in ("\n", " "):
            found = text.rfind(border, 0, low + 1)
            if found > low // 2:
                at = found
                break
        yield text[:at]
        text = text[at:].removeprefix("\n") if text[at : at + 1] == "\n" else text[at:].lstrip(" ")
    if text:
        yield text
