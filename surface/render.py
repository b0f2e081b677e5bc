"""From words to the content of an `m.room.message`: a readable plain body, and HTML beside it.

Rule: what agents and people wrote is never trusted as HTML; Markdown is the only markup, raw HTML in it is
shown as text. `m.mentions` is always set, and empty: nothing the bot says pings anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from markdown_it import MarkdownIt
from markdown_it.token import Token

from surface import texts

_MARKDOWN = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(
    ["table", "strikethrough"]
)


def link(room_id: str, name: str | None = None, via: str | None = None) -> texts.Markdown:
    """A Markdown link that Matrix clients show as a room pill."""
    target = f"https://matrix.to/#/{quote(room_id, safe='!:')}"
    if via:
        target += f"?via={quote(via, safe=':')}"
    return texts.Markdown(f"[{texts.escape(name or room_id)}]({target})")


def notice(
    locale: str, key: str, params: Mapping[str, str | int], reply_to: str | None = None
) -> dict[str, Any]:
    """A service message."""
    markdown = texts.say(locale, key, params)
    content = {"msgtype": "m.notice", **formatted(markdown, plain(markdown))}
    if reply_to:
        content["m.relates_to"] = {"m.in_reply_to": {"event_id": reply_to}}
    return content


def answer(markdown: str) -> dict[str, Any]:
    """An agent's words."""
    return {"msgtype": "m.text", **formatted(markdown, markdown)}


def edit(content: dict[str, Any], of: str) -> dict[str, Any]:
    """The content that replaces an earlier message (spec: event replacements)."""
    fallback = {**content, "body": f"* {content['body']}"}
    if "formatted_body" in content:
        fallback["formatted_body"] = f"* {content['formatted_body']}"
    return {
        **fallback,
        "m.new_content": content,
        "m.relates_to": {"rel_type": "m.replace", "event_id": of},
    }


def formatted(markdown: str, body: str) -> dict[str, Any]:
    """Body and, where it says more than the body, HTML."""
    html = _MARKDOWN.render(markdown).strip()
    content: dict[str, Any] = {"body": body or "…", "m.mentions": {}}
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
