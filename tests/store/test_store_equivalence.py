"""Whatever is done to both, the file and the memory hold the same, also after opening it again."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from machines.effects import Fresh
from store import Conflict, Delete, DocumentError, MemoryStore, Put, Store, TinyStore
from tests.store.store_rules import Lenient

TABLES = ["rooms", "chats", "turns", "meta"]
KEYS = ["", "a", "a\0", "a%", "b_", "é", "😀", "PLATFORM_CHAT_SEQ"]
REOPEN = "reopen"

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=[]))
    | st.builds(Fresh, st.sampled_from("xyz"), st.sampled_from(["PLATFORM_CHAT_SEQ", "OTHER"]))
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "label": st.sampled_from(["a", "b_", ""]),
        "value": st.integers(-1, 9),
        "refuse": st.sampled_from([False, False, True]),
        "chat": st.dictionaries(st.sampled_from(["n", "refuse"]), st.booleans()),
        "v": st.sampled_from([1, 1, 1, 2]),
        "data": values,
    },
)
expects = st.none() | st.integers(0, 4)
writes = st.builds(
    Put, st.sampled_from(TABLES), st.sampled_from(KEYS), bodies, expects
) | st.builds(Delete, st.sampled_from(TABLES), st.sampled_from(KEYS), expects)
steps = st.lists(st.lists(writes, max_size=5) | st.just(REOPEN), max_size=12)


class Readable(Lenient):
    """Lets the comparison read even what the stores refuse to."""

    def check_readable(self, table, key, body):
        pass


async def outcome(store: Store, batch):
    try:
        saved = await store.save(batch)
    except (Conflict, DocumentError) as error:
        return type(error), str(error)
    return dict(saved.revs), dict(saved.ids)


async def contents(store: Store):
    found = {(table, key): stored for table in TABLES for key, stored in await store.scan(table)}
    found.pop(("meta", "installation_id"))
    return found


async def compare(path: Path, script, rules) -> None:
    memory, tiny = MemoryStore(rules=rules), TinyStore.open(path, rules=rules)
    try:
        for step in script:
            if step == REOPEN:
                await tiny.aclose()
                tiny = TinyStore.open(path, rules=rules)
            else:
                assert await outcome(tiny, step) == await outcome(memory, step)
            for table in TABLES:
                for key in KEYS:
                    assert await read(tiny, table, key) == await read(memory, table, key)
            if isinstance(rules, Readable):
                assert await contents(tiny) == await contents(memory)
    finally:
        await tiny.aclose()


async def read(store: Store, table, key):
    try:
        return await store.get(table, key)
    except DocumentError as error:
        return str(error)


@settings(max_examples=150, deadline=None)
@given(script=steps, rules=st.sampled_from([Lenient(), Readable()]))
def test_file_and_memory_agree_on_every_batch(script, rules):
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(compare(Path(directory) / "lambda_matrix.db", script, rules))
