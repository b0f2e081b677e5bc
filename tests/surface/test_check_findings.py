"""`surface check`: what it finds, and that it leaves everything as it was."""

from __future__ import annotations

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from config import load_settings
from store import MemoryStore, TinyStore
from surface.check import check
from surface.homeserver import Homeserver
from surface.inbox import InboxRow, encode_row
from surface.login import log_in_again
from surface.matrix import session as sessions
from surface.platform.reference.desk import Desk
from surface.platform.reference.service import make_app
from surface.platform.wire import AgentCard
from tests.rig.api import MatrixApi
from tests.rig.bot import Bot
from tests.rig.cli import NOWHERE, Installation
from tests.rig.model_server import ModelServer
from tests.rig.proxy import FaultProxy, Status, TooMany
from tests.rig.services import serving

PASSWORD = "secret words"


def _check(here: Installation, *, terminal: bool = False) -> tuple[bool, dict[str, str], str]:
    """Whether all is well, the findings by what was looked at, and all that was printed."""
    before = here.tree()
    text = io.StringIO()
    out = Console(file=text, force_terminal=terminal, width=200, highlight=False)
    well = check(here.root / "surface.yaml", out)
    assert here.tree() == before
    said = text.getvalue()
    assert PASSWORD not in said
    lines = [line.partition(": ") for line in said.splitlines()] if not terminal else []
    return well, {what[6:]: f"{what[:4].strip()} {rest}" for what, _, rest in lines}, said


async def _checked(here: Installation) -> tuple[bool, dict[str, str]]:
    return (await asyncio.to_thread(_check, here))[:2]


@pytest.fixture
def here(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


@pytest.fixture
async def there(tmp_path: Path, homeserver: Homeserver) -> AsyncIterator[Installation]:
    """An installation for an account of a real homeserver."""
    login = await homeserver.register(f"checked{os.urandom(4).hex()}", PASSWORD)
    yield Installation(tmp_path, homeserver=homeserver.url, user_id=login.user_id)


def test_a_homeserver_that_is_away_hides_nothing_else(here: Installation) -> None:
    well, found, _ = _check(here)
    assert not well
    assert found["homeserver"].startswith(f"fail {NOWHERE} cannot be reached")
    assert found["login"].startswith("warn not checked")
    assert found["agents"].endswith("agents.yaml: echo")
    assert found["agent echo"] == "ok Echo, by echo"
    assert found["state directory"].endswith("state is not there yet and will be made")


def test_wrong_settings_are_told_one_by_one(here: Installation) -> None:
    here.write(locale="xx", homserver="http://x")
    well, _, said = _check(here)
    assert not well
    assert said.count("fail  settings") == 2
    assert '`locale` cannot be "xx"' in said
    assert "`homserver`" in said


def test_a_wrong_registry_does_not_hide_the_homeserver(here: Installation) -> None:
    here.write({"agents": [{"id": "a", "name": "A", "adapter": "ecko"}]})
    well, found, _ = _check(here)
    assert not well
    assert found["agents"].startswith("fail agents.yaml") or "ecko" in found["agents"]
    assert "homeserver" in found


def test_no_default_agent_is_no_fault(here: Installation) -> None:
    here.write({"agents": [{"id": "a", "name": "A", "adapter": "echo"}]})
    assert _check(here)[1]["default agent"].startswith("ok none: new people are asked")


@pytest.mark.parametrize("key", ["state_dir", "workspace_dir"])
def test_a_directory_that_cannot_be_made(here: Installation, key: str) -> None:
    (here.root / "file").write_text("")
    here.write(**{key: "file/below"})
    well, found, _ = _check(here)
    assert not well
    line = found["state directory" if key == "state_dir" else "workspace"]
    assert line.startswith("fail")
    assert f"{here.root / 'file'} is not a directory" in line
    assert f"set another `{key}`" in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission(here: Installation) -> None:
    here.state_dir.mkdir(mode=0o500)
    assert "cannot be written" in _check(here)[1]["state directory"]


async def test_a_store_is_read_and_left_alone(here: Installation) -> None:
    file = here.state_dir / "lambda_matrix.db"
    store = TinyStore.open(file)
    await store.save([encode_row(InboxRow("$e", "!r", "0", "event", {}))])
    # While it is open, and thus locked, nobody looks into it.
    well, found = await _checked(here)
    assert not well
    assert found["database"].startswith(f"warn in use by process {os.getpid()}")
    await store.aclose()
    assert (await _checked(here))[1]["database"] == "ok 0 people, 0 rooms, 1 things to finish"


async def test_what_a_killed_bot_left_is_read_too(here: Installation, tmp_path: Path) -> None:
    file = tmp_path / "other" / "lambda_matrix.db"
    store = TinyStore.open(file)
    await store.save([encode_row(InboxRow("$e", "!r", "0", "event", {}))])
    # As SIGKILL leaves it: the document is in the -wal file only.
    here.state_dir.mkdir()
    for name in (file.name, f"{file.name}-wal"):
        (here.state_dir / name).write_bytes((file.parent / name).read_bytes())
    await store.aclose()
    assert (await _checked(here))[1]["database"] == "ok 0 people, 0 rooms, 1 things to finish"


def test_on_a_terminal_it_is_a_table(here: Installation) -> None:
    well, _, said = _check(here, terminal=True)
    assert not well
    for word in ("how it stands", "what to do", "homeserver", "fail", "warn", "ok", "│"):
        assert word in said


# --- with a homeserver ------------------------------------------------------------------------


@pytest.mark.synapse
async def test_before_the_first_login(there: Installation, homeserver: Homeserver) -> None:
    well, found = await _checked(there)
    assert well, found
    assert found["homeserver"].startswith(f"ok {homeserver.url} (Matrix v1.")
    user_id = there.settings["user_id"]
    assert (
        found["login"] == f"ok no session yet: the first start logs {user_id} in with the password"
    )


@pytest.mark.synapse
async def test_a_wrong_password_is_found_and_a_right_one_leaves_no_device(
    there: Installation, homeserver: Homeserver
) -> None:
    assert (await _checked(there))[0]
    user_id = there.settings["user_id"]
    mine = await homeserver.login(user_id, PASSWORD)
    api = MatrixApi(homeserver.url, mine.access_token)
    try:
        devices = (await api.call("GET", "devices"))["devices"]
    finally:
        await api.close()
    assert "Surface" not in [device["display_name"] for device in devices]

    there.write(password="not it")
    well, found = await _checked(there)
    assert not well
    refused = f"{homeserver.url} refuses the password of {user_id}; correct `password`"
    assert found["login"] == f"fail {refused}"


@pytest.mark.synapse
async def test_a_login_too_many_says_nothing_of_the_password(
    there: Installation, proxy: FaultProxy
) -> None:
    there.write(homeserver=proxy.url)
    proxy.arm("POST", "/login$", TooMany(3000))
    well, found = await _checked(there)
    assert well
    assert found["login"].startswith("warn the password could not be tried")
    assert found["login"].endswith("try again in 3 s")


@pytest.mark.synapse
async def test_tls_where_there_is_none_is_told(there: Installation, homeserver: Homeserver) -> None:
    there.write(homeserver=homeserver.url.replace("http:", "https:"))
    well, found = await _checked(there)
    assert not well
    assert f"no TLS there; is it {homeserver.url}?" in found["homeserver"]


@pytest.mark.synapse
async def test_a_homeserver_without_passwords(there: Installation, proxy: FaultProxy) -> None:
    there.write(homeserver=proxy.url)
    flows = json.dumps({"flows": [{"type": "m.login.sso"}]}).encode()
    proxy.arm("GET", "/login$", Status(200, flows, "application/json"), times=None)
    well, found = await _checked(there)
    assert not well
    assert found["login"].startswith("fail the homeserver takes no passwords")


@pytest.mark.synapse
@pytest.mark.parametrize("body", [b"<html>hello</html>", b'{"a": 1}'])
async def test_a_web_server_in_its_place(
    there: Installation, proxy: FaultProxy, body: bytes
) -> None:
    there.write(homeserver=proxy.url)
    proxy.arm("*", "", Status(200, body), times=None)
    well, found = await _checked(there)
    assert not well
    assert found["homeserver"].startswith(f"fail {proxy.url}")


@pytest.mark.synapse
async def test_a_stored_session_is_asked_about(there: Installation, homeserver: Homeserver) -> None:
    session = await log_in_again(_settings(there))
    well, found = await _checked(there)
    assert well, found
    assert found["login"] == f"ok {session.user_id}, device {session.device_id}"
    assert "the next start publishes the keys" in found["encryption"]

    there.write(recovery_key="EsTc LW2K PGiF wKEA 3As5 g5c4 BXwk qeeJ ZJV8 Q9fu gUMN UE4e")
    well, found = await _checked(there)
    assert not well
    assert "a letter in it is wrong" in found["encryption"]

    await sessions.log_out(session)
    well, found = await _checked(there)
    assert not well
    assert "Run `surface login`" in found["login"]


@pytest.mark.synapse
async def test_a_token_of_the_settings(there: Installation, homeserver: Homeserver) -> None:
    mine = await homeserver.login(there.settings["user_id"], PASSWORD)
    there.write(password=None, access_token=mine.access_token, device_id=mine.device_id)
    assert (await _checked(there))[0]

    there.write(device_id="ELSE")
    well, found = await _checked(there)
    assert not well
    assert f"device {mine.device_id}" in found["login"]
    assert "correct" in found["login"]

    there.write(access_token="gone")
    well, found = await _checked(there)
    assert not well
    assert "Put a new `access_token` and its `device_id` into the settings" in found["login"]


@pytest.mark.synapse
async def test_beside_a_running_bot(make_bot: Any) -> None:
    bot: Bot = await make_bot()
    text = io.StringIO()
    config = bot.root / "surface.yaml"
    assert await asyncio.to_thread(check, config, Console(file=text, width=200))
    assert f"in use by process {bot.pid}" in text.getvalue()
    assert f"login: {bot.user_id}, device " in text.getvalue()
    assert f"encryption: device {bot.device_id} is signed" in text.getvalue()


def _settings(there: Installation) -> Any:
    return load_settings(there.root / "surface.yaml", environ={})


def test_every_agent_is_reached_and_told_how_it_stands(here: Installation) -> None:
    platform = {"id": "guide", "name": "Guide", "adapter": "http"}
    model = {"id": "parrot", "name": "Parrot", "adapter": "openai", "model": "parrot"}
    card = AgentCard(id="guide", name="Guide")
    with (
        serving(make_app(Desk(MemoryStore(), {}), [card], None)) as service,
        serving(ModelServer().app) as api,
    ):
        agents = [
            platform | {"url": service},
            platform | {"url": service, "id": "gone"},
            platform | {"url": "http://127.0.0.1:9", "id": "away"},
            platform | {"url": f"{service}/v1", "id": "doubled"},
            platform | {"url": service.replace("http:", "https:"), "id": "tls"},
            model | {"url": f"{api}/v1"},
            model | {"url": f"{api}/v1", "id": "other", "model": "cockatoo"},
            model | {"url": service, "id": "web"},
        ]
        here.write({"agents": agents})
        _, found, _ = _check(here)
    assert found["agent guide"] == "ok Guide, by http"
    assert found["agent gone"].startswith("warn no agent `gone` there; there are: guide")
    assert found["agent away"].startswith("warn The platform cannot be reached (")
    assert found["agent doubled"].startswith(f"warn nothing speaks the contract at {service}/v1 (")
    assert "WRONG_VERSION_NUMBER" in found["agent tls"]
    assert found["agent web"].endswith("so whether it knows `parrot` is open")
    assert found["agent parrot"] == "ok Parrot, by openai"
    assert found["agent other"].startswith("warn no model `cockatoo`; there are: parrot")
