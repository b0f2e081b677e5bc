"""How answers look and where they stand: Markdown, mentions, size, streaming, threads, replies."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Make
from tests.rig.bot import AGENTS
from tests.rig.desk import Desk, onboard
from tests.rig.view import Event

WORDS = " ".join(f"word{n}" for n in range(1, 31))


@pytest.fixture
async def desk(someone: Make, share_bot: Make, mode: str) -> Desk:
    return await onboard(await someone("alice"), await share_bot(encryption=mode == "encrypted"))


@pytest.fixture
async def plain(person: Make, share_bot: Make) -> Desk:
    return await onboard(await person("alice"), await share_bot(encryption=False))


async def streaming(person: Make, share_bot: Make, **answers: float) -> Desk:
    quick = {"placeholder_after": 0.1, "edit_every": 0.1, **answers}
    bot = await share_bot(default="slow", agents=AGENTS, settings={"answers": quick})
    return await onboard(await person("alice"), bot)


def spoken(desk: Desk, after: str) -> list[Event]:
    """Every message event of the bot after an event, edits included, as it can be read."""
    room = desk.person.rooms[desk.chat]
    ids = [event["event_id"] for event in room.timeline]
    later = room.timeline[ids.index(after) + 1 :]
    shown = [room.shown(event) for event in later if event["sender"] == desk.bot.user_id]
    return [event for event in shown if event["type"] == "m.room.message"]


@pytest.mark.parametrize(
    "markdown,html",
    [
        ("| a | b |\n|---|---|\n| 1 | *2* |", ["<table>", "<th>a</th>", "<td><em>2</em></td>"]),
        ("```python\nprint('<b>')\n```", ['<code class="language-python">', "&lt;b&gt;"]),
        ("see ||the *end*|| no", ['<span data-mx-spoiler="">the <em>end</em></span>']),
        ("1. one\n2. two\n\n- [x](https://x.org)", ["<ol>", "<ul>", 'href="https://x.org"']),
        ("~~gone~~ **bold**", ["<strong>bold</strong>"]),
    ],
)
async def test_markdown_becomes_html(desk: Desk, markdown: str, html: list[str]) -> None:
    answer = await desk.say(desk.chat, markdown)
    assert answer.body == markdown
    assert answer.content["format"] == "org.matrix.custom.html"
    for piece in html:
        assert piece in (answer.formatted or ""), answer.formatted


async def test_html_of_an_agent_is_cleaned(plain: Desk) -> None:
    evil = (
        '<img src="https://x.org/a.png" onerror="x()"> <a href="javascript:x()" onclick="y()">z</a>'
        ' <b style="color:red">b</b> <font color="red">f</font> <script>alert(1)</script>'
    )
    html = (await plain.say(plain.chat, evil)).formatted or ""
    # What is shown as text is escaped; as markup there is nothing of it.
    for markup in ("<img", "<script", "<font", "<b style", 'href="javascript', "<a onclick"):
        assert markup not in html, html
    assert "<b>b</b>" in html


async def test_an_agent_pings_nobody(person: Make, share_bot: Make) -> None:
    desk = await streaming(person, share_bot)
    pill = f"[Alice](https://matrix.to/#/{desk.me})"
    text = f"@room {desk.me} {pill} <a href='https://matrix.to/#/{desk.me}'>A</a> {WORDS}"
    for message in (text, "@room"):
        said = await desk.person.send(desk.chat, message)
        await desk.person.answer_to(desk.chat, said, where=lambda m, t=message: m.body == t)
        events = spoken(desk, said)
        assert events
        for event in events:
            assert event["content"]["m.mentions"] == {}
            assert event["content"].get("m.new_content", {"m.mentions": {}})["m.mentions"] == {}


async def test_a_long_answer_is_several_messages_in_order(desk: Desk) -> None:
    blocks = [f"paragraph {n} " + "x" * 900 for n in range(20)]
    code = "```python\n" + "\n".join(f"line{n} = {n} # {'y' * 60}" for n in range(150)) + "\n```"
    text = "\n\n".join([*blocks, code])
    said = await desk.person.send(desk.chat, text)
    await desk.person.answer_to(desk.chat, said, saying="line149 ")
    await desk.say(desk.chat, "next")

    parts = [event["content"] for event in spoken(desk, said)][:-1]

    assert 2 <= len(parts) <= 5
    whole = "\n".join(part["body"] for part in parts)
    places = [whole.index(f"paragraph {n} ") for n in range(20)]
    places += [whole.index(f"line{n} = ") for n in range(150)]
    assert places == sorted(places)
    for part in parts:
        assert part["body"].count("```") % 2 == 0, "a code block is closed where it is cut"
        assert part["m.mentions"] == {}
    assert not list(desk.bot.events("effect.refused"))


async def test_nobody_waits_for_the_rendering_of_anothers_answer(plain: Desk, person: Make) -> None:
    """Dense Markdown takes seconds to render; meanwhile the bot talks with others."""
    other = await onboard(await person("bob"), plain.bot)
    dense = "*a* _b_ `c` " * 4_500
    said = await plain.person.send(plain.chat, dense)

    quick = await other.say(other.chat, "hello")

    slow = await plain.person.answer_to(plain.chat, said, where=lambda m: m.msgtype == "m.text")
    assert quick.ts < slow.ts


async def test_a_very_long_answer_is_a_file(desk: Desk) -> None:
    size = 25_000 if desk.person.rooms[desk.chat].encrypted else 45_000
    texts = [f"{n} " + "word " * (size // 5) for n in range(220_000 // size + 1)]
    for text in texts:
        sent = await desk.person.send(desk.chat, text.strip())
        await desk.person.answer_to(desk.chat, sent, saying=text[-100:].strip())
    said = await desk.person.send(desk.chat, "what did I say?")

    file = await desk.person.answer_to(desk.chat, said, where=lambda m: m.msgtype == "m.file")

    data = (await desk.person.download(file)).decode()
    assert len(data) > 200_000
    assert all(text.strip() in data for text in texts)
    # Before them there may be a placeholder, which then becomes the hint.
    *_, hint, attached = (event["content"] for event in spoken(desk, said))
    assert "as a file" in hint["body"] and attached["msgtype"] == "m.file"
    assert attached["info"]["size"] == len(data.encode())
    assert not desk.bot.events("effect.refused")
    assert (await desk.say(desk.chat, "on")).body == "on"


@pytest.mark.parametrize("most", [0, 1, 3])
async def test_an_answer_has_no_more_edits_than_set(
    person: Make, share_bot: Make, most: int
) -> None:
    desk = await streaming(person, share_bot, edits=most)
    said = await desk.person.send(desk.chat, WORDS)

    done = await desk.person.answer_to(desk.chat, said, where=lambda m: m.body == WORDS)
    await desk.command(desk.chat, "!context")

    assert done.edits <= most + (most > 0), "the last, complete one comes on top"
    assert done.edits >= min(most, 2), "and it did grow"
    if most == 0:
        assert done.edits == 0 and done.original_body == WORDS


async def test_a_question_in_a_thread_is_answered_there(desk: Desk) -> None:
    root = await desk.say(desk.chat, "a root")

    answer = await desk.say(desk.chat, "in the thread", thread=root.event_id)
    outside = await desk.say(desk.chat, "outside")

    assert answer.thread == root.event_id and answer.body == "in the thread"
    assert outside.thread is None


async def test_a_slow_and_a_long_answer_stay_in_the_thread(person: Make, share_bot: Make) -> None:
    desk = await streaming(person, share_bot)
    root = await desk.person.send(desk.chat, "a root")
    await desk.person.answer_to(desk.chat, root)
    said = await desk.person.send(desk.chat, WORDS, thread=root)
    grown = await desk.person.answer_to(desk.chat, said, where=lambda m: m.body == WORDS)
    assert grown.thread == root and grown.edits > 1
    await desk.command(desk.chat, "!agent echo")
    text = "\n\n".join(f"part {n} " + "x" * 9_000 for n in range(6))
    said = await desk.person.send(desk.chat, text, thread=root)
    await desk.person.answer_to(desk.chat, said, saying="part 5 ")
    parts = list(desk.person.messages_after(desk.chat, said, desk.bot.user_id))
    assert len(parts) >= 2 and {m.thread for m in parts} == {root}
    stopped = await desk.person.send(desk.chat, "fail", thread=root)
    assert (await desk.person.answer_to(desk.chat, stopped)).thread == root


async def test_what_is_said_to_a_thread_stays_in_it(person: Make, share_bot: Make) -> None:
    """Commands and an agent's questions too: who reads the thread alone must not miss them."""
    desk = await streaming(person, share_bot)
    root = await desk.person.send(desk.chat, "a root")
    await desk.person.answer_to(desk.chat, root)
    for words in ("!context", "!nonsense", "!save Plan", "!load", "!load Plan"):
        assert (await desk.command(desk.chat, words, thread=root)).thread == root, words
    said = await desk.person.send(desk.chat, "confirm", thread=root)
    question = await desk.person.answer_to(desk.chat, said, saying="Shall I go on?")
    assert question.thread == root
    yes = await desk.person.send(desk.chat, "!yes", thread=root)
    answer = await desk.person.answer_to(desk.chat, yes, where=lambda m: m.body == "You said yes.")
    assert answer.thread == root
    assert (await desk.command(desk.chat, "!context")).thread is None


async def test_an_agent_that_waits_for_an_answer_shows_no_placeholder(
    person: Make, share_bot: Make
) -> None:
    desk = await streaming(person, share_bot)
    said = await desk.person.send(desk.chat, "confirm")
    question = await desk.person.answer_to(desk.chat, said, saying="Shall I go on?")
    # It types from NOTICEABLE on, three times the delay of a placeholder.
    bot, room = desk.bot.user_id, desk.person.rooms[desk.chat]
    await desk.person.until(lambda: bot in room.typing, what="typing")
    assert [e["event_id"] for e in spoken(desk, said)] == [question.event_id]
    yes = await desk.person.send(desk.chat, "!yes")
    await desk.person.answer_to(desk.chat, yes, where=lambda m: m.body == "You said yes.")


async def test_an_answer_is_a_reply_when_others_came_between(person: Make, share_bot: Make) -> None:
    desk = await streaming(person, share_bot, placeholder_after=60)
    first = await desk.person.send(desk.chat, WORDS)
    second = await desk.person.send(desk.chat, "another")

    answer = await desk.person.answer_to(desk.chat, first, where=lambda m: m.body == WORDS)
    last = await desk.person.answer_to(desk.chat, second, where=lambda m: m.body == "another")

    assert answer.reply_to == first
    assert last.reply_to is None, "nothing came after it but the bot's own words"
    alone = await desk.person.send(desk.chat, "alone")
    assert (await desk.person.answer_to(desk.chat, alone)).reply_to is None
