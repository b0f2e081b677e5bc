"""Tests of the reconciler; those that are named `…_on_synapse` need the real homeserver, and time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rig.seeds import EXAMPLES


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--model-seed", type=int, default=0, help="test_model: which steps are taken (default 0)"
    )
    parser.addoption(
        "--model-examples", type=int, default=EXAMPLES, help="test_model: how many lives are lived"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.path.stem.endswith("_on_synapse"):
            item.add_marker(pytest.mark.synapse)
            item.add_marker(pytest.mark.slow)
