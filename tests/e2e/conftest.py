"""End-to-end tests: everything here needs the real homeserver."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rig.fixtures import Make, MakeHomeserver

__all__ = ["Make", "MakeHomeserver"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the real homeserver."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.synapse)
