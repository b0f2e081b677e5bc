"""Files over time: what expires, is forgotten, survives a restart, and what a bad volume does."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from surface.files.names import folder_name
from tests.e2e.conftest import Make
from tests.e2e.test_files import came_back, inbox, staged, unsigned
from tests.rig.desk import onboard
from tests.rig.model_server import ModelServer
from tests.rig.proxy import FaultProxy, Hold
from tests.rig.services import serving


async def test_a_file_that_nobody_speaks_of_is_put_aside_aloud(
    person: Make, make_bot: Make
) -> None:
    bot = await make_bot(settings={"files": {"tray_timeout": 1}})
    desk = await onboard(await person("alice"), bot)
    sent = await desk.person.send_file(desk.chat, "a.txt", b"x")
    said = await desk.person.answer_to(desk.chat, sent, saying="aside")
    assert said.body == "No message came, so I put a.txt aside. Send it again when you need it."
    assert said.reply_to == sent
    await unsigned(desk, sent)
    assert (await desk.command(desk.chat, "!drop")).body == "No file is waiting for a message."
    assert len(inbox(desk)) == 1, "the file is still there, for a while"


async def test_whoever_is_forgotten_leaves_no_files(person: Make, make_bot: Make) -> None:
    bot = await make_bot()
    desk = await onboard(await person("alice"), bot)
    other = await onboard(await person("bob"), bot)
    for each in (desk, other):
        await staged(each, await each.person.send_file(each.chat, "a.txt", b"x"))
    await desk.command(desk.chat, "!forget")
    await desk.person.send(desk.chat, "!yes")
    await desk.person.until(
        lambda: bot.user_id not in desk.person.members(desk.chat), what="the bot to leave"
    )
    await bot.at_rest("outbox")
    folders = bot.workspace.joinpath("surfaces", "matrix").iterdir()
    assert [path.name for path in folders] == [folder_name(other.me)]


async def test_files_that_cannot_be_deleted_yet_are_deleted_later(
    person: Make, make_bot: Make
) -> None:
    bot = await make_bot()
    desk = await onboard(await person("alice"), bot)
    await staged(desk, await desk.person.send_file(desk.chat, "a.txt", b"x"))
    away = bot.workspace.with_name("away")
    bot.workspace.rename(away)
    bot.workspace.write_text("not a folder")
    await desk.command(desk.chat, "!forget")
    await desk.person.send(desk.chat, "!yes")
    await bot.logged("effect.put_off", effect="ForgetUser")
    bot.workspace.unlink()
    away.rename(bot.workspace)
    await bot.at_rest("outbox")
    assert list(bot.workspace.joinpath("surfaces", "matrix").iterdir()) == []


async def test_files_that_came_while_the_bot_was_down_go_with_their_message(
    someone: Make, make_bot: Make, mode: str
) -> None:
    bot = await make_bot(encryption=mode == "encrypted")
    desk = await onboard(await someone("alice"), bot)
    await desk.say(desk.chat, "hello")
    await bot.stop()
    for name in ("a.txt", "b.txt"):
        await desk.person.send_file(desk.chat, name, name.encode())
    said = await desk.person.send(desk.chat, "look")
    await bot.start()
    files = await came_back(desk, said, 2)
    assert [file.body for file in files] == ["a.txt", "b.txt"]
    assert [await desk.person.download(file) for file in files] == [b"a.txt", b"b.txt"]


async def test_a_volume_that_cannot_be_written_does_not_silence_the_bot(
    person: Make, make_bot: Make
) -> None:
    bot = await make_bot(may_complain=True)
    desk = await onboard(await person("alice"), bot)
    bot.workspace.parent.mkdir(exist_ok=True)
    (bot.workspace / "surfaces").parent.mkdir(exist_ok=True)
    (bot.workspace / "surfaces").write_text("in the way")

    sent = await desk.person.send_file(desk.chat, "read it", b"x", filename="a.txt")

    refusal = await desk.person.answer_to(desk.chat, sent, saying="a.txt")
    assert refusal.body.startswith("I cannot take a.txt: I may not write where files are kept.")
    await desk.person.answer_to(desk.chat, sent, where=lambda m: m.body == "read it")
    (bot.workspace / "surfaces").unlink()
    again = await desk.person.send_file(desk.chat, "and now?", b"x", filename="a.txt")
    (file,) = await came_back(desk, again, 1)
    assert file.body == "a.txt"


@pytest.fixture
def tiny_volume(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here; needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_full_disk_does_not_silence_the_bot(
    person: Make, make_bot: Make, tiny_volume: Path
) -> None:
    bot = await make_bot(settings={"workspace_dir": str(tiny_volume)}, may_complain=True)
    desk = await onboard(await person("alice"), bot)

    sent = await desk.person.send_file(desk.chat, "read it", bytes(2_000_000), filename="a.bin")

    refusal = await desk.person.answer_to(desk.chat, sent, saying="a.bin")
    assert refusal.body.startswith("I cannot take a.bin: there is no space left")
    await desk.person.answer_to(desk.chat, sent, where=lambda m: m.body == "read it")
    assert [path for path in tiny_volume.rglob("*") if path.is_file()] == []
    small = await desk.person.send_file(desk.chat, "this?", b"x", filename="b.bin")
    (file,) = await came_back(desk, small, 1)
    assert file.body == "b.bin"


async def test_an_agent_that_takes_no_files_is_not_given_any(person: Make, make_bot: Make) -> None:
    with serving(ModelServer().app) as url:
        entry = {"id": "parrot", "name": "Parrot", "adapter": "openai", "url": f"{url}/v1"}
        bot = await make_bot(
            agents=[{**entry, "model": "parrot", "api_key": "s3cret"}], default="parrot"
        )
        desk = await onboard(await person("alice"), bot)
        sent = await desk.person.send_file(desk.chat, "say this", b"x", filename="a.txt")
        refusal = await desk.person.answer_to(desk.chat, sent, saying="takes no files")
        assert refusal.body == "Parrot takes no files, only text."
        await desk.person.answer_to(desk.chat, sent, where=lambda m: "say this" in m.body)
        assert inbox(desk) == []


async def test_a_message_whose_file_is_on_its_way_can_be_stopped(
    person: Make, make_bot: Make, proxy: FaultProxy
) -> None:
    bot = await make_bot(url=proxy.url)
    desk = await onboard(await person("alice"), bot)
    held = proxy.arm("GET", "/media/download/", Hold())
    sent = await desk.person.send_file(desk.chat, "look", b"x", filename="a.txt")
    await held.fired()
    assert (await desk.command(desk.chat, "!stop")).body == "Stopped."
    held.release()
    assert (await desk.say(desk.chat, "next")).body == "next"
    heard = desk.person.messages_after(desk.chat, sent, bot.user_id)
    assert [message.body for message in heard] == ["Stopped.", "next"]
