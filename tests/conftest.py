"""Fixtures for all tests; see `tests/rig/fixtures.py`. Nothing starts until a test asks for it."""

import pytest

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


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files with the longest tests first."""
    long = {item.path for item in items if item.get_closest_marker("minutes")}
    items.sort(key=lambda item: item.path not in long)
