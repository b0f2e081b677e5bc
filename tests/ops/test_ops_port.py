"""Health and metrics of a real bot."""

from __future__ import annotations

import asyncio
import re
from collections import Counter

import pytest

from surface.ops.metrics import METRICS
from surface.ops.table import of_the_process
from tests.rig.bot import AGENTS, Bot
from tests.rig.desk import Desk, onboard
from tests.rig.fixtures import Make
from tests.rig.ops import metrics, ready, seen, surface
from tests.rig.proxy import FaultProxy, Status

pytestmark = pytest.mark.synapse
NOBODY = {"id": "nobody", "name": "Nobody", "adapter": "http", "url": "http://127.0.0.1:9"}


@pytest.fixture
async def desk(person: Make, share_bot: Make) -> Desk:
    quick = {"answers": {"placeholder_after": 0.2, "edit_every": 0.2}}
    return await onboard(await person("alice"), await share_bot(settings=quick))


async def test_a_bot_that_is_well_says_so(desk: Desk) -> None:
    assert (await seen(desk.bot, "/livez"))[0] == 200
    status, said = await ready(desk.bot)
    assert (status, said["ready"]) == (200, True)
    assert {name: check["state"] for name, check in said["checks"].items()} == {
        "started": "ok",
        "store": "ok",
        "sync": "ok",
        "encryption": "ok",
        "platform": "ok",
        "reconciled": "ok",
    }
    # Nothing can be changed from the network, nor seen of what is in the works.
    for path in ("/status", "/outbox", "/drain"):
        assert (await seen(desk.bot, path))[0] == 404


async def test_a_conversation_is_counted(desk: Desk) -> None:
    before = await metrics(desk.bot)
    await desk.say(desk.chat, "one")
    await desk.command(desk.chat, "!agent slow")
    said = await desk.person.send(desk.chat, " ".join(f"word{n}" for n in range(15)))
    await desk.person.answer_to(desk.chat, said, saying="word14")
    await desk.bot.at_rest()

    after = await metrics(desk.bot)

    def more(name: str, **labels: str) -> float:
        key = tuple(sorted(labels.items()))
        return after[name].get(key, 0) - before.get(name, {}).get(key, 0)

    for agent in ("echo", "slow"):
        assert more("surface_turns_total", agent=agent, outcome="answered") == 1
        assert more("surface_turn_first_text_seconds_count", agent=agent) == 1
        assert more("surface_turn_complete_seconds_count", agent=agent) == 1
    first = more("surface_turn_first_text_seconds_sum", agent="slow")
    assert 0 < first < more("surface_turn_complete_seconds_sum", agent="slow")
    assert more("surface_answer_edits_count") == 2
    assert more("surface_answer_edits_sum") >= 1
    assert more("surface_transitions_total", machine="turn", event="finish") == 2
    assert more("surface_transitions_total", machine="room", event="talk") == 2
    assert (
        more("surface_effects_total", effect="Answer", outcome="done")
        + more("surface_effects_total", effect="Answer", outcome="echoed")
        == 2
    )
    assert more("surface_decision_seconds_count") >= 8
    for empty in ("surface_inbox", "surface_outbox", "surface_inbox_oldest_seconds"):
        assert after[empty] == {(): 0}
    assert 0 <= after["surface_sync_age_seconds"][()] < 90


async def test_states_are_counted_as_they_are_stored(make_bot: Make, person: Make) -> None:
    bot = await make_bot()
    desk = await onboard(await person("alice"), bot)
    await desk.new()
    await desk.archive(await desk.new())
    await bot.at_rest()

    async def agree() -> None:
        stored: Counter[tuple[tuple[str, str], ...]] = Counter()
        for machine, table in (("room", "rooms"), ("user", "users")):
            for document in bot.documents(table).values():
                stored[("machine", machine), ("state", document["state"])] += 1
        counted = (await metrics(bot))["surface_machines"]
        assert {labels: count for labels, count in counted.items() if count} == stored

    await agree()
    assert (await metrics(bot))["surface_machines"][("machine", "room"), ("state", "archived")] == 1
    await bot.stop()
    await bot.start()
    await agree()


async def test_every_metric_that_is_described_is_there(make_bot: Make) -> None:
    bot: Bot = await make_bot(start=False)
    bot.full = True  # or rooms are compared a minute after the start
    await bot.start()
    _, text = await seen(bot, "/metrics")
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    assert kinds == {its.full_name: its.kind for its in METRICS} | {
        name: kind for name, kind, _ in of_the_process()
    }


async def test_every_sample_is_described_and_no_label_names_anybody(desk: Desk) -> None:
    await desk.say(desk.chat, "hello")
    scraped = await metrics(desk.bot)
    endings = ("_bucket", "_sum", "_count")
    known = {its.full_name + end for its in METRICS for end in ("", *endings)}
    known |= {name for name, _, _ in of_the_process()}
    assert set(scraped) <= known

    values = [value for by in scraped.values() for labels in by for _, value in labels]
    everybody = (desk.me, desk.bot.user_id, desk.chat, desk.home, desk.space, "alice")
    assert not [value for value in values if any(who in value for who in everybody)]
    # However long it runs: kinds times kinds.
    assert sum(len(by) for by in scraped.values()) < 600


async def test_it_lives_and_is_not_ready_while_the_homeserver_is_away(
    make_bot: Make, proxy: FaultProxy
) -> None:
    bot: Bot = await make_bot(url=proxy.url)
    await bot.stop()
    away = proxy.arm("GET", r"/sync", Status(502), times=None)
    bot.launch()
    await away.fired()

    assert (await seen(bot, "/livez"))[0] == 200
    status, said = await ready(bot)
    assert (status, said["ready"]) == (503, False)
    assert said["checks"]["started"] == {"state": "failed", "words": "catching up"}
    assert said["checks"]["sync"]["words"] == "nothing was synced yet"
    assert (await metrics(bot))["surface_ready"] == {(): 0}
    done = await surface(bot, "status")
    assert done.returncode == 1 and "not ready" in done.stdout

    away.disarm()
    await bot.logged("bot.ready")
    assert (await ready(bot))[0] == 200


async def test_it_is_not_ready_before_all_rooms_were_looked_at(
    make_bot: Make, proxy: FaultProxy
) -> None:
    bot: Bot = await make_bot(url=proxy.url)
    await bot.stop()
    away = proxy.arm("GET", r"/sync", Status(502), times=None)
    bot.full = True
    bot.launch()
    await away.fired()
    status, said = await ready(bot)
    assert status == 503
    assert said["checks"]["reconciled"] == {"state": "failed", "words": "nothing was compared yet"}
    away.disarm()
    await bot.logged("bot.ready")
    assert (await ready(bot))[1]["checks"]["reconciled"]["state"] == "ok"


@pytest.mark.parametrize(
    ("agents", "status", "state"),
    [((*AGENTS, NOBODY), 200, "degraded"), ((NOBODY,), 503, "failed")],
    ids=["one of them", "all of them"],
)
async def test_agents_that_cannot_be_reached(
    make_bot: Make, agents: tuple[dict[str, str], ...], status: int, state: str
) -> None:
    bot = await make_bot(agents=agents, default=None)
    said = await ready(bot)
    assert said[0] == status
    assert said[1]["checks"]["platform"] == {"state": state, "words": "not reached: nobody"}
    up = (await metrics(bot))["surface_agent_up"]
    assert up[(("agent", "nobody"),)] == 0
    assert up.get((("agent", "echo"),), 1) == 1


async def test_a_port_that_is_taken_does_not_keep_the_bot_from_its_work(make_bot: Make) -> None:
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    taken = server.sockets[0].getsockname()[1]
    bot = await make_bot(settings={"ops": {"port": taken}}, may_complain=True)
    assert (await bot.logged("ops.not_listening"))["port"] == taken
    assert (await surface(bot, "status")).returncode == 0
    server.close()
