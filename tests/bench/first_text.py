"""What stands between an agent's word and a person who reads it in a Matrix room.

    uv run python -m tests.bench.first_text [--rounds N] [--json]

The platform of `platform.py` puts the moment of sending into every word. So it is known of each message
and edit that a client gets by /sync how old its newest word is; beside that, the time from asking to the
first word, read directly from the platform and seen in the room. Both with the settings as they come and
with impatient ones.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack

from rich.progress import Progress

from surface.homeserver import Homeserver
from tests.bench.alone import alone
from tests.bench.meter import Meter
from tests.bench.platform import age, directly, platform
from tests.bench.reader import Reader
from tests.bench.section import Figures, Plot, Section, Table, times
from tests.bench.shared import folder, homeserver_in_memory
from tests.rig.bot import Bot
from tests.rig.desk import onboard
from tests.rig.person import Person

WORDS, EVERY = 200, 0.02
WAYS: dict[str, dict[str, float]] = {
    "as it comes": {},
    "impatient": {"placeholder_after": 0.1, "edit_every": 0.3},
}


async def measure(progress: Progress, *, rounds: int = 5) -> Figures:
    """What stands between an agent's word and a person who reads it.

    Args:
        rounds: answers of each way.
    """
    async with AsyncExitStack() as stack:
        homeserver = await homeserver_in_memory(stack)
        url = await stack.enter_async_context(platform(WORDS, EVERY))
        read = [(await directly(url))[0] for _ in range(rounds + 1)][1:]
        figures: Figures = {"directly": {"first": _median(read)}}
        task = progress.add_task("answers", total=len(WAYS) * (rounds + 1))
        for name, answers in WAYS.items():
            its = await _in_a_room(homeserver, url, answers, rounds, lambda: progress.advance(task))
            figures[name] = its
        return figures


async def _in_a_room(
    homeserver: Homeserver,
    url: str,
    answers: dict[str, float],
    rounds: int,
    done: Callable[[], None],
) -> dict[str, float]:
    agent = {"id": "a", "name": "A", "adapter": "http", "url": url}
    async with AsyncExitStack() as stack:
        bot = await Bot.register(
            homeserver, folder(stack), agents=[agent], default="a", settings={"answers": answers}
        )
        stack.callback(bot.kill)
        await bot.start()
        alice = await stack.enter_async_context(await Person.register(homeserver, "alice"))
        desk = await onboard(alice, bot)
        await alice.pause()
        meter = await stack.enter_async_context(Meter(homeserver.url, alice.login))
        ages: list[float] = []
        reader = Reader(meter, bot.user_id, step=lambda body: ages.append(age(body)))
        first = []
        for number in range(-1, rounds):
            answer = await reader.ask(desk.chat, lambda body: len(body.split()) == WORDS)
            done()
            if number < 0:
                ages.clear()
            else:
                first.append(answer.first)
        await bot.stop()
        return {
            "first": _median(first),
            "age": _median(ages),
            "oldest": round(max(ages, default=0.0), 1),
            "steps": round(len(ages) / rounds, 1),
        }


def _median(values: list[float]) -> float:
    # On a machine that is slow enough an answer is there at once, without a step.
    return round(statistics.median(values or [0.0]), 1)


def _told(settings: dict[str, float]) -> str:
    return ", ".join(f"`{key}` {value} s" for key, value in settings.items()) or "defaults"


def section(figures: Figures) -> Section:
    """What the figures say."""
    lasts, base = WORDS * EVERY * 1000, figures["directly"]["first"]
    rows = [
        (
            "directly" if name == "directly" else f"in the room, {name}",
            times(its["first"], base),
            f"{its['first']:,.0f} ms",
            *(f"{its[what]:,.0f} ms old" if what in its else "" for what in ("age", "oldest")),
            str(its.get("steps", "")),
        )
        for name, its in figures.items()
    ]
    headings = (
        "read",
        "× directly",
        "first words",
        "newest word of a step",
        "oldest",
        "steps of an answer",
    )
    told = "; ".join(f"{name}: {_told(its)}" for name, its in WAYS.items())
    notes = [
        f"{WORDS} words, {EVERY * 1000:.0f} ms apart ({lasts / 1000:.0f} s). A step is a message or edit as "
        "a client gets it by /sync. Of the time to the first words most is chosen (settings `answers`; "
        f"{told}): a quick answer is one message."
    ]
    plot = Plot(
        "first-text",
        "How old the newest word of a step is in the room, milliseconds",
        "bars",
        [*WAYS],
        {
            "median": [figures[way]["age"] for way in WAYS],
            "oldest": [figures[way]["oldest"] for way in WAYS],
        },
    )
    return Section([Table(headings, rows)], [plot], notes=notes)


if __name__ == "__main__":
    sys.exit(alone(measure, section))
