"""From words to the content of an `m.room.message`: a readable plain body, and HTML beside it.

Rule: what agents and people wrote is never trusted as HTML: whatever reaches a room has been cleaned to the
tags that the Matrix spec allows. `m.mentions` is always set, and empty: nothing the bot says pings anybody.
No content is too large for an event: what does not fit becomes several.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
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
    content = notice_of(next(split(words, lambda part: _fits(part, notice_of))))
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

    def content(words: str) -> dict[str, Any]:
        return edit(answer(words), edits) if edits else answer(words)

    cut = islice(split(markdown, lambda words: _fits(words, content)), most)
    return [content(words) if n == 0 else answer(words) for n, words in enumerate(cut)]


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


def _fits(words: str, content: Callable[[str], dict[str, Any]]) -> bool:
    # What is too long already need not be rendered to be sure. nio escapes all but ASCII when it encrypts.
    return len(words) <= EVENT_LIMIT and len(json.dumps(content(words))) <= EVENT_LIMIT


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
