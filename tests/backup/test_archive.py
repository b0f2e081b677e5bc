"""An archive is what was written, or nothing at all."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import sys
import tarfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from config import Settings
from machines.room import Room
from store import Put, StoreError, Table, TinyStore, Write
from store.documents import VERSIONS, written
from surface.backup import archive
from surface.backup.contents import AGENTS, DATABASE, DEVICE, Manifest
from surface.backup.errors import BackupError
from surface.backup.restore import restore
from surface.logs import hash_key
from surface.matrix import identity_file
from surface.matrix.cross_signing import Identity
from surface.matrix.identity_file import Kept
from tests.rig.cli import PROJECT, run

MEMBERS = {DATABASE: b"SQLite, as it were" * 300, "matrix_store/identity.json": b"{}", AGENTS: b""}


def manifest(**changes: object) -> Manifest:
    values: dict[str, object] = {
        "format": 1,
        "made_at": "2026-01-01T00:00:00+00:00",
        "program": "0.1",
        "db_schema": 1,
        "documents": {"users": 1},
        "user_id": "@lambda:localhost",
        "installation_id": "abc",
        "members": [archive.member(name, data) for name, data in MEMBERS.items()],
    }
    return Manifest.model_validate(values | changes)


@pytest.fixture(scope="module", params=[None, "some words"], ids=["plain", "sealed"])
def packed(request: pytest.FixtureRequest) -> tuple[bytes, str | None]:
    return archive.packed(manifest(), MEMBERS, request.param), request.param


def test_what_was_packed_is_unpacked(packed: tuple[bytes, str | None]) -> None:
    data, passphrase = packed
    told, members = archive.opened(data, passphrase)
    assert members == MEMBERS
    assert told == manifest()
    assert (b"SQLite" in data) is False


def test_the_same_contents_make_the_same_bytes() -> None:
    assert archive.packed(manifest(), MEMBERS, None) == archive.packed(manifest(), MEMBERS, None)


def test_any_tar_lists_it() -> None:
    with tarfile.open(fileobj=io.BytesIO(archive.packed(manifest(), MEMBERS, None))) as tar:
        assert tar.getnames() == ["manifest.json", *MEMBERS]


def test_every_altered_byte_is_seen() -> None:
    data = archive.packed(manifest(), MEMBERS, None)
    for place in range(len(data)):
        with pytest.raises(BackupError):
            archive.opened(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :], None)


def test_every_torn_end_is_seen() -> None:
    data = archive.packed(manifest(), MEMBERS, None)
    for length in range(len(data)):
        with pytest.raises(BackupError):
            archive.opened(data[:length], None)


def test_something_after_the_end_is_seen() -> None:
    data = archive.packed(manifest(), MEMBERS, None)
    for more in (b"\n", data):
        with pytest.raises(BackupError):
            archive.opened(data + more, None)


@pytest.mark.parametrize("harm", ["altered", "torn", "other words"])
def test_a_sealed_one_is_proven_too(harm: str) -> None:
    data, words = archive.packed(manifest(), MEMBERS, "some words"), "some words"
    if harm == "altered":
        place = random.Random(1).randrange(len(data) // 2, len(data))
        data = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    elif harm == "torn":
        data = data[:-1]
    else:
        words = harm
    with pytest.raises(BackupError, match="another passphrase, or the file was damaged or altered"):
        archive.opened(data, words)


def test_what_sealing_needs_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = archive.packed(manifest(), MEMBERS, "some words")
    monkeypatch.setitem(sys.modules, "pyrage", None)
    for work in (
        lambda: archive.packed(manifest(), MEMBERS, "some words"),
        lambda: archive.opened(sealed, "some words"),
    ):
        with pytest.raises(BackupError, match=r"pip install 'matrix-surface\[backup\]'"):
            work()


@pytest.mark.parametrize("page", ["README.md", "compose/README.md"])
def test_where_sealing_is_described_its_extra_is_named(page: str) -> None:
    (said,) = [
        part for part in (PROJECT / page).read_text().split("\n\n") if "--passphrase-file" in part
    ]
    assert "matrix-surface[backup]" in said


def test_the_help_names_the_extra(tmp_path: Path) -> None:
    for command in ("backup", "restore"):
        helped = run(command, "--help", cwd=tmp_path, env={"COLUMNS": "200"}).stdout
        assert "matrix-surface[backup]" in helped


def test_a_plain_one_does_not_pass_for_a_sealed_one() -> None:
    with pytest.raises(BackupError, match="not encrypted"):
        archive.opened(archive.packed(manifest(), MEMBERS, None), "some words")
    with pytest.raises(BackupError, match="--passphrase-file"):
        archive.opened(archive.packed(manifest(), MEMBERS, "some words"), None)


@pytest.mark.parametrize(
    "changes",
    [{"format": 2}, {"db_schema": 1000}, {"documents": {"users": 99}}, {"documents": {"new": 1}}],
)
def test_a_newer_one_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(BackupError, match="newer surface"):
        archive.opened(archive.packed(manifest(**changes), MEMBERS, None), None)


def sealed_by_hand(names: dict[str, bytes], told: Manifest, kind: bytes = tarfile.REGTYPE) -> bytes:
    """An archive with a true last line, by somebody who means harm."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in [("manifest.json", told.model_dump_json().encode()), *names.items()]:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            if name != "manifest.json":
                info.type, info.linkname = kind, "/etc/hostname"
            tar.addfile(info, io.BytesIO(data))
    body = gzip.compress(out.getvalue())
    return body + b"\nsurface-backup sha256 " + hashlib.sha256(body).hexdigest().encode() + b"\n"


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/etc/evil",
        "matrix_store/../../evil",
        "matrix_store/",
        "matrix_store/session.json",
        "matrix_store/@lambda:localhost_DEVICE.db",
        "matrix_store/identity.json.new",
    ],
)
def test_nothing_gets_out_of_the_state_directory(name: str) -> None:
    told = manifest(members=[archive.member(name, b"x")])
    with pytest.raises(BackupError):
        archive.opened(sealed_by_hand({name: b"x"}, told), None)


def test_links_are_refused() -> None:
    told = manifest(members=[archive.member(DATABASE, b"")])
    with pytest.raises(BackupError, match="no plain file"):
        archive.opened(sealed_by_hand({DATABASE: b""}, told, tarfile.SYMTYPE), None)


@pytest.mark.parametrize("names", [{}, {DATABASE: b"y"}, {DATABASE: b"x", AGENTS: b""}])
def test_other_members_than_the_manifests(names: dict[str, bytes]) -> None:
    told = manifest(members=[archive.member(DATABASE, b"x")])
    with pytest.raises(BackupError):
        archive.opened(sealed_by_hand(names, told), None)


def test_a_file_that_is_there_is_never_replaced(tmp_path: Path) -> None:
    archive.keep(tmp_path / "a", b"one")
    with pytest.raises(BackupError, match="is there already"):
        archive.keep(tmp_path / "a", b"two")
    assert [(f.name, f.read_bytes()) for f in tmp_path.iterdir()] == [("a", b"one")]
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", [".", "..", "/"])
def test_a_folder_is_no_new_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BackupError, match="is there already"):
        archive.keep(Path(name), b"one")
    assert list(tmp_path.iterdir()) == []


def settings_of(told: Manifest, state_dir: Path) -> Settings:
    return Settings.model_validate(
        {
            "homeserver": "http://localhost",
            "user_id": told.user_id,
            "password": "words",
            "state_dir": state_dir,
        }
    )


async def test_a_device_that_cannot_be_read_is_a_reason_to_refuse(tmp_path: Path) -> None:
    """Its key is not told with the reason."""
    told, state = manifest(), tmp_path / "state"
    settings = settings_of(told, state)
    with pytest.raises(BackupError, match="in it cannot be read by this version") as refused:
        await restore(settings, told, MEMBERS | {DEVICE: b'{"pickle_key": "precious"}'}, "here")
    assert "precious" not in str(refused.value)
    assert not state.exists()


async def test_what_cannot_be_unpacked_leaves_nothing(tmp_path: Path) -> None:
    told, state = manifest(), tmp_path / "state"
    settings = settings_of(told, state)
    with pytest.raises(StoreError, match="cannot be written"):
        await restore(settings, told, MEMBERS | {f"matrix_store/{'a' * 300}": b""}, "here")
    assert not state.exists()


async def test_a_start_that_came_to_nothing_is_no_obstacle(tmp_path: Path) -> None:
    """All that it leaves is the key of the log's hashes."""
    told, state = manifest(), tmp_path / "state"
    key = hash_key(state)
    with pytest.raises(BackupError, match="here: the database in it is none, or damaged"):
        await restore(settings_of(told, state), told, {DATABASE: b"hello" * 300}, "here")
    assert [file.name for file in state.iterdir()] == ["log.key"]
    assert hash_key(state) == key


async def _emptied(store: TinyStore) -> None:
    """Nothing: a clean start, as it were."""


async def _of_ours(store: TinyStore) -> None:
    await put(store, "meta", "installation_id", {"v": 1, "value": "abc"})


async def _with_a_strange_room(store: TinyStore) -> None:
    await _of_ours(store)
    await put(store, "rooms", "matrix_room:!a", written("rooms", Room("!a"), "dancing", history=[]))


async def _with_a_strange_effect(store: TinyStore) -> None:
    await _of_ours(store)
    await put(store, "outbox", "a/0", {"v": VERSIONS["outbox"]})


async def _of_a_later_version(store: TinyStore) -> None:
    await _of_ours(store)
    await put(store, "users", "matrix_user:@a:b", {"v": 99})


async def put(store: TinyStore, table: Table, key: str, body: dict[str, object]) -> None:
    found = await store.get(table, key)
    await store.save([Put(table, key, body, found.rev if found else 0)])


class Anything:
    """Rules of somebody who means harm."""

    def check(self, *_: object) -> None: ...
    def check_readable(self, *_: object) -> None: ...
    def project(self, *_: object) -> list[Write]:
        return []


async def crafted(folder: Path, write: Callable[[TinyStore], Awaitable[None]]) -> bytes:
    """A database that somebody has written by hand."""
    store = TinyStore.open(folder / "crafted.db", rules=Anything())
    await write(store)
    await store.aclose()
    return (folder / "crafted.db").read_bytes()


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (_emptied, "is empty, or of another installation"),
        (_with_a_strange_room, "cannot be read: rooms/matrix_room:!a: state 'dancing' may not be"),
        (_with_a_strange_effect, "cannot be read: outbox/a/0: damaged, field 'seq' is missing"),
        (_of_a_later_version, "cannot be read: users/matrix_user:@a:b: is of version 99"),
    ],
)
async def test_a_database_that_nobody_could_go_on_with_is_refused(
    tmp_path: Path, write: Callable[[TinyStore], Awaitable[None]], words: str
) -> None:
    """Its checksums are true; nothing listens at its homeserver, so it is refused before a login."""
    told, state = manifest(), tmp_path / "state"
    members = {DATABASE: await crafted(tmp_path, write)}
    data = archive.packed(
        told.model_copy(update={"members": [archive.member(n, d) for n, d in members.items()]}),
        members,
        None,
    )
    opened, unpacked = archive.opened(data, None)
    with pytest.raises(BackupError, match=f"^here: the database in it {words}"):
        await restore(settings_of(told, state), opened, unpacked, "here")
    assert not state.exists()


async def test_no_database_at_all_in_the_databases_place(tmp_path: Path) -> None:
    told, state = manifest(), tmp_path / "state"
    state.mkdir()
    for nothing, words in ((b"", "is empty"), (b"SQLite format 3\0" + bytes(5000), "damaged")):
        with pytest.raises(BackupError, match=words):
            await restore(settings_of(told, state), told, {DATABASE: nothing}, "here")
        assert not list(state.iterdir())


@pytest.mark.parametrize("key", ["theirs", ""], ids=["the wrong key", "no key at all"])
async def test_an_identity_that_does_not_open_is_refused(tmp_path: Path, key: str) -> None:
    told, state = manifest(), tmp_path / "state"
    identity_file.keep(tmp_path, Kept(Identity.new(told.user_id)), "ours")
    members = {
        DATABASE: await crafted(tmp_path, _of_ours),
        "matrix_store/identity.json": (tmp_path / "identity.json").read_bytes(),
    }
    if key:
        members[DEVICE] = json.dumps({"device_id": "D", "pickle_key": key}).encode()
    with pytest.raises(BackupError, match=r"identity\.json` in it does not open with the key"):
        await restore(settings_of(told, state), told, members, "here")
    assert not state.exists()
