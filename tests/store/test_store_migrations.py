"""Documents that older versions wrote go on working."""

from pathlib import Path

import pytest

from config.agents import EchoAgent, Registry
from machines.effects import PLATFORM_CHAT_SEQ, Fresh
from machines.room import Room
from machines.turn import Turn
from machines.user import User
from store import Put, TinyStore
from store.batch import pack
from store.documents import VERSIONS, migrated, read, room_key, user_key, written
from store.history import Cause, Step, steps
from store.store import Stored
from surface.case import Case, World
from surface.clock import SystemClock
from surface.failpoints import Failpoints
from surface.ledger import Ledger
from surface.memory import Memory

AT = "2026-01-02T03:04:05+00:00"
TOLD_OF_BEFORE = {"from": "cleared", "event": "talk", "to": "bound", "at": AT, "cause": "$said"}


async def test_a_sequence_without_a_reserved_end_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "lambda_matrix.db"
    store = TinyStore.open(path)
    meta = store._writing.keyed("meta")
    with store._writing.transaction():
        meta.put(PLATFORM_CHAT_SEQ, pack(Stored(3, {"v": 1, "value": 7})))
    await store.aclose()

    store = TinyStore.open(path)
    try:
        stored = await store.get("meta", PLATFORM_CHAT_SEQ)
        assert stored is not None
        assert migrated("meta", stored.body) == {"v": VERSIONS["meta"], "value": 7}
        body = {"v": VERSIONS["echo"], "token": Fresh("x"), "sync": 1}
        saved = await store.save([Put("echo", "any", body, None)])
        assert saved.ids == {Fresh("x"): "8"}
    finally:
        await store.aclose()


async def test_turns_and_rooms_of_before_files_go_on(tmp_path: Path) -> None:
    turn = Turn("$said", "!room", "@alice:hs", "hello", "echo", "7", "1")
    room = Room("!room", room_type="chat", matrix_user_id="@alice:hs", failed_body="hello")
    old_turn = {**written("turns", turn, "waiting"), "v": 1}
    old_room = {**written("rooms", room, "bound"), "v": 1, "history": [TOLD_OF_BEFORE]}
    for field in ("files", "files_sent"):
        del old_turn[field]
    del old_room["failed_files"]
    path = tmp_path / "lambda_matrix.db"
    store = TinyStore.open(path)
    with store._writing.transaction():
        store._writing.keyed("turns").put("$said", pack(Stored(1, old_turn)))
        store._writing.keyed("rooms").put(room_key("!room"), pack(Stored(1, old_room)))
    await store.aclose()

    store = TinyStore.open(path)
    try:
        stored = await store.get("turns", "$said")
        assert read("turns", "$said", stored, Turn("", "", "", "", "", "", "")).record == turn
        stored = await store.get("rooms", room_key("!room"))
        document = read("rooms", "!room", stored, Room(""))
        assert document.record == room
        (step,) = steps("room", document.history)
        assert step.cause == Cause("event", "$said") and step.effects == ()
    finally:
        await store.aclose()


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("$said", Cause("event", "$said")),
        ("invite/!room/s7_1", Cause("event", "invite")),
        ("missed/$said", Cause("event", "$said")),
        ("$said/0!", Cause("bot", "0!")),
        ("expire/a1b2/7", Cause("bot", "a1b2/7")),
        ("reconcile/a1b2/0", Cause("reconciler", "")),
        ("operator/a1b2", Cause("operator", "forget")),
    ],
)
def test_causes_of_before_are_told_apart(before: str, now: Cause) -> None:
    room = {**written("rooms", Room("!room"), "bound"), "v": 2}
    old = {**room, "history": [{**TOLD_OF_BEFORE, "cause": before}]}
    (step,) = steps("room", migrated("rooms", old)["history"])
    assert step == Step("room", "cleared", "talk", "bound", AT, now)


async def test_people_of_before_have_a_record_from_now_on(tmp_path: Path) -> None:
    person = User("@alice:hs", space_id="!space", home_rooms=["!home"])
    path = tmp_path / "lambda_matrix.db"
    store = TinyStore.open(path)
    with store._writing.transaction():
        old = {**written("users", person, "ready"), "v": 1}
        store._writing.keyed("users").put(user_key("@alice:hs"), pack(Stored(4, old)))
    await store.aclose()

    store = TinyStore.open(path)
    try:
        stored = await store.get("users", user_key("@alice:hs"))
        document = read("users", "@alice:hs", stored, User(""))
        assert (document.record, document.history) == (person, [])
        world = World(
            Registry(agents=(EchoAgent(id="echo", name="Echo", adapter="echo"),)),
            "en",
            "boot",
            "installation",
        )
        ledger = Ledger(store, Memory(), world, Failpoints(None), SystemClock())

        def leave(case: Case) -> None:
            case.user("@alice:hs").take("observed_left")

        await ledger.decide("$left", leave, by=Cause("event", "$left"), point="input")
        stored = await store.get("users", user_key("@alice:hs"))
        assert stored is not None and stored.body["v"] == VERSIONS["users"]
        (step,) = steps("user", stored.body["history"])
        assert (step.source, step.event, step.target) == ("ready", "observed_left", "departed")
    finally:
        await store.aclose()
