"""Logging in by the real command line: the first time, with the wrong password, and again."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from store import TinyStore
from surface.homeserver import Homeserver
from tests.rig.api import MatrixApi
from tests.rig.cli import Installation

pytestmark = pytest.mark.synapse
PASSWORD = "secret words"


@pytest.fixture
async def here(tmp_path: Path, homeserver: Homeserver) -> AsyncIterator[Installation]:
    login = await homeserver.register(f"login{os.urandom(4).hex()}", PASSWORD)
    yield Installation(tmp_path, homeserver=homeserver.url, user_id=login.user_id)


async def _complaint(here: Installation, *words: str) -> str:
    return await asyncio.to_thread(here.complaint, *words)


async def _devices(here: Installation, homeserver: Homeserver) -> set[str]:
    """The names of the account's devices, but for those of the test itself."""
    mine = await homeserver.login(here.settings["user_id"], PASSWORD)
    api = MatrixApi(homeserver.url, mine.access_token)
    try:
        answer = await api.call("GET", "devices")
    finally:
        await api.close()
    return {d["device_id"] for d in answer["devices"] if d["display_name"] == "Surface"}


def _session(here: Installation, name: str = "session.json") -> dict[str, Any]:
    file = here.state_dir / "matrix_store" / name
    assert file.stat().st_mode & 0o777 == 0o600
    return dict(json.loads(file.read_text()))


@pytest.mark.parametrize("command", ["run", "login"])
async def test_a_wrong_password(here: Installation, command: str, homeserver: Homeserver) -> None:
    here.write(password="not it")
    before = here.tree()
    said = await _complaint(here, command)
    user_id = here.settings["user_id"]
    assert said == f"{homeserver.url} refuses the password of {user_id}; correct `password`"
    assert here.tree() == before


@pytest.mark.parametrize("whose", ["nobody's", "another's"])
async def test_a_wrong_token(here: Installation, whose: str, homeserver: Homeserver) -> None:
    token = "syt_gone"
    if whose == "another's":
        token = (await homeserver.register(f"other{os.urandom(4).hex()}", PASSWORD)).access_token
    here.write(password=None, access_token=token, device_id="D1")
    before = here.tree()
    said = await _complaint(here, "run")
    assert ("Put a new `access_token`" if whose == "nobody's" else "correct `user_id`") in said
    assert token not in said
    assert here.tree() == before


async def test_tls_where_there_is_none(here: Installation, homeserver: Homeserver) -> None:
    here.write(homeserver=homeserver.url.replace("http:", "https:"))
    said = await _complaint(here, "run")
    assert f"no TLS there; is it {homeserver.url}?" in said
    assert not here.state_dir.exists()


async def test_an_account_that_is_not_there(here: Installation) -> None:
    here.write(user_id="@nobody:localhost")
    said = await _complaint(here, "run")
    assert "refuses the password of @nobody:localhost" in said
    assert not here.state_dir.exists()


async def test_a_login_that_cannot_be_kept_is_taken_back(
    here: Installation, homeserver: Homeserver
) -> None:
    (here.root / "file").write_text("")
    here.write(state_dir="file/state")
    for command in ("run", "login"):
        said = await _complaint(here, command)
        assert "set another state_dir" in said
    assert not await _devices(here, homeserver)


async def test_login_makes_the_session_that_run_uses(
    here: Installation, homeserver: Homeserver
) -> None:
    done = await asyncio.to_thread(here.surface, "login")
    assert done.returncode == 0, done.stderr
    session = _session(here)
    assert done.stdout == f"Logged in as {session['user_id']}, device {session['device_id']}.\n"
    assert here.state_dir.stat().st_mode & 0o777 == 0o700
    assert await _devices(here, homeserver) == {session["device_id"]}
    assert session["access_token"] not in done.stdout + done.stderr


async def test_login_again_puts_the_old_session_aside(
    here: Installation, homeserver: Homeserver
) -> None:
    assert (await asyncio.to_thread(here.surface, "login")).returncode == 0
    first = _session(here)
    assert (await asyncio.to_thread(here.surface, "login")).returncode == 0
    assert _session(here)["device_id"] != first["device_id"]
    assert _session(here, "session.json.old") == first


async def test_a_malformed_session_is_mended_by_login(here: Installation) -> None:
    file = here.state_dir / "matrix_store" / "session.json"
    file.parent.mkdir(parents=True)
    file.write_text("{")
    assert "run `surface login`" in await _complaint(here, "run")
    assert (await asyncio.to_thread(here.surface, "login")).returncode == 0
    assert _session(here)["user_id"] == here.settings["user_id"]
    assert file.with_name("session.json.old").read_text() == "{"


async def test_a_recovery_key_belongs_to_a_bot_that_has_run(here: Installation) -> None:
    before = here.tree()
    assert "start the bot once" in await _complaint(here, "recovery-key")
    assert here.tree() == before
    done = await asyncio.to_thread(here.surface, "login")
    assert done.returncode == 0, done.stderr
    # The session is enough: an identity can be made without the bot.
    assert "--reset" in await _complaint(here, "recovery-key")
    done = await asyncio.to_thread(here.surface, "recovery-key", "--reset")
    assert done.returncode == 0, done.stderr
    assert "The recovery key of" in done.stdout


async def test_no_login_beside_the_running_bot(here: Installation, homeserver: Homeserver) -> None:
    store = TinyStore.open(here.state_dir / "lambda_matrix.db")
    try:
        said = await _complaint(here, "login")
    finally:
        await store.aclose()
    assert said.startswith(f"{here.state_dir} is in use by another surface (process {os.getpid()})")
    assert not await _devices(here, homeserver)


async def test_the_device_of_the_settings_is_used(make_bot: Any, homeserver: Homeserver) -> None:
    bot = await make_bot(settings={"device_id": "CHOSEN"})
    session = json.loads((bot.state_dir / "matrix_store" / "session.json").read_text())
    assert session["device_id"] == "CHOSEN"


async def test_a_new_token_in_the_settings_replaces_the_stored_one(
    make_bot: Any, homeserver: Homeserver
) -> None:
    bot = await make_bot(start=False)
    localpart = bot.user_id[1:].partition(":")[0]
    one = await homeserver.login(localpart, "the bot's password", device_id="D1")
    way = {"password": None, "access_token": one.access_token, "device_id": "D1"}
    bot.settings |= way
    await bot.start()
    await bot.stop()
    two = await homeserver.login(localpart, "the bot's password", device_id="D1")
    bot.settings |= {"access_token": two.access_token}
    assert one.access_token != two.access_token
    await bot.start()
    await bot.stop()
    file = bot.state_dir / "matrix_store" / "session.json"
    assert json.loads(file.read_text())["access_token"] == two.access_token
