"""Whatever is sent to the control socket is done, or refused with a reason; the bot lives on."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from surface.ops.client import SOCKET, _Line
from tests.rig.bot import Bot
from tests.rig.fixtures import Make
from tests.rig.ops import told

pytestmark = pytest.mark.synapse

COMMANDS = ("/outbox/retry", "/outbox/drop", "/drain")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
OBJECTS = st.fixed_dictionaries({}, optional={"rows": JSON, "within": JSON, "more": JSON})
BODIES = st.binary(max_size=200) | (OBJECTS | JSON).map(lambda value: json.dumps(value).encode())
HEADERS = st.sampled_from(
    (
        {},
        {"Content-Type": "application/json; charset=klingon"},
        {"Content-Type": "text/plain; charset=utf-16"},
        {"Content-Encoding": "deflate"},
        {"Content-Encoding": "gzip"},
    )
)
NO_JSON = (b"{", b"nope", b"\xff\xfe", b"[" * 100_000, b"9" * 5_000)


def post(bot: Bot, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    with closing(_Line(bot.state_dir / SOCKET, 60)) as line:
        line.request("POST", path, body, headers)
        answer = line.getresponse()
        return answer.status, answer.read().decode()


def drains(body: bytes) -> bool:
    """Whether this may be the order to end."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return False
    if not isinstance(told, dict):
        return False
    within: Any = told.get("within")
    return within is None or (type(within) in (int, float) and within >= 0)


async def test_any_body(share_bot: Make) -> None:
    bot = await share_bot()

    @settings(
        max_examples=300,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(path=st.sampled_from(COMMANDS), body=BODIES, headers=HEADERS)
    def send(path: str, body: bytes, headers: dict[str, str]) -> None:
        assume(path != "/drain" or not drains(body))
        status, said = post(bot, path, body, headers)
        assert 200 <= status < 300 or (400 <= status < 500 and said.strip()), (status, said)

    await asyncio.to_thread(send)
    assert (await told(bot, "status"))["pid"] == bot.pid


@pytest.mark.parametrize("path", COMMANDS)
async def test_what_is_no_order_is_told_so(share_bot: Make, path: str) -> None:
    bot = await share_bot()
    wrong = b'{"within": %s}' if path == "/drain" else b'{"rows": %s}'
    values = (
        b"-1",
        b"1e99",
        b"[1e999]",
        b"NaN",
        b'"5"',
        b"true",
        b"{}",
        b"[1.5]",
        b"[true]",
        b'["1"]',
    )
    kept = [value for value in values if path == "/drain" or not value.startswith(b"-")]
    for body in (*NO_JSON, b"[]", b"7", *(wrong % value for value in kept)):
        status, said = await asyncio.to_thread(post, bot, path, body, {})
        assert status == 400 and said.strip(), (body, status, said)
        assert "Traceback" not in said
    assert (await told(bot, "status"))["ready"]
    assert not bot.complaints()


async def test_a_drain_without_a_limit_takes_the_settings(make_bot: Make) -> None:
    bot = await make_bot(settings={"shutdown_grace": 7})
    status, said = await asyncio.to_thread(post, bot, "/drain", b"{}", {})
    assert status == 200
    assert json.loads(said.splitlines()[-1])["left"] == {"inbox": 0, "turns": 0, "outbox": 0}
    assert await bot.died() == 0
    assert (await bot.logged("bot.stopping"))["grace"] == 7
