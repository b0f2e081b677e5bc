"""Whatever the mirrors hold when the database is lost, the bot starts from them, or refuses them by name.

The mirrors are account data of the bot on the homeserver. One of Alice's is changed, or that of the account;
Carol's are whole, and she must be answered in her room as before, by the agent and in the context she had.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import Put
from store.store import StoreError
from surface.inputs import MARKER
from surface.mirrors.content import BINDING, PROFILE, binding_of, mirror, profile_of
from tests.fuzz.home import CAROL, SANE, Living, living, people
from tests.fuzz.shapes import ALICE, ME, ROOM, SPACE
from tests.rig.mutations import as_json, many, mutated

INSTALLATION = {"v": 1, "installation_id": "installation", "reserved": 200}
DOCUMENTS = {put.key: dict(put.body) for put in people() if isinstance(put, Put)}


def event(kind: str, content: Any, key: str = "") -> dict[str, Any]:
    return {
        "type": kind,
        "state_key": key,
        "sender": ME,
        "event_id": f"${kind}{key}",
        "content": content,
    }


def room(kind: str, owner: str, kept: dict[str, Any], *more: dict[str, Any]) -> dict[str, Any]:
    """What a homeserver tells of a room, with its mirror."""
    marker = {"v": 1, "kind": kind, "owner": owner, "nonce": f"{kind}{owner}"}
    state = [
        event("m.room.create", {"type": "m.space"} if kind == "space" else {}),
        event("m.room.member", {"membership": "join"}, ME),
        event("m.room.member", {"membership": "join"}, owner),
        event("m.room.name", {"name": "Mine"}),
        event(MARKER, {**marker, "chat_id": "C1"} if kind == "chat" else marker),
        *more,
    ]
    return {"state": {"events": state}, "account_data": {"events": [kept]}}


def found() -> dict[str, Any]:
    """The rooms of Alice and Carol, as a sync from the beginning tells."""
    joined = {}
    for owner, space, chat in ((ALICE, SPACE, ROOM), (CAROL, "!s", SANE)):
        person = DOCUMENTS[f"matrix_user:{owner}"]
        profile = {"type": PROFILE, "content": mirror(profile_of(person, space), 3)}
        bound = DOCUMENTS[f"matrix_room:{chat}"]
        binding = {"type": BINDING, "content": mirror(binding_of(bound), 3)}
        link = event("m.space.child", {"via": ["hs"], "order": "1"}, chat)
        joined[space] = room("space", owner, profile, link)
        joined[chat] = room("chat", owner, binding)
    return {"next_batch": "look", "rooms": {"join": joined}}


def alices(room_id: str) -> Any:
    """The part of what was found that holds a mirror of Alice's."""
    return lambda response: response["rooms"]["join"][room_id]["account_data"]["events"]


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    with living(tmp_path_factory.mktemp("life")) as life:
        yield life


def restored(life: Living, response: bytes, installation: bytes) -> Exception | None:
    refused, complaints = life.starts(found=response, installation=installation)
    assert [c for c in complaints if c.get("exc_info")] == []
    return refused


def test_whole_mirrors_bring_everything_back(life: Living) -> None:
    assert restored(life, as_json(found()), as_json(INSTALLATION)) is None


FOUND = st.sampled_from([SPACE, ROOM]).flatmap(lambda at: mutated([found()], within=alices(at)))


@many(4)
@given(response=FOUND.map(as_json))
def test_a_mirror_of_somebody_that_is_almost_one(life: Living, response: bytes) -> None:
    assert restored(life, response, as_json(INSTALLATION)) is None


@many(3)
@given(installation=mutated([INSTALLATION]).map(as_json))
def test_a_mirror_of_the_account_that_is_almost_one(life: Living, installation: bytes) -> None:
    refused = restored(life, as_json(found()), installation)
    if refused is not None:
        assert isinstance(refused, StoreError), repr(refused)
        assert "account data" in str(refused)
