"""What a terminal shows of a message."""

from __future__ import annotations

import pytest

from surface import render
from surface.demo.words import clean, shown


@pytest.mark.parametrize(
    ("html", "words"),
    [
        ("<p>one</p>\n<p>two</p>", "one\n\ntwo"),
        ("<p>a<br />\nb</p>", "a\nb"),
        ("<ul>\n<li>one</li>\n<li>two</li>\n</ul>\n<p>end</p>", "• one\n• two\n\nend"),
        ('<ol start="3">\n<li>\n<p>three</p>\n</li>\n<li>four</li>\n</ol>', "3. three\n4. four"),
        ("<ul><li>a<ul><li>b</li></ul></li></ul>", "• a\n  • b"),
        ('<a href="https://matrix.to/#/!x">Chat 1</a>', "Chat 1"),
        ('<a href="https://example.org">there</a>', "there (https://example.org)"),
        ("<pre><code>a\n  b\n</code></pre>", "a\n  b"),
        ("a &lt;b&gt; &amp; <unknown>c</unknown></p>", "a <b> & c"),
    ],
)
def test_html_becomes_text(html: str, words: str) -> None:
    assert shown("body", html).plain == words


def test_strong_words_and_code_stand_out() -> None:
    text = shown("", "<p><strong>Echo</strong> (<code>echo</code>)</p>")
    assert {(str(span.style), text.plain[span.start : span.end]) for span in text.spans} == {
        ("bold", "Echo"),
        ("cyan", "echo"),
    }


def test_what_the_bot_renders_reads_as_it_was_meant() -> None:
    content = render.formatted("Your chats:\n\n- **C1** a\n- **C2** b\n\nThat is all.", "plain")
    words = shown(content["body"], content["formatted_body"]).plain
    assert words == "Your chats:\n\n• C1 a\n• C2 b\n\nThat is all."


def test_nothing_reaches_the_terminal_that_it_would_obey() -> None:
    assert clean("a\x1b[31mb\x07\r\nc\x9b2J\td") == "a[31mb\nc2J\td"
    assert "\x1b" not in shown("", "<p>&#27;[2J<a href='\x1bx'>x</a></p>").plain


def test_markup_of_no_use_falls_back_to_the_body() -> None:
    assert shown("the body", "<img src='x'>").plain == "the body"
