"""The rig's homeserver: it keeps what it was told, ends when it must, and says why it cannot."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from surface.homeserver import Homeserver, HomeserverError, RefusedError
from tests.e2e.conftest import Make, MakeHomeserver
from tests.rig.api import MatrixError
from tests.rig.limits import lift_message_limit


async def test_a_killed_homeserver_comes_back_as_the_same(
    make_homeserver: MakeHomeserver, person: Make
) -> None:
    server = make_homeserver()
    await server.start()
    alice = await person("alice", on=server)
    room = await alice.create_room(name="kept")
    before = await alice.send(room, "before")
    pid, url = server.pid, server.url

    server.kill()
    assert server.pid is None
    again = Homeserver(server.root)
    progress: list[str] = []
    try:
        await again.start(progress.append)
        assert again.url == url
        assert again.pid != pid
        after = await alice.send(room, "after")
        await alice.message(room, "after")
        assert [m.event_id for m in await alice.history(room)] == [before, after]
        assert len(progress) == 2
        assert await again.ensure_user("carol", "pw") == await again.ensure_user("carol", "other")
        await again.login("carol", "pw")
        with pytest.raises(RefusedError, match="M_FORBIDDEN"):
            await again.login("carol", "other")
    finally:
        await again.stop()


async def test_default_limits_are_in_force(make_homeserver: MakeHomeserver, person: Make) -> None:
    async with make_homeserver(limits="default", room_version="11") as server:
        alice = await person("alice", on=server)
        room = await alice.create_room(name="r")
        assert alice.state(room, "m.room.create")["room_version"] == "11"

        with pytest.raises(MatrixError, match="M_LIMIT_EXCEEDED") as refusal:
            for number in range(30):
                await alice.send(room, str(number))
        assert refusal.value.status == 429
        assert refusal.value.retry_after_ms > 0

        await lift_message_limit(server, alice.user_id)
        for number in range(15):
            await alice.send(room, f"again {number}")


def test_secrets_are_for_the_owner_only_and_differ_per_root(tmp_path: Path) -> None:
    one, two = Homeserver(tmp_path / "one"), Homeserver(tmp_path / "two")
    assert one.port != two.port

    kept = [json.loads((s.root / "homeserver.json").read_text()) for s in (one, two)]
    assert kept[0]["registration_secret"] != kept[1]["registration_secret"]
    for server in (one, two):
        mode = (server.root / "homeserver.json").stat().st_mode
        assert stat.S_IMODE(mode) == 0o600
    assert Homeserver(one.root).port == one.port


def test_another_name_for_the_same_root_is_refused(tmp_path: Path) -> None:
    assert Homeserver(tmp_path, server_name="here.test").port
    with pytest.raises(HomeserverError, match=r"called here\.test, not there\.test"):
        _ = Homeserver(tmp_path, server_name="there.test").port


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(HomeserverError, match=f"Port {port} .* taken"):
            await Homeserver(tmp_path, port=port).start()


async def test_a_start_that_fails_shows_the_end_of_the_log(tmp_path: Path) -> None:
    server = Homeserver(tmp_path, settings={"database": {"name": "no-such-engine"}})
    with pytest.raises(HomeserverError, match="no-such-engine"):
        await server.start()
    assert server.pid is None


async def test_a_missing_wheel_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(HomeserverError, match=r"pip install matrix-surface\[demo\]"):
        await Homeserver(tmp_path).start()


_OWNER = """
import sys, time
from pathlib import Path
from surface.homeserver import Homeserver
server = Homeserver(Path(sys.argv[1]))
server.launch()
print(server.pid, flush=True)
time.sleep(600)
"""


def _owner(root: Path) -> tuple[subprocess.Popen[str], int]:
    """Another process with a homeserver of its own, and that one's id."""
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(root)], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    return owner, int(owner.stdout.readline())


def _bury(owner: subprocess.Popen[str]) -> None:
    owner.kill()
    with owner:
        pass


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="watches processes through /proc")
async def test_it_ends_with_a_killed_parent_and_is_refused_before(tmp_path: Path) -> None:
    owner, pid = await asyncio.to_thread(_owner, tmp_path)
    try:
        with pytest.raises(
            HomeserverError, match=f"already running, started by process {owner.pid}"
        ):
            await Homeserver(tmp_path).start()
        handle = os.pidfd_open(pid)
        owner.kill()
        await asyncio.to_thread(owner.wait)

        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(handle, ended.set)
        await asyncio.wait_for(ended.wait(), 15)
        asyncio.get_running_loop().remove_reader(handle)
        os.close(handle)
    finally:
        _bury(owner)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="watches processes through /proc")
def _is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has buried yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


async def test_one_that_was_left_behind_is_ended(tmp_path: Path) -> None:
    owner, pid = await asyncio.to_thread(_owner, tmp_path)
    # Stopped, it cannot notice that its parent has gone, and keeps the port.
    os.kill(pid, signal.SIGSTOP)
    _bury(owner)
    try:
        async with Homeserver(tmp_path) as server:
            assert server.pid not in (None, pid)
            assert not _is_alive(pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def test_a_strangers_process_of_the_same_id_is_let_be(tmp_path: Path) -> None:
    server = Homeserver(tmp_path)
    assert server.port
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        try:
            (tmp_path / "homeserver.pid").write_text(f"{stranger.pid} 1")
            async with server:
                assert stranger.poll() is None
        finally:
            stranger.kill()
