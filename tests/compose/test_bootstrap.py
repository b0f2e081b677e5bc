"""The full stack's one-shot programs, on a real Synapse: they do what they say, and may be run again."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from surface.homeserver import Homeserver
from surface.homeserver_files import load_identity
from tests.rig.api import MatrixApi

FULLSTACK = Path(__file__).parents[2] / "compose" / "fullstack"
pytestmark = pytest.mark.synapse


async def bootstrap(homeserver: Homeserver, folder: Path, bot: str, *words: str) -> str:
    env = {"HOMESERVER": homeserver.url, "BOT": bot, "SECRETS": str(folder), "PASSWORD": "hers"}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, FULLSTACK / "bootstrap.py", *words],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


async def test_the_bot_is_registered_and_its_limits_are_lifted_once_and_again(
    homeserver: Homeserver, tmp_path: Path
) -> None:
    bot = f"surface{os.urandom(4).hex()}"
    identity = load_identity(homeserver.root, server_name=homeserver.server_name, port=None)
    for name, text in {
        "registration_secret": identity.registration_secret,
        "bot_password": "its password",
        "admin_password": "the admin's",
    }.items():
        (tmp_path / name).write_text(text)
    assert f"registered {bot}" in await bootstrap(homeserver, tmp_path, bot)
    assert f"{bot} is registered" in await bootstrap(homeserver, tmp_path, bot)
    await homeserver.login(bot, "its password")

    admin = await homeserver.login("bootstrap", "the admin's")
    api = MatrixApi(homeserver.url, admin.access_token)
    try:
        user = quote(f"@{bot}:{homeserver.server_name}", safe="")
        where = f"/_synapse/admin/v1/users/{user}/override_ratelimit"
        limit = await api.call("GET", prefix=where)
        devices = (await api.call("GET", "devices"))["devices"]
    finally:
        await api.close()
    assert limit == {"messages_per_second": 0, "burst_count": 0}
    assert [d["device_id"] for d in devices] == [admin.device_id], "its own sessions are over"

    alice = f"alice{os.urandom(4).hex()}"
    await bootstrap(homeserver, tmp_path, bot, alice)
    await homeserver.login(alice, "hers")


async def test_a_homeserver_that_is_away_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "bot_password").write_text("x")
    env = {"HOMESERVER": "http://127.0.0.1:9", "BOT": "surface", "SECRETS": str(tmp_path)}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, FULLSTACK / "bootstrap.py"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("bootstrap: ") and len(done.stderr.splitlines()) == 1
