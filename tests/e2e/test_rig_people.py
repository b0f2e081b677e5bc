"""The rig itself: people see what people do, in plain and in encrypted rooms alike."""

import pytest

from tests.e2e.conftest import Make
from tests.rig.api import MatrixError


async def test_two_people_talk(someone: Make, mode: str) -> None:
    alice, bob = await someone("alice"), await someone("bob")
    room = await alice.dm(bob.user_id)
    await bob.until(lambda: [i.is_direct for i in bob.invites(alice.user_id)] == [True])
    assert await bob.accept_invites_from(alice.user_id) == [room]

    question = await alice.send(room, "how are you?")
    heard = await bob.message(room, "how are you?")
    reply = await bob.send(room, "well", reply_to=question)
    answer = await alice.answer_to(room, question, sender=bob.user_id)

    assert heard.event_id == question
    assert (answer.event_id, answer.body, answer.reply_to) == (reply, "well", question)
    assert answer.encrypted == (mode == "encrypted")
    if mode == "encrypted":
        assert {e["type"] for e in alice.messages_raw(room) if e["event_id"] == reply} == {
            "m.room.encrypted"
        }


async def test_edits_redactions_threads_and_reactions_are_seen(someone: Make) -> None:
    alice, bob = await someone("alice"), await someone("bob")
    room = await alice.dm(bob.user_id)
    bob.auto_join_from.add(alice.user_id)
    await bob.join(room)

    first = await alice.send(room, "frist")
    await alice.edit(room, first, "firts")
    await alice.edit(room, first, "first")
    gone = await alice.send(room, "never mind")
    await alice.redact(room, gone)
    inside = await alice.send(room, "by the way", thread=first)
    await alice.react(room, first, "👍")

    await bob.until(lambda: bob.reactions(room, first) == [(alice.user_id, "👍")])
    await bob.message(room, "by the way")
    seen = await bob.message(room, "first")
    assert (seen.body, seen.original_body, seen.edits) == ("first", "frist", 2)
    assert [m.event_id for m in bob.messages(room)] == [first, inside]
    assert bob.messages(room)[1].thread == first
    history = await bob.history(room)
    assert [m.body for m in history] == ["first", "by the way"]


async def test_files_arrive_whole(someone: Make, mode: str) -> None:
    alice, bob = await someone("alice"), await someone("bob")
    room = await alice.dm(bob.user_id)
    await bob.accept_invites_from(alice.user_id)
    data = bytes(range(256)) * 50

    await alice.send_file(room, "all-bytes.bin", data)

    message = await bob.message(room, "all-bytes.bin")
    assert message.msgtype == "m.file"
    assert ("file" in message.content) == (mode == "encrypted")
    assert await bob.download(message) == data


async def test_the_same_transaction_id_is_one_event(someone: Make) -> None:
    alice = await someone("alice")
    room = await alice.create_room(name="alone")

    first = await alice.send(room, "once", txn="t1")
    second = await alice.send(room, "once", txn="t1")

    assert first == second
    assert len(await alice.history(room)) == 1


async def test_a_condition_that_never_comes_fails_with_what_was_seen(person: Make) -> None:
    alice = await person("alice")
    room = await alice.create_room(name="the parlour")
    said = await alice.send(room, "nobody answers")
    await alice.message(room, "nobody answers")

    with pytest.raises(AssertionError, match=r"in vain for an answer(.|\n)*parlour(.|\n)*nobody"):
        await alice.answer_to(room, said, timeout=0.2)


async def test_a_refusal_is_said_aloud(person: Make) -> None:
    alice, bob = await person("alice"), await person("bob")
    room = await alice.create_room(name="private")

    with pytest.raises(MatrixError, match="M_FORBIDDEN") as refusal:
        await bob.send(room, "let me in")
    assert refusal.value.status == 403


async def test_more_than_one_sync_holds_is_read_in_order(person: Make) -> None:
    alice, bob = await person("alice"), await person("bob")
    room = await alice.dm(bob.user_id)
    await bob.accept_invites_from(alice.user_id)
    # All sent while bob's client is away: a timeline of /sync holds a hundred.
    await bob.pause()
    for number in range(130):
        await alice.send(room, str(number))
    bob.resume()

    await bob.message(room, "129")
    assert [m.body for m in bob.messages(room)] == [str(number) for number in range(130)]


async def test_a_space_shows_its_rooms_in_order(person: Make) -> None:
    alice = await person("alice")
    space = await alice.create_room(name="home", creation_content={"type": "m.space"})
    rooms = [await alice.create_room(name=name) for name in ("b", "a")]
    for order, room in zip(("2", "1"), rooms, strict=True):
        content = {"via": ["localhost"], "order": order}
        await alice.set_state(space, "m.space.child", content, key=room)

    await alice.until(lambda: len(alice.children(space)) == 2)
    assert alice.spaces() == [space]
    assert alice.children(space) == rooms[::-1]
    await alice.set_state(space, "m.space.child", {}, key=rooms[0])
    await alice.until(lambda: alice.children(space) == rooms[1:])
