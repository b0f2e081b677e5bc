"""The profile runs and accounts for all that the bot spends. How much is for people to look at."""

from __future__ import annotations

import pytest
from rich.progress import Progress

from tests.bench.profile import measure


@pytest.mark.synapse
@pytest.mark.slow
async def test_the_profile_runs() -> None:
    figures = await measure(Progress(disable=True), messages=40)
    assert figures["own"] > 0 and figures["minimal"] > 0
    assert figures["samples"] > 0
    assert sum(figures["parts"].values()) == pytest.approx(figures["own"], rel=0.05, abs=0.2)
