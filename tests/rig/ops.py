"""The bot as its operators see it: the ops port, and the command line beside it."""

from __future__ import annotations

import json
from subprocess import CompletedProcess
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from tests.rig import cli
from tests.rig.bot import Bot

Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]


async def seen(bot: Bot, path: str) -> tuple[int, str]:
    """What the ops port of a bot that has started says: status and body."""
    listening = await bot.logged("ops.listening")
    url = f"http://{listening['host']}:{listening['port']}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def ready(bot: Bot) -> tuple[int, dict[str, Any]]:
    """What `/readyz` says."""
    status, body = await seen(bot, "/readyz")
    return status, json.loads(body)


async def metrics(bot: Bot) -> Samples:
    """A scrape: samples by name, then by labels."""
    status, text = await seen(bot, "/metrics")
    assert status == 200
    return samples(text)


def samples(text: str) -> Samples:
    """Samples in Prometheus' text format, by name and labels; none may be there twice."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            assert labels not in found.setdefault(sample.name, {}), (sample.name, labels)
            found[sample.name][labels] = sample.value
    return found


async def surface(bot: Bot, *words: str) -> CompletedProcess[str]:
    """A subcommand with the bot's settings."""
    return await cli.surface(*words, "-c", str(bot.root / "surface.yaml"))


async def told(bot: Bot, *words: str) -> Any:
    """What a subcommand that succeeds prints as JSON."""
    done = await surface(bot, *words, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)
