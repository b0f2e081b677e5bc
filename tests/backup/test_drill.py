"""The drill: a backup under load, life goes on, the disk is lost, and all is there as it was or newer."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from surface.homeserver import Homeserver
from tests.crash.people import ask, new_chat, onboarded
from tests.reconcile.test_disaster_on_synapse import differences, everything_said, kept
from tests.rig.bot import PASSWORD, Bot
from tests.rig.cli import surface
from tests.rig.fixtures import Make
from tests.rig.person import Person

pytestmark = pytest.mark.synapse


async def told(bot: Bot, *words: str, fails: bool = False) -> str:
    """What the command line says to these words, with the bot's settings."""
    done = await surface(*words, "-c", str(bot.write_config()))
    assert done.returncode == (1 if fails else 0), done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr if fails else done.stdout


def lose_disk(bot: Bot, name: str = "lost") -> None:
    bot.state_dir.rename(bot.root / name)


def device(bot: Bot) -> str:
    session = json.loads((bot.state_dir / "matrix_store" / "session.json").read_text())
    return str(session["device_id"])


def issued(bot: Bot) -> int:
    return int(bot.documents("meta")["PLATFORM_CHAT_SEQ"]["value"])


async def test_a_backup_taken_under_load_is_restored(
    make_bot: Make, someone: Make, mode: str
) -> None:
    bot = await make_bot(encryption=mode == "encrypted")
    alice, bob = await someone("alice"), await someone("bob")
    (_, one), (_, other) = await onboarded(bot, alice), await onboarded(bot, bob)
    two = await new_chat(alice, one, "Two")
    archive, more = bot.root / "backup", tuple[str, ...]()
    if mode == "encrypted":
        (bot.root / "words").write_text("some words\n")
        more = ("--passphrase-file", str(bot.root / "words"))

    async def chatter(person: Person, room_id: str) -> None:
        for n in range(6):
            await ask(person, room_id, f"load {n}", f"load {n}")

    talk = [
        asyncio.create_task(chatter(p, r)) for p, r in ((alice, one), (alice, two), (bob, other))
    ]
    await alice.message(one, "load 1", sender=bot.user_id)
    taken = asyncio.create_task(told(bot, "backup", str(archive), *more))
    # Slow answers in all rooms while the copy is made.
    await ask(alice, two, "!agent slow", "Poet")
    await taken
    await asyncio.gather(*talk)
    assert archive.stat().st_mode & 0o777 == 0o600

    # What the backup knows nothing of.
    three = await new_chat(alice, one, "Three")
    await ask(alice, three, "first", "first")
    await ask(alice, one, "!agent shout", "Crier")
    await ask(bob, other, "!clear", "Cleared:")
    await ask(bob, other, "in the new context", "in the new context")
    highest = max(issued(bot), *(int(r["platform_chat_id"]) for r in bot.rooms_of(alice.user_id)))
    await bot.at_rest()
    await bot.stop()
    before, said = kept(bot), await everything_said(bot, [alice, bob])
    old, made = device(bot), len(await bot.made())
    lose_disk(bot)
    # What is encrypted for the old device the new one cannot read.
    late = await alice.send(three, "while it was gone") if mode == "plain" else None

    said_by_command = await told(bot, "restore", str(archive), *more)
    assert f"it was {old}" in said_by_command
    assert device(bot) != old
    assert not bot.documents("inbox") | bot.documents("turns")
    await bot.start()
    signed = await bot.logged("identity.device_signed")
    assert signed["device"] == device(bot)
    assert not bot.events("identity.recovered"), "the account's keys came with the backup"
    assert not differences(before, kept(bot))
    if late is not None:
        await alice.answer_to(three, late, saying="while it was gone")
    await bot.at_rest()
    after = await everything_said(bot, [alice, bob])
    late_ones = {three: 1} if late else {}
    assert {r: n - said[r] for r, n in after.items() if n != said[r]} == late_ones

    # Labels and ids go on where they were, and every room works.
    four = await new_chat(alice, one, "Four")
    assert int(bot.room(four)["platform_chat_id"]) > highest
    await ask(alice, one, "hello", "HELLO")
    await ask(
        alice, three, "there?", "THERE?" if bot.room(three)["agent_id"] == "shout" else "there?"
    )
    await ask(bob, other, "and you?", "and you?")
    assert len(await bot.made()) == made + 1


@pytest.fixture
async def archive_of(make_bot: Make, person: Make) -> tuple[Bot, Path]:
    """A stopped bot with a person and a room, and its backup."""
    bot, alice = await make_bot(), await person("alice")
    await onboarded(bot, alice)
    await bot.at_rest()
    await told(bot, "backup", str(bot.root / "backup"))
    await bot.stop()
    return bot, bot.root / "backup"


def tree(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


async def test_the_drill_beside_the_running_bot(make_bot: Make, person: Make) -> None:
    """As compose/README.md has it: restored elsewhere, looked at, and its device ended again."""
    bot, alice = await make_bot(), await person("alice")
    _, one = await onboarded(bot, alice)
    await told(bot, "backup", str(bot.root / "backup"))
    two = await new_chat(alice, one, "Two")
    await ask(alice, two, "hello", "hello")
    await bot.at_rest()
    made, devices, before = await bot.made(), await bot.devices(), kept(bot)

    running, bot.settings = bot.settings, bot.settings | {"state_dir": str(bot.root / "drill")}
    await told(bot, "restore", str(bot.root / "backup"))
    await told(bot, "check")
    preview = json.loads(await told(bot, "reconcile", "--dry-run", "--json"))
    assert two in [step["where"] for step in preview["steps"]]
    await told(bot, "logout", "--yes")
    bot.settings = running

    assert await bot.devices() == devices
    assert {m.room_id for m in await bot.made()} == {m.room_id for m in made}
    await ask(alice, one, "still you?", "still you?")
    assert not differences(before, kept(bot))


async def test_ids_issued_after_the_backup_and_gone_since_are_not_issued_again(
    make_bot: Make, person: Make
) -> None:
    """Within one reserved block neither the copy nor Matrix knows how far the bot had come."""
    bot, alice = await make_bot(), await person("alice")
    _, one = await onboarded(bot, alice)
    await told(bot, "backup", str(bot.root / "backup"))
    for _ in range(3):
        await ask(alice, one, "!clear", "Cleared:")
        await ask(alice, one, "talk", "talk")
    highest = issued(bot)
    await ask(alice, one, "!forget", "Shall I")
    await ask(alice, one, "!yes", "Forgotten")
    await bot.at_rest()
    await bot.stop()
    lose_disk(bot)
    await told(bot, "restore", str(bot.root / "backup"))
    await bot.start()
    bob = await person("bob")
    _, chat = await onboarded(bot, bob)
    assert int(bot.room(chat)["platform_chat_id"]) > highest


async def test_a_state_directory_that_holds_something_is_left_alone(
    archive_of: tuple[Bot, Path],
) -> None:
    bot, archive = archive_of
    before = tree(bot.state_dir)
    said = await told(bot, "restore", str(archive), fails=True)
    assert "is not empty (lambda_matrix.db, matrix_store)" in said
    assert tree(bot.state_dir) == before


async def test_a_torn_or_altered_archive_is_refused_whole(archive_of: tuple[Bot, Path]) -> None:
    bot, archive = archive_of
    lose_disk(bot)
    data = archive.read_bytes()
    for harmed in (
        data[: len(data) // 2],
        data[:-1],
        data[:100] + b"?" + data[101:],
        b"",
        b"hello",
    ):
        archive.write_bytes(harmed)
        said = await told(bot, "restore", str(archive), fails=True)
        assert str(archive.name) in said.replace("\n", "")
        assert not bot.state_dir.exists()


async def test_an_archive_of_another_account_is_refused(
    archive_of: tuple[Bot, Path], make_bot: Make
) -> None:
    bot, archive = archive_of
    other = await make_bot(start=False)
    said = await told(other, "restore", str(archive), fails=True)
    assert bot.user_id in said and other.user_id in said
    assert not other.state_dir.exists()


async def test_an_archive_of_an_earlier_installation_is_refused(
    archive_of: tuple[Bot, Path], homeserver: Homeserver
) -> None:
    """The account has started over since: its ids are another installation's."""
    bot, archive = archive_of
    lose_disk(bot)
    api_content = {"v": 1, "installation_id": "somebody-elses", "reserved": 100}
    await bot.write_account_data("lambda.surface.installation", api_content)
    devices = await bot.devices()
    said = await told(bot, "restore", str(archive), fails=True)
    assert "somebody-elses" in said
    assert not bot.state_dir.exists()
    assert await bot.devices() == devices, "the login was taken back"


async def test_a_token_of_the_old_device_does_not_do(
    archive_of: tuple[Bot, Path], homeserver: Homeserver
) -> None:
    bot, archive = archive_of
    old = device(bot)
    lose_disk(bot)
    bot.settings |= {"password": None, "access_token": "anything", "device_id": old}
    said = await told(bot, "restore", str(archive), fails=True)
    assert "of a new login" in said
    assert not bot.state_dir.exists()

    localpart = bot.user_id[1:].partition(":")[0]
    login = await homeserver.login(localpart, PASSWORD, device_id="FRESH")
    bot.settings |= {"access_token": login.access_token, "device_id": "FRESH"}
    await told(bot, "restore", str(archive))
    await bot.start()
    assert device(bot) == "FRESH"


async def test_keys_sealed_with_a_key_of_the_settings(make_bot: Make) -> None:
    bot = await make_bot(settings={"pickle_key": "a key of the operator's"})
    await told(bot, "backup", str(bot.root / "backup"))
    await bot.stop()
    lose_disk(bot)
    del bot.settings["pickle_key"]
    said = await told(bot, "restore", str(bot.root / "backup"), fails=True)
    assert "sealed with the `pickle_key`" in said
    assert not bot.state_dir.exists()
    bot.settings["pickle_key"] = "a key of the operator's"
    await told(bot, "restore", str(bot.root / "backup"))
    await bot.start()
    assert (await bot.logged("identity.device_signed"))["device"] == device(bot)
    assert not bot.events("identity.recovered") + bot.events("identity.not_read")


async def test_only_the_configuration(archive_of: tuple[Bot, Path], tmp_path: Path) -> None:
    bot, archive = archive_of
    done = await surface("restore", str(archive), "--config-to", str(tmp_path / "new"))
    assert done.returncode == 0, done.stderr
    for name in ("surface.yaml", "agents.yaml"):
        assert (tmp_path / "new" / name).read_text() == (bot.root / name).read_text()
    again = await surface("restore", str(archive), "--config-to", str(tmp_path / "new"))
    assert again.returncode == 1 and "is there already" in again.stderr


async def test_a_backup_goes_where_it_hurts_nobody(archive_of: tuple[Bot, Path]) -> None:
    bot, archive = archive_of
    before = archive.read_bytes()
    said = await told(bot, "backup", str(archive), fails=True)
    assert "is there already" in said
    assert archive.read_bytes() == before
    names = {f.name for f in bot.state_dir.iterdir()}
    assert not [name for name in names if name.startswith(".backup")], "nothing is left behind"
