"""Agents that are reached over the network, and the reference platform: keys, secrets, mistakes."""

from pathlib import Path

import pytest

from config import ConfigError, HttpAgent, OpenAIAgent, load_agents
from config.platform import EXAMPLE, EchoBrain, LlmBrain, ScriptedBrain, load_platform

HTTP = "{id: a, name: A, adapter: http, url: http://hs:1"
OPENAI = "{id: a, name: A, adapter: openai, model: m"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_text(" s3cret\n")
    (tmp_path / "empty").write_text("\n")
    return tmp_path


def agents(folder: Path, entry: str, **environ: str):
    path = folder / "agents.yaml"
    path.write_text(f"agents: [{entry}]", "utf-8")
    return load_agents(path, environ)


def problems(folder: Path, entry: str) -> str:
    with pytest.raises(ConfigError) as caught:
        agents(folder, entry)
    (problem,) = caught.value.problems
    return problem


def test_an_http_agent_needs_a_url_and_nothing_else(folder):
    (agent,) = agents(folder, f"{HTTP}}}").agents
    assert isinstance(agent, HttpAgent)
    assert (agent.url, agent.agent, agent.token) == ("http://hs:1", None, None)
    said = problems(folder, "{id: a, name: A, adapter: http}")
    assert "`url` is missing" in said
    assert said.endswith("such as http://localhost:8000"), "a platform, not a homeserver"


def test_an_openai_agent_needs_a_model(folder):
    (agent,) = agents(folder, f"{OPENAI}, temperature: 0.5}}").agents
    assert isinstance(agent, OpenAIAgent)
    assert (agent.model, agent.temperature) == ("m", 0.5)
    assert "`model` is missing" in problems(folder, "{id: a, name: A, adapter: openai}")


@pytest.mark.parametrize(("entry", "name"), [(HTTP, "token"), (OPENAI, "api_key")])
@pytest.mark.parametrize("way", ["{}: s3cret", "{}_file: secret", "{}_env: IT"])
def test_a_secret_comes_from_the_file_itself_or_from_where_it_says(folder, entry, name, way):
    (agent,) = agents(folder, f"{entry}, {way.format(name)}}}", IT="s3cret").agents
    assert getattr(agent, name).get_secret_value() == "s3cret"
    assert "s3cret" not in repr(agent)


def test_a_secret_that_changes_changes_the_agent(folder):
    one = agents(folder, f"{HTTP}, token_env: IT}}", IT="one").agents
    assert one != agents(folder, f"{HTTP}, token_env: IT}}", IT="two").agents
    assert one == agents(folder, f"{HTTP}, token_env: IT}}", IT="one").agents


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("token: s3cret, token_env: IT", "`token` and `token_env` are given together; keep one"),
        ("token_env: IT", "`token_env`: the variable IT is not set"),
        ("token_file: nowhere", "`token_file`: nowhere: no such file"),
        ("token_file: empty", "`token_file`: empty: is empty; write the secret"),
        ("token: 's3cret two'", "`token` does not fit; allowed: text without spaces, in quotes"),
        ("silence_timeout: 0", "`silence_timeout` cannot be 0; allowed: a number of seconds"),
        ("modle: x", "`modle` is not a key of adapter http; allowed: id"),
    ],
)
def test_a_mistake_is_named_and_the_secret_is_not(folder, rest, words):
    said = problems(folder, f"{HTTP}, {rest}}}")
    assert said.startswith(f"agents.yaml: agent `a`: {words}")
    assert "s3cret" not in said


def test_the_example_of_the_reference_platform_is_good():
    settings = load_platform(Path(EXAMPLE), {})
    assert [type(agent) for agent in settings.agents] == [EchoBrain, ScriptedBrain]
    assert settings.agents[1].script.is_file()
    assert settings.workspace == Path(EXAMPLE).absolute().parent / "agents"


def test_a_brain_of_the_platform_may_be_a_model(folder):
    path = folder / "platform.yaml"
    path.write_text(
        "token_file: secret\nagents: [{id: a, name: A, brain: llm, model: m, api_key_env: IT}]\n"
    )
    settings = load_platform(path, {"IT": "key"})
    assert settings.token.get_secret_value() == "s3cret"
    (agent,) = settings.agents
    assert isinstance(agent, LlmBrain)
    assert agent.api_key.get_secret_value() == "key"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("port: 1", "`agents` is missing"),
        ("agents: [{id: a, name: A, brain: eco}]", "agent 1 has brain \"eco\"; allowed: echo, scripted"),
        ("agents: [{id: a, name: A, brain: scripted}]", "agent 1: `script` is missing"),
        ("agents: [{id: a, name: A, brain: echo}, {id: a, name: B, brain: echo}]", "more than one agent"),
        ("prot: 1\nagents: [{id: a, name: A, brain: echo}]", "`prot` is not a key of this file"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_platforms_settings_is_named(folder, text, words):
    path = folder / "platform.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"platform\.yaml") as caught:
        load_platform(path, {})
    assert words in str(caught.value)
