"""From words to the content of an `m.room.message`: a readable plain body, and HTML beside it.

Rule: what agents and people wrote is never trusted as HTML: whatever reaches a room has been cleaned to the
tags that the Matrix spec allows. `m.mentions` is always set, and empty: nothing the bot says pings anybody.
No content is too large for an event: what does not fit becomes several.

To render takes up to 10 ms a kilobyte, and an answer may have a hundred: whoever renders one does it in
a thread.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any
from urllib.parse import quote

import nh3
from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from surface import texts
from surface.split import split

EVENT_LIMIT = 44_000
"""Bytes of JSON that a content may have. An event may have 65,536 (spec), of which encryption takes a
quarter and the envelope some."""

PREVIEW = 8_000
"""Characters of an answer that are shown while it grows."""

ALLOWED = {
    "del": set(),
    **{f"h{n}": set() for n in range(1, 7)},
    **{
        tag: set()
        for tag in (
            "blockquote",
            "p",
            "ul",
            "sup",
            "sub",
            "li",
            "b",
            "i",
            "u",
            "strong",
            "em",
            "s",
            "hr",
            "br",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "caption",
            "pre",
            "details",
            "summary",
        )
    },
    "a": {"href", "target"},
    "ol": {"start"},
    "code": {"class"},
    "span": {"data-mx-color", "data-mx-bg-color", "data-mx-spoiler"},
}
"""Spec, m.room.message msgtypes: the tags and attributes that clients show. `img` is left out: an agent
could make every reader's client fetch things."""

SCHEMES = ("https", "http", "ftp", "mailto", "magnet")
"""What links may lead to (spec)."""
_ABSOLUTE = re.compile(rf"(?:{'|'.join(SCHEMES)}):", re.IGNORECASE)


def _spoiler(state: StateInline, silent: bool) -> bool:
    """`||hidden||`, as chat programs write it (spec: `data-mx-spoiler`)."""
    start = state.pos
    if not state.src.startswith("||", start):
        return False
    end = state.src.find("||", start + 2)
    if end < start + 3:
        return False
    if not silent:
        state.push("spoiler_open", "span", 1).attrs["data-mx-spoiler"] = ""
        outer, state.pos, state.posMax = state.posMax, start + 2, end
        state.md.inline.tokenize(state)
        state.posMax = outer
        state.push("spoiler_close", "span", -1)
    state.pos = end + 2
    return True


_MARKDOWN = MarkdownIt("commonmark", {"html": True, "breaks": True}).enable(
    ["table", "strikethrough"]
)
_MARKDOWN.inline.ruler.before("emphasis", "spoiler", _spoiler)
_MARKDOWN.inline.add_terminator_char("|")

_STRANGE_TAG = re.compile(rf"<(?!/?(?:{'|'.join(ALLOWED)})\b[^<>]*>)", re.IGNORECASE)


def _html(self: object, tokens: Sequence[Token], index: int, *_: object) -> str:
    """Markup that is not allowed is shown as it was written: `List<String>` loses nothing."""
    return _STRANGE_TAG.sub("&lt;", tokens[index].content)


_MARKDOWN.add_render_rule("html_inline", _html)
_MARKDOWN.add_render_rule("html_block", _html)
# What is looked up at first use is looked up now: answers are rendered in threads.
_MARKDOWN.render("*warm*")


def link(room_id: str, name: str | None = None, via: str | None = None) -> texts.Markdown:
    """A Markdown link that Matrix clients show as a room pill."""
    target = f"https://matrix.to/#/{quote(room_id, safe='!:')}"
    if via:
        target += f"?via={quote(via, safe=':')}"
    return texts.Markdown(f"[{texts.escape(name or room_id)}]({target})")


def notice(
    locale: str, key: str, params: Mapping[str, str | int], reply_to: str | None = None
) -> dict[str, Any]:
    """A service message; of one that is too long for an event, the beginning."""

    def notice_of(words: str) -> dict[str, Any]:
        return {"msgtype": "m.notice", **formatted(words, plain(words))}

    words = texts.say(locale, key, params)

    def fits(part: str) -> bool:
        return not _is_too_long(part) and _size(notice_of(part)) <= EVENT_LIMIT

    content = notice_of(next(split(words, fits)))
    if reply_to:
        content["m.relates_to"] = {"m.in_reply_to": {"event_id": reply_to}}
    return content


def answer(markdown: str) -> dict[str, Any]:
    """An agent's words."""
    return {"msgtype": "m.text", **formatted(markdown, markdown)}


def placed(content: dict[str, Any], thread: str | None, reply_to: str | None) -> dict[str, Any]:
    """The content in its place: in a thread, or as a reply (spec: threading, rich replies)."""
    if thread:
        fallback = {"m.in_reply_to": {"event_id": reply_to or thread}, "is_falling_back": True}
        relates = {"rel_type": "m.thread", "event_id": thread, **fallback}
        return {**content, "m.relates_to": relates}
    if reply_to:
        return {**content, "m.relates_to": {"m.in_reply_to": {"event_id": reply_to}}}
    return content


def parts(
    markdown: str, *, edits: str | None = None, most: int | None = None
) -> list[dict[str, Any]]:
    """An agent's words as one message or several, each small enough; the first may be an edit.

    Args:
        markdown: what the agent said.
        edits: the event that the first part replaces.
        most: parts that are wanted; what would come after them is left out.
    """
    made: dict[str, dict[str, Any] | None] = {}
    cut: list[dict[str, Any]] = []

    def fits(words: str) -> bool:
        if words not in made:
            content = None if _is_too_long(words) else answer(words)
            if content is not None and edits and not cut:
                content = edit(content, edits)
            made[words] = content if _size(content) <= EVENT_LIMIT else None
        return made[words] is not None

    for words in islice(split(markdown, fits), most):
        content = made[words] if fits(words) else None
        assert content is not None
        cut.append(content)
        made.clear()  # Only the first part is an edit, which takes more room.
    return cut


def clipped(markdown: str) -> str:
    """As much of a growing answer as is worth showing: to render it costs the same however long it gets."""
    return markdown if len(markdown) <= PREVIEW else f"{markdown[:PREVIEW]}\n\n…"


def preview(markdown: str, edits: str | None = None) -> dict[str, Any]:
    """The beginning of a growing answer as one message, or as an edit of it."""
    return parts(clipped(markdown), edits=edits, most=1)[0]


def clean(html: str) -> str:
    """HTML with nothing but what the Matrix spec allows."""
    return nh3.clean(
        html,
        tags=set(ALLOWED),
        attributes={tag: names for tag, names in ALLOWED.items() if names},
        attribute_filter=_attribute,
        url_schemes=set(SCHEMES),
        link_rel="noopener",
    )


def _attribute(tag: str, name: str, value: str) -> str | None:
    if tag == "code" and name == "class":
        kept = [part for part in value.split() if part.startswith("language-")]
        return kept[0] if kept else None
    if name == "href":
        # Spec: a link is absolute.
        return value if _ABSOLUTE.match(value) else None
    return value


def _is_too_long(words: str) -> bool:
    """What needs not be rendered to be sure that it does not fit: the body alone is too long."""
    return len(words) > EVENT_LIMIT or _size(words) > EVENT_LIMIT


def _size(content: object) -> int:
    # nio escapes all but ASCII when it encrypts.
    return len(json.dumps(content))


def edit(content: dict[str, Any], of: str) -> dict[str, Any]:
    """The content that replaces an earlier message (spec: event replacements)."""
    # What clients that know no edits show; short, because the content is there once more in full.
    return {
        "msgtype": content["msgtype"],
        "body": f"* {content['body'][:500]}",
        "m.mentions": {},
        "m.new_content": content,
        "m.relates_to": {"rel_type": "m.replace", "event_id": of},
    }


def formatted(markdown: str, body: str) -> dict[str, Any]:
    """Body and, where it says more than the body, HTML."""
    html = clean(_MARKDOWN.render(markdown)).strip()
    content: dict[str, Any] = {"body": body if body.strip() else "…", "m.mentions": {}}
    if html and html != f"<p>{body}</p>":
        content |= {"format": "org.matrix.custom.html", "formatted_body": html}
    return content


def plain(markdown: str) -> str:
    """Markdown as a person would type it without markup."""
    out: list[str] = []
    for token in _MARKDOWN.parse(markdown):
        match token.type:
            case "inline":
                out.append(_inline(token.children or []))
            case "fence" | "code_block":
                out.append(token.content)
            case "list_item_open":
                out.append(f"{token.info}. " if token.info else "• ")
            case "paragraph_close" if token.hidden:
                out.append("\n")
            case "paragraph_close" | "heading_close":
                out.append("\n\n")
            case "bullet_list_close" | "ordered_list_close":
                out.append("\n")
    return "".join(out).strip()


def _inline(tokens: list[Token]) -> str:
    out: list[str] = []
    target = ""
    for token in tokens:
        match token.type:
            case "text" | "code_inline":
                out.append(token.content)
            case "softbreak" | "hardbreak":
                out.append("\n")
            case "link_open":
                target = str(token.attrs.get("href", ""))
            case "link_close":
                out.append(f" ({target})")
    return "".join(out)
