"""Every line of the doctor: well where all is well, and broken by breaking that one thing."""

from __future__ import annotations

import asyncio
import io
import json
import os
import resource
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from surface import doctor
from surface.check import check
from surface.homeserver import Homeserver
from surface.login import log_in_again
from tests.rig.bot import Bot
from tests.rig.cli import Installation
from tests.rig.desk import onboard
from tests.rig.fixtures import Make
from tests.rig.proxy import FaultProxy, Status
from tests.surface.test_check_findings import _settings as settings_of

PASSWORD = "secret words"
RECOVERY_KEY = "EsTc LW2K PGiF wKEA 3As5 g5c4 BXwk qeeJ ZJV8 Q9fu gUMN UE4d"


def found(config: Path) -> tuple[bool, dict[str, str]]:
    """Whether the bot could run, and the findings by what was looked at."""
    text = io.StringIO()
    well = check(config, Console(file=text, width=200, highlight=False))
    lines = [line[6:].partition(": ") for line in text.getvalue().splitlines()]
    levels = [line[:4].strip() for line in text.getvalue().splitlines()]
    return well, {
        what: f"{level} {rest}" for level, (what, _, rest) in zip(levels, lines, strict=True)
    }


@pytest.fixture
def here(tmp_path: Path) -> Installation:
    """An installation without a homeserver, in which nothing else is wrong."""
    here = Installation(tmp_path)
    (tmp_path / "surface.yaml").chmod(0o600)
    here.state_dir.mkdir(mode=0o700)
    return here


def local(here: Installation) -> dict[str, str]:
    return found(here.root / "surface.yaml")[1]


# --- this machine -----------------------------------------------------------------------------

LOCAL = ("versions", "permissions", "volumes", "state volume", "open files")
ROOMS = ("room for the state", "room for files")


def test_all_is_well(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    # How full this machine's disk is, and what the tests lie on, is not the program's to say.
    monkeypatch.setattr(doctor, "LITTLE", 1)
    monkeypatch.setattr(doctor, "TOO_LITTLE", 1)
    mounts(here, monkeypatch, f"disk {here.root} ext4 rw 0 0")
    seen = local(here)
    assert {what: seen[what].split()[0] for what in (*LOCAL, *ROOMS)} == dict.fromkeys(
        (*LOCAL, *ROOMS), "ok"
    ), seen


def mounts(here: Installation, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    file = here.root / "mounts"
    file.write_text("\n".join(("root / ext4 rw 0 0", *lines)))
    monkeypatch.setattr(doctor, "MOUNTS", file)


def test_a_library_of_another_version(here: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "NEEDED", {"matrix-nio": "99."})
    assert "install matrix-nio 99.x" in local(here)["versions"]


@pytest.mark.parametrize(
    ("name", "to_do"),
    [
        ("state", "chmod 700"),
        ("state/matrix_store", "chmod 700"),
        ("state/matrix_store/session.json", "chmod 600"),
        ("state/lambda_matrix.db", "chmod 600"),
    ],
)
def test_what_others_can_read(here: Installation, name: str, to_do: str) -> None:
    (here.state_dir / "matrix_store").mkdir(mode=0o700)
    path = here.root / name
    if not path.exists():
        path.write_text("")
        path.chmod(0o640)
    else:
        path.chmod(0o755)
    seen = local(here)["permissions"]
    assert seen == f"warn {path} is open to other users -> {to_do} {path}"


def test_settings_that_everyone_can_read(here: Installation) -> None:
    config = here.root / "surface.yaml"
    config.chmod(0o644)
    assert "every user can read its secret -> chmod 640" in local(here)["permissions"]
    (here.root / "word").write_text("secret words")
    here.settings.pop("password")
    here.write(password_file="word")
    assert local(here)["permissions"].startswith("ok")


@pytest.mark.parametrize(
    "secret", [{"recovery_key": RECOVERY_KEY}, {"pickle_key": "long and random"}]
)
def test_the_keys_in_the_settings_are_secrets_too(
    here: Installation, secret: dict[str, str]
) -> None:
    (here.root / "word").write_text("secret words")
    here.settings.pop("password")
    here.write(password_file="word", **secret)
    (here.root / "surface.yaml").chmod(0o644)
    assert "every user can read its secret -> chmod 640" in local(here)["permissions"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_state_directory_of_somebody_else(here: Installation) -> None:
    os.chown(here.state_dir, 12345, 12345)
    seen = local(here)["permissions"]
    assert "belongs to user 12345, and this is user 0 -> run as that user, or: chown -R 0" in seen


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"workspace_dir": "state/agents"}, "the agents see the bot's keys"),
        ({"workspace_dir": ".", "state_dir": "state"}, "which the agents can read"),
    ],
)
def test_volumes_in_one_another(here: Installation, settings: dict[str, str], words: str) -> None:
    here.write(**settings)
    well, seen = found(here.root / "surface.yaml")
    assert not well
    assert seen["volumes"].startswith("fail") and words in seen["volumes"]


@pytest.mark.parametrize(
    ("kind", "level", "to_do"),
    [
        ("nfs4", "fail", "put `state_dir` on a disk of this machine"),
        ("fuse.sshfs", "fail", "put `state_dir` on a disk of this machine"),
        ("overlay", "warn", "mount a volume there"),
        ("tmpfs", "warn", "mount a volume there"),
    ],
)
def test_a_state_directory_that_does_not_last(
    here: Installation, monkeypatch: pytest.MonkeyPatch, kind: str, level: str, to_do: str
) -> None:
    mounts(here, monkeypatch, f"it {here.state_dir} {kind} rw 0 0", "other /elsewhere ext4 rw 0 0")
    seen = local(here)["state volume"]
    assert seen.startswith(level) and f"({kind})" in seen and to_do in seen


def test_mounts_with_blanks_and_one_over_another() -> None:
    told = "a / ext4\nb /a\\040b xfs\nc /a\\040b/c nfs\nc /a\\040b/c btrfs\nodd\n"
    where = [doctor.file_system_of(Path(p), told) for p in ("/a b", "/a b/c/d", "/a", "/a bc")]
    assert where == ["xfs", "btrfs", "ext4", "ext4"]
    assert doctor.file_system_of(Path("/a"), "") == ""


@pytest.mark.parametrize(("limit", "level"), [("LITTLE", "warn"), ("TOO_LITTLE", "fail")])
@pytest.mark.parametrize("what", ROOMS)
def test_a_disk_that_is_full(
    here: Installation, monkeypatch: pytest.MonkeyPatch, limit: str, level: str, what: str
) -> None:
    monkeypatch.setattr(doctor, limit, 10**18)
    seen = local(here)[what]
    assert seen.startswith(level) and seen.endswith("make room there")


@pytest.fixture
def few_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_low_limit_of_open_files(here: Installation, few_files: None) -> None:
    assert local(here)["open files"].startswith("warn 512 at most -> raise it to 1024")


# --- the homeserver ---------------------------------------------------------------------------


class Elsewhen(BaseHTTPRequestHandler):
    """A homeserver that is an hour off."""

    def do_GET(self) -> None:
        body = json.dumps({"versions": ["v1.12"]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return "Thu, 01 Jan 2015 00:00:00 GMT"

    def log_message(self, *args: object) -> None:
        pass


def test_a_clock_that_is_off(here: Installation) -> None:
    server = HTTPServer(("127.0.0.1", 0), Elsewhen)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        here.write(homeserver=f"http://127.0.0.1:{server.server_port}")
        seen = local(here)["clock"]
    finally:
        server.shutdown()
        server.server_close()
    assert seen.startswith("warn") and "ahead of the homeserver's -> have both set by NTP" in seen


@pytest.fixture
async def there(
    tmp_path: Path, homeserver: Homeserver, proxy: FaultProxy
) -> AsyncIterator[Installation]:
    """An installation that is logged in, behind a proxy."""
    login = await homeserver.register(f"doctor{os.urandom(4).hex()}", PASSWORD)
    there = Installation(tmp_path, homeserver=proxy.url, user_id=login.user_id)
    await log_in_again(settings_of(there))
    yield there


async def seen_by(there: Installation) -> tuple[bool, dict[str, str]]:
    return await asyncio.to_thread(found, there.root / "surface.yaml")


@pytest.mark.synapse
async def test_a_homeserver_is_well(there: Installation) -> None:
    well, seen = await seen_by(there)
    assert well, seen
    for what in ("specification", "clock", "room version", "upload limit", "encryption"):
        assert seen[what].startswith("ok"), seen[what]


def answered(answer: Any) -> Status:
    return Status(200, json.dumps(answer).encode(), "application/json")


@pytest.mark.synapse
@pytest.mark.parametrize(
    ("method", "where", "answer", "what", "says"),
    [
        ("GET", "/versions", {"versions": ["r0.6.1", "v1.2"]}, "specification", "fail Matrix v1.2"),
        ("GET", "/versions", {"versions": ["r0.6.1"]}, "specification", "fail Matrix v1.0"),
        (
            "GET",
            "/capabilities",
            {"capabilities": {"m.room_versions": {"default": "9", "available": {"8": "stable"}}}},
            "room version",
            "fail the homeserver makes no rooms of 9 -> set `room_version` to one of: 8",
        ),
        (
            "GET",
            "/media/config",
            {"m.upload.size": 1000},
            "upload limit",
            "warn 0.0 MB -> raise it",
        ),
        ("GET", "/capabilities", "no object", "room version", "warn not told"),
    ],
)
async def test_a_homeserver_that_cannot_do_it(
    there: Installation,
    proxy: FaultProxy,
    method: str,
    where: str,
    answer: Any,
    what: str,
    says: str,
) -> None:
    proxy.arm(method, where, answered(answer), times=None)
    assert (await seen_by(there))[1][what].startswith(says)


@pytest.mark.synapse
async def test_a_room_version_that_the_homeserver_does_not_have(there: Installation) -> None:
    there.write(room_version="98")
    well, seen = await seen_by(there)
    assert not well
    assert "makes no rooms of 98 -> set `room_version` to one of: 1, " in seen["room version"]


@pytest.mark.synapse
async def test_a_homeserver_that_limits_the_bot(
    make_bot: Make, person: Make, proxy: FaultProxy
) -> None:
    """It tells nobody, and to try it out would cost the bot: it is asked how it fares."""
    bot: Bot = await make_bot(url=proxy.url)

    async def look() -> str:
        return (await asyncio.to_thread(found, bot.write_config()))[1]["rate limits"]

    assert (await look()).startswith("ok nothing was put off since the bot's start")
    body = b'{"errcode": "M_LIMIT_EXCEEDED", "error": "later", "retry_after_ms": 100}'
    proxy.arm("PUT", r"/send/m\.room\.message", Status(429, body, "application/json"), times=2)
    proxy.arm("POST", r"/createRoom", Status(429, body, "application/json"), times=1)
    await onboard(await person("alice"), bot)
    await bot.at_rest()
    seen = await look()
    assert seen.startswith("warn 3 requests were put off since the bot's start")
    assert "(create 1, message 2): answers come late -> lift the limits of its account" in seen
    assert "`override_ratelimit`" in seen and seen.endswith("raise `rc_room_creation`")
    await bot.stop()
    assert (await look()).startswith("ok known while the bot runs only")


@pytest.mark.synapse
async def test_keys_that_are_gone(make_bot: Make, proxy: FaultProxy) -> None:
    """One bot, broken in one way after the other; the worst, losing the keys themselves, comes last."""
    bot: Bot = await make_bot()
    await bot.stop()
    bot.url = proxy.url
    session = json.loads((bot.state_dir / "matrix_store" / "session.json").read_text())
    device, own = session["device_id"], bot.user_id
    well = f"ok device {device} is signed by the account's identity"

    async def look() -> tuple[bool, str]:
        fine, seen = await asyncio.to_thread(found, bot.write_config())
        return fine, seen["encryption"]

    assert await look() == (True, well)

    unsigned = {
        "device_keys": {own: {device: {"user_id": own, "device_id": device, "signatures": {}}}},
        "self_signing_keys": {own: {"user_id": own, "keys": {"ed25519:KEY": "KEY"}}},
    }
    for answer, says in (
        (
            {"device_keys": {}},
            f"warn the homeserver has no keys of device {device} -> start the bot",
        ),
        (unsigned, f"warn device {device} is not signed: clients warn of it"),
    ):
        rule = proxy.arm("POST", "/keys/query", answered(answer), times=1)
        fine, seen = await look()
        assert fine and seen.startswith(says), seen
        await rule.fired()
    bot.settings["recovery_key"] = "no recovery key"
    fine, every = await asyncio.to_thread(found, bot.write_config())
    assert not fine and "recovery_key" in str(every)
    del bot.settings["recovery_key"]
    assert await look() == (True, well)

    for file in (bot.state_dir / "matrix_store").glob("*.db*"):
        file.unlink()
    fine, seen = await look()
    assert not fine and seen.startswith(f"fail the keys of device {device} are not in ")
