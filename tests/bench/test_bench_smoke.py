"""The benches run, and measure what they say. How fast is for people to look at, not for a test."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys

import pytest

from tests.bench.section import Figures
from tests.rig.bot import PROJECT


@pytest.mark.synapse
@pytest.mark.slow
async def test_the_round_trip_bench_runs() -> None:
    figures = await _figures("roundtrip", "--rounds", "3", "--waves", "1", "--peers", "0")
    for name in ("floor", "minimal", "this bot"):
        assert 0 < figures["sequential"][name]["p50"] <= figures["sequential"][name]["p95"]
        assert figures["sequential"][name]["n"] == 3
    for name in ("minimal", "this bot"):
        assert figures["at once"][name]["n"] == 20
        assert figures["at once"][name]["per_second"] > 0
    assert figures["missing"] == {}


@pytest.mark.synapse
@pytest.mark.slow
async def test_the_bench_of_encryption_runs() -> None:
    figures = await _figures("encrypted", "--rounds", "3")
    for kind in ("plain", "encrypted"):
        for name in ("floor", "minimal", "this bot"):
            its = figures[f"{kind}, {name}"]
            assert 0 < its["p50"] <= its["p95"] and its["n"] == 3


@pytest.mark.synapse
@pytest.mark.slow
async def test_the_restart_bench_runs() -> None:
    figures = await _figures("restart", "--rooms", "5,7", "--runs", "1", "--synthetic", "100,200")
    assert [its["rooms"] for its in figures["starts"]] == [5, 7]
    for its in figures["starts"]:
        for kind in ("delta", "full"):
            assert its[f"{kind} own"] > 0 and its[f"{kind} bare"] > 0 and its[kind] > 0
            assert its[f"{kind} peak"] > 10
    assert [its["rooms"] for its in figures["plans"]] == [100, 200]


@pytest.mark.synapse
@pytest.mark.slow
async def test_the_streaming_bench_runs() -> None:
    figures = await _figures("streaming", "--rooms", "1,2", "--limited", "0")
    assert [its["rooms"] for its in figures["free"]] == [1, 2] and figures["limited"] == []
    for its in figures["free"]:
        assert 0 < its["first p50"] <= its["whole p50"] <= its["whole last"]
        assert its["processor"] > 0 and its["429s"] == 0


async def test_the_bench_of_commits_runs() -> None:
    figures = await _figures("store", "--rounds", "5", "--documents", "20")
    assert figures["documents"] == 20
    for kind in ("small", "message"):
        for way in ("plain", "on a thread", "store"):
            assert 0 < figures[kind][way]["p50"] <= figures[kind][way]["p95"]
    assert 0 < figures["small"]["bytes"] < figures["message"]["bytes"]


async def test_the_bench_of_memory_runs() -> None:
    figures = await _figures("memory", "--rooms", "20,500")
    few, many = figures["starts"]
    assert (few["rooms"], many["rooms"]) == (20, 500)
    for its in (few, many):
        assert 0 < its["full"] <= its["full peak"] and 0 < its["delta"] <= its["delta peak"]


async def test_the_bench_of_an_agents_stream_runs() -> None:
    figures = await _figures("platform", "--chats", "3", "--rounds", "1")
    for name in ("directly", "by the adapter"):
        assert 0 < figures[name]["word p50"] <= figures[name]["word p95"]
    assert figures["at once"]["chats"] == 3


@pytest.mark.synapse
@pytest.mark.slow
async def test_the_bench_of_the_first_words_runs() -> None:
    figures = await _figures("first_text", "--rounds", "1")
    assert figures["directly"]["first"] > 0
    for name in ("as it comes", "impatient"):
        its = figures[name]
        assert its["first"] > 0
        assert 0 <= its["age"] <= its["oldest"]
    assert figures["impatient"]["steps"] >= 1


async def test_the_bench_of_a_scrape_runs() -> None:
    few, many = (await _figures("scrape", "--rooms", "10,2000"))["sizes"]
    assert (few["rooms"], many["rooms"]) == (10, 2000)
    # The same series; only the numbers in them are longer or shorter.
    assert many["series"] == few["series"] > 0
    assert abs(many["bytes"] - few["bytes"]) < 100
    for its in (few, many):
        assert its["scrape"] > 0 and its["decision"] > 0


async def _figures(name: str, *words: str) -> Figures:
    """What a bench prints as JSON; and it has something to say of it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"tests.bench.{name}", *words, "--json"),
        cwd=PROJECT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    figures: Figures = json.loads(out)
    told = importlib.import_module(f"tests.bench.{name}").section(figures)
    for table in told.tables:
        assert all(len(row) == len(table.headings) for row in table.rows)
    return figures
