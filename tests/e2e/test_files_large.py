"""A file of 500 MB, sealed, to the agent and back: what it costs in memory."""

from __future__ import annotations

import hashlib
import secrets
from base64 import b64encode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from surface.homeserver import Homeserver
from tests.e2e.conftest import Make, MakeHomeserver
from tests.rig.desk import onboard
from tests.rig.person import Person

SIZE = 500_000_000
PIECE = 1_000_000
MOST = 64 * 1024 * 1024
"""Bytes by which the peak of the bot's memory may rise."""

pytestmark = [pytest.mark.slow, pytest.mark.minutes, pytest.mark.timeout(900)]


def memory(pid: int, key: str) -> int:
    """Bytes, as the kernel counts them (proc(5): `VmRSS`, `VmHWM`)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no {key}")


async def upload(person: Person, seal: Callable[[bytes], bytes]) -> tuple[str, bytes]:
    """Upload what no test could hold twice; returns the address, and the hash of what was sealed."""
    sealed = hashlib.sha256()

    async def pieces() -> AsyncIterator[bytes]:
        for n in range(SIZE // PIECE):
            piece = seal(n.to_bytes(4, "big") * (PIECE // 4))
            sealed.update(piece)
            yield piece

    headers = {
        "Authorization": f"Bearer {person.login.access_token}",
        "Content-Length": str(SIZE),
        "Content-Type": "application/octet-stream",
    }
    async with httpx.AsyncClient(base_url=person.url, timeout=600, trust_env=False) as http:
        answer = await http.post("/_matrix/media/v3/upload", content=pieces(), headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["content_uri"], sealed.digest()


def plain_hash() -> str:
    found = hashlib.sha256()
    for n in range(SIZE // PIECE):
        found.update(n.to_bytes(4, "big") * (PIECE // 4))
    return found.hexdigest()


def hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.fixture
def roomy(tmp_path: Path, make_homeserver: MakeHomeserver) -> Homeserver:
    """A homeserver that takes large files, and keeps them on disk."""
    server = make_homeserver(
        settings={"max_upload_size": "600M", "media_store_path": str(tmp_path / "media")}
    )
    server.launch()
    return server


async def test_500_megabytes_raise_the_peak_by_less_than_64(
    roomy: Homeserver, person: Make, make_bot: Make, tmp_path: Path
) -> None:
    files = {"max_incoming": 600, "quota_per_user": 600}
    bot = await make_bot(
        on=roomy, settings={"files": files, "workspace_dir": str(tmp_path / "workspace")}
    )
    desk = await onboard(await person("alice", on=roomy), bot)
    await desk.say(desk.chat, "warm")
    key, iv = secrets.token_bytes(32), secrets.token_bytes(8) + bytes(8)
    seal = Cipher(algorithms.AES(key), modes.CTR(iv)).encryptor().update
    url, digest = await upload(desk.person, seal)
    file: dict[str, Any] = {
        "v": "v2",
        "url": url,
        "key": {"kty": "oct", "alg": "A256CTR", "k": urlsafe_b64encode(key).decode().rstrip("=")},
        "iv": b64encode(iv).decode().rstrip("="),
        "hashes": {"sha256": b64encode(digest).decode().rstrip("=")},
    }

    pid = bot.pid
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # proc(5): the peak begins anew
    before = memory(pid, "VmRSS")
    content = {"msgtype": "m.file", "body": "here", "filename": "big.bin", "file": file}
    sent = await desk.person.send_event(desk.chat, "m.room.message", content)
    await desk.person.answer_to(desk.chat, sent, saying="here", timeout=600)
    inwards = memory(pid, "VmHWM") - before
    back = await desk.person.answer_to(
        desk.chat, sent, where=lambda m: m.msgtype == "m.file", timeout=600
    )
    both = memory(pid, "VmHWM") - before

    print(f"peak: {inwards / 2**20:.1f} MB more on the way in, {both / 2**20:.1f} in both ways")
    assert inwards < MOST
    assert both < MOST
    assert back.content["info"]["size"] == SIZE
    (kept,) = (tmp_path / "workspace" / "surfaces").rglob("*big.bin")
    (stored,) = (
        path
        for path in (tmp_path / "media" / "local_content").rglob("*")
        if path.is_file() and "".join(path.parts[-3:]) == back.content["url"].rpartition("/")[2]
    )
    assert hash_of(kept) == hash_of(stored) == plain_hash()
