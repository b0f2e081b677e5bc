"""The peers do what they are compared in: they join, and say back what was said."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from surface.homeserver import Homeserver
from tests.bench.peers import PEERS, Peer, Unavailable, start
from tests.rig.fixtures import Make


@pytest.mark.synapse
@pytest.mark.slow
@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.package)
async def test_a_peer_says_back_what_was_said(
    peer: Peer, homeserver: Homeserver, person: Make
) -> None:
    if not peer.installed:
        pytest.skip(f"{peer.package} is not installed; run: uv run python -m tests.bench.peers")
    async with AsyncExitStack() as stack:
        user = await start(stack, homeserver, peer)
        alice = await person("alice")
        room = await alice.dm_joined(user)
        said = await alice.send(room, "good morning")
        answer = await alice.answer_to(room, said, sender=user)
        assert (answer.body, answer.msgtype) == ("good morning", "m.text")


async def test_a_peer_that_cannot_be_installed_is_told_with_the_reason(
    homeserver: Homeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    peer = Peer("no-such-peer", "0", b"ready", lambda *_: [])
    async with AsyncExitStack() as stack:
        with pytest.raises(Unavailable, match="uv is not on the path"):
            await start(stack, homeserver, peer)
