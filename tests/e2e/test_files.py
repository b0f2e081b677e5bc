"""Files between a person and an agent, in plain and in encrypted rooms.

The agent is `echo`, which sends back what it was given: so one round goes both ways.
"""

from __future__ import annotations

import io
import wave
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from surface.files.names import folder_name
from tests.e2e.conftest import Make
from tests.rig.bot import Bot
from tests.rig.desk import Desk, onboard
from tests.rig.view import Message

STAGED = "📎"
MOST = 200_000
"""Bytes that a file may have here."""
SHORT_KEYS = {
    "url": "mxc://hs/abc",
    "key": {"k": "eA"},
    "iv": "eA",
    "hashes": {"sha256": "eA"},
}


def png(width: int = 4, height: int = 3, *, noise: bool = False) -> bytes:
    out = io.BytesIO()
    made = Image.effect_noise((width, height), 64) if noise else Image.new("RGB", (width, height))
    made.save(out, "PNG")
    return out.getvalue()


def wav(seconds: float) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setparams((1, 1, 8000, 0, "NONE", "not compressed"))
        sound.writeframes(b"\x80" * int(8000 * seconds))
    return out.getvalue()


@pytest.fixture
async def bot(mode: str, share_bot: Make) -> Bot:
    files = {"max_incoming": MOST / 1e6, "quota_per_user": 5 * MOST / 1e6}
    shared: Bot = await share_bot(encryption=mode == "encrypted", settings={"files": files})
    return shared


@pytest.fixture
async def desk(someone: Make, bot: Bot) -> Desk:
    return await onboard(await someone("alice"), bot)


async def staged(desk: Desk, event: str, room: str | None = None) -> None:
    """Wait for the sign that a file waits for its message."""
    await desk.person.until(
        lambda: (desk.bot.user_id, STAGED) in desk.person.reactions(room or desk.chat, event),
        what=f"{STAGED} under {event}",
    )


async def unsigned(desk: Desk, event: str) -> None:
    """Wait until a file does not wait for its message any more."""
    await desk.person.until(
        lambda: not desk.person.reactions(desk.chat, event), what=f"no {STAGED} under {event}"
    )


def is_file(message: Message) -> bool:
    return message.msgtype in ("m.image", "m.file", "m.audio", "m.video")


async def came_back(desk: Desk, sent: str, count: int) -> list[Message]:
    """So many files in answer to a message, in order."""

    def files() -> list[Message]:
        later = desk.person.messages_after(desk.chat, sent, desk.bot.user_id)
        return [message for message in later if is_file(message)]

    await desk.person.until(lambda: len(files()) >= count, what=f"{count} files")
    return files()


def inbox(desk: Desk, room: str | None = None) -> list[Path]:
    """What lies in the person's inbox of a room."""
    parts = (folder_name(desk.me), folder_name(room or desk.chat), "inbox")
    return sorted(desk.bot.workspace.joinpath("surfaces", "matrix", *parts).glob("*"))


async def test_a_captioned_picture_goes_to_the_agent_and_comes_back(desk: Desk, mode: str) -> None:
    data = png(400, 300, noise=True)
    assert 64 * 1024 < len(data) < MOST
    sent = await desk.person.send_file(
        desk.chat,
        "what is this?",
        data,
        mime_type="image/png",
        msgtype="m.image",
        filename="Кошка на крыше.png",
    )

    (back,) = await came_back(desk, sent, 1)
    answer = await desk.person.answer_to(desk.chat, sent, saying="what is this?")

    assert answer.msgtype == "m.text"
    assert (back.msgtype, back.body) == ("m.image", "Кошка на крыше.png")
    assert back.content["m.mentions"] == {}
    assert back.encrypted == (mode == "encrypted")
    assert await desk.person.download(back) == data
    info = back.content["info"]
    assert (info["w"], info["h"], info["size"]) == (400, 300, len(data))
    assert info["mimetype"] == "image/png"
    sealed = mode == "encrypted"
    assert ("url" in back.content, "file" in back.content) == (not sealed, sealed)
    key = "file" if sealed else "url"
    small = replace(back, content={key: info[f"thumbnail_{key}"]})
    with Image.open(io.BytesIO(await desk.person.download(small))) as shown:
        told = info["thumbnail_info"]
        assert shown.size == (told["w"], told["h"]) == (400, 300)
    (kept,) = inbox(desk)
    assert kept.name.endswith("-Кошка на крыше.png")
    assert kept.read_bytes() == data


async def test_files_without_words_wait_for_the_next_message(desk: Desk) -> None:
    first = await desk.person.send_file(desk.chat, "a.txt", b"one", mime_type="text/plain")
    second = await desk.person.send_file(
        desk.chat, "sound.wav", wav(1.5), mime_type="audio/x-wav", msgtype="m.audio"
    )
    await staged(desk, first)
    await staged(desk, second)
    assert not desk.person.messages_after(desk.chat, first, desk.bot.user_id), "only a sign"

    said = await desk.person.send(desk.chat, "compare them")
    files = await came_back(desk, said, 2)

    assert [(file.body, file.msgtype) for file in files] == [
        ("a.txt", "m.file"),
        ("sound.wav", "m.audio"),
    ]
    assert files[1].content["info"]["duration"] == 1500
    answer = await desk.person.answer_to(desk.chat, said, saying="compare them")
    order = [m.event_id for m in desk.person.messages_after(desk.chat, said)]
    assert order == [answer.event_id, *(file.event_id for file in files)], "words come first"
    # They were taken along once.
    again = await desk.person.send(desk.chat, "and now?")
    await desk.person.answer_to(desk.chat, again, saying="and now?")
    alive = await desk.say(desk.chat, "still there?")
    later = [m.event_id for m in desk.person.messages_after(desk.chat, again)]
    assert later[-1] == alive.event_id and len(later) == 2


async def test_dropped_files_and_those_taken_back_are_not_taken_along(desk: Desk) -> None:
    first = [await desk.person.send_file(desk.chat, name, b"x") for name in ("a", "b")]
    for event in first:
        await staged(desk, event)
    dropped = await desk.command(desk.chat, "!drop")
    assert dropped.body == "Dropped 2 files."
    for event in first:
        await unsigned(desk, event)
    kept = await desk.person.send_file(desk.chat, "kept", b"x")
    await staged(desk, kept)
    gone = await desk.person.send_file(desk.chat, "gone", b"x")
    await staged(desk, gone)
    await desk.person.redact(desk.chat, gone)

    said = await desk.person.send(desk.chat, "which?")
    (file,) = await came_back(desk, said, 1)

    assert file.body == "kept"
    nothing = await desk.command(desk.chat, "!drop")
    assert nothing.body == "No file is waiting for a message."
    assert len(await came_back(desk, said, 1)) == 1


async def test_a_command_under_a_file_is_done_and_the_file_is_not_lost_in_silence(
    desk: Desk,
) -> None:
    """Where an agent answers it waits for its message; where none does, that is said."""
    words = {"mime_type": "text/plain", "filename": "a.txt"}
    sent = await desk.person.send_file(desk.chat, "!new Kitchen", b"one", **words)
    await staged(desk, sent)
    await desk.person.answer_to(desk.chat, sent, sender=desk.bot.user_id, saying="Made Kitchen")
    at_home = await desk.person.send_file(desk.home, "!context", b"two", **words)
    await desk.person.answer_to(
        desk.home, at_home, sender=desk.bot.user_id, saying="I have not taken a.txt"
    )


async def test_a_sticker_and_a_voice_message_are_files_too(desk: Desk) -> None:
    picture = png()
    uri = await desk.person.send_file(
        desk.chat,
        "Voice message.ogg",
        wav(0.5),
        mime_type="audio/ogg",
        msgtype="m.audio",
        **{"org.matrix.msc3245.voice": {}},
    )
    await staged(desk, uri)
    sticker = await desk.person.send_file(
        desk.chat, "a cat waves", picture, mime_type="image/png", kind="m.sticker"
    )
    await staged(desk, sticker)
    said = await desk.person.send(desk.chat, "well?")
    files = await came_back(desk, said, 2)

    # What they are is seen by what is in them, not by what is said of them.
    assert [file.content["info"]["mimetype"] for file in files] == ["audio/x-wav", "image/png"]
    assert [file.msgtype for file in files] == ["m.audio", "m.image"]
    assert await desk.person.download(files[1]) == picture


@pytest.mark.parametrize("size", [0, 1, MOST - 1, MOST])
async def test_a_file_of_any_size_up_to_the_limit_comes_through(desk: Desk, size: int) -> None:
    data = bytes(n % 251 for n in range(size))
    sent = await desk.person.send_file(
        desk.chat, "size", data, mime_type="application/x-own", filename="data.bin"
    )

    (back,) = await came_back(desk, sent, 1)

    assert await desk.person.download(back) == data
    assert back.content["info"] == {"mimetype": "application/x-own", "size": size}


@pytest.mark.parametrize("honest", [True, False])
async def test_what_is_too_large_is_refused_and_its_words_are_answered(
    desk: Desk, honest: bool
) -> None:
    data = bytes(MOST + 1)
    told = {} if honest else {"info": {"mimetype": "text/plain", "size": 3}}
    sent = await desk.person.send_file(desk.chat, "read this", data, filename="big.txt", **told)

    refusal = await desk.person.answer_to(desk.chat, sent, saying="is too large")
    assert refusal.body == "big.txt is too large: 0.2 MB at most."
    assert refusal.reply_to == sent
    await desk.person.answer_to(desk.chat, sent, where=lambda m: m.body == "read this")
    assert inbox(desk) == [], "not even a part of it"


async def test_all_files_together_are_limited(desk: Desk) -> None:
    names = [f"f{n}" for n in range(5)]
    for name in names:
        await staged(desk, await desk.person.send_file(desk.chat, name, bytes(MOST)))
    over = await desk.person.send_file(desk.chat, "f5", b"x")

    refusal = await desk.person.answer_to(desk.chat, over, saying="f5")

    assert refusal.body.startswith("I cannot take f5: all your files together may have 1 MB.")
    said = await desk.person.send(desk.chat, "go")
    assert [file.body for file in await came_back(desk, said, 5)] == names


@pytest.mark.parametrize(
    "content",
    [
        {"url": None},
        {"url": "https://example.org/x"},
        {"url": "mxc://hs/../../etc/passwd"},
        {"url": None, "file": {"url": "mxc://hs/abc"}},
        {
            "url": None,
            "file": {
                "url": "mxc://hs/abc",
                "key": {"k": "eA"},
                "iv": "eA",
                "hashes": {"sha256": "eA"},
            },
        },
    ],
)
async def test_an_event_that_says_nothing_usable_is_refused(desk: Desk, content: dict) -> None:  # type: ignore[type-arg]
    event = {"msgtype": "m.file", "body": "odd.bin", **content}
    sent = await desk.person.send_event(desk.chat, "m.room.message", event)

    refusal = await desk.person.answer_to(desk.chat, sent, sender=desk.bot.user_id)

    assert refusal.body.startswith("I cannot take odd.bin: the message does not say where")


async def test_a_file_that_the_homeserver_does_not_have_is_refused(desk: Desk) -> None:
    server = desk.me.partition(":")[2]
    event = {"msgtype": "m.file", "body": "gone.bin", "url": f"mxc://{server}/nothing"}
    sent = await desk.person.send_event(desk.chat, "m.room.message", event)

    refusal = await desk.person.answer_to(desk.chat, sent, saying="gone.bin")

    assert refusal.body == "I cannot take gone.bin: the homeserver does not have it."


async def test_in_company_only_what_is_said_to_the_bot_is_fetched(
    desk: Desk, someone: Make
) -> None:
    other = await someone("bob")
    await desk.person.invite(desk.chat, other.user_id)
    await other.join(desk.chat)
    await desk.person.message(desk.chat, "Now that somebody else is here")
    unasked = await other.send_file(desk.chat, "private.txt", b"not for the bot")
    mine = await desk.person.send_file(desk.chat, "mine.txt", b"nor this")

    mention = {"m.mentions": {"user_ids": [desk.bot.user_id]}}
    asked = await other.send_file(desk.chat, "and this?", b"bob's", filename="b.txt", **mention)
    (back,) = await came_back(desk, asked, 1)

    assert back.body == "b.txt"
    assert inbox(desk) == []
    theirs = desk.bot.workspace / "surfaces" / "matrix" / folder_name(other.user_id)
    assert [path.read_bytes() for path in theirs.rglob("*.txt")] == [b"bob's"]
    for event in (unasked, mine):
        assert desk.person.reactions(desk.chat, event) == []
