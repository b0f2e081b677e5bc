"""Rendering: a readable body, honest HTML, and nobody pinged."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surface import render


def only_allowed(html: str) -> bool:
    """Whether HTML has nothing but tags and attributes of the spec; read without the code under test."""
    tags = re.findall(r"<(/?)([a-zA-Z0-9]+)([^>]*)>", html)
    for _, tag, attributes in tags:
        if tag not in render.ALLOWED:
            return False
        names = set(re.findall(r"([a-z-]+)=", attributes))
        if not names <= render.ALLOWED[tag] | {"rel"}:
            return False
    return html.count("<") == len(tags)


def test_plain_words_need_no_html() -> None:
    assert render.answer("hello") == {"msgtype": "m.text", "body": "hello", "m.mentions": {}}


def test_markdown_becomes_html_and_the_body_stays_as_written() -> None:
    content = render.answer("**bold**\n\n```py\nx < 1\n```")
    assert content["body"] == "**bold**\n\n```py\nx < 1\n```"
    assert content["formatted_body"] == (
        '<p><strong>bold</strong></p>\n<pre><code class="language-py">x &lt; 1\n</code></pre>'
    )


@pytest.mark.parametrize(
    "markdown",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=y>",
        '<b onclick="x">bold</b>',
        '<a href="javascript:x">l</a>',
        "[x](javascript:alert(1))",
        '<code class="evil language-py">x</code>',
        "<svg><script>x</script></svg>",
        "<scr<script>ipt>",
        "<div>\n<iframe src=x>\n</div>",
    ],
)
def test_only_what_the_spec_allows_reaches_a_room(markdown: str) -> None:
    html = render.answer(markdown).get("formatted_body", "")
    assert only_allowed(html)
    assert "evil" not in html
    assert "javascript" not in html.partition("<a ")[2]


def test_markup_that_is_not_allowed_is_shown_as_written() -> None:
    content = render.answer("a **List<String>** of <script>x</script>")
    expected = "<strong>List&lt;String&gt;</strong> of &lt;script&gt;x&lt;/script&gt;"
    assert expected in content["formatted_body"]


@pytest.mark.parametrize("markdown", ["a ||b|| c", "a||b||c", "||b||"])
def test_spoilers_are_hidden(markdown: str) -> None:
    assert '<span data-mx-spoiler="">b</span>' in render.answer(markdown)["formatted_body"]


@pytest.mark.parametrize("markdown", ["a || b", "a |||| b", "||", "| a || b"])
def test_bars_alone_are_no_spoilers(markdown: str) -> None:
    assert "span" not in render.answer(markdown).get("formatted_body", "")


def test_a_long_answer_becomes_several_events_that_fit() -> None:
    contents = render.parts("word " * 30_000, edits="$p")
    assert len(contents) > 1
    assert contents[0]["m.relates_to"]["event_id"] == "$p"
    assert all("m.relates_to" not in content for content in contents[1:])
    assert all(len(json.dumps(content).encode()) < 45_000 for content in contents)
    bodies = [contents[0]["m.new_content"]["body"], *(c["body"] for c in contents[1:])]
    assert " ".join(bodies).split() == ["word"] * 30_000


@pytest.mark.parametrize("letter", ["ж", "😀", "<", "\\"])
def test_encryption_escapes_letters_and_the_parts_fit_all_the_same(letter: str) -> None:
    for content in render.parts(letter * 30_000, edits="$p"):
        # nio encrypts JSON in ASCII, and base64 makes four bytes of three.
        assert len(json.dumps(content)) * 4 / 3 + 2_000 < 65_536


def test_only_as_many_parts_as_are_wanted() -> None:
    words = "word " * 60_000
    assert render.parts(words, most=2) == render.parts(words)[:2]


def test_a_notice_too_long_for_an_event_says_its_beginning() -> None:
    content = render.notice("en", "turn-failed", {"again": 1, "reason": "no " * 60_000})
    assert content["body"].startswith("The agent could not answer: no no")
    assert len(json.dumps(content)) <= render.EVENT_LIMIT


@pytest.mark.parametrize("target", ["b", "/b", "#b", "//x.y/z", "?q"])
def test_links_that_lead_nowhere_by_themselves_lead_nowhere(target: str) -> None:
    assert "href" not in render.answer(f"[x]({target})")["formatted_body"]
    assert "href" in render.answer("[x](HTTPS://x.y)")["formatted_body"]


def test_an_edit_carries_the_new_content_and_a_fallback() -> None:
    content = render.edit(render.answer("new"), "$old")
    assert content["m.new_content"]["body"] == "new"
    assert content["body"] == "* new"
    assert content["m.relates_to"] == {"rel_type": "m.replace", "event_id": "$old"}


def test_an_empty_answer_is_still_a_message() -> None:
    assert render.answer("")["body"] == "…"


MARKUP = st.lists(
    st.sampled_from(
        [
            "<b>",
            "</b>",
            "<",
            ">",
            "||",
            "`",
            "```\n",
            "[x](",
            ")",
            "|-|-|\n",
            "<a href='",
            "'",
            "<!--",
            "-->",
            "<![CDATA[",
            "&lt;",
            "a",
            " ",
            "\n",
        ]
    ),
    max_size=40,
)


@given(st.text(max_size=500) | MARKUP.map("".join))
def test_rendering_never_fails_and_never_mentions_anybody(markdown: str) -> None:
    content = render.answer(markdown)
    assert content["body"].strip()
    assert content["m.mentions"] == {}
    assert only_allowed(content.get("formatted_body", ""))
    render.plain(markdown)


def test_a_preview_costs_the_same_however_long_the_answer_is() -> None:
    long = "- **bold** and `code`\n" * 50_000
    shown = render.clipped(long)
    assert len(shown) < render.PREVIEW + 10
    assert shown.endswith("…"), "there is more to come"
    assert render.preview(long, "$p") == render.preview(shown, "$p")
    assert render.clipped("short") == "short"


@pytest.mark.parametrize("letter", ["x", "ы", "*a* "])
def test_a_preview_fits_into_one_event(letter: str) -> None:
    content = render.preview(letter * 30_000, "$p")
    assert len(json.dumps(content)) <= render.EVENT_LIMIT
    assert content["m.relates_to"]["event_id"] == "$p"
