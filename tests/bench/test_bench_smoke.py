"""The bench runs, and measures what it says. How fast is for people to look at, not for a test."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from tests.rig.bot import PROJECT


@pytest.mark.synapse
@pytest.mark.slow
async def test_the_bench_runs() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.roundtrip", "--rounds", "3", "--json"),
        cwd=PROJECT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, complaints = await process.communicate()
    assert process.returncode == 0, complaints.decode()
    figures = json.loads(out)
    for name in ("floor", "minimal", "this bot"):
        assert 0 < figures["sequential"][name]["p50"] <= figures["sequential"][name]["p95"]
        assert figures["sequential"][name]["n"] == 3
    for name in ("minimal", "this bot"):
        assert figures["at once"][name]["n"] == 20
        assert figures["at once"][name]["per_second"] > 0
    assert figures["ratio"] > 0
