"""Documents that are almost right: what somebody makes of a good one by mistake, or to do harm.

Random JSON is refused at the first look and finds nothing behind it. So these begin with a good document and
change a few places of it: drop, rename, repeat, wrap, put in the place of another part, put a wrong value in.
Everything is chosen by hypothesis, and shrinks to the one place that matters.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

Place = tuple[Any, Any]
"""A dict or list, and a key or index of it."""


def many(examples: int) -> Any:
    """So many examples; with `--hypothesis-profile long` a hundred times as many."""
    return settings(
        max_examples=examples * max(1, settings.default.max_examples // 100),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


class Deep:
    """So many objects in one another; written as text at once, for no encoder would."""

    def __init__(self, depth: int, opening: str, closing: str) -> None:
        self.depth, self.opening, self.closing = depth, opening, closing

    def __repr__(self) -> str:
        return f"Deep({self.depth}, {self.opening!r}, {self.closing!r})"

    def text(self) -> str:
        return self.opening * self.depth + "1" + self.closing * self.depth


NUMBERS = (0, -1, 1, 1.5, -0.0, 2**31, 2**53, 2**63, 2**64, -(2**63), 10**400, 1e308)
NO_JSON = (float("nan"), float("inf"), float("-inf"))
WORDS = (
    *("", " ", "\x00", "a\x00b", "\ud800", "x\udfff", "\u202e", "\ufeff", "\u2028", "é" * 200),
    *("x" * 300, "x" * 70_000, "{", "[]", "null", "true", "0", "-1", "9" * 400, "../..", "%s%n"),
    *("@lambda:hs", "@alice:hs", "@", ":", "!room", "$", "mxc://hs/..", "join", "leave", "m.text"),
)
DEEP = (
    *(Deep(depth, '{"x":', "}") for depth in (150, 250, 400, 900, 5_000, 100_000)),
    *(Deep(depth, "[", "]") for depth in (150, 400, 900, 100_000)),
)
plain_values = (
    st.sampled_from((None, True, False, [], {}, [None], [[]], {"": None}))
    | st.sampled_from(NUMBERS)
    | st.sampled_from(WORDS)
    | st.text(max_size=10)
)
hostile_values = plain_values | st.sampled_from(NO_JSON) | st.sampled_from(DEEP)


def places(document: Any) -> Iterator[Place]:
    """Every place of a document, the outer ones first."""
    inner = document.items() if isinstance(document, dict) else enumerate(document)
    found = [(key, value) for key, value in inner]
    for key, _ in found:
        yield document, key
    for _, value in found:
        if isinstance(value, dict | list):
            yield from places(value)


@st.composite
def mutated(
    draw: st.DrawFn,
    documents: Sequence[Any],
    *,
    values: st.SearchStrategy[Any] = hostile_values,
    most: int = 4,
    within: Callable[[Any], Any] = lambda document: document,
) -> Any:
    """A copy of one of the documents, changed in one to `most` places.

    Args:
        documents: dicts or lists, not empty.
        values: what is put in.
        within: which part of the (copied) document is changed; default: all.
    """
    document = copy.deepcopy(documents[draw(st.integers(0, len(documents) - 1))])
    part = within(document)
    for _ in range(draw(st.integers(1, most))):
        found = list(places(part))
        if not found:
            break
        holder, key = found[draw(st.integers(0, len(found) - 1))]
        match draw(
            st.sampled_from(("put", "put", "put", "drop", "rename", "other", "wrap", "more"))
        ):
            case "put":
                holder[key] = copy.deepcopy(draw(values))
            case "drop":
                del holder[key]
            case "rename" if isinstance(holder, dict):
                holder[draw(st.sampled_from(WORDS))] = holder.pop(key)
            case "other":
                there, other = found[draw(st.integers(0, len(found) - 1))]
                if (other in there) if isinstance(there, dict) else other < len(there):
                    holder[key] = copy.deepcopy(there[other])
            case "wrap":
                holder[key] = draw(st.sampled_from(([holder[key]], {"x": holder[key]})))
            case "more" if isinstance(holder, list):
                holder += [copy.deepcopy(holder[key]) for _ in range(draw(st.integers(1, 5)))]
            case _:
                holder[key] = copy.deepcopy(draw(values))
    return document


def as_json(document: Any) -> bytes:
    """The document as others may write it: NaN, lone surrogates and any depth included."""
    deep: list[str] = []

    def marked(value: Any) -> str:
        assert isinstance(value, Deep), value
        deep.append(value.text())
        return f"\ue000deep{len(deep) - 1}\ue000"

    text = json.dumps(document, default=marked)
    for number, inner in enumerate(deep):
        text = text.replace(f'"\\ue000deep{number}\\ue000"', inner)
    return text.encode()


@st.composite
def broken_bytes(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Bytes of which some are cut off, changed or put in."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(("cut", "change", "put in"))):
            case "cut":
                del data[at : at + draw(st.integers(1, 40))]
            case "change" if at < len(data):
                data[at] = draw(st.integers(0, 255))
            case _:
                data[at:at] = draw(st.binary(min_size=1, max_size=8))
    return bytes(data)
