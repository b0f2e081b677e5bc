"""What every test on a real homeserver starts from: one homeserver a session, and new people and
bots a test. `tests/conftest.py` gives them to all tests.

One rule: the homeserver is shared, so nothing in it is: users are numbered, rooms are new. A test
that stops the homeserver, or needs other settings, starts its own with `make_homeserver`.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from surface.homeserver import Homeserver
from tests.rig import node
from tests.rig.bot import Bot
from tests.rig.bytecode import keep_bytecode
from tests.rig.crypto_person import CryptoPerson
from tests.rig.person import Person
from tests.rig.proxy import FaultProxy

Make = Callable[..., Awaitable[Any]]
MakeHomeserver = Callable[..., Homeserver]


@pytest.fixture(scope="session", autouse=True)
def bytecode(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The processes that tests start, and those of all workers, share their bytecode."""
    keep_bytecode(tmp_path_factory.getbasetemp().parent / "bytecode")


@pytest.fixture(scope="session")
def fast_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory for homeservers: on the RAM disk where there is one, which saves a third of the
    time of every event."""
    memory = Path("/dev/shm")
    if not memory.is_dir():
        yield tmp_path_factory.mktemp("homeservers")
        return
    root = Path(tempfile.mkdtemp(prefix="surface-tests-", dir=memory))
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def homeserver(fast_root: Path) -> Iterator[Homeserver]:
    """The session's homeserver, without rate limits. Started without an event loop: each test has
    one of its own, and this outlives them all."""
    server = Homeserver(fast_root / "shared")
    server.launch()
    yield server
    server.halt()


@pytest.fixture
def make_homeserver(fast_root: Path) -> Iterator[MakeHomeserver]:
    """`make_homeserver(**settings)`: a homeserver of the test's own, not started yet."""
    made: list[Homeserver] = []

    def make(**settings: Any) -> Homeserver:
        root = Path(tempfile.mkdtemp(dir=fast_root))
        made.append(Homeserver(root, **settings))
        return made[-1]

    yield make
    for server in made:
        server.kill()
        shutil.rmtree(server.root, ignore_errors=True)


@pytest.fixture
async def person(homeserver: Homeserver) -> AsyncIterator[Make]:
    """`await person("alice")`: a new user in front of a client; `on=` another homeserver."""
    async with AsyncExitStack() as stack:
        yield _maker(stack, Person, homeserver)


@pytest.fixture
async def crypto_person(homeserver: Homeserver) -> AsyncIterator[Make]:
    """`await crypto_person("alice")`: like `person`, with a client that encrypts."""
    if reason := node.missing():
        pytest.skip(reason)
    async with AsyncExitStack() as stack:
        yield _maker(stack, CryptoPerson, homeserver)


@pytest.fixture(params=["plain", "encrypted"])
def mode(request: pytest.FixtureRequest) -> str:
    """Runs a test twice, in plain and in encrypted rooms."""
    return str(request.param)


@pytest.fixture
def someone(mode: str, request: pytest.FixtureRequest) -> Make:
    """`await someone("alice")`: a plain or an encrypting person, by `mode`."""
    make: Make = request.getfixturevalue("crypto_person" if mode == "encrypted" else "person")
    return make


@pytest.fixture
async def proxy(homeserver: Homeserver) -> AsyncIterator[FaultProxy]:
    """A network that fails on demand, before the session's homeserver."""
    async with FaultProxy(homeserver.url) as fault_proxy:
        yield fault_proxy


def _maker(stack: AsyncExitStack, kind: type[Person], shared: Homeserver) -> Make:
    async def make(name: str = "alice", *, on: Homeserver | None = None, **options: Any) -> Person:
        new = await kind.register(on or shared, name, **options)
        return await stack.enter_async_context(new)

    return make


@pytest.fixture
async def make_bot(homeserver: Homeserver, fast_root: Path) -> AsyncIterator[Make]:
    """`await make_bot(encryption=True, …)`: a bot of the test's own (`Bot`'s options), ready; with
    `start=False` not started yet, `on=` another homeserver.

    In the end those that run are stopped, which must succeed, and none may have logged an error or
    written a traceback; `may_complain=True` lifts the latter.
    """
    made: list[tuple[Bot, bool]] = []

    async def make(
        *,
        start: bool = True,
        on: Homeserver | None = None,
        may_complain: bool = False,
        **options: Any,
    ) -> Bot:
        root = Path(tempfile.mkdtemp(prefix="bot-", dir=fast_root))
        bot = await Bot.register(on or homeserver, root, **options)
        made.append((bot, may_complain))
        if start:
            await bot.start()
        return bot

    try:
        yield make
        for bot, _ in made:
            if bot.pid is not None:
                await bot.stop()
    finally:
        for bot, _ in made:
            bot.kill()
            print(bot.tail())  # seen only where the test failed
            shutil.rmtree(bot.root, ignore_errors=True)
    complaints = [line for bot, may in made if not may for line in bot.complaints()]
    assert not complaints, complaints


@pytest.fixture(scope="module")
def shared_bots(homeserver: Homeserver, fast_root: Path) -> Iterator[dict[str, Bot]]:
    """The bots that the tests of a module share (`share_bot`)."""
    bots: dict[str, Bot] = {}
    try:
        yield bots
        running = [bot for bot in bots.values() if bot.pid is not None]
        for bot in running:
            bot.ask_to_stop()  # all at once: each takes a moment
        for bot in running:
            bot.halt()
    finally:
        for bot in bots.values():
            bot.kill()
            shutil.rmtree(bot.root, ignore_errors=True)
    assert not [line for bot in bots.values() for line in bot.complaints()]


@pytest.fixture
async def share_bot(shared_bots: dict[str, Bot], homeserver: Homeserver, fast_root: Path) -> Make:
    """`await share_bot(locale="ru")`: the bot with these options that the module's tests share,
    started by the first that asks. The people must be each test's own."""

    async def share(**options: Any) -> Bot:
        key = repr(sorted(options.items()))
        if key not in shared_bots:
            root = Path(tempfile.mkdtemp(prefix="bot-", dir=fast_root))
            bot = await Bot.register(homeserver, root, **options)
            await bot.start()
            shared_bots[key] = bot
        bot = shared_bots[key]
        assert bot.pid is not None, "an earlier test of this module ended the shared bot"
        return bot

    return share


@pytest.fixture
async def bot(mode: str, share_bot: Make) -> Bot:
    """The module's bot, encrypting by `mode`."""
    shared: Bot = await share_bot(encryption=mode == "encrypted")
    return shared
