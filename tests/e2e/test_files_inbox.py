"""The inbox on its own, with a real homeserver and a real disk: what is kept, what is refused, what goes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from config import Files
from machines.effects import FetchFile, FileIn, Source
from surface.failpoints import Failpoints
from surface.files.inbox import Inbox
from surface.files.names import folder_name, inbox_path
from surface.files.workspace import Workspace
from surface.homeserver import Homeserver
from surface.matrix import session
from surface.matrix.api import Lost
from surface.matrix.media import Media
from tests.e2e.conftest import Make
from tests.rig import attachments
from tests.rig.hostile import HOSTILE
from tests.rig.person import Person
from tests.rig.proxy import FaultProxy, Status, Truncate

ALICE, ROOM = "@alice:hs", "!room"
DAY = 86_400.0


@pytest.fixture
async def alice(person: Make) -> Person:
    made: Person = await person("alice")
    return made


@pytest.fixture
async def media(homeserver: Homeserver, alice: Person) -> AsyncIterator[Media]:
    async with session.asking(homeserver.url, alice.user_id, alice.login.access_token) as api:
        yield Media(api, Failpoints(None))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def inbox(workspace: Workspace, media: Media) -> Inbox:
    return Inbox(workspace, media, Files(), Failpoints(None))


def wanted(source: Source, name: str = "a.txt", event: str = "$e") -> FetchFile:
    path = inbox_path(ALICE, ROOM, event, 1e9, name)
    return FetchFile(ROOM, ALICE, FileIn(event, path, name, "text/plain"), source)


async def uploaded(alice: Person, data: bytes) -> Source:
    return Source(await alice.api.upload(data, "application/octet-stream"))


async def sealed(alice: Person, data: bytes) -> Source:
    ciphertext, told = attachments.encrypt(data)
    source = await uploaded(alice, ciphertext)
    return replace(source, key=told["key"]["k"], iv=told["iv"], sha256=told["hashes"]["sha256"])


def left(workspace: Workspace) -> list[str]:
    """All plain files in the workspace."""
    return [path.name for path in workspace.root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 300_000, 1_000_001])
async def test_a_sealed_file_is_opened_on_the_way(
    inbox: Inbox, workspace: Workspace, alice: Person, size: int
) -> None:
    data = os.urandom(size)
    fetch = wanted(await sealed(alice, data))
    assert await inbox.fetch(fetch) is None
    assert (workspace.root / fetch.file.path).read_bytes() == data
    assert left(workspace) == [Path(fetch.file.path).name]


@pytest.mark.parametrize("wrong", ["hash", "content"])
async def test_what_is_not_what_was_sent_is_not_kept(
    inbox: Inbox, workspace: Workspace, alice: Person, wrong: str
) -> None:
    source = await sealed(alice, b"x" * 100_000)
    if wrong == "hash":
        source = replace(source, sha256=attachments.encrypt(b"")[1]["hashes"]["sha256"])
    else:
        source = replace(source, url=(await uploaded(alice, b"y" * 100_000)).url)

    why = await inbox.fetch(wanted(source))

    assert why is not None and why.key == "file-damaged"
    assert left(workspace) == []


@pytest.mark.parametrize(
    "wrong", [{"key": "eA"}, {"iv": "eA"}, {"sha256": "eA"}, {"key": "!" * 43}, {"iv": "ä"}]
)
async def test_keys_that_are_none_are_refused(
    inbox: Inbox, workspace: Workspace, alice: Person, wrong: dict[str, str]
) -> None:
    why = await inbox.fetch(wanted(replace(await sealed(alice, b"x"), **wrong)))
    assert why is not None and why.key == "file-unreadable"
    assert left(workspace) == []


async def test_a_full_disk_is_said_and_leaves_nothing(
    media: Media, workspace: Workspace, alice: Person
) -> None:
    class Full(Workspace):
        """On a disk on which nothing can be written any more: the kernel's own."""

        def new_file(self, folder: int, name: str) -> int:
            os.close(super().new_file(folder, name))
            return os.open("/dev/full", os.O_WRONLY)

    inbox = Inbox(Full(workspace.root), media, Files(), Failpoints(None))
    why = await inbox.fetch(wanted(await uploaded(alice, b"x" * 10_000)))
    assert why is not None and why.key == "file-disk-full"
    assert left(workspace) == []


@pytest.mark.parametrize("trap", ["file", "link", "link to nowhere"])
@pytest.mark.parametrize("place", [1, 2, 3, 4, 5])
async def test_whatever_is_in_the_way_nothing_is_written_elsewhere(
    inbox: Inbox, workspace: Workspace, alice: Person, tmp_path: Path, trap: str, place: int
) -> None:
    fetch = wanted(await uploaded(alice, b"x"))
    planted = workspace.root.joinpath(*fetch.file.path.split("/")[:place])
    planted.parent.mkdir(parents=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    match trap:
        case "file":
            planted.write_text("in the way")
        case "link":
            planted.symlink_to(elsewhere)
        case _:
            planted.symlink_to(tmp_path / "nowhere")

    why = await inbox.fetch(fetch)

    assert why is not None and why.key == "file-unwritable"
    assert list(elsewhere.rglob("*")) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "workspace"]


async def test_a_link_planted_under_the_name_of_a_file_is_replaced_by_it(
    inbox: Inbox, workspace: Workspace, alice: Person, tmp_path: Path
) -> None:
    fetch = wanted(await uploaded(alice, b"x"))
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    place = workspace.root / fetch.file.path
    place.parent.mkdir(parents=True)
    place.symlink_to(victim)
    (place.parent / f".{place.name[:32]}.part").symlink_to(victim)

    assert await inbox.fetch(fetch) is None

    assert not place.is_symlink() and place.read_bytes() == b"x"
    assert victim.read_text() == "untouched"


async def test_what_a_cut_process_left_is_written_over_and_what_is_whole_is_kept(
    inbox: Inbox, workspace: Workspace, alice: Person
) -> None:
    fetch = wanted(await uploaded(alice, b"whole"))
    place = workspace.root / fetch.file.path
    place.parent.mkdir(parents=True)
    (place.parent / f".{place.name[:32]}.part").write_text("half")
    assert await inbox.fetch(fetch) is None
    assert place.read_bytes() == b"whole"
    inode = place.stat().st_ino
    assert await inbox.fetch(fetch) is None
    assert place.stat().st_ino == inode, "it was not fetched again"
    assert left(workspace) == [place.name]


async def test_old_files_go_and_only_files_of_inboxes(
    inbox: Inbox, workspace: Workspace, alice: Person
) -> None:
    source = await uploaded(alice, b"x")
    old, new = wanted(source, "old", "$1"), wanted(source, "new", "$2")
    for fetch in (old, new):
        assert await inbox.fetch(fetch) is None
    root = workspace.root
    folder = (root / old.file.path).parent
    agents = [root / "agent.txt", folder.parent / "beside.txt"]
    for path in agents:
        path.write_text("an agent's")
    abandoned = folder / ".abandoned.part"
    abandoned.write_text("half")
    long_ago = (root / old.file.path).stat().st_mtime - 31 * DAY
    for path in (root / old.file.path, abandoned, *agents):
        os.utime(path, (long_ago, long_ago))

    assert await inbox.clean() == 2

    assert sorted(left(workspace)) == sorted([Path(new.file.path).name, "agent.txt", "beside.txt"])
    assert await inbox.clean() == 0


async def test_who_is_forgotten_leaves_no_files(
    inbox: Inbox, workspace: Workspace, alice: Person
) -> None:
    source = await uploaded(alice, b"x")
    mine = wanted(source)
    theirs = replace(
        mine,
        user_id="@bob:hs",
        file=replace(mine.file, path=inbox_path("@bob:hs", ROOM, "$e", 1e9, "b.txt")),
    )
    for fetch in (mine, theirs):
        assert await inbox.fetch(fetch) is None
    await inbox.forget(ALICE)
    await inbox.forget("@never:seen")
    folders = (workspace.root / "surfaces" / "matrix").iterdir()
    assert [path.name for path in folders] == [folder_name("@bob:hs")]


async def test_attachments_are_what_is_there_by_its_content(
    inbox: Inbox, workspace: Workspace, alice: Person, tmp_path: Path
) -> None:
    pdf = wanted(await uploaded(alice, b"%PDF-1.7\n"), "a.txt", "$1")
    assert await inbox.fetch(pdf) is None
    gone = wanted(pdf.source, "gone", "$2")
    linked = wanted(pdf.source, "linked", "$3")
    (workspace.root / linked.file.path).symlink_to(tmp_path)
    given = await inbox.attachments([pdf.file, gone.file, linked.file])
    (only,) = given
    assert (only.workspace_path, only.mime_type, only.size) == (pdf.file.path, "application/pdf", 9)


async def test_a_download_that_breaks_off_may_be_tried_again(
    workspace: Workspace, homeserver: Homeserver, alice: Person, proxy: FaultProxy
) -> None:
    data = os.urandom(2_000_000)
    fetch = wanted(await uploaded(alice, data))
    proxy.arm("GET", "/media/download/", Truncate())
    async with session.asking(proxy.url, alice.user_id, alice.login.access_token) as api:
        inbox = Inbox(workspace, Media(api, Failpoints(None)), Files(), Failpoints(None))
        with pytest.raises(Lost):
            await inbox.fetch(fetch)
        assert left(workspace) == []
        assert await inbox.fetch(fetch) is None
    assert (workspace.root / fetch.file.path).read_bytes() == data


async def test_a_homeserver_that_has_lost_the_file_for_a_while_is_not_asked_for_ever(
    workspace: Workspace, homeserver: Homeserver, alice: Person, proxy: FaultProxy
) -> None:
    fetch = wanted(await uploaded(alice, b"x"))
    proxy.arm("GET", "/media/download/", Status(), times=None)
    async with session.asking(proxy.url, alice.user_id, alice.login.access_token) as api:
        inbox = Inbox(workspace, Media(api, Failpoints(None)), Files(), Failpoints(None))
        for _ in range(4):
            with pytest.raises(Lost):
                await inbox.fetch(fetch)
        why = await inbox.fetch(fetch)
    assert why is not None and why.key == "file-gone"


async def test_many_files_of_hostile_names_lie_beside_each_other(
    inbox: Inbox, workspace: Workspace, alice: Person, request: pytest.FixtureRequest
) -> None:
    """`--many-files 10000` for so many."""
    many = int(request.config.getoption("--many-files"))
    source = await uploaded(alice, b"x")
    fetches = [wanted(source, HOSTILE[n % len(HOSTILE)], f"${n}") for n in range(many)]
    for fetch in fetches:
        assert await inbox.fetch(fetch) is None
    folder = workspace.root.joinpath(*fetches[0].file.path.split("/")[:-1])
    assert {path.name for path in folder.iterdir()} == {Path(f.file.path).name for f in fetches}
    assert sum(1 for _ in folder.iterdir()) == many
    assert [len(await inbox.attachments([fetch.file])) for fetch in fetches] == [1] * many
