"""The courier: the most urgent first, and never faster than the homeserver allows."""

import asyncio
import itertools
from typing import Any

import pytest

from surface.matrix.api import Api, MatrixError
from surface.matrix.courier import WIDTH, Courier, Kind, Urgency


class Homeserver:
    """Answers when told to, and remembers in which order it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.let_go = asyncio.Event()
        self.refuse: list[float] = []

    def request(self, name: str) -> Any:
        async def go() -> dict[str, Any]:
            self.asked.append(name)
            if self.refuse:
                raise MatrixError(429, "M_LIMIT_EXCEEDED", "slow down", self.refuse.pop(0))
            await self.let_go.wait()
            return {"event_id": name}

        return go


@pytest.fixture
def homeserver() -> Homeserver:
    return Homeserver()


@pytest.fixture
def courier() -> Courier:
    return Courier(Api(None))  # type: ignore[arg-type]


async def settled() -> None:
    """Let every task that can run do so."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_limited_request_is_repeated_until_it_passes(
    courier: Courier, homeserver: Homeserver
) -> None:
    homeserver.refuse, _ = [0.01, 0.01], homeserver.let_go.set()
    answer = await courier.carry("message", Urgency.FINAL, homeserver.request("a"))
    assert answer == {"event_id": "a"}
    assert homeserver.asked == ["a", "a", "a"]


async def test_last_words_go_before_notices_when_there_is_a_queue(
    courier: Courier, homeserver: Homeserver
) -> None:
    full = [courier.carry("message", Urgency.REST, homeserver.request("x")) for _ in range(WIDTH)]
    tasks = [asyncio.create_task(job) for job in full]
    await settled()
    for name, urgency in (
        ("rest", Urgency.REST),
        ("notice", Urgency.NOTICE),
        ("final", Urgency.FINAL),
    ):
        job = courier.carry("message", urgency, homeserver.request(name))
        tasks.append(asyncio.create_task(job))
        await settled()
    homeserver.let_go.set()
    await asyncio.gather(*tasks)
    assert homeserver.asked[WIDTH:] == ["final", "notice", "rest"]


async def test_after_a_refusal_only_one_goes_at_a_time(
    courier: Courier, homeserver: Homeserver
) -> None:
    homeserver.refuse = [0.001]
    tasks = [
        asyncio.create_task(courier.carry("message", Urgency.REST, homeserver.request(str(n))))
        for n in range(4)
    ]
    async with asyncio.timeout(5):
        while len(homeserver.asked) < 2:
            await asyncio.sleep(0)
    await settled()
    assert courier.limited("message")
    assert len(homeserver.asked) == 2  # the refused one, and the only one under way now
    homeserver.let_go.set()
    await asyncio.gather(*tasks)
    assert len(homeserver.asked) == 5


async def test_a_preview_is_dropped_when_it_would_have_to_wait(
    courier: Courier, homeserver: Homeserver
) -> None:
    homeserver.refuse = [30.0]
    assert await courier.try_now("message", homeserver.request("refused")) is None
    assert await courier.try_now("message", homeserver.request("dropped")) is None
    assert homeserver.asked == ["refused"]


async def test_a_long_wait_on_messages_does_not_hold_up_other_requests(
    courier: Courier, homeserver: Homeserver
) -> None:
    homeserver.refuse = [30.0]
    await courier.try_now("message", homeserver.request("refused"))
    homeserver.let_go.set()
    await courier.carry("state", Urgency.REST, homeserver.request("state"))
    assert homeserver.asked == ["refused", "state"]


async def test_a_short_wait_is_the_whole_accounts(courier: Courier, homeserver: Homeserver) -> None:
    """Synapse counts messages, states, invites and created rooms together."""
    homeserver.refuse = [0.05]
    homeserver.let_go.set()
    started = asyncio.get_running_loop().time()
    assert await courier.try_now("message", homeserver.request("refused")) is None
    assert await courier.try_now("state", homeserver.request("dropped")) is None
    await courier.carry("create", Urgency.REST, homeserver.request("create"))
    assert asyncio.get_running_loop().time() - started >= 0.05
    assert homeserver.asked == ["refused", "create"]


async def test_while_the_account_is_limited_all_kinds_go_one_at_a_time_in_one_order(
    courier: Courier, homeserver: Homeserver
) -> None:
    homeserver.refuse = [0.05]
    assert await courier.try_now("message", homeserver.request("refused")) is None
    waiting: list[tuple[Kind, Urgency]] = [
        ("create", Urgency.REST),
        ("message", Urgency.NOTICE),
        ("state", Urgency.REST),
        ("message", Urgency.FINAL),
    ]
    jobs = [courier.carry(k, u, homeserver.request(f"{k} {u.name}")) for k, u in waiting]
    tasks = [asyncio.create_task(job) for job in jobs]
    async with asyncio.timeout(5):
        while len(homeserver.asked) < 2:
            await asyncio.sleep(0)
    await settled()
    assert homeserver.asked == ["refused", "message FINAL"]
    homeserver.let_go.set()
    await asyncio.gather(*tasks)
    assert homeserver.asked[2:] == ["message NOTICE", "create REST", "state REST"]


async def test_while_limited_it_keeps_the_pace_that_was_asked_for(
    courier: Courier, homeserver: Homeserver
) -> None:
    homeserver.refuse = [0.1]
    homeserver.let_go.set()
    loop = asyncio.get_running_loop()
    times: list[float] = []

    def timed(name: str) -> Any:
        request = homeserver.request(name)

        async def go() -> dict[str, Any]:
            times.append(loop.time())
            return dict(await request())

        return go

    await courier.carry("message", Urgency.FINAL, timed("first"))
    for n in range(3):
        await courier.carry("message", Urgency.FINAL, timed(f"{n}"))
    assert len(homeserver.asked) == 5  # one was refused, and none after it
    assert all(later - earlier >= 0.1 for earlier, later in itertools.pairwise(times))


async def test_after_a_quiet_while_all_is_as_before(
    courier: Courier, homeserver: Homeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("surface.matrix.courier.QUIET", 0.0)
    homeserver.refuse = [0.01]
    await courier.try_now("message", homeserver.request("refused"))
    assert courier.limited("message")
    homeserver.let_go.set()
    await courier.carry("message", Urgency.FINAL, homeserver.request("a"))
    assert not courier.limited("message")


async def test_who_has_waited_long_goes_before_the_urgent(
    courier: Courier, homeserver: Homeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("surface.matrix.courier.HEADSTART", 0.01)
    homeserver.refuse = [0.1]
    assert await courier.try_now("message", homeserver.request("refused")) is None
    first = asyncio.create_task(courier.carry("create", Urgency.REST, homeserver.request("create")))
    await settled()
    loop = asyncio.get_running_loop()
    passed: asyncio.Future[None] = loop.create_future()
    loop.call_later(0.05, passed.set_result, None)
    await passed
    homeserver.let_go.set()
    await courier.carry("message", Urgency.FINAL, homeserver.request("final"))
    await first
    assert homeserver.asked == ["refused", "create", "final"]


async def test_a_waiting_request_can_be_given_up(courier: Courier, homeserver: Homeserver) -> None:
    tasks = [
        asyncio.create_task(courier.carry("message", Urgency.REST, homeserver.request("x")))
        for _ in range(WIDTH)
    ]
    await settled()
    waiting = asyncio.create_task(
        courier.carry("message", Urgency.REST, homeserver.request("given up"))
    )
    await settled()
    waiting.cancel()
    homeserver.let_go.set()
    await asyncio.gather(*tasks)
    assert (await asyncio.gather(waiting, return_exceptions=True))[
        0
    ].__class__ is asyncio.CancelledError
    answer = await courier.carry("message", Urgency.REST, homeserver.request("next"))
    assert answer == {"event_id": "next"}
    assert "given up" not in homeserver.asked


async def test_other_refusals_reach_the_caller(courier: Courier) -> None:
    async def forbidden() -> dict[str, Any]:
        raise MatrixError(403, "M_FORBIDDEN", "no")

    with pytest.raises(MatrixError, match="M_FORBIDDEN"):
        await courier.carry("message", Urgency.FINAL, forbidden)
