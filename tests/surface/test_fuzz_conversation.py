"""Whatever people and agents write: it is understood somehow, and what is sent can be sent.

20,000 inputs: some said in rooms, decided with real machines and rendered; some written by agents.
HTML is read back by `html.parser`, which knows nothing of what cleaned it.
"""

from __future__ import annotations

import asyncio
import json
import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

from hypothesis import HealthCheck, assume, given, seed, settings
from hypothesis import strategies as st

from machines.effects import Notice
from surface import render
from surface.commands.parse import Command, Number, Talk, parse
from surface.commands.registry import BY_NAME
from surface.inputs import read
from surface.split import split
from surface.texts import LOCALES
from tests.surface.place import ALICE, ROOM, ROOMS, USERS, asking, place

EVENT = 65_536
"""Bytes that an event may have (spec), with everything that the homeserver adds."""
ENVELOPE = 2_000
"""Bytes for what stands around a content: ids, keys, signatures."""
ENCRYPTED = 1.4
"""How much longer encryption makes a content, generously."""
SCHEMES = {"http", "https", "ftp", "mailto", "magnet"}
PLAIN = (
    "del h1 h2 h3 h4 h5 h6 blockquote p ul sup sub li b i u strong em s hr br table thead tbody tr th"
    " td caption pre details summary"
)
SPEC: dict[str, set[str]] = {
    **{tag: set() for tag in PLAIN.split(" ")},
    "a": {"href", "target", "rel"},
    "ol": {"start"},
    "code": {"class"},
    "span": {"data-mx-color", "data-mx-bg-color", "data-mx-spoiler"},
}
"""What the Matrix spec lets clients show, without pictures; `rel` is added by whoever cleans."""


def many(examples: int) -> Any:
    return settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )


# --- what is written ----------------------------------------------------------------------------

ANY = st.text(max_size=120)
MARKUP = st.lists(
    st.sampled_from(
        [
            *(
                "<b>",
                "</b>",
                "<",
                ">",
                "</",
                "<!--",
                "-->",
                "<![CDATA[",
                "]]>",
                "<?x",
                "&lt;",
                "&#x3c;",
            ),
            *(
                "<script>alert(1)</script>",
                "<img src=x onerror=y>",
                "<svg/onload=x>",
                "<iframe src=x>",
            ),
            *(
                "<a href='javascript:x'>",
                '<a href="data:text/html,x" onclick=y>',
                "<style>*{}</style>",
            ),
            *(
                "<span data-mx-color='#fff' style='x'>",
                "<code class='evil language-py'>",
                "<math><mi>",
            ),
            *(
                "**",
                "__",
                "~~",
                "`",
                "```\n",
                "~~~~py\n",
                "||",
                "|",
                "\n|-|-|\n",
                "[x](",
                "![x](",
                ")",
            ),
            *(
                "- ",
                "1. ",
                "> ",
                "# ",
                "---\n",
                "\n\n",
                "\n",
                "    ",
                " ",
                "\t",
                "\\",
                "*",
                "_",
                "[a]: b\n",
            ),
            *(
                "@room",
                "@alice:hs",
                "https://x.y/z",
                "a",
                "é",
                "😀",
                "\u202e",
                "\x00",
                "\ue0000\ue001",
                "&",
            ),
        ]
    ),
    max_size=60,
).map("".join)
NAMES = st.sampled_from(sorted(BY_NAME)) | st.text(max_size=12)
ARGUMENTS = (
    ANY
    | MARKUP
    | st.integers(-(10**6), 10**6).map(str)
    | st.sampled_from(["9" * 5000, "C1", "shout"])
)
COMMAND = st.builds(
    lambda n, gap, a: f"!{n}{gap}{a}",
    NAMES,
    st.sampled_from([" ", "  ", "\n", "", "\t"]),
    ARGUMENTS,
)
BODY = COMMAND | COMMAND | st.integers(-5, 99_999).map(str) | ANY | MARKUP
QUESTIONS = st.sampled_from([None, "agent", "load", "archive", "forget", "agent_question", "bind"])


# --- people -------------------------------------------------------------------------------------


@many(2_000)
@given(BODY)
def test_every_body_is_a_command_a_number_or_talk(body: str) -> None:
    match parse(body):
        case Command(name, arguments):
            assert name == name.casefold()
            assert arguments == arguments.strip()
            assert body.strip().startswith("!")
        case Number(value):
            assert 0 <= value <= 9999
        case Talk(text):
            assert text == body.strip()


KEYS = st.sampled_from(
    (
        *(
            "body",
            "msgtype",
            "m.relates_to",
            "m.new_content",
            "m.mentions",
            "rel_type",
            "event_id",
            "key",
        ),
        *(
            "membership",
            "name",
            "redacts",
            "m.in_reply_to",
            "is_falling_back",
            "user_ids",
            "owner",
            "nonce",
        ),
        *("url", "file", "filename", "info", "size", "mimetype", "key", "k", "iv", "hashes"),
    )
)
VALUES = st.sampled_from(
    (
        *(
            None,
            True,
            0,
            -1,
            1.5,
            2**70,
            "",
            "x",
            "\x00",
            "9" * 300,
            [],
            {},
            [None],
            [[]],
            {"body": 1},
        ),
        *(
            "m.text",
            "m.notice",
            "m.image",
            "m.file",
            "mxc://hs/abc",
            "m.replace",
            "m.annotation",
            "m.thread",
            "$e",
            "$running",
        ),
        *(ALICE, "@bot:hs", "join", "leave", "ban", "!help", "!yes", "1", "✅", "1️⃣", "🛑"),
    )
)
INNER = st.dictionaries(KEYS, VALUES, max_size=4)
CONTENT = st.dictionaries(KEYS, VALUES | INNER, max_size=6)
TYPES = st.sampled_from(
    (
        *("m.room.message", "m.room.message", "m.room.redaction", "m.reaction", "m.room.encrypted"),
        *(
            "m.sticker",
            "m.room.member",
            "m.room.name",
            "m.room.encryption",
            "lambda.surface.room",
            "x",
        ),
    )
)


def _nowhere() -> dict[str, Any]:
    return {"event_id": "$e", "sender": ALICE, "origin_server_ts": 1}


async def _lived(event: dict[str, Any], room: str, user: str, question: str | None) -> None:
    there = await place(room, user)
    if question is not None:
        asking(there, question)
    received = read(ROOM, event, "@bot:hs")
    if received is not None:
        await there.receive(received)
        _sendable(there.heard)


@many(1_500)
@given(TYPES, CONTENT | VALUES, st.sampled_from(sorted(ROOMS)), QUESTIONS)
def test_no_event_that_a_stranger_can_make_breaks_a_decision(
    kind: str, content: Any, room: str, question: str | None
) -> None:
    event = {**_nowhere(), "type": kind, "state_key": ALICE, "content": content}
    asyncio.run(_lived(event, room, "ready", question))


async def _talk(bodies: list[str], room: str, user: str, locale: str, question: str | None) -> None:
    there = await place(room, user, locale)
    if question is not None:
        asking(there, question)
    for body in bodies:
        said = await there.say(body)
        for row in said.rows:
            if isinstance(row.effect, Notice):
                assert row.effect.text.key
    _sendable(there.heard)


@many(1_000)
@given(
    st.lists(BODY, min_size=4, max_size=4),
    st.sampled_from(sorted(ROOMS)),
    st.sampled_from(sorted(USERS)),
    st.sampled_from(LOCALES),
    QUESTIONS,
)
def test_whatever_is_said_is_decided_and_the_answer_can_be_sent(
    bodies: list[str], room: str, user: str, locale: str, question: str | None
) -> None:
    asyncio.run(_talk(bodies, room, user, locale, question))


# --- agents -------------------------------------------------------------------------------------


class Reader(HTMLParser):
    """What HTML really holds."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.strange: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.found.append((tag, {}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.strange.append(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


def _allowed(html: str) -> None:
    reader = Reader(html)
    assert reader.strange == []
    for tag, attributes in reader.found:
        assert tag in SPEC, tag
        assert set(attributes) <= SPEC[tag], (tag, attributes)
        if tag == "a" and attributes.get("href"):
            address = urlsplit(re.sub(r"[\x00-\x20]", "", str(attributes["href"])))
            assert address.scheme in SCHEMES, address
        if tag == "code" and "class" in attributes:
            assert str(attributes["class"]).startswith("language-")


def _sendable(contents: list[dict[str, Any]]) -> None:
    for content in contents:
        # What goes into encryption has all but ASCII escaped; what goes in plain has not.
        assert len(json.dumps(content)) * ENCRYPTED + ENVELOPE < EVENT
        for inner in (content, content.get("m.new_content")):
            if inner is None:
                continue
            assert inner["body"].strip()
            assert inner["m.mentions"] == {}
            _allowed(inner.get("formatted_body", ""))


@many(10_000)
@given(MARKUP | MARKUP | ANY)
def test_whatever_an_agent_writes_can_be_sent_and_pings_nobody(markdown: str) -> None:
    content = render.answer(markdown)
    _sendable([content, render.edit(content, "$old"), render.placed(content, "$t", "$r")])
    if markdown.strip():
        assert content["body"] == markdown


UNITS = st.sampled_from(
    (
        "a",
        "é",
        "😀",
        "<",
        '"',
        "\\",
        "`",
        "*a* ",
        "word ",
        "- x\n",
        "|a|b|\n",
        "> q\n",
        "\n\n",
        "x\n\n",
    )
)
BLOCK = st.builds(
    lambda head, unit, count, tail: head + (unit * count)[:40_000] + tail,
    st.sampled_from(("", "```py\n", "# ", "- ", "> ", "|a|b|\n|-|-|\n")),
    UNITS | MARKUP,
    st.integers(1, 20_000),
    st.sampled_from(("", "\n```", "\r\n")),
)
LONG = st.lists(BLOCK, min_size=1, max_size=3).map("\n\n".join)


@seed(3)
@many(20)
@given(LONG)
def test_long_answers_are_cut_into_events_that_can_be_sent(markdown: str) -> None:
    contents = render.parts(markdown, edits="$" + "e" * 43)
    _sendable(contents)
    _sendable([render.placed(content, "$t" * 22, "$r" * 22) for content in contents[1:]])
    bodies = [contents[0]["m.new_content"]["body"], *(content["body"] for content in contents[1:])]
    assert _holds("\n".join(bodies), markdown)
    assert render.parts(markdown, edits="$" + "e" * 43, most=1) == contents[:1]


@many(2_480)
@given(MARKUP | ANY, st.integers(40, 300))
def test_nothing_is_lost_between_the_parts(markdown: str, limit: int) -> None:
    def fits(part: str) -> bool:
        return len(part.encode("utf-8", "surrogatepass")) <= limit

    parts = list(split(markdown, fits))
    assert all(map(fits, parts))
    assume(len(max(FENCE.findall(markdown), key=len, default="")) < limit - 40)
    assert _holds("\n".join(parts), markdown)


FENCE = re.compile(r"(?:`{3,}|~{3,}).*")
"""A fence whose language is longer than a part has none: of that, words may be lost."""


def _holds(joined: str, markdown: str) -> bool:
    """Whether all letters of a text are in its parts, in order; parts may repeat fences and languages."""
    rest = iter(joined)
    return all(letter in rest for letter in re.sub(r"[\s`~\x00\ufffd]", "", markdown))
