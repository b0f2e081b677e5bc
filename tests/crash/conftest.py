"""Crash tests: the bot is killed with SIGKILL at named points and started again."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full",
        action="store_true",
        help="crash tests: the whole matrix of inputs and failpoints, not a sample",
    )
    parser.addoption(
        "--crash-seed",
        default=None,
        help="crash tests: which sample is taken; any text (default: the commit's id)",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the real homeserver, and time."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.synapse)
            item.add_marker(pytest.mark.slow)
