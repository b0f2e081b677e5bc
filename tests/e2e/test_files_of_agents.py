"""What agents send: shown where it may be read, said where it may not; and what they are doing meanwhile.

The agent is a puppet: each message tells it, as a JSON list, what to send.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest

from store.memory import MemoryStore
from surface.files.names import folder_name
from surface.platform.interface import ConfirmationAsked, Done, FileOut, Status, TextDelta
from surface.platform.reference.brain import Beat, Task, failed
from surface.platform.reference.desk import Desk as PlatformDesk
from surface.platform.reference.service import make_app
from surface.platform.wire import AgentCard
from tests.e2e.conftest import Make
from tests.rig.bot import Bot
from tests.rig.desk import Desk, onboard
from tests.rig.services import serving
from tests.rig.view import Message

FILES = ("m.image", "m.file", "m.audio", "m.video")


class Puppet:
    """Plays what a message says, a list of `[what, value…]`."""

    repeatable = True

    def __init__(self) -> None:
        self.failed: set[str] = set()
        self.seen: list[list[dict[str, Any]]] = []
        """Of each message, its attachments."""

    async def answer(self, task: Task) -> AsyncGenerator[Beat, None]:
        self.seen.append([vars_of(file) for file in task.message.attachments])
        for what, *values in json.loads(task.message.text):
            match what:
                case "say":
                    yield Beat(TextDelta(values[0]))
                case "status":
                    yield Beat(Status(values[0]))
                case "pause":
                    await asyncio.sleep(values[0])
                case "file":
                    yield Beat(FileOut(*values))
                case "back":
                    for file in task.message.attachments:
                        yield Beat(FileOut(file.workspace_path, file.filename, file.mime_type))
                case "ask":
                    yield Beat(ConfirmationAsked(task.message.message_id, values[0]))
                    await task.verdict(task.message.message_id)
                case "fail once" if values[0] not in self.failed:
                    self.failed.add(values[0])
                    yield failed("tired", "I am tired")
                    return
        yield Beat(Done())

    async def check(self) -> str:
        return ""

    async def aclose(self) -> None:
        pass


def vars_of(file: Any) -> dict[str, Any]:
    return {
        name: getattr(file, name) for name in ("workspace_path", "filename", "mime_type", "size")
    }


@pytest.fixture(scope="module")
def puppet() -> Iterator[tuple[Puppet, str]]:
    brain = Puppet()
    desk = PlatformDesk(MemoryStore(), {"puppet": brain})
    with serving(make_app(desk, [AgentCard(id="puppet", name="Puppet")], "secret")) as url:
        yield brain, url


@pytest.fixture
async def bot(share_bot: Make, puppet: tuple[Puppet, str]) -> Bot:
    entry = {"id": "puppet", "name": "Puppet", "adapter": "http", "url": puppet[1]}
    shared: Bot = await share_bot(
        agents=[{**entry, "token": "secret"}],
        default="puppet",
        settings={"answers": {"placeholder_after": 0.1, "edit_every": 0.1}},
    )
    shared.workspace.mkdir(exist_ok=True)
    return shared


@pytest.fixture
async def desk(person: Make, bot: Bot) -> Desk:
    return await onboard(await person("alice"), bot)


async def play(desk: Desk, *script: list[Any], **how: Any) -> str:
    return await desk.person.send(desk.chat, json.dumps(script), **how)


async def file_after(desk: Desk, said: str) -> Message:
    return await desk.person.answer_to(desk.chat, said, where=lambda m: m.msgtype in FILES)


@pytest.mark.parametrize(
    ("name", "claimed", "data", "msgtype", "mime_type"),
    [
        ("a.txt", "text/plain", b"hello", "m.file", "text/plain"),
        ("empty", "image/png", b"", "m.image", "image/png"),
        ("liar.png", "image/png", b"not a picture", "m.file", "application/octet-stream"),
        ("liar.txt", "text/plain", b"%PDF-1.7\n", "m.file", "application/pdf"),
        ("odd", "Not A Type!", b"x", "m.file", "application/octet-stream"),
        ("a.svg", "image/svg+xml", b"<svg/>", "m.file", "image/svg+xml"),
        ("../../up\u202egnp.exe", "text/plain", b"x", "m.file", "text/plain"),
    ],
)
async def test_a_file_is_sent_as_what_it_is(
    desk: Desk, name: str, claimed: str, data: bytes, msgtype: str, mime_type: str
) -> None:
    (desk.bot.workspace / "out.bin").write_bytes(data)

    said = await play(desk, ["say", "here"], ["file", "out.bin", name, claimed])
    file = await file_after(desk, said)

    assert (file.msgtype, file.content["info"]["mimetype"]) == (msgtype, mime_type)
    assert file.body == file.content["filename"] == name.rpartition("/")[2].replace("\u202e", "")
    assert await desk.person.download(file) == data


async def test_nothing_outside_the_workspace_and_nobody_elses_file_is_sent(
    desk: Desk, person: Make, tmp_path: Path
) -> None:
    root = desk.bot.workspace
    secret = tmp_path / "secret.txt"
    secret.write_text("not yours")
    (root / "dir").mkdir(exist_ok=True)
    for link, target in {
        "link.txt": secret,
        "linked": tmp_path,
        "dir/up": Path(".."),
        "state": desk.bot.state_dir,
    }.items():
        (root / link).unlink(missing_ok=True)
        (root / link).symlink_to(target)
    os.mkfifo(root / f"pipe-{folder_name(desk.me)}")
    other = await onboard(await person("bob"), desk.bot)
    theirs = await other.person.send_file(other.chat, "theirs.txt", b"theirs")
    await other.person.until(
        lambda: bool(other.person.reactions(other.chat, theirs)), what="the sign"
    )
    mine = await desk.new("Second")
    elsewhere = await desk.person.send_file(mine, "elsewhere.txt", b"of another room")
    await desk.person.until(lambda: bool(desk.person.reactions(mine, elsewhere)), what="the sign")
    (bobs,) = root.rglob("*theirs.txt")
    (other_rooms,) = root.rglob("*elsewhere.txt")

    paths = [
        "../secret.txt",
        str(secret),
        "/etc/hostname",
        "link.txt",
        "linked/secret.txt",
        "dir/up/link.txt",
        "state/lambda_matrix.db",
        "dir/../link.txt",
        "dir",
        f"pipe-{folder_name(desk.me)}",
        str(bobs.relative_to(root)),
        str(other_rooms.relative_to(root)),
        "./" + str(bobs.relative_to(root)),
        "nul\0byte",
        ".",
    ]
    said = await play(desk, *(["file", path, "f", "text/plain"] for path in paths))

    def refusals() -> list[str]:
        return [
            m.body for m in desk.person.messages_after(desk.chat, said) if m.msgtype == "m.notice"
        ]

    await desk.person.until(lambda: bool(refusals()), what="the refusal")
    assert refusals()[0].startswith(f"The agent sent {len(paths)} files that I cannot show: ")
    assert [m for m in desk.person.messages(desk.chat) if m.msgtype in FILES] == []
    missing = await play(desk, ["file", "nowhere.txt", "n.txt", "text/plain"])
    answer = await desk.person.answer_to(desk.chat, missing, saying="n.txt")
    assert answer.body == "The agent sent the file n.txt, but it cannot be read."


@pytest.mark.parametrize("pace", ["at once", "while it grows"])
async def test_an_agent_that_floods_files_does_not_flood_the_room(desk: Desk, pace: str) -> None:
    (desk.bot.workspace / "one.txt").write_text("one")
    before = [["say", "Look: "], ["pause", 0.5]] if pace == "while it grows" else []
    flood = [["file", f"none{n}", f"{n}.txt", "text/plain"] for n in range(99)]
    good = [["file", "one.txt", "one.txt", "text/plain"], ["say", "that is all"]]
    said = await play(desk, *before, *flood[:50], *good, *flood[50:])
    await file_after(desk, said)
    refusal = await desk.person.answer_to(desk.chat, said, saying="cannot show")
    assert refusal.body.startswith("The agent sent 99 files that I cannot show")
    assert refusal.body.endswith("0.txt, 1.txt, 2.txt, 3.txt, 4.txt")
    await desk.bot.at_rest()
    notices = [m for m in desk.person.messages_after(desk.chat, said) if m.msgtype == "m.notice"]
    assert notices == [refusal]


async def test_an_agent_gets_path_name_type_and_size_and_sends_the_file_back(
    desk: Desk, puppet: tuple[Puppet, str]
) -> None:
    sent = await desk.person.send_file(
        desk.chat,
        json.dumps([["back"]]),
        b"%PDF-1.7\n",
        mime_type="text/plain",
        filename="../é.pdf",
    )
    file = await file_after(desk, sent)

    (given,) = puppet[0].seen[-1]
    path = given.pop("workspace_path")
    assert given == {"filename": "é.pdf", "mime_type": "application/pdf", "size": 9}
    folders = ("surfaces", "matrix", folder_name(desk.me), folder_name(desk.chat), "inbox")
    assert path.startswith("/".join(folders) + "/") and path.endswith("-é.pdf")
    assert await desk.person.download(file) == (desk.bot.workspace / path).read_bytes()


async def test_what_a_homeserver_does_not_take_is_said(desk: Desk) -> None:
    with (desk.bot.workspace / "huge.bin").open("wb") as file:
        file.truncate(60_000_000)

    said = await play(desk, ["say", "here"], ["file", "huge.bin", "huge.bin", "video/mp4"])
    answer = await desk.person.answer_to(desk.chat, said, saying="huge.bin")

    assert (
        answer.body == "The agent sent the file huge.bin, but the homeserver takes 52.4 MB at most."
    )
    assert answer.reply_to == said


async def test_a_file_of_a_slow_answer_is_there_before_the_answer_is(desk: Desk) -> None:
    (desk.bot.workspace / "draft.txt").write_text("draft")
    said = await play(
        desk,
        ["say", "A draft: "],
        ["pause", 0.5],
        ["file", "draft.txt", "draft.txt", "text/plain"],
        ["ask", "Shall I go on?"],
        ["say", "done"],
    )

    file = await file_after(desk, said)
    question = await desk.person.answer_to(desk.chat, said, saying="Shall I go on?")
    (before,) = [m for m in desk.person.messages_after(desk.chat, said) if m.msgtype == "m.text"]
    assert before.body.strip() == "A draft:"
    await desk.person.react(desk.chat, question.event_id, "✅")
    await desk.person.answer_to(desk.chat, said, where=lambda m: m.body == "A draft: done")

    order = [m.event_id for m in desk.person.messages_after(desk.chat, said)]
    assert order[:2] == [before.event_id, file.event_id]
    assert len([m for m in await desk.person.history(desk.chat) if m.msgtype in FILES]) == 1


async def test_a_file_before_a_question_is_seen_before_it_also_without_words(desk: Desk) -> None:
    (desk.bot.workspace / "plan.txt").write_text("plan")
    said = await play(
        desk, ["file", "plan.txt", "plan.txt", "text/plain"], ["ask", "Is it good?"], ["say", "ok"]
    )
    await file_after(desk, said)
    question = await desk.person.answer_to(desk.chat, said, saying="Is it good?")
    await desk.person.react(desk.chat, question.event_id, "✅")
    await desk.person.answer_to(desk.chat, said, where=lambda m: m.body == "ok")
    files = [m for m in await desk.person.history(desk.chat) if m.msgtype in FILES]
    assert [file.body for file in files] == ["plan.txt"]


async def test_what_the_agent_is_doing_is_shown_until_it_says_something(desk: Desk) -> None:
    said = await play(
        desk,
        ["status", "looking *it* up"],
        ["pause", 1],
        ["say", "Found"],
        ["pause", 0.5],
        ["say", "."],
    )

    doing = await desk.person.answer_to(desk.chat, said, saying="looking")
    assert doing.formatted == "<p><em>looking *it* up</em></p>"
    await desk.person.answer_to(desk.chat, said, where=lambda m: m.body == "Found.")

    (answer,) = desk.person.messages_after(desk.chat, said)
    assert answer.event_id == doing.event_id and "looking" not in answer.body


async def test_files_of_a_thread_are_shown_there(desk: Desk) -> None:
    (desk.bot.workspace / "t.txt").write_text("t")
    root = await desk.person.send(desk.chat, "[]")
    said = await play(
        desk,
        ["say", "x"],
        ["file", "t.txt", "t.txt", "text/plain"],
        ["file", "none", "none", "text/plain"],
        thread=root,
    )
    file = await file_after(desk, said)
    refusal = await desk.person.answer_to(desk.chat, said, saying="cannot be read")
    assert file.thread == refusal.thread == root


async def test_what_failed_is_asked_again_with_its_files(
    desk: Desk, puppet: tuple[Puppet, str]
) -> None:
    script = json.dumps([["fail once", desk.chat], ["back"]])
    sent = await desk.person.send_file(desk.chat, script, b"data", filename="a.txt")
    await desk.person.answer_to(desk.chat, sent, saying="!retry")

    again = await desk.person.send(desk.chat, "!retry")
    file = await file_after(desk, again)

    assert file.body == "a.txt"
    assert puppet[0].seen[-1] == puppet[0].seen[-2] != []
