"""What a file means where it is said: staged, taken along, refused, dropped; before anything is fetched."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from config import Files
from machines.effects import (
    FetchFile,
    Notice,
    PostFile,
    RefuseFile,
    SendFile,
    SignStaged,
    Source,
    Text,
    UnsignStaged,
)
from machines.tray import MOST_STAGED
from store import Delete
from store.history import Cause
from surface.aftermath import Result, aftermath
from surface.case import Row, decode_row
from surface.commands.said import Facts
from surface.files.outcome import ENCRYPTED_SINCE
from surface.inputs import Incoming, Message, Redaction, read
from tests.surface.place import ALICE, ROOM, Place, Said, place

SOURCE = Source("mxc://hs/abc")
TAKES_NONE = Facts(takes_files=False)


def sent(number: int, caption: str = "", **more: Any) -> Message:
    file = Incoming(SOURCE, f"{number}.txt", "text/plain", 3)
    return Message(f"$file{number}", ROOM, ALICE, caption, "m.file", sent=1e9, file=file, **more)


async def send(there: Place, number: int = 1, caption: str = "", **more: Any) -> Said:
    return await there.receive(sent(number, caption, **more))


def fetches(said: Said) -> list[Row]:
    return [row for row in said.rows if isinstance(row.effect, FetchFile)]


def names(there: Place) -> list[str]:
    return [f.name for tray, _ in there.memory.trays.values() for f in tray.staged]


async def taken(there: Place, said: Said) -> list[str]:
    """The files that a turn took along."""
    (turn,) = said.turns
    stored = await there.ledger.store.get("turns", turn)
    assert stored is not None
    return [file["name"] for file in stored.body["files"]]


async def test_a_file_without_words_is_fetched_and_waits_in_silence() -> None:
    there = await place()
    said = await send(there)
    assert (said.words, said.turns) == ([], [])
    (row,) = fetches(said)
    assert isinstance(row.effect, FetchFile)
    assert row.effect.source == SOURCE and row.boot is None
    done = await there.settle(row, Result())
    assert [type(row.effect) for row in done.rows] == [SignStaged]
    assert names(there) == ["1.txt"]


async def test_the_next_message_takes_along_what_its_sender_has_staged() -> None:
    there = await place()
    await send(there, 1)
    await send(there, 2)
    said = await there.say("look")
    assert await taken(there, said) == ["1.txt", "2.txt"]
    assert names(there) == []
    assert await taken(there, await there.say("and?")) == []


async def test_a_file_with_words_is_its_own_message() -> None:
    there = await place()
    await send(there, 1)
    said = await send(there, 2, "look")
    assert await taken(there, said) == ["1.txt", "2.txt"]
    (row,) = fetches(said)
    done = await there.settle(row, Result())
    assert done.rows == [], "no sign: it does not wait any more"


async def test_a_command_under_a_file_is_a_command_and_the_file_waits() -> None:
    there = await place()
    said = await send(there, 1, "!help")
    assert said.words == ["help-head"] and said.turns == []
    assert names(there) == ["1.txt"]


@pytest.mark.parametrize("room", ["home", "unbound", "archived"])
async def test_a_command_under_a_file_is_done_where_nobody_takes_the_file(room: str) -> None:
    """It is said of the file, which nobody would otherwise miss before it is needed."""
    there = await place(room)
    said = await send(there, 1, "!help")
    assert said.words == ["file-not-here", "help-head"]
    assert fetches(said) == [] and names(there) == []


@pytest.mark.parametrize("fault", ["file-too-large", "file-unreadable", "files-not-taken"])
async def test_what_cannot_be_taken_is_said_and_its_words_go_on(fault: str) -> None:
    there = await place()
    message, facts = sent(1, "look"), Facts()
    assert message.file is not None
    match fault:
        case "file-too-large":
            message = replace(message, file=replace(message.file, size=10**9))
        case "file-unreadable":
            message = replace(message, file=replace(message.file, source=None))
        case _:
            facts = TAKES_NONE
    said = await there.receive(message, facts)
    assert said.words == [fault]
    assert fetches(said) == []
    assert await taken(there, said) == []


async def test_no_file_is_taken_where_the_operator_wants_none() -> None:
    there = await place()
    there.house = replace(there.house, files=Files(max_incoming=0))
    assert (await send(there)).words == ["file-too-large"]


async def test_a_file_that_could_not_be_fetched_leaves_the_tray() -> None:
    there = await place()
    (row,) = fetches(await send(there, 1))
    await send(there, 2)
    done = await there.settle(row, Result(why=Text("file-gone", {"name": "1.txt"})))
    assert done.words == ["file-gone"]
    assert names(there) == ["2.txt"]


async def test_a_full_tray_says_so() -> None:
    there = await place()
    for n in range(MOST_STAGED):
        assert (await send(there, n)).words == []
    said = await send(there, MOST_STAGED)
    assert said.words == ["tray-full"] and fetches(said) == []


async def test_files_that_wait_for_an_agent_that_takes_none_are_dropped_aloud() -> None:
    there = await place()
    await send(there, 1)
    said = await there.say("look", facts=TAKES_NONE)
    assert said.words == ["files-not-taken"]
    assert await taken(there, said) == []
    assert names(there) == []


async def test_drop_empties_the_tray() -> None:
    there = await place()
    await send(there, 1)
    assert (await there.say("!drop")).words == ["dropped"]
    assert names(there) == []
    assert (await there.say("!drop")).words == ["drop-nothing"]


@pytest.mark.parametrize("whose", [ALICE, "@bob:hs"])
async def test_only_its_sender_takes_a_file_back(whose: str) -> None:
    there = await place()
    await send(there, 1)
    await there.receive(Redaction(ROOM, whose, "$file1"))
    assert names(there) == ([] if whose == ALICE else ["1.txt"])


@pytest.mark.parametrize("room", ["home", "unbound", "archived"])
async def test_where_nobody_answers_nothing_is_fetched(room: str) -> None:
    there = await place(room)
    said = await send(there)
    assert fetches(said) == [] and names(there) == []
    assert len(said.words) == 1


async def test_who_is_forgotten_has_nothing_waiting() -> None:
    there = await place()
    await send(there, 1)
    await there.say("!forget")
    await there.say("!yes")
    assert there.memory.trays == {}


async def test_a_file_whose_process_died_waits_again_when_it_is_there() -> None:
    there = await place()
    (row,) = fetches(await send(there, 1))
    there.memory.trays.clear()
    assert isinstance(row.effect, FetchFile)
    old = replace(row, effect=replace(row.effect, staged_by="another boot"))
    done = await there.settle(old, Result())
    assert [type(row.effect) for row in done.rows] == [SignStaged]
    assert names(there) == ["1.txt"]
    there.memory.trays.clear()
    await there.settle(done.rows[0], Result())
    assert names(there) == ["1.txt"], "the sign is not put under what does not wait"


async def test_a_file_that_its_message_took_along_does_not_wait_again() -> None:
    there = await place()
    (row,) = fetches(await send(there, 1))
    await there.say("look")
    assert isinstance(row.effect, FetchFile)
    old = replace(row, effect=replace(row.effect, staged_by="another boot"))
    assert (await there.settle(old, Result())).rows == []
    assert there.memory.trays == {}


async def test_a_dropped_file_does_not_come_back_when_it_is_there() -> None:
    there = await place()
    (row,) = fetches(await send(there, 1))
    await there.say("!drop")
    assert (await there.settle(row, Result())).rows == []
    assert there.memory.trays == {}


async def test_a_sign_that_comes_after_the_file_was_dropped_goes_again() -> None:
    there = await place()
    (row,) = fetches(await send(there, 1))
    (sign,) = (await there.settle(row, Result())).rows
    await there.say("!drop")
    done = await there.settle(sign, Result(event_id="$sign"))
    assert [row.effect for row in done.rows] == [UnsignStaged(ROOM, "$sign")]


async def test_a_sign_that_comes_after_a_message_took_the_file_along_stays() -> None:
    there = await place()
    (row,) = fetches(await send(there, 1))
    (sign,) = (await there.settle(row, Result())).rows
    await there.say("look")
    assert (await there.settle(sign, Result(event_id="$sign"))).rows == []


async def test_drop_takes_the_signs_back() -> None:
    there = await place()
    for n in (1, 2):
        (row,) = fetches(await send(there, n))
        (sign,) = (await there.settle(row, Result())).rows
        await there.settle(sign, Result(event_id=f"$sign{n}"))
    said = await there.say("!drop")
    signs = [row.effect for row in said.rows if isinstance(row.effect, UnsignStaged)]
    assert signs == [UnsignStaged(ROOM, "$sign1"), UnsignStaged(ROOM, "$sign2")]


def upload() -> Row:
    effect = SendFile(ROOM, "$turn", "out.png", "out.png", "image/png", "$thread")
    return Row("$turn/final/1", 1, effect, "en")


async def test_what_was_uploaded_is_posted_under_a_name_of_its_own() -> None:
    there = await place()
    (row,) = (await there.settle(upload(), Result(content='{"url": "mxc://hs/a"}'))).rows
    assert row.effect == PostFile(upload().effect, '{"url": "mxc://hs/a"}')  # type: ignore[arg-type]
    assert row.transaction != upload().transaction


async def test_what_could_not_be_uploaded_is_said_where_it_belongs() -> None:
    there = await place()
    why = Text("file-out-missing", {"name": "out.png"})
    (refused,) = (await there.settle(upload(), Result(why=why))).rows
    assert refused.effect == RefuseFile(ROOM, "$turn", why, "$thread")
    (row,) = (await there.settle(refused, Result())).rows
    assert row.effect == Notice(ROOM, why, reply_to="$turn", thread="$thread")


async def test_all_that_is_refused_of_an_answer_is_one_message() -> None:
    there = await place()
    refused: list[Row] = []
    for n in range(100):
        why = Text("file-out-missing", {"name": f"{n}.png"})
        one = replace(upload(), key=f"$turn/final/{n}")
        refused += (await there.settle(one, Result(why=why))).rows
    other = replace(
        upload(), key="$other/final/1", effect=replace(upload().effect, turn_id="$other")
    )  # type: ignore[type-var]
    (others,) = (
        await there.settle(other, Result(why=Text("file-out-missing", {"name": "x"})))
    ).rows
    decided = await there.ledger.decide(
        f"{refused[0].key}!",
        lambda case: aftermath(case, refused[0].effect, Result()),
        settle=[Delete("outbox", refused[0].key)],
        by=Cause("bot", "RefuseFile"),
        point="settle",
    )
    (row,) = decided.rows
    files = "0.png, 1.png, 2.png, 3.png, 4.png"
    told = Text("files-out-refused", {"n": 100, "files": files})
    assert row.effect == Notice(ROOM, told, reply_to="$turn", thread="$thread")
    assert set(decided.spared) == {each.key for each in refused[1:]}
    left = {key for key, _ in await there.ledger.store.scan("outbox")}
    assert left == {others.key, row.key}


async def test_what_was_uploaded_before_the_room_was_encrypted_is_uploaded_again() -> None:
    there = await place()
    (row,) = (await there.settle(upload(), Result(content='{"url": "mxc://hs/a"}'))).rows
    (again,) = (await there.settle(row, Result(refused=ENCRYPTED_SINCE))).rows
    assert again.effect == upload().effect


def event(content: dict[str, Any], kind: str = "m.room.message") -> dict[str, Any]:
    return {"type": kind, "event_id": "$e", "sender": ALICE, "content": content}


@pytest.mark.parametrize(
    ("content", "caption", "name"),
    [
        ({"body": "a.png"}, "", "a.png"),
        ({"body": "a.png", "filename": "a.png"}, "", "a.png"),
        ({"body": "look", "filename": "a.png"}, "look", "a.png"),
        ({"body": "look", "filename": 7}, "", "look"),
        ({"body": "", "filename": "a.png"}, "", "a.png"),
    ],
)
def test_the_caption_is_the_body_that_is_not_the_name(
    content: dict[str, Any], caption: str, name: str
) -> None:
    message = read(ROOM, event({"msgtype": "m.image", "url": "mxc://hs/a", **content}), "@bot:hs")
    assert isinstance(message, Message) and message.file is not None
    assert (message.body, message.file.name) == (caption, name)
    assert message.file.source == Source("mxc://hs/a")


@pytest.mark.parametrize("kind", ["m.image", "m.file", "m.audio", "m.video", "m.sticker"])
@pytest.mark.parametrize("words", [{}, {"body": ""}, {"body": None}])
def test_a_file_that_nobody_has_named_is_called_after_its_type(
    kind: str, words: dict[str, Any]
) -> None:
    content = {"url": "mxc://hs/a", **words}
    if kind == "m.sticker":
        message = read(ROOM, event(content, "m.sticker"), "@bot:hs")
    else:
        message = read(ROOM, event({"msgtype": kind, **content}), "@bot:hs")
    assert isinstance(message, Message) and message.file is not None
    assert (message.body, message.file.name) == ("", kind.removeprefix("m."))


def test_words_that_are_missing_make_no_message_of_what_is_no_file() -> None:
    assert read(ROOM, event({"msgtype": "m.text"}), "@bot:hs") is None
    assert read(ROOM, event({}, "m.sticker"), "@bot:hs") is None, "it was taken back"


def test_the_words_of_a_sticker_are_its_name() -> None:
    content = {"body": "waves", "filename": "x", "url": "mxc://hs/a", "info": {"size": True}}
    message = read(ROOM, event(content, "m.sticker"), "@bot:hs")
    assert isinstance(message, Message) and message.file is not None
    assert (message.msgtype, message.body, message.file.size) == ("m.sticker", "", None)


@pytest.mark.parametrize("server", ["..", ".", "-x", ":1", "a/b", ""])
def test_no_address_leads_to_anything_but_a_file(server: str) -> None:
    content = {"msgtype": "m.file", "body": "a", "url": f"mxc://{server}/config"}
    message = read(ROOM, event(content), "@bot:hs")
    assert isinstance(message, Message) and message.file is not None
    assert message.file.source is None


@pytest.mark.parametrize("server", ["hs", "a.example.org:8448", "[::1]:8448", "10.0.0.1"])
def test_an_address_on_any_server_is_one(server: str) -> None:
    content = {"msgtype": "m.file", "body": "a", "url": f"mxc://{server}/config"}
    message = read(ROOM, event(content), "@bot:hs")
    assert isinstance(message, Message) and message.file is not None
    assert message.file.source == Source(f"mxc://{server}/config")


async def test_rows_of_before_files_are_read() -> None:
    effect = {"effect": "LeaveRoom", "room_id": ROOM}
    body = {"v": 2, "seq": 3, "effect": effect, "locale": "en", "boot": None}
    assert decode_row("$said/0", body).seq == 3
