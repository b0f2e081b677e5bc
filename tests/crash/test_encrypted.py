"""Killed while keys are made, published and shared: nothing is lost, and nobody notices."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from surface.homeserver import Homeserver
from tests.rig import node
from tests.rig.bot import Bot
from tests.rig.crypto_person import CryptoPerson
from tests.rig.desk import onboard

NO_SHIELD = {"colour": 0, "reason": None}
STEPS = 7
"""Requests of a first start: five pieces of secret storage, the public keys, the device's signature."""


@pytest.fixture
async def bot(homeserver: Homeserver, fast_root: Path) -> AsyncIterator[Bot]:
    if reason := node.missing():
        pytest.skip(reason)
    root = Path(tempfile.mkdtemp(prefix="bot-", dir=fast_root))
    made = await Bot.register(homeserver, root, encryption=True)
    yield made
    made.kill()
    shutil.rmtree(root, ignore_errors=True)
    assert not made.complaints()


async def killed(bot: Bot, point: str) -> None:
    """Start the bot, which dies at a point, and start it again."""
    bot.launch(failpoint=point)
    assert await bot.died() == -signal.SIGKILL
    await bot.start()


async def works(bot: Bot, alice: CryptoPerson) -> None:
    """A strict client talks to it, sees no shield, and nothing that cannot be read."""
    desk = await onboard(alice, bot)
    answer = await desk.say(desk.chat, "hello")
    assert await alice.shield(answer.event_id) == NO_SHIELD
    for room in (desk.home, desk.chat):
        assert not [m for m in alice.messages(room) if m.undecryptable or not m.encrypted]


async def strict(homeserver: Homeserver) -> CryptoPerson:
    return await CryptoPerson.register(homeserver, "alice", cross_sign=True, only_signed=True)


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("nth", range(1, STEPS + 1))
async def test_killed_while_the_identity_is_made(
    nth: int, side: str, bot: Bot, homeserver: Homeserver
) -> None:
    await killed(bot, f"request.identity.{side}:{nth}")
    keys = set(bot.recovery_keys())
    assert len(keys) == 1, "shown, and always the same one"
    async with await strict(homeserver) as alice:
        assert await alice.open_secret(bot.login, keys.pop(), "m.cross_signing.master")
        await works(bot, alice)
    await bot.stop()


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("side", ["before", "after"])
async def test_killed_while_keys_are_uploaded(
    side: str, nth: int, bot: Bot, homeserver: Homeserver
) -> None:
    bot.launch(failpoint=f"request.keys.{side}:{nth}")
    assert await bot.died() == -signal.SIGKILL
    await bot.start()
    # Whatever one-time key the homeserver hands out is known: the first that a stranger claims, too.
    await bot.logged("canary.returned")
    assert not bot.events("canary.broken")
    async with await strict(homeserver) as alice:
        await works(bot, alice)
    await bot.stop()


@pytest.mark.parametrize("side", ["before", "after"])
async def test_killed_while_a_session_is_shared(
    side: str, bot: Bot, homeserver: Homeserver
) -> None:
    await bot.start(failpoint=f"request.share.{side}:1")
    async with await strict(homeserver) as alice:
        alice.auto_join_from.add(bot.user_id)
        home = await alice.dm(bot.user_id)
        assert await bot.died() == -signal.SIGKILL
        await bot.start()
        await alice.message(home, "Welcome!", sender=bot.user_id)
        assert not [m for m in alice.messages(home) if m.undecryptable or not m.encrypted]
        said = await alice.send(home, "!help")
        answer = await alice.answer_to(home, said, sender=bot.user_id)
        assert await alice.shield(answer.event_id) == NO_SHIELD
    await bot.stop()
