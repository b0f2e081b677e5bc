"""What every end-to-end test starts from: one real homeserver a session, and new people a test.

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
from tests.rig.crypto_person import CryptoPerson
from tests.rig.person import Person
from tests.rig.proxy import FaultProxy

Make = Callable[..., Awaitable[Any]]
MakeHomeserver = Callable[..., Homeserver]


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the real homeserver."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.synapse)
