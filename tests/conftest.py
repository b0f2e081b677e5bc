"""Fixtures for all tests; see `tests/rig/fixtures.py`. Nothing starts until a test asks for it."""

import pytest
from hypothesis import settings

from tests.rig.fixtures import (
    bot,
    bytecode,
    crypto_person,
    fast_root,
    homeserver,
    make_bot,
    make_homeserver,
    mode,
    person,
    proxy,
    share_bot,
    shared_bots,
    someone,
)
from tests.rig.seeds import crash_seed, model_seed

__all__ = [
    "bot",
    "bytecode",
    "crypto_person",
    "fast_root",
    "homeserver",
    "make_bot",
    "make_homeserver",
    "mode",
    "person",
    "proxy",
    "share_bot",
    "shared_bots",
    "someone",
]


settings.register_profile("long", max_examples=10_000)


def pytest_report_header(config: pytest.Config) -> str:
    """With what the tests that go by chance can be repeated."""
    return f"--crash-seed {crash_seed(config)!r} --model-seed {model_seed(config)}"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--hostile", type=int, default=1000, help="names of files: how many are generated"
    )
    parser.addoption(
        "--many-files", type=int, default=300, help="files that one person sends in one test"
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files with the longest tests first."""
    long = {item.path for item in items if item.get_closest_marker("minutes")}
    items.sort(key=lambda item: item.path not in long)
