"""The files on disk: who may open them, what they look like, and what happens when they are bad."""

import asyncio
import os
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing

import pytest

from machines.effects import Fresh
from store import Conflict, Delete, DocumentError, Put, Stored, StoreError, StoreLocked, TinyStore
from store.peek import looking, peek
from store.tiny import MOST_BEHIND, NO_REST, REST
from tests.store.store_rules import Lenient

HOLDER = """
import sys
from pathlib import Path
from store import TinyStore
store = TinyStore.open(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "lambda_matrix.db"


def opened(path) -> TinyStore:
    return TinyStore.open(path, rules=Lenient())


async def saved(path, *changes) -> None:
    store = opened(path)
    await store.save(changes)
    await store.aclose()


def edited(path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(path)
    with connection:
        assert connection.execute(statement, values).rowcount == 1
    connection.close()


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# The lock


async def test_one_process_cannot_open_it_twice(path):
    store = opened(path)
    with pytest.raises(StoreLocked, match=f"process {os.getpid()}"):
        opened(path)
    await store.aclose()
    await opened(path).aclose()


async def test_another_process_is_refused_until_it_is_killed(path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(StoreLocked) as caught:
            opened(path)
        assert str(caught.value) == (
            f"{path.parent} is in use by another surface (process {holder.pid}). "
            "Stop it first, or give this one its own state_dir."
        )
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    await opened(path).aclose()


async def test_a_store_that_could_not_be_opened_leaves_no_lock(path):
    await saved(path, Put("rooms", "a", {}, 0))
    good = path.read_bytes()
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError):
        opened(path)
    path.write_bytes(good)
    await opened(path).aclose()


# Modes


async def test_the_files_are_for_their_owner_only(path):
    before = os.umask(0)
    try:
        store = opened(path)
        await store.save([Put("rooms", "a", {}, 0)])
    finally:
        os.umask(before)
    assert mode(path.parent) == 0o700
    modes = {file.name: mode(file) for file in path.parent.iterdir()}
    endings = (".db", ".db-shm", ".db-wal", ".lock")
    assert modes == dict.fromkeys([f"lambda_matrix{ending}" for ending in endings], 0o600)
    await store.aclose()


async def test_a_file_that_others_could_read_is_closed_to_them(path):
    await saved(path, Put("rooms", "a", {}, 0))
    path.chmod(0o644)
    await opened(path).aclose()
    assert mode(path) == 0o600


async def test_a_directory_that_was_there_keeps_its_mode(path):
    path.parent.mkdir()
    path.parent.chmod(0o750)
    await opened(path).aclose()
    assert mode(path.parent) == 0o750


# What lies there already


async def test_the_installation_keeps_its_id(path):
    store = opened(path)
    first = await store.get("meta", "installation_id")
    await store.aclose()
    store = opened(path)
    assert await store.get("meta", "installation_id") == first
    await store.aclose()


async def test_two_installations_have_two_ids(tmp_path):
    stores = [opened(tmp_path / name / "lambda_matrix.db") for name in "ab"]
    first, second = [await store.get("meta", "installation_id") for store in stores]
    assert first != second
    for store in stores:
        await store.aclose()


async def test_a_newer_file_is_refused_with_the_way_out(path):
    await saved(path, Put("meta", "schema", {"v": 1, "version": 2}, 1))
    before = path.read_bytes()
    with pytest.raises(StoreError) as caught:
        opened(path)
    assert str(path) in str(caught.value)
    assert "schema 2, this one knows 1" in str(caught.value)
    assert "Run the newer version, or restore a backup" in str(caught.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "statement",
    [
        "delete from documents where key = 'schema'",
        """update documents set json = '{"rev":1,"v":1}' where key = 'schema'""",
        "update documents set json = '{' where key = 'schema'",
    ],
)
async def test_a_file_without_a_usable_schema_is_refused(path, statement):
    await saved(path, Put("rooms", "a", {}, 0))
    edited(path, statement)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="meta/schema"):
        opened(path)
    assert path.read_bytes() == before


def garbage(path) -> None:
    path.write_bytes(b"{}" * 5000)


def cut_short(path) -> None:
    path.write_bytes(path.read_bytes()[:-5000])


def scratched(path) -> None:
    whole = bytearray(path.read_bytes())
    whole[20480:20580] = b"\xaa" * 100
    path.write_bytes(whole)


@pytest.mark.parametrize("damage", [garbage, cut_short, scratched])
async def test_a_damaged_file_is_refused_by_name_and_left_as_it_is(path, damage):
    await saved(path, *[Put("rooms", str(n), {"text": "x" * 500}, 0) for n in range(100)])
    damage(path)
    before = path.read_bytes()
    with pytest.raises(StoreError) as caught:
        opened(path)
    assert str(path) in str(caught.value)
    assert "restore a backup" in str(caught.value)
    assert path.read_bytes() == before


def test_the_database_of_another_program_is_refused_and_left_as_it_is(path):
    path.parent.mkdir()
    foreign = sqlite3.connect(path)
    foreign.execute("create table bookmarks (url text)")
    foreign.commit()
    foreign.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="belongs to another program"):
        opened(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", ["{", "[]", '{"v":1}', '{"rev":"1","v":1}', "[" * 100_000])
async def test_a_damaged_document_is_an_error_that_names_it(path, text):
    await saved(path, Put("rooms", "bad", {}, 0), Put("rooms", "good", {"v": 1}, 0))
    edited(path, "update documents set json = ? where key = 'bad'", text)
    store = opened(path)
    with pytest.raises(DocumentError, match="rooms/bad"):
        await store.get("rooms", "bad")
    with pytest.raises(DocumentError, match="rooms/bad"):
        await store.scan("rooms")
    with pytest.raises(DocumentError, match="rooms/bad"):
        await store.save([Put("rooms", "good", {"v": 3}, 1), Put("rooms", "bad", {}, None)])
    assert await store.get("rooms", "good") == Stored(1, {"v": 1})
    await store.aclose()


async def test_a_file_cut_off_at_birth_is_born_again(path):
    path.parent.mkdir()
    path.touch()
    store = opened(path)
    assert await store.get("meta", "schema") is not None
    await store.aclose()


# Places that cannot be written


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "state").write_text("a file")
    for directory in (tmp_path / "state", tmp_path / "state" / "below"):
        with pytest.raises(StoreError, match=f"{directory}: cannot be made .* state_dir"):
            opened(directory / "lambda_matrix.db")


def test_a_directory_that_takes_no_files_is_named(tmp_path):
    # Even root cannot make files there.
    with pytest.raises(StoreError, match=r"/proc/self: cannot be written .* state_dir"):
        opened(type(tmp_path)("/proc/self/lambda_matrix.db"))


def test_a_file_that_cannot_be_opened_is_named(path):
    path.mkdir(parents=True)
    with pytest.raises(StoreError, match=f"{path}: cannot be written .* state_dir"):
        opened(path)


# A disk that refuses


BIG = "x" * 200_000


async def refused_then_usable(store: TinyStore, match: str, refuse, allow) -> None:
    await store.save([Put("rooms", "a", {"n": 1}, 0)])
    refuse()
    try:
        with pytest.raises(StoreError, match=match) as caught:
            await store.save(
                [
                    Put("rooms", "a", {"n": 2, "id": Fresh("x")}, 1),
                    *[Put("turns", str(n), {"text": BIG}, 0) for n in range(10)],
                ]
            )
        assert "nothing was saved" in str(caught.value)
        assert await store.get("rooms", "a") == Stored(1, {"n": 1})
        assert await store.scan("turns") == []
    finally:
        allow()
    done = await store.save([Put("rooms", "a", {"n": 2, "id": Fresh("x")}, 1)])
    assert done.ids == {Fresh("x"): "1"}


async def test_a_full_disk_costs_only_the_save_that_met_it(path):
    store = opened(path)
    sqlite = store._writing.storage._sqlite
    await refused_then_usable(
        store,
        f"{path}.* full. Free space",
        refuse=lambda: sqlite.execute("pragma max_page_count = 20"),
        allow=lambda: sqlite.execute("pragma max_page_count = 1000000"),
    )
    await store.aclose()
    store = opened(path)
    assert (await store.get("rooms", "a")).body == {"n": 2, "id": "1"}
    await store.aclose()


async def test_a_write_the_system_refuses_costs_only_the_save_that_met_it(path):
    store = opened(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    wal = path.with_name(path.name + "-wal")
    await refused_then_usable(
        store,
        f"{path}.*disk",
        refuse=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (wal.stat().st_size + 100_000, hard)
        ),
        allow=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard)),
    )
    await store.aclose()
    store = opened(path)
    assert (await store.get("rooms", "a")).body == {"n": 2, "id": "1"}
    await store.aclose()


async def test_a_file_turned_readonly_refuses_the_save_and_still_reads(path):
    store = opened(path)
    sqlite = store._writing.storage._sqlite
    await refused_then_usable(
        store,
        "readonly.*write access",
        refuse=lambda: sqlite.execute("pragma query_only = on"),
        allow=lambda: sqlite.execute("pragma query_only = off"),
    )
    await store.aclose()


def on_disk(path) -> bytes:
    """All that a thief of the disk would find."""
    return b"".join(file.read_bytes() for file in path.parent.iterdir())


async def rested(store) -> None:
    """The store has seen to its log after the last save."""
    while store._folding is not None:
        await asyncio.sleep(0)
    await store._on_writer(lambda: None)


@pytest.mark.parametrize("size", [1, 100, 10_000], ids=["short", "page", "long"])
@pytest.mark.parametrize("durable", [False, True])
async def test_deleted_text_does_not_stay_in_the_file(path, size, durable):
    """Neither in the file, nor in the log beside it when the store has rested."""
    store = TinyStore.open(path, rules=Lenient(), rest=0)
    texts = [Put("turns", str(n), {"text": "plaintext" * size}, 0) for n in range(30)]
    await store.save(texts, durable=durable)
    await rested(store)
    assert b"plaintext" in path.read_bytes()
    await store.save([Delete("turns", str(n)) for n in range(30)], durable=durable)
    assert b"plaintext" in on_disk(path)
    await rested(store)
    assert b"plaintext" not in on_disk(path)
    await store.aclose()


async def test_deleted_text_of_one_that_was_killed_is_gone_after_the_next_start(path):
    store, killed = opened(path), path.parent.with_name("killed")
    await store.save([Put("turns", "a", {"text": "plaintext"}, 0)], durable=False)
    await store.save([Delete("turns", "a")], durable=False)
    shutil.copytree(path.parent, killed)
    await store.aclose()
    assert b"plaintext" in on_disk(killed / path.name)
    store = opened(killed / path.name)
    assert b"plaintext" not in on_disk(killed / path.name)
    await store.aclose()


async def test_the_last_save_is_on_the_disk_when_the_store_has_rested(path):
    store = TinyStore.open(path, rules=Lenient(), rest=0)
    await store.save([Put("turns", "a", {}, 0)], durable=False)
    await rested(store)
    alone = path.with_name("alone.db")
    shutil.copyfile(path, alone)
    assert list(peek(alone, "turns")) == ["a"]
    await store.aclose()


async def test_a_store_in_which_nothing_is_saved_writes_nothing(path):
    store = TinyStore.open(path, rules=Lenient(), rest=0)
    assert store._folding is None
    with pytest.raises(Conflict):
        await store.save([Put("turns", "a", {}, 7)], durable=False)
    said = []
    store._writing.storage._sqlite.set_trace_callback(said.append)
    await rested(store)
    assert said == []
    await store.aclose()


async def test_it_rests_when_nobody_has_saved_for_a_while_or_after_a_long_time(path, monkeypatch):
    store, loop, now = opened(path), asyncio.get_running_loop(), 1000.0
    monkeypatch.setattr(loop, "time", lambda: now)
    folded = []
    for _ in range(30):
        await store.save([Put("turns", "a", {}, None)])
        now += REST - 1
        store._fold_if_rested(loop)
        if store._folding is None:
            await rested(store)
            folded.append(now - 1000)
            break
    assert folded and NO_REST <= folded[0] < NO_REST + REST
    await store.save([Put("turns", "a", {}, None)])
    now += REST
    store._fold_if_rested(loop)
    assert store._folding is None
    await store.aclose()


async def test_a_log_that_cannot_be_emptied_is_after_the_next_save(path):
    store = TinyStore.open(path, rules=Lenient(), rest=0)
    wal = path.with_name(path.name + "-wal")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    await store.save([Put("turns", "a", {"text": BIG}, 0)])
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, hard))
    try:
        await rested(store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert wal.stat().st_size > len(BIG)
    await store.save([Put("turns", "b", {}, 0)], durable=False)
    await rested(store)
    assert wal.stat().st_size == 0
    assert [key for key, _ in await store.scan("turns")] == ["a", "b"]
    await store.aclose()


async def test_a_log_that_somebody_reads_is_emptied_after_the_next_save(path):
    store = TinyStore.open(path, rules=Lenient(), rest=0)
    wal = path.with_name(path.name + "-wal")
    await store.save([Put("turns", "a", {}, 0)])
    with looking(path) as reader:
        reader.execute("begin")
        assert reader.execute("select count(*) from documents where tbl = 'turns'").fetchone() == (
            1,
        )
        await rested(store)
        await store.save([Put("turns", "b", {}, 0)], durable=False)
        await rested(store)
        assert wal.stat().st_size > 0
    await store.save([Put("turns", "c", {}, 0)], durable=False)
    await rested(store)
    assert wal.stat().st_size == 0
    assert [key for key, _ in await store.scan("turns")] == ["a", "b", "c"]
    await store.aclose()


async def test_the_first_save_after_a_rest_does_not_hold_up_the_loop(path):
    """SQLite syncs the beginning of an empty log, whatever it is told."""
    store, threads = TinyStore.open(path, rules=Lenient(), rest=0), []
    save = store._save

    def noted(changes, *, durable):
        threads.append(threading.current_thread() is threading.main_thread())
        return save(changes, durable=durable)

    store._save = noted
    for key in "ab":
        await store.save([Put("turns", key, {}, 0)], durable=False)
        await store.save([Put("turns", key, {}, 1)], durable=False)
        await rested(store)
    assert threads == [False, True, False, True]
    await store.aclose()


async def test_a_commit_waits_for_the_disk(path):
    store = opened(path)
    sqlite = store._writing.storage._sqlite
    assert sqlite.execute("pragma journal_mode").fetchone() == ("wal",)
    assert sqlite.execute("pragma synchronous").fetchone() == (2,)  # FULL
    await store.aclose()


async def heard(store, *, durable, changes):
    """What SQLite is told while something is saved."""
    sqlite, said = store._writing.storage._sqlite, []
    sqlite.set_trace_callback(said.append)
    await store.save(changes, durable=durable)
    sqlite.set_trace_callback(None)
    return [word.casefold() for word in said]


async def test_a_commit_that_need_not_wait_is_before_the_next_that_does(path):
    """SQLite's log is one file, written in order: what waits for the disk waits for all before it."""
    store = opened(path)
    sqlite = store._writing.storage._sqlite
    for n, (durable, synchronous, checkpoints) in enumerate(
        [(False, 1, 0), (False, 1, 0), (True, 2, 1000), (False, 1, 0), (True, 2, 1000)]
    ):
        said = await heard(store, durable=durable, changes=[Put("turns", str(n), {}, 0)])
        assert said[-1] == "commit"
        assert sqlite.execute("pragma synchronous").fetchone() == (synchronous,)
        assert sqlite.execute("pragma wal_autocheckpoint").fetchone() == (checkpoints,)
    await store.aclose()
    again = opened(path)
    assert [key for key, _ in await again.scan("turns")] == list("01234")
    await again.aclose()


async def test_a_commit_that_gives_out_an_id_always_waits(path):
    """Somebody may hear of the id, and it must not be given out again."""
    store = opened(path)
    await store.save([Put("turns", "a", {"deep": [{"id": Fresh("x")}]}, 0)], durable=False)
    assert store._writing.storage._sqlite.execute("pragma synchronous").fetchone() == (2,)
    await store.aclose()


async def test_only_so_many_commits_are_behind_the_disk(path):
    store = opened(path)
    sqlite, waited = store._writing.storage._sqlite, []
    for n in range(2 * MOST_BEHIND + 2):
        await store.save([Put("turns", str(n), {}, 0)], durable=False)
        if sqlite.execute("pragma synchronous").fetchone() == (2,):
            waited.append(n)
    assert waited == [MOST_BEHIND, 2 * MOST_BEHIND + 1]
    await store.aclose()


async def test_a_commit_that_failed_has_taken_nothing_to_the_disk(path):
    store = opened(path)
    sqlite, behind, most = store._writing.storage._sqlite, 0, 0
    for n in range(5 * 90):
        if n % 90 == 89:
            with pytest.raises(Conflict):
                await store.save([Put("turns", "0", {}, 7)])
        await store.save([Put("turns", str(n), {}, 0)], durable=False)
        waited = sqlite.execute("pragma synchronous").fetchone() == (2,)
        behind = 0 if waited else behind + 1
        most = max(most, behind)
    assert most == MOST_BEHIND
    await store.aclose()


async def test_many_that_wait_for_the_writer_are_not_too_far_behind(path):
    store = opened(path)
    with store._busy:
        saves = [
            asyncio.ensure_future(store.save([Put("turns", str(n), {}, 0)], durable=False))
            for n in range(MOST_BEHIND + 50)
        ]
        await asyncio.sleep(0)  # all of them are in the queue
    await asyncio.gather(*saves)
    assert store._behind == 49
    await store.aclose()


async def test_one_that_need_not_wait_and_one_that_does_never_mix(path):
    store = opened(path)
    saves = [
        store.save(
            [Put("turns", f"{n} {table}", {"n": n}, 0) for table in "ab"], durable=n % 3 == 0
        )
        for n in range(60)
    ]
    await asyncio.gather(*saves)
    assert len(await store.scan("turns")) == 120
    await store.aclose()


async def test_a_save_that_another_program_delays_holds_up_nobody(path):
    store = opened(path)
    with closing(sqlite3.connect(path)) as other:
        other.execute("begin immediate")
        change = Put("users", "a", {"v": 1}, 0)
        saving = asyncio.create_task(store.save([change], durable=False))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not saving.done(), "it waits, and not here"
        other.rollback()
    await saving
    assert await store.get("users", "a") is not None
    await store.aclose()
