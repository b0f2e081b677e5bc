"""Whatever a homeserver answers to /sync, and whatever people put into events, the bot lives and answers.

The bytes go the whole way: HTTP, JSON, nio, inbox, decisions, store, outbox (`home.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.fuzz.home import Living, living
from tests.fuzz.shapes import recorded

SHAPES = recorded()


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    with living(tmp_path_factory.mktemp("life")) as life:
        yield life


def test_what_synapse_sent_is_taken(life: Living) -> None:
    for response in SHAPES:
        life.hears(json.dumps(response).encode())
