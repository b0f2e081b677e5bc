"""The registry of agents: what it holds, and the words for every mistake."""
# ruff: noqa: E501  a table of messages reads by rows

from pathlib import Path

import pytest
from pydantic import ValidationError

from config import ConfigError, EchoAgent, Registry, load_agents
from config.agents import EXAMPLE


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "agents.yaml"
    path.write_text(text, "utf-8")
    return path


def problems(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_agents(path)
    assert caught.value.__context__ is None, "a traceback would show pydantic's message"
    return list(caught.value.problems)


TWO = """\
default: poet
agents:
  - {id: zoe, name: Zoé, adapter: echo}
  - {id: poet, name: " Poet 👩‍🚀 ", adapter: echo, description: "Slow", delay: 0.15, style: shout}
"""


def test_the_registry_keeps_the_order_of_the_file(folder):
    registry = load_agents(write(folder, TWO))
    assert registry.ids == ("zoe", "poet")
    assert registry.default == "poet"
    assert registry.agents[0] == EchoAgent(id="zoe", name="Zoé", adapter="echo")
    assert registry.get("poet") == EchoAgent(
        id="poet", name="Poet 👩‍🚀", adapter="echo", description="Slow", delay=0.15, style="shout"
    )


def test_an_agent_is_found_by_its_id_only(folder):
    registry = load_agents(write(folder, TWO))
    assert "zoe" in registry
    assert "Zoé" not in registry
    assert registry.get("Zoé") is None


def test_without_a_default_people_choose(folder):
    assert load_agents(write(folder, TWO.partition("\n")[2])).default is None


AN_ID = "1 to 32 small letters, digits, - and _, beginning with a letter or digit"
A_LIST = f"a list of at least one agent, as in {EXAMPLE}"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("{id: researcher, name: R, adapter: a2a}", "agent `researcher` has adapter `a2a`; allowed: echo, http, openai"),
        ("{id: a, name: R, adapter: ecko}", "agent `a` has adapter `ecko`; allowed: echo, http, openai (did you mean `echo`?)"),
        ("{id: a, name: R, adapter: [echo]}", "agent `a` has adapter a list; allowed: echo, http, openai"),
        ("{id: a, name: R}", "agent `a` has no `adapter`; allowed: echo, http, openai"),
        ("{name: R, adapter: echo}", f"agent 2: `id` is missing; give {AN_ID}"),
        ("{id: Big, name: R, adapter: echo}", f'agent 2: `id` cannot be "Big"; allowed: {AN_ID}'),
        ("{id: 7, name: R, adapter: echo}", f"agent 2: `id` cannot be 7; allowed: {AN_ID}"),
        ('{id: "a\\n", name: R, adapter: echo}', f'agent 2: `id` cannot be "a\\n"; allowed: {AN_ID}'),
        ("{id: a, adapter: echo}", "agent `a`: `name` is missing; give 1 to 64 characters on one line"),
        ("{id: a, name: ' ', adapter: echo}", 'agent `a`: `name` cannot be " "; allowed: 1 to 64 characters'),
        (f"{{id: a, name: {'x' * 65}, adapter: echo}}", 'agent `a`: `name` cannot be "xxx'),
        ('{id: a, name: "x\\ny", adapter: echo}', 'agent `a`: `name` cannot be "x\\ny"; allowed: 1 to 64'),
        ('{id: a, name: "x\\u202ey", adapter: echo}', 'agent `a`: `name` cannot be "x\\u202ey"; allowed: '),
        ("{id: a, name: A, adapter: echo, ulr: 3}", "agent `a`: `ulr` is not a key of adapter echo; allowed: id, name"),
        ("{id: a, name: A, adapter: echo, dely: 3}", "agent `a`: `dely` is not a key of adapter echo; did you mean `delay`?"),
        ("{id: a, name: A, adapter: echo, delay: 11}", "agent `a`: `delay` cannot be 11; allowed: a number of seconds from 0 to 10"),
        ("{id: a, name: A, adapter: echo, delay: yes}", "agent `a`: `delay` cannot be true; allowed: a number of seconds"),
        ("{id: a, name: A, adapter: echo, style: mute}", 'agent `a`: `style` cannot be "mute"; allowed: plain, shout, reverse'),
        ("just words", "agent 2 is not a group of keys; give it `id`, `name` and `adapter`"),
        ("{id: first, name: A, adapter: echo}", "more than one agent has the id `first`: entries 1 and 2; give each its own"),
    ],
)  # fmt: skip
def test_a_bad_agent_is_named_with_what_is_allowed(folder, entry, words):
    good = "agents:\n  - {id: first, name: First, adapter: echo}\n"
    found = problems(write(folder, f"{good}  - {entry}\n"))
    assert len(found) == 1, found
    assert found[0].startswith(f"agents.yaml: {words}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", f"`agents` is missing; give {A_LIST}"),
        ("agents:\n", f"`agents` is missing; give {A_LIST}"),
        ("agents: []", f"`agents` cannot be an empty list; allowed: {A_LIST}"),
        ("agents: {id: a}", f"`agents` cannot be a group of keys; allowed: {A_LIST}"),
        (TWO.replace("default: poet", "default: peot"), "`default` is `peot`, which is no agent here; did you mean `poet`?"),
        (TWO.replace("default: poet", "default: xyz"), "`default` is `xyz`, which is no agent here; allowed: zoe, poet"),
        (TWO.replace("default: poet", "default: 4"), f"`default` cannot be 4; allowed: {AN_ID}"),
        (TWO.replace("default: poet", "defualt: poet"), "`defualt` is not a key of this file; did you mean `default`?"),
    ],
)  # fmt: skip
def test_a_bad_registry_is_refused_with_what_is_allowed(folder, text, words):
    (problem,) = problems(write(folder, text))
    assert problem == f"agents.yaml: {words}"


def test_every_problem_has_its_line(folder):
    text = "default: x\nagents: [{id: a}, {id: a, name: A, adapter: echo, delay: -1}, 3]\nq: 1"
    assert len(problems(write(folder, text))) == 6


def test_a_missing_file_names_the_example_to_copy(folder):
    (problem,) = problems(folder / "agents.yaml")
    assert problem == f"agents.yaml: no such file; copy {EXAMPLE} there and edit it"


def test_a_registry_built_directly_keeps_the_same_rules():
    agent = EchoAgent(id="a", name="A", adapter="echo")
    assert Registry(agents=(agent,), default="a").get("a") is agent
    for bad in ({"agents": ()}, {"agents": (agent, agent)}, {"agents": (agent,), "default": "b"}):
        with pytest.raises(ValidationError):
            Registry(**bad)
