"""Rendering: a readable body, honest HTML, and nobody pinged."""

from hypothesis import given
from hypothesis import strategies as st

from surface import render


def test_plain_words_need_no_html() -> None:
    assert render.answer("hello") == {"msgtype": "m.text", "body": "hello", "m.mentions": {}}


def test_markdown_becomes_html_and_the_body_stays_as_written() -> None:
    content = render.answer("**bold**\n\n```py\nx < 1\n```")
    assert content["body"] == "**bold**\n\n```py\nx < 1\n```"
    assert content["formatted_body"] == (
        '<p><strong>bold</strong></p>\n<pre><code class="language-py">x &lt; 1\n</code></pre>'
    )


def test_html_of_an_agent_is_text() -> None:
    content = render.answer("<script>alert(1)</script> <img src=x onerror=y>")
    assert "<script" not in content["formatted_body"]
    assert "<img" not in content["formatted_body"]


def test_links_that_run_code_are_not_links() -> None:
    assert "href" not in render.answer("[x](javascript:alert(1))").get("formatted_body", "")


def test_an_edit_carries_the_new_content_and_a_fallback() -> None:
    content = render.edit(render.answer("new"), "$old")
    assert content["m.new_content"]["body"] == "new"
    assert content["body"] == "* new"
    assert content["m.relates_to"] == {"rel_type": "m.replace", "event_id": "$old"}


def test_an_empty_answer_is_still_a_message() -> None:
    assert render.answer("")["body"] == "…"


@given(st.text(max_size=500))
def test_rendering_never_fails_and_never_mentions_anybody(markdown: str) -> None:
    content = render.answer(markdown)
    assert content["body"]
    assert content["m.mentions"] == {}
    render.plain(markdown)
