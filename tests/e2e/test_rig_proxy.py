"""The rig's bad network: each fault is what it says, and what is not armed passes."""

import asyncio
import json
import time

import httpx
import pytest

from tests.e2e.conftest import Make
from tests.rig import proxy as faults
from tests.rig.api import MatrixError
from tests.rig.person import Person
from tests.rig.proxy import FaultProxy


@pytest.fixture
async def alice(person: Make, proxy: FaultProxy) -> Person:
    """Somebody whose own requests take the bad network; what she sees comes over the good one."""
    through: Person = await person("alice")
    through.api._http.base_url = httpx.URL(proxy.url)
    return through


async def test_a_person_lives_behind_the_proxy_unawares(person: Make, proxy: FaultProxy) -> None:
    direct = await person("bob")
    async with await Person.log_in(proxy.url, direct.user_id) as bob:
        room = await bob.create_room(name="a room with: odd/characters")
        said = await bob.send(room, "hello")
        assert (await bob.message(room, "hello")).event_id == said

    assert proxy.count("PUT", rf"/rooms/{room}/send/m.room.message/") == 1
    assert proxy.count("GET", r"/sync$") > 1


async def test_a_refused_request_never_happened(alice: Person, proxy: FaultProxy) -> None:
    room = await alice.create_room(name="r")
    rule = proxy.arm("PUT", "/send/", faults.Refuse())

    with pytest.raises(httpx.TransportError):
        await alice.send(room, "lost")

    await rule.fired()
    assert await alice.history(room) == []


async def test_a_dropped_response_is_lost_and_the_request_is_not(
    alice: Person, proxy: FaultProxy
) -> None:
    room = await alice.create_room(name="r")
    proxy.arm("PUT", "/send/", faults.DropResponse())

    with pytest.raises(httpx.TransportError):
        await alice.send(room, "said", txn="t")

    assert [m.body for m in await alice.history(room)] == ["said"]
    again = await alice.send(room, "said", txn="t")
    assert [m.event_id for m in await alice.history(room)] == [again]


async def test_answers_in_the_homeservers_stead(alice: Person, proxy: FaultProxy) -> None:
    proxy.arm("GET", "/whoami", faults.Status(502))
    with pytest.raises(MatrixError, match="Bad Gateway") as refusal:
        await alice.api.call("GET", "account", "whoami")
    assert refusal.value.status == 502

    rule = proxy.arm("GET", "/whoami", faults.TooMany(retry_after_ms=1234), times=2)
    for _ in range(2):
        with pytest.raises(MatrixError) as refusal:
            await alice.api.call("GET", "account", "whoami")
        assert refusal.value.retry_after_ms == 1234
    await rule.fired(2)
    assert (await alice.api.call("GET", "account", "whoami"))["user_id"] == alice.user_id


async def test_broken_bodies(alice: Person, proxy: FaultProxy) -> None:
    proxy.arm("GET", "/whoami", faults.Truncate())
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
        await alice.api.call("GET", "account", "whoami")

    proxy.arm("GET", "/whoami", faults.Garbage())
    with pytest.raises((UnicodeDecodeError, json.JSONDecodeError)):
        await alice.api.call("GET", "account", "whoami")


async def test_only_the_nth_request_fails(alice: Person, proxy: FaultProxy) -> None:
    proxy.arm("GET", "/whoami", faults.Status(500), nth=2)

    statuses = []
    for _ in range(3):
        try:
            await alice.api.call("GET", "account", "whoami")
            statuses.append(200)
        except MatrixError as refusal:
            statuses.append(refusal.status)

    assert statuses == [200, 500, 200]


@pytest.mark.parametrize("answered", [False, True])
async def test_a_held_request_waits_to_be_released(
    alice: Person, proxy: FaultProxy, answered: bool
) -> None:
    room = await alice.create_room(name="r")
    rule = proxy.arm("PUT", "/send/", faults.Hold(answered=answered))

    sending = asyncio.create_task(alice.send(room, "held"))
    await rule.fired()
    assert not sending.done()
    assert len(await alice.history(room)) == (1 if answered else 0)

    rule.release()
    assert [m.event_id for m in await alice.history(room)] in ([], [await sending])
    assert [m.event_id for m in await alice.history(room)] == [sending.result()]


async def test_the_rate_of_requests_is_known(alice: Person, proxy: FaultProxy) -> None:
    rule = proxy.arm("GET", "/whoami", faults.Delay(0.05), times=None)
    before = time.monotonic()
    for _ in range(3):
        await alice.api.call("GET", "account", "whoami")
    rule.disarm()

    assert time.monotonic() - before >= 0.15
    assert proxy.count("GET", "/whoami") == 3
    assert proxy.busiest("GET", "/whoami", window=10.0) == 3
    assert proxy.busiest("GET", "/whoami", window=0.04) == 1
    assert proxy.count("GET", "/whoami", since=time.monotonic()) == 0
