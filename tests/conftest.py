"""Fixtures for all tests; see `tests/rig/fixtures.py`. Nothing starts until a test asks for it."""

from tests.rig.fixtures import (
    bot,
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
