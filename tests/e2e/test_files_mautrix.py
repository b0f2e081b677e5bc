"""Files with mautrix as the person's client, which shares no code with the bot: every kind, size and name.

`--many-files 10000` sends so many files, one after the other.
"""

from __future__ import annotations

import asyncio
import importlib.util
import io
import math
import os
import struct
import wave
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Self

import pytest
from mautrix.client import Client
from mautrix.types import (
    BaseFileInfo,
    EventType,
    Filter,
    ImageInfo,
    MediaMessageEventContent,
    MessageEvent,
    MessageType,
    RoomEventFilter,
    RoomFilter,
    RoomID,
    UserID,
)
from PIL import Image

from surface.files.names import INBOX, ROOT, file_name, folder_name
from tests.e2e.conftest import Make
from tests.rig.bot import Bot
from tests.rig.desk import Desk, onboard
from tests.rig.hostile import HOSTILE
from tests.rig.person import PASSWORD, log_in_by_password

MOST = 100_000
PATIENCE = 280.0
EVERYTHING = Filter(room=RoomFilter(timeline=RoomEventFilter(limit=100)))
"""What comes between two syncs: ten events if nothing is said, 100 at most (`filter_timeline_limit` of
Synapse). The rest would be a gap, which this client does not fill."""
WAVE = 25
"""Files under way at one time: each is sent, answered in words, and comes back."""
KINDS = (MessageType.IMAGE, MessageType.FILE, MessageType.AUDIO, MessageType.VIDEO)


def _attachments() -> Any:
    """mautrix's own encryption of files; the rest of its crypto needs a library in C, this does not."""
    folder = importlib.util.find_spec("mautrix").submodule_search_locations[0]  # type: ignore[union-attr,index]
    path = Path(folder) / "crypto" / "attachments" / "attachments.py"
    spec = importlib.util.spec_from_file_location("mautrix_attachments", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ATTACHMENTS = _attachments()


class MautrixClient:
    """A device of a person, in mautrix."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.heard: list[MessageEvent] = []
        self._more = asyncio.Condition()
        client.add_event_handler(EventType.ROOM_MESSAGE, self._hear)

    @classmethod
    async def of(cls, desk: Desk) -> Self:
        login = await log_in_by_password(desk.person.url, desk.me, PASSWORD)
        return cls(
            Client(
                UserID(login.user_id),
                login.device_id,
                base_url=desk.person.url,
                token=login.access_token,
            )
        )

    async def _hear(self, event: MessageEvent) -> None:
        async with self._more:
            self.heard.append(event)
            self._more.notify_all()

    async def until(
        self, found: Callable[[MessageEvent], bool], count: int = 1
    ) -> list[MessageEvent]:
        """The first so many messages that are these."""
        matching: list[MessageEvent] = []
        seen = 0
        async with asyncio.timeout(PATIENCE), self._more:
            while True:
                matching += filter(found, self.heard[seen:])
                seen = len(self.heard)
                if len(matching) >= count:
                    return matching
                await self._more.wait()

    async def send(
        self,
        room_id: str,
        data: bytes,
        name: str,
        *,
        kind: MessageType = MessageType.FILE,
        mime_type: str = "application/octet-stream",
        caption: str = "here",
        sealed: bool = False,
    ) -> str:
        """Send a file with a caption, sealed or not."""
        url = file = None
        if sealed:
            data, file = ATTACHMENTS.encrypt_attachment(data)
            file.url = await self.client.upload_media(data, "application/octet-stream")
        else:
            url = await self.client.upload_media(data, mime_type)
        info = BaseFileInfo(mimetype=mime_type, size=len(data))
        content = MediaMessageEventContent(
            msgtype=kind, body=caption, filename=name, url=url, file=file, info=info
        )
        return str(await self.client.send_message(RoomID(room_id), content))

    async def download(self, event: MessageEvent) -> bytes:
        content = event.content
        if content.file is not None:
            sealed = await self.client.download_media(content.file.url)
            file = content.file
            return ATTACHMENTS.decrypt_attachment(
                sealed, file.key.key, file.hashes["sha256"], file.iv
            )
        return await self.client.download_media(content.url)


@pytest.fixture
async def bot(share_bot: Make) -> Bot:
    shared: Bot = await share_bot(
        settings={
            "files": {"max_incoming": MOST / 1e6},
            "limits": {"per_minute": 10_000, "waiting": 1_000},
        }
    )
    return shared


@pytest.fixture
async def desk(person: Make, bot: Bot) -> Desk:
    return await onboard(await person("alice"), bot)


@pytest.fixture
async def mautrix(desk: Desk) -> AsyncIterator[MautrixClient]:
    it = await MautrixClient.of(desk)
    task = it.client.start(EVERYTHING)
    try:
        yield it
    finally:
        it.client.stop()
        await asyncio.gather(task, return_exceptions=True)
        await it.client.api.session.close()


def kept(desk: Desk) -> list[bytes]:
    """What lies in the inbox of the test's own room; other tests' people share the workspace."""
    folder = desk.bot.workspace.joinpath(*ROOT, folder_name(desk.me), folder_name(desk.chat))
    return [path.read_bytes() for path in (folder / INBOX).iterdir()]


def picture(form: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (7, 5), "red").save(out, form)
    return out.getvalue()


def sound() -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as tone:
        tone.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
        tone.writeframes(
            b"".join(struct.pack("<h", int(9000 * math.sin(n / 3))) for n in range(4000))
        )
    return out.getvalue()


def archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as box:
        box.writestr("a.txt", "a")
    return out.getvalue()


SAMPLES: dict[str, tuple[MessageType, str, bytes, dict[str, Any]]] = {
    "png": (MessageType.IMAGE, "image/png", picture("PNG"), {"width": 7, "height": 5}),
    "jpg": (MessageType.IMAGE, "image/jpeg", picture("JPEG"), {"width": 7, "height": 5}),
    "gif": (MessageType.IMAGE, "image/gif", picture("GIF"), {"width": 7, "height": 5}),
    "webp": (MessageType.IMAGE, "image/webp", picture("WEBP"), {"width": 7, "height": 5}),
    "wav": (MessageType.AUDIO, "audio/x-wav", sound(), {"duration": 500}),
    "mp4": (MessageType.VIDEO, "video/mp4", b"\0\0\0\x18ftypmp42" + bytes(500), {}),
    "webm": (
        MessageType.VIDEO,
        "video/webm",
        b"\x1a\x45\xdf\xa3" + b"\x42\x82\x84webm" + bytes(500),
        {},
    ),
    "pdf": (MessageType.FILE, "application/pdf", b"%PDF-1.7\n" + bytes(99), {}),
    "zip": (MessageType.FILE, "application/zip", archive(), {}),
    "txt": (MessageType.FILE, "text/plain", "Привет".encode(), {}),
    "bin": (MessageType.FILE, "application/octet-stream", os.urandom(99), {}),
}


@pytest.mark.parametrize("sealed", [False, True], ids=["plain", "sealed"])
@pytest.mark.parametrize("suffix", SAMPLES)
async def test_every_kind_goes_both_ways(
    desk: Desk, mautrix: MautrixClient, suffix: str, sealed: bool
) -> None:
    kind, mime_type, data, told = SAMPLES[suffix]
    name = f"Файл 1.{suffix}"
    await mautrix.send(desk.chat, data, name, kind=kind, mime_type=mime_type, sealed=sealed)

    (back,) = await mautrix.until(
        lambda e: e.sender == desk.bot.user_id and e.content.msgtype in KINDS
    )

    assert await mautrix.download(back) == data
    assert back.content.msgtype == kind
    assert back.content.body == back.content.filename == name
    info = back.content.info
    assert (info.mimetype, info.size) == (mime_type, len(data))
    assert {key: getattr(info, key) for key in told} == told
    (answer,) = await mautrix.until(
        lambda e: e.sender == desk.bot.user_id and e.content.body == "here"
    )
    assert answer.content.msgtype == MessageType.TEXT


@pytest.mark.parametrize("sealed", [False, True], ids=["plain", "sealed"])
@pytest.mark.parametrize("size", [0, 1, MOST, MOST + 1])
async def test_sizes_up_to_the_limit(
    desk: Desk, mautrix: MautrixClient, size: int, sealed: bool
) -> None:
    data = os.urandom(size)
    await mautrix.send(desk.chat, data, "s.dat", sealed=sealed)
    if size > MOST:
        (refusal,) = await mautrix.until(
            lambda e: e.room_id == desk.chat and e.content.msgtype == MessageType.NOTICE
        )
        assert refusal.content.body == "s.dat is too large: 0.1 MB at most."
        return
    (back,) = await mautrix.until(
        lambda e: e.sender == desk.bot.user_id and e.content.msgtype in KINDS
    )
    assert await mautrix.download(back) == data


async def test_a_sticker_is_a_picture(desk: Desk, mautrix: MautrixClient) -> None:
    data = picture("PNG")
    url = await mautrix.client.upload_media(data, "image/png")
    info = ImageInfo(mimetype="image/png", size=len(data), width=7, height=5)
    await mautrix.client.send_sticker(RoomID(desk.chat), url, info=info, text="a red one")
    await mautrix.client.send_text(RoomID(desk.chat), "what is it?")
    (back,) = await mautrix.until(
        lambda e: e.sender == desk.bot.user_id and e.content.msgtype in KINDS
    )
    assert (back.content.msgtype, back.content.body) == (MessageType.IMAGE, "a red one")
    assert await mautrix.download(back) == data


async def test_hostile_names_come_back_harmless(desk: Desk, mautrix: MautrixClient) -> None:
    names = [name for name in HOSTILE if name and "\ud800" not in name]
    for name in names:
        await mautrix.send(desk.chat, name.encode(), name)
    files = await mautrix.until(
        lambda e: e.sender == desk.bot.user_id and e.content.msgtype in KINDS, len(names)
    )
    assert [event.content.body for event in files] == [file_name(name) for name in names]
    assert [await mautrix.download(event) for event in files] == [name.encode() for name in names]
    assert sorted(kept(desk)) == sorted(name.encode() for name in names)


async def test_many_files_all_come_back_once(
    desk: Desk, mautrix: MautrixClient, request: pytest.FixtureRequest
) -> None:
    many = int(request.config.getoption("--many-files"))
    names = [
        f"{n} {HOSTILE[n % len(HOSTILE)].encode('utf-8', 'replace').decode()}" for n in range(many)
    ]
    gate = asyncio.Semaphore(8)

    async def send(number: int) -> None:
        async with gate:
            await mautrix.send(
                desk.chat, str(number).encode(), names[number], caption=f"no {number}"
            )

    for start in range(0, many, WAVE):
        end = min(start + WAVE, many)
        await asyncio.gather(*map(send, range(start, end)))
        files = await mautrix.until(
            lambda e: e.sender == desk.bot.user_id and e.content.msgtype in KINDS, end
        )
    assert len(files) == many
    assert sorted(e.content.body for e in files) == sorted(map(file_name, names))
    await desk.bot.at_rest("outbox")
    assert sorted(map(int, kept(desk))) == list(range(many))
