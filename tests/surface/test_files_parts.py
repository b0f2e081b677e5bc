"""The parts that files go through: the workspace by its handle, types by content, sealing in pieces."""

from __future__ import annotations

import io
import os
import socket
import wave
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from machines.effects import Source
from surface.files.kinds import MOST_PIXELS, Kind, look_at, type_of
from surface.files.sizes import megabytes, shown
from surface.files.workspace import NotInside, Workspace
from surface.matrix.attachments import Sealing, opener
from surface.matrix.media import file_content
from tests.rig import attachments


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "workspace" / "a" / "b").mkdir(parents=True)
    (tmp_path / "workspace" / "a" / "b" / "file").write_text("inside")
    (tmp_path / "outside").write_text("outside")
    return Workspace(tmp_path / "workspace")


def content(workspace: Workspace, path: str) -> str:
    handle = workspace.open_file(path)
    with os.fdopen(handle) as file:
        return file.read()


@pytest.mark.parametrize("path", ["a/b/file", "./a//b/./file", "a/b/file/"])
def test_a_file_inside_is_read(workspace: Workspace, path: str) -> None:
    assert content(workspace, path) == "inside"


@pytest.mark.parametrize("path", ["../outside", "/etc/hostname", "a/../a/b/file", "a", "a/b", ""])
def test_what_is_no_file_inside_is_not(workspace: Workspace, path: str) -> None:
    with pytest.raises(NotInside):
        workspace.open_file(path)


@pytest.mark.parametrize("place", ["link", "a/link", "a/b/link"])
@pytest.mark.parametrize("target", ["outside", ".", "workspace/a/b/file"])
def test_no_link_is_followed_wherever_it_leads(
    workspace: Workspace, tmp_path: Path, place: str, target: str
) -> None:
    (workspace.root / place).symlink_to(tmp_path / target)
    for path in (place, f"{place}/outside", f"{place}/file"):
        with pytest.raises(NotInside):
            workspace.open_file(path)


def test_pipes_sockets_and_devices_are_no_files(workspace: Workspace) -> None:
    os.mkfifo(workspace.root / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        # A socket's path may have 108 bytes, which pytest's folders exceed.
        with in_folder(workspace.root):
            listening.bind("socket")
        for name in ("pipe", "socket"):
            with pytest.raises(NotInside):
                workspace.open_file(name)


@contextmanager
def in_folder(path: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)


def test_no_handle_is_left_open(workspace: Workspace) -> None:
    def handles() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = handles()
    for path in ("a/b/file", "a/none", "a", "a/b/file/x", ".."):
        with suppress(NotInside, OSError):
            os.close(workspace.open_file(path))
    assert handles() == before


PNG = b"\x89PNG\r\n\x1a\n" + bytes(99)


@pytest.mark.parametrize(
    ("head", "claimed", "found"),
    [
        (PNG, "text/html", "image/png"),
        (b"hello", "text/plain; charset=utf-8", "text/plain"),
        (b"hello", "image/png", "application/octet-stream"),
        (b"hello", "IMAGE/JPEG", "application/octet-stream"),
        (b"hello", "", "application/octet-stream"),
        (b"hello", "text/plain\r\nX-Evil: 1", "application/octet-stream"),
        (b"", "text/plain", "text/plain"),
        (b"\x7fELF" + bytes(99), "image/png", "application/x-executable"),
    ],
)
def test_a_type_is_told_by_the_content_first(head: bytes, claimed: str, found: str) -> None:
    assert type_of(head, claimed) == found


def looked_at(tmp_path: Path, data: bytes, claimed: str = "") -> Kind:
    path = tmp_path / "it"
    path.write_bytes(data)
    with path.open("rb") as file:
        return look_at(file.fileno(), claimed)


def picture(size: tuple[int, int], form: str, mode: str = "RGB", **how: object) -> bytes:
    out = io.BytesIO()
    Image.effect_noise(size, 80).convert(mode).save(out, form, **how)
    return out.getvalue()


@pytest.mark.parametrize(
    ("form", "mode", "small"),
    [("PNG", "RGB", "image/jpeg"), ("PNG", "RGBA", "image/png"), ("JPEG", "RGB", "image/jpeg")],
)
def test_a_large_picture_has_a_thumbnail(tmp_path: Path, form: str, mode: str, small: str) -> None:
    kind = looked_at(tmp_path, picture((1600, 400), form, mode))
    assert (kind.width, kind.height) == (1600, 400)
    assert kind.thumbnail is not None
    assert (kind.thumbnail.width, kind.thumbnail.height) == (800, 200)
    assert kind.thumbnail.mime_type == small
    with Image.open(io.BytesIO(kind.thumbnail.data)) as shown_picture:
        assert shown_picture.size == (800, 200)


def test_a_small_picture_needs_none(tmp_path: Path) -> None:
    kind = looked_at(tmp_path, picture((40, 30), "WEBP"))
    assert (kind.mime_type, kind.width, kind.height) == ("image/webp", 40, 30)
    assert kind.thumbnail is None


def test_a_picture_on_its_side_is_as_high_as_it_is_shown(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    kind = looked_at(tmp_path, picture((1600, 400), "JPEG", exif=exif))
    assert (kind.width, kind.height) == (400, 1600)
    assert kind.thumbnail is not None and kind.thumbnail.height == 600


def test_a_picture_that_would_fill_the_memory_is_not_unpacked(tmp_path: Path) -> None:
    side = int(MOST_PIXELS**0.5) + 1
    out = io.BytesIO()
    Image.new("1", (side, side)).save(out, "PNG")
    kind = looked_at(tmp_path, out.getvalue())
    assert (kind.width, kind.height, kind.thumbnail) == (side, side, None)


@pytest.mark.parametrize(
    "data", [PNG, b"\xff\xd8\xff\xe0" + bytes(50), b"GIF89a", b"RIFF\0\0\0\0WEBPVP8 "]
)
def test_a_broken_picture_is_sent_all_the_same(tmp_path: Path, data: bytes) -> None:
    kind = looked_at(tmp_path, data)
    assert kind.msgtype == "m.image" and kind.width is None


@given(
    st.binary(max_size=200),
    st.sampled_from([PNG[:8], b"RIFF\0\0\0\0WAVE", b"ID3", b"OggS", b"fLaC", b""]),
)
def test_nothing_that_a_file_holds_is_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, magic: bytes
) -> None:
    kind = looked_at(tmp_path_factory.getbasetemp(), magic + data, "audio/mpeg")
    assert kind.duration_ms is None or kind.duration_ms > 0


def test_a_recording_tells_how_long_it_is(tmp_path: Path) -> None:
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setparams((1, 1, 8000, 0, "NONE", "not compressed"))
        sound.writeframes(bytes(12_000))
    kind = looked_at(tmp_path, out.getvalue())
    assert (kind.msgtype, kind.duration_ms) == ("m.audio", 1500)


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_what_is_sealed_in_pieces_others_open_whole(pieces: list[bytes]) -> None:
    sealing = Sealing()
    sealed = b"".join([sealing.update(piece) for piece in pieces])
    assert attachments.decrypt(sealed, sealing.file("mxc://hs/a")) == b"".join(pieces)


@given(st.binary(max_size=300), st.integers(1, 70), st.integers(0, 299))
def test_what_others_sealed_whole_is_opened_in_pieces(data: bytes, size: int, flipped: int) -> None:
    sealed, file = attachments.encrypt(data)
    source = Source("mxc://hs/a", file["key"]["k"], file["iv"], file["hashes"]["sha256"])
    pieces = [sealed[at : at + size] for at in range(0, len(sealed), size)]
    whole = opener(source)
    assert b"".join(map(whole.update, pieces)) == data
    assert whole.verified()
    cut = opener(source)
    for piece in pieces[:-1]:
        cut.update(piece)
    assert cut.verified() == (not pieces)


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0"), (1, "1e-06"), (200_000, "0.2"), (52_428_800, "52.4"), (10**9, "1000")],
)
def test_sizes_as_people_read_them(size: int, words: str) -> None:
    assert shown(size) == words


def test_megabytes_are_bytes() -> None:
    assert megabytes(0.1) == 100_000


@given(st.sampled_from(["m.file", "m.image"]), st.text(max_size=20))
def test_a_file_never_mentions_anybody_whatever_its_name(msgtype: str, name: str) -> None:
    content = file_content(msgtype, name, {"size": 1})
    assert content["m.mentions"] == {} and "formatted_body" not in content
