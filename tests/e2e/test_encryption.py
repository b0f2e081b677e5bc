"""Encryption that does not die: a client of other people's making beside the bot, and what may be lost."""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
from contextlib import closing
from typing import Any

import pytest
from vodozemac import Account

from surface.matrix.secret_storage import new_key, recovery_key
from tests.e2e.conftest import Make
from tests.rig.api import MatrixApi
from tests.rig.bot import PASSWORD, Bot
from tests.rig.cli import surface
from tests.rig.crypto_person import CryptoPerson
from tests.rig.desk import Desk, onboard
from tests.rig.ops import ready
from tests.rig.person import PASSWORD as PERSONS_PASSWORD
from tests.rig.person import log_in_by_password
from tests.rig.view import Message

NO_SHIELD = {"colour": 0, "reason": None}
RESEND = "I cannot read"


@pytest.fixture
async def bot(make_bot: Make) -> Bot:
    """A bot of the test's own: it is stopped, robbed and started again."""
    made: Bot = await make_bot(encryption=True)
    return made


@pytest.fixture
async def desk(crypto_person: Make, bot: Bot) -> Desk:
    return await onboard(await crypto_person("alice"), bot)


async def clean(desk: Desk) -> None:
    """Nothing in the chat is undecryptable, or in plain text."""
    for message in desk.person.messages(desk.chat):
        assert not message.undecryptable, message
        assert message.encrypted, message


async def answered(desk: Desk, said: str, saying: str | None = None) -> Message:
    return await desk.person.answer_to(desk.chat, said, sender=desk.bot.user_id, saying=saying)


def tamper(bot: Bot, statement: str, *values: Any) -> int:
    """Change the crypto store of a stopped bot; returns the rows concerned."""
    (file,) = bot.crypto_dir.glob("*.db")
    with closing(sqlite3.connect(file)) as db, db:
        return db.execute(statement, values).rowcount


# --- trust ------------------------------------------------------------------------------------


async def test_a_strict_client_works_and_shows_no_shield(crypto_person: Make, bot: Bot) -> None:
    alice = await crypto_person("alice", cross_sign=True, only_signed=True)
    desk = await onboard(alice, bot)

    first = await desk.say(desk.chat, "do you trust me?")
    command = await desk.command(desk.chat, "!context")
    growing = await desk.say(desk.chat, "and again")

    for message in (first, command, growing):
        assert await alice.shield(message.event_id) == NO_SHIELD
    status = await alice.device_status(bot.user_id, bot.device_id)
    assert status["signed_by_owner"]
    await clean(desk)


async def test_the_recovery_key_is_shown_once_and_opens_the_secrets(
    crypto_person: Make, bot: Bot
) -> None:
    alice = await crypto_person("alice")
    (key,) = bot.recovery_keys()
    for usage in ("master", "self_signing", "user_signing"):
        seed = await alice.open_secret(bot.login, key, f"m.cross_signing.{usage}")
        assert seed is not None and len(seed) == 43
    files = {file.name: file for file in bot.crypto_dir.iterdir()}
    assert {"session.json", "identity.json"} <= files.keys()
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files.values())
    assert seed not in files["identity.json"].read_text()

    await bot.stop()
    await bot.start()
    assert bot.recovery_keys() == [key]
    assert key not in (bot.root / "bot.log").read_text()


async def test_an_account_that_a_client_has_set_up_keeps_its_identity(
    crypto_person: Make, make_bot: Make
) -> None:
    bot = await make_bot(encryption=True, start=False)
    alice = await crypto_person("alice")
    key = await alice.set_up_account(bot.login, PASSWORD)
    bot.settings["recovery_key"] = key
    await bot.start()

    assert bot.events("identity.recovered")
    assert not bot.recovery_keys()
    desk = await onboard(alice, bot)
    answer = await desk.say(desk.chat, "whose are you?")
    assert await alice.shield(answer.event_id) == NO_SHIELD


async def test_a_recovery_key_of_the_operators_own_is_taken_and_not_shown(make_bot: Make) -> None:
    key = "EsTc LW2K PGiF wKEA 3As5 g5c4 BXwk qeeJ ZJV8 Q9fu gUMN UE4d"
    bot = await make_bot(encryption=True, start=False)
    secret = bot.root / "key"
    secret.parent.mkdir(exist_ok=True)
    secret.write_text(f"{key}\n")
    bot.settings["recovery_key_file"] = str(secret)
    await bot.start()
    assert not bot.recovery_keys()

    await bot.stop()
    shutil.rmtree(bot.crypto_dir)
    await bot.start()
    assert bot.events("identity.recovered")
    assert not bot.events("identity.not_signed")


# --- restarts ---------------------------------------------------------------------------------


async def test_a_restart_between_everything(desk: Desk) -> None:
    bot, alice = desk.bot, desk.person
    await desk.say(desk.chat, "one")
    for kill in (False, True):
        if kill:
            bot.kill()
        else:
            await bot.stop()
        missed = [await alice.send(desk.chat, f"missed {n} {kill}") for n in range(3)]
        await bot.start()
        for number, event in enumerate(missed):
            await answered(desk, event, f"missed {number} {kill}")
        await desk.command(desk.chat, "!context")
        await bot.stop()
        await bot.start()
        await desk.say(desk.chat, f"after {kill}")
    await clean(desk)


@pytest.mark.parametrize("how", ["killed", "stopped"])
async def test_a_new_device_of_the_person_reads_what_comes(desk: Desk, how: str) -> None:
    bot, alice = desk.bot, desk.person
    await desk.say(desk.chat, "before")
    if how == "killed":
        bot.kill()
    else:
        await bot.stop()
    async with await CryptoPerson.log_in(alice.url, alice.user_id) as phone:
        said = await phone.send(desk.chat, "from the new phone")
        await bot.start()
        answer = await phone.answer_to(desk.chat, said, sender=bot.user_id)
        assert answer.body == "from the new phone"
        assert (await answered(desk, said)).body == "from the new phone"
        again = await alice.send(desk.chat, "from the old one")
        answer = await phone.answer_to(desk.chat, again, sender=bot.user_id)
        assert answer.body == "from the old one"


async def test_all_one_time_keys_are_claimed_while_it_is_down(desk: Desk) -> None:
    bot, alice = desk.bot, desk.person
    await bot.logged("canary.returned")
    await desk.say(desk.chat, "before")
    await bot.stop()
    claimed = set()
    while True:
        wanted = {"one_time_keys": {bot.user_id: {bot.device_id: "signed_curve25519"}}}
        answer = await alice.api.call("POST", "keys", "claim", json=wanted)
        ((name, key),) = answer["one_time_keys"][bot.user_id][bot.device_id].items()
        if key.get("fallback"):
            break
        assert name not in claimed
        claimed.add(name)
    assert len(claimed) > 20

    # A new device must open a session of its own with the bot, and finds the fallback key only.
    async with await CryptoPerson.log_in(alice.url, alice.user_id) as phone:
        said = await phone.send(desk.chat, "is anybody there?")
        await bot.start()
        answer = await phone.answer_to(desk.chat, said, sender=bot.user_id)
        assert answer.body == "is anybody there?"
        await bot.logged("canary.returned")
    await desk.say(desk.chat, "after")


@pytest.mark.slow
async def test_250_messages_across_rotations(crypto_person: Make, make_bot: Make) -> None:
    limits = {"waiting": 1_000, "per_minute": 10_000}
    bot = await make_bot(encryption=True, settings={"limits": limits})
    desk = await onboard(alice := await crypto_person("alice"), bot)
    sessions: set[tuple[str, str]] = set()
    for batch in range(25):
        texts = [f"message {batch * 10 + n}" for n in range(10)]
        said = [await alice.send(desk.chat, text) for text in texts]
        for text, event in zip(texts, said, strict=True):
            answer = await alice.answer_to(
                desk.chat, event, sender=desk.bot.user_id, where=lambda m, t=text: m.body == t
            )
            assert answer.encrypted
        if batch in (8, 16):
            await alice.rotate_keys(desk.chat)
    for event in alice.rooms[desk.chat].timeline:
        if event["type"] == "m.room.encrypted":
            sessions.add((event["sender"], event["content"]["session_id"]))
    by = [sender for sender, _ in sessions]
    assert by.count(desk.bot.user_id) >= 3 and by.count(alice.user_id) >= 3
    assert len(alice.messages(desk.chat, desk.bot.user_id)) == 250
    await clean(desk)
    assert not desk.bot.events("input.undecryptable")


# --- losses -----------------------------------------------------------------------------------


async def test_a_lost_store_with_the_recovery_key(crypto_person: Make, bot: Bot) -> None:
    alice = await crypto_person("alice", cross_sign=True, only_signed=True)
    desk = await onboard(alice, bot)
    await desk.say(desk.chat, "before")
    old, (key,) = bot.device_id, bot.recovery_keys()
    await bot.stop()
    shutil.rmtree(bot.crypto_dir)
    lost = [await alice.send(desk.chat, f"lost {n}") for n in range(3)]
    bot.settings["recovery_key"] = key
    await bot.start()

    assert bot.device_id != old
    assert bot.events("identity.recovered") and bot.events("identity.device_signed")
    notice = await answered(desk, lost[-1])
    assert notice.body.startswith(f"{RESEND} your last 3 messages")
    assert await alice.shield(notice.event_id) == NO_SHIELD
    answer = await desk.say(desk.chat, "once more")
    assert await alice.shield(answer.event_id) == NO_SHIELD
    await clean(desk)


async def test_a_lost_store_with_another_recovery_key(make_bot: Make, crypto_person: Make) -> None:
    """The bot works, and says it loudly: the operator believes that the key does it."""
    bot = await make_bot(encryption=True, may_complain=True)
    desk = await onboard(await crypto_person("alice"), bot)
    await desk.say(desk.chat, "before")
    await bot.stop()
    shutil.rmtree(bot.crypto_dir)
    bot.settings["recovery_key"] = recovery_key(new_key())
    await bot.start()

    line = await bot.logged("identity.not_signed")
    assert line["level"] == "error"
    assert "`recovery_key` is not that of the account" in line["why"]
    assert bot.complaints() == [line]
    status, said = await ready(bot)
    assert status == 200
    encryption = said["checks"]["encryption"]
    assert encryption["state"] == "degraded"
    assert "`recovery_key` is not that of the account" in encryption["words"]
    await desk.person.until_device(bot.user_id, bot.device_id)
    await desk.say(desk.chat, "still there?")


async def test_a_lost_store_without_the_recovery_key(desk: Desk) -> None:
    bot, alice = desk.bot, desk.person
    await desk.say(desk.chat, "before")
    await bot.stop()
    shutil.rmtree(bot.crypto_dir)
    await bot.start()

    (line,) = bot.events("identity.not_signed")
    assert "recovery_key" in line["why"] and "--reset" in line["why"]
    await alice.until_device(bot.user_id, bot.device_id)
    answer = await desk.say(desk.chat, "still there?")
    assert (await alice.shield(answer.event_id))["colour"] > 0
    check = await surface("check", "-c", str(bot.write_config()))
    assert "warn  encryption: device" in check.stdout

    await bot.stop()
    made = await surface("recovery-key", "--reset", "-c", str(bot.write_config()))
    assert made.returncode == 0, made.stderr
    assert "The recovery key of" in made.stdout
    check = await surface("check", "-c", str(bot.write_config()))
    assert "ok    encryption: device" in check.stdout
    await bot.start()
    assert not bot.events("identity.not_signed")
    await clean(desk)


async def test_another_login_is_signed_without_the_recovery_key(
    crypto_person: Make, bot: Bot
) -> None:
    alice = await crypto_person("alice", cross_sign=True, only_signed=True)
    desk = await onboard(alice, bot)
    await desk.say(desk.chat, "before")
    old = bot.device_id
    await bot.stop()
    done = await surface("login", "-c", str(bot.write_config()))
    assert done.returncode == 0, done.stderr
    await bot.start()
    assert bot.device_id != old
    await alice.until_device(bot.user_id, bot.device_id)
    answer = await desk.say(desk.chat, "after")
    assert await alice.shield(answer.event_id) == NO_SHIELD


async def test_a_lost_store_of_a_named_device_is_refused(make_bot: Make) -> None:
    bot = await make_bot(encryption=True, start=False)
    bot.settings["device_id"] = "NAMED"
    await bot.start()
    await bot.stop()
    shutil.rmtree(bot.crypto_dir)
    bot.launch()
    assert await bot.died() == 1
    said = " ".join(str(line["event"]) for line in bot.events())
    assert "does not hold the encryption keys of device NAMED" in said
    assert "surface login" in said
    made = await surface("login", "-c", str(bot.write_config()))
    assert made.returncode == 0, made.stderr
    with pytest.raises(AssertionError):
        assert not bot.complaints()
    bot._lines.clear()
    await bot.start()


async def test_a_new_recovery_key_takes_the_place_of_the_old(crypto_person: Make, bot: Bot) -> None:
    alice = await crypto_person("alice")
    (old,) = bot.recovery_keys()
    running = await surface("recovery-key", "-c", str(bot.write_config()))
    assert running.returncode == 1 and "in use" in running.stderr
    await bot.stop()
    made = await surface("recovery-key", "-c", str(bot.write_config()))
    assert made.returncode == 0, made.stderr
    new = next(line.strip() for line in made.stdout.splitlines() if line.startswith("    E"))
    assert new != old
    assert await alice.open_secret(bot.login, new, "m.cross_signing.master")
    await bot.start()
    assert not bot.events("identity.not_signed") and bot.recovery_keys() == [old]


async def test_a_lost_key_is_asked_for_and_the_message_answered(desk: Desk) -> None:
    bot, alice = desk.bot, desk.person
    await desk.say(desk.chat, "before")
    await bot.stop()
    assert tamper(bot, "delete from megolminboundsessions where room_id = ?", desk.chat)
    said = await alice.send(desk.chat, "in the same session")
    await bot.start()

    answer = await answered(desk, said)
    assert answer.body == "in the same session"
    assert bot.events("input.undecryptable")
    await clean(desk)


async def test_what_nobody_has_a_key_for_is_told_once(desk: Desk) -> None:
    bot, alice = desk.bot, desk.person
    await desk.say(desk.chat, "before")
    real = next(e for e in alice.messages_raw(desk.chat) if e["content"].get("ciphertext"))[
        "content"
    ]

    async def garbage(session: str) -> str:
        content = {**real, "session_id": session}
        content.pop("m.relates_to", None)
        return await alice._put(desk.chat, "m.room.encrypted", content, None)

    lost = [await garbage(f"nobody knows {n % 2}") for n in range(4)]
    notice = await answered(desk, lost[-1])
    assert notice.body.startswith(f"{RESEND} your last 4 messages")
    assert notice.msgtype == "m.notice" and notice.reply_to == lost[-1]
    more = await garbage("nor this")
    await bot.logged("input.given_up", told=False)
    answer = await desk.say(desk.chat, "readable again")
    said = alice.messages_after(desk.chat, more, bot.user_id)
    assert [m.event_id for m in said] == [answer.event_id]
    again = await garbage("nor that")
    notice = await answered(desk, again)
    assert notice.body.startswith("I cannot read this message")
    await bot.at_rest("inbox")


async def test_an_older_copy_of_the_store_is_noticed_and_mended(desk: Desk) -> None:
    bot, alice = desk.bot, desk.person
    await bot.logged("canary.returned")
    await bot.stop()
    copy = bot.root / "backup"
    shutil.copytree(bot.crypto_dir, copy)
    # All the keys that the copy knows are given away, and new ones made.
    for _ in range(60):
        wanted = {"one_time_keys": {bot.user_id: {bot.device_id: "signed_curve25519"}}}
        await alice.api.call("POST", "keys", "claim", json=wanted)
    await bot.start()
    await bot.logged("canary.returned")
    await desk.say(desk.chat, "before")
    await bot.stop()
    shutil.rmtree(bot.crypto_dir)
    shutil.copytree(copy, bot.crypto_dir)
    await bot.start()

    (line,) = [await bot.logged("canary.broken")]
    assert "older copy" in line["why"]
    await bot.logged("canary.recovered")
    await alice.rotate_keys(desk.chat)
    async with await CryptoPerson.log_in(alice.url, alice.user_id) as phone:
        said = await phone.send(desk.chat, "a new session")
        assert (await answered(desk, said)).body == "a new session"


# --- never in plain text ----------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["document", "database", "both stores"])
async def test_an_encrypted_room_is_never_written_to_in_plain_text(desk: Desk, loss: str) -> None:
    bot, alice = desk.bot, desk.person
    await desk.say(desk.chat, "before")
    await bot.stop()
    if loss == "document":
        with closing(sqlite3.connect(bot.state_dir / "lambda_matrix.db")) as db, db:
            found = db.execute(
                "select key, json from documents where tbl = 'rooms'",
            ).fetchall()
            for key, text in found:
                changed = json.dumps({**json.loads(text), "encrypted": False})
                db.execute("update documents set json = ? where key = ?", (changed, key))
        tamper(bot, "delete from encryptedrooms")
    else:
        for file in bot.state_dir.glob("lambda_matrix.db*"):
            file.unlink()
        if loss == "both stores":
            shutil.rmtree(bot.crypto_dir)
    await bot.start()
    await alice.until_device(bot.user_id, bot.device_id)
    await desk.say(desk.chat, "after")
    await desk.command(desk.chat, "!help")
    await clean(desk)


async def test_encryption_turned_on_while_it_is_down(crypto_person: Make, make_bot: Make) -> None:
    bot = await make_bot(encryption=False)
    alice = await crypto_person("alice")
    home = await alice.dm_joined(bot.user_id, encrypted=False)
    await alice.message(home, "Welcome!", sender=bot.user_id)
    await bot.stop()
    await alice.set_state(home, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
    await alice.until(lambda: alice.rooms[home].encrypted)
    said = await alice.send(home, "!help")
    await bot.start()
    answer = await alice.answer_to(home, said, sender=bot.user_id)
    assert answer.encrypted


# --- what somebody sends to do harm -----------------------------------------------------------


def no_messages(bot_key: str) -> list[tuple[str, dict[str, Any]]]:
    """To-device messages that are none, for the device with this key."""
    olm = {"algorithm": "m.olm.v1.curve25519-aes-sha2", "sender_key": "!!"}
    bodies: list[Any] = [
        {"type": 0, "body": "zz"},
        {"type": 0, "body": "AAAA"},
        {"type": 1, "body": "é"},
        {"type": 1, "body": "AAAA"},
        {"type": 0, "body": 5},
        {"type": 0},
        {},
        "text",
        None,
    ]
    sealed = [{**olm, "ciphertext": {bot_key: body}} for body in bodies]
    asks = {
        "action": "request",
        "body": {"algorithm": [], "room_id": {}, "sender_key": 1, "session_id": None},
        "request_id": "r",
        "requesting_device_id": "NOPE",
    }
    nested: dict[str, Any] = {}
    for _ in range(700):
        nested = {"x": nested}
    return [
        ("org.example.deep", nested),
        *(
            ("m.room.encrypted", content)
            for content in (*sealed, {}, {**olm, "ciphertext": "text"})
        ),
        ("m.room_key_request", asks),
        ("m.forwarded_room_key", {"session_key": 1}),
        ("m.key.verification.start", {"transaction_id": "t", "method": "m.sas.v1"}),
        ("m.key.verification.key", {"transaction_id": "t", "key": "!"}),
    ]


async def test_messages_to_its_device_that_are_none_do_not_end_it(desk: Desk, person: Make) -> None:
    bot, mallory = desk.bot, await person("mallory")
    asked = {"device_keys": {bot.user_id: []}}
    answer = await mallory.api.call("POST", "keys", "query", json=asked)
    keys = answer["device_keys"][bot.user_id][bot.device_id]["keys"]
    for number, (kind, content) in enumerate(no_messages(keys[f"curve25519:{bot.device_id}"])):
        messages = {"messages": {bot.user_id: {bot.device_id: content}}}
        await mallory.api.call("PUT", "sendToDevice", kind, f"harm{number}", json=messages)
    await bot.logged("crypto.not_understood", sender=mallory.user_id)
    await desk.person.rotate_keys(desk.chat)
    await desk.say(desk.chat, "are you there?")
    await bot.stop()
    await bot.start()
    await desk.say(desk.chat, "and now?")
    await clean(desk)


@pytest.mark.parametrize("harm", ["one-time key", "device key"])
async def test_a_device_with_keys_that_are_none_gets_nothing_and_the_others_all(
    desk: Desk, harm: str
) -> None:
    bot, alice = desk.bot, desk.person
    bad = await log_in_by_password(alice.url, alice.user_id, PERSONS_PASSWORD)
    account, api = Account(), MatrixApi(alice.url, bad.access_token)

    def signed(content: dict[str, Any]) -> dict[str, Any]:
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        signature = account.sign(text.encode()).to_base64()
        return {
            **content,
            "signatures": {alice.user_id: {f"ed25519:{bad.device_id}": signature}},
        }

    own = account.curve25519_key.to_base64()
    device = {
        "user_id": alice.user_id,
        "device_id": bad.device_id,
        "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
        "keys": {
            f"ed25519:{bad.device_id}": account.ed25519_key.to_base64(),
            f"curve25519:{bad.device_id}": own if harm == "one-time key" else "no key",
        },
    }
    one_time = {f"signed_curve25519:AAAA{n}": signed({"key": "no key"}) for n in range(5)}
    try:
        body = {"device_keys": signed(device), "one_time_keys": one_time}
        await api.call("POST", "keys", "upload", json=body)
    finally:
        await api.close()

    await desk.say(desk.chat, "one of my devices is none")
    await bot.logged("crypto.not_understood", what="keys claim")
    await bot.stop()
    await bot.start()
    await desk.say(desk.chat, "and still")
    await clean(desk)


# --- the key of the store ---------------------------------------------------------------------


async def test_a_pickle_key_of_the_operators_takes_over(desk: Desk) -> None:
    bot = desk.bot
    await desk.say(desk.chat, "before")
    await bot.stop()
    bot.settings["pickle_key"] = "a long random text"
    await bot.start()
    assert json.loads((bot.crypto_dir / "session.json").read_text())["pickle_key"] == ""
    assert not bot.events("identity.not_read") and not bot.events("identity.not_signed")
    await desk.say(desk.chat, "after")
    await bot.stop()

    for wrong in ("another text", None):
        bot.settings.pop("pickle_key")
        if wrong:
            bot.settings["pickle_key"] = wrong
        bot.launch()
        assert await bot.died() == 1
        assert any("pickle_key" in str(line["event"]) for line in bot.events())
        bot._lines.clear()
        bot.settings["pickle_key"] = "a long random text"
    await bot.start()
    await desk.say(desk.chat, "and again")
    await clean(desk)


async def test_a_copy_of_the_state_cannot_run_beside_it(bot: Bot) -> None:
    second = await surface("run", "-c", str(bot.write_config()))
    assert second.returncode == 1
    assert "in use by another surface" in second.stderr


async def test_the_canary_flies_at_the_start(bot: Bot) -> None:
    line = await bot.logged("canary.returned")
    assert line["round_trips"] == 1
