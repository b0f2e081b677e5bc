"""The bench runs, and measures what it says. How fast is for people to look at, not for a test."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest

from tests.rig.bot import PROJECT


@pytest.mark.synapse
@pytest.mark.slow
async def test_the_round_trip_bench_runs() -> None:
    figures = await _figures("tests.bench.roundtrip", "--rounds", "3")
    for name in ("floor", "minimal", "this bot"):
        assert 0 < figures["sequential"][name]["p50"] <= figures["sequential"][name]["p95"]
        assert figures["sequential"][name]["n"] == 3
    for name in ("minimal", "this bot"):
        assert figures["at once"][name]["n"] == 20
        assert figures["at once"][name]["per_second"] > 0
    assert figures["ratio"] > 0


@pytest.mark.synapse
@pytest.mark.slow
async def test_the_bench_of_encryption_runs() -> None:
    figures = await _figures("tests.bench.encrypted", "--rounds", "3")
    assert figures["added"].keys() == {"plain", "encrypted"}
    for kind in ("plain", "encrypted"):
        for name in ("minimal", "this bot"):
            its = figures["sequential"][f"{kind}, {name}"]
            assert 0 < its["p50"] <= its["p95"] and its["n"] == 3


@pytest.mark.synapse
@pytest.mark.slow
async def test_the_restart_bench_runs() -> None:
    figures = await _figures("tests.bench.restart", "--rooms", "5,7", "--runs", "1")
    assert [its["rooms"] for its in figures["starts"]] == [5, 7]
    for its in figures["starts"]:
        for kind in ("delta", "full"):
            assert its[f"{kind} own"] > 0 and its[f"{kind} bare"] > 0 and its[kind] > 0
            assert its[f"{kind} peak"] > 10
    assert [its["rooms"] for its in figures["plans"]] == [1_000, 10_000, 100_000]


async def test_the_bench_of_an_agents_stream_runs() -> None:
    figures = await _figures("tests.bench.platform", "--chats", "3", "--rounds", "1")
    for name in ("directly", "by the adapter"):
        assert 0 < figures[name]["word p50"] <= figures[name]["word p95"]
    assert figures["at once"]["chats"] == 3


@pytest.mark.synapse
@pytest.mark.slow
async def test_the_bench_of_the_first_words_runs() -> None:
    figures = await _figures("tests.bench.first_text", "--rounds", "1")
    assert figures["directly"]["first"] > 0
    for name in ("as it comes", "impatient"):
        its = figures[name]
        assert its["first"] > 0
        assert 0 < its["age"] <= its["oldest"]
        assert its["steps"] >= 1


async def test_the_bench_of_a_scrape_runs() -> None:
    few, many = await _figures("tests.bench.scrape", "--rooms", "10", "--rooms", "2000")
    assert (few["rooms"], many["rooms"]) == (10, 2000)
    # The same series; only the numbers in them are longer or shorter.
    assert many["series"] == few["series"] > 0
    assert abs(many["bytes"] - few["bytes"]) < 100
    for its in (few, many):
        assert its["scrape"] > 0 and its["decision"] > 0


async def _figures(*words: str) -> Any:
    """What a bench prints as JSON."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *words, "--json"),
        cwd=PROJECT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    return json.loads(out)
