"""Which agents there are: `agents.yaml`, the registry.

An agent is reached through an adapter, and each adapter brings a model of its own keys. `ADAPTERS`
is the one list of them. To add one: a model derived from `AgentEntry`, a line in `ADAPTERS`, a
member of `Agent`. The order of the file is kept, because people choose agents by number.

A secret is written down, or named: `token_file` a file, `token_env` a variable that hold it. It is read
when the registry is, so a `Registry` holds the secrets themselves.
"""

import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias, cast

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from config.errors import (
    ConfigError,
    did_you_mean,
    nearest,
    shown_key,
    shown_path,
    shown_value,
)
from config.reading import read_mapping
from config.secrets import fitting, misfits
from config.section import Allowed, Seconds, Section, no_bool
from config.values import Homeserver, PathSetting, Token

EXAMPLE = "config/agents.example.yaml"
_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
# Characters that turn the direction of the text around them, and so fake other texts.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _printable(text: str, extra: str = "") -> bool:
    return not any(
        (unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") and char not in extra)
        or char in _TURNING
        for char in text
    )


def _name(value: str) -> str:
    value = value.strip()
    if not 1 <= len(value) <= 64 or not _printable(value):
        raise ValueError
    return value


def _description(value: str) -> str:
    value = value.strip()
    if len(value) > 500 or not _printable(value, extra="\n"):
        raise ValueError
    return value


AgentId: TypeAlias = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$"),
    Allowed("1 to 32 small letters, digits, - and _, beginning with a letter or digit"),
]


class AgentEntry(Section):
    """What every agent has, whatever its adapter."""

    id: AgentId
    """How rooms remember the agent. Renaming it makes another agent of it."""

    name: Annotated[
        str,
        AfterValidator(_name),
        Field(json_schema_extra={"minLength": 1, "maxLength": 64}),
        Allowed("1 to 64 characters on one line"),
    ]
    """What people call the agent: 1 to 64 characters."""

    description: Annotated[
        str,
        AfterValidator(_description),
        Field(json_schema_extra={"maxLength": 500}),
        Allowed("up to 500 characters"),
    ] = ""
    """What it is good for, shown in the list of agents: up to 500 characters."""


class EchoAgent(AgentEntry):
    """An agent inside this program: it answers with what it was told, and needs no network."""

    adapter: Literal["echo"]
    """`echo`: the agent built into this program."""

    style: Literal["plain", "shout", "reverse"] = "plain"
    """How it says it back: as it is, in capitals, or backwards."""

    delay: Seconds = Field(default=0, ge=0, le=10)
    """Seconds between two words of an answer, to watch an answer grow; 0 answers at once."""


Url: TypeAlias = Annotated[
    Homeserver, Allowed("an http or https URL without a user, such as http://localhost:8000")
]
Variable: TypeAlias = Annotated[
    str,
    Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$"),
    Allowed("the name of an environment variable"),
]


class _Reached(AgentEntry):
    # What every agent has that is reached over the network.

    connect_timeout: Seconds = Field(default=10, ge=0.1, le=300)
    """Seconds that a connection may take."""

    first_timeout: Seconds = Field(default=120, ge=0.1, le=3600)
    """Seconds until the first sign of an answer."""

    silence_timeout: Seconds = Field(default=60, ge=0.1, le=3600)
    """Seconds without a single byte after which a connection is taken for dead."""

    answer_timeout: Seconds = Field(default=3600, ge=1, le=86400)
    """Seconds that a whole answer may take; waiting for a person's yes or no does not count."""


class HttpAgent(_Reached):
    """An agent of a platform that speaks the surface's own contract."""

    adapter: Literal["http"]
    """`http`: over HTTP and server-sent events, as openapi.json in surface/platform says."""

    url: Url
    """Where the platform is, without `/v1`."""

    agent: Annotated[str, Field(pattern=r"^\S{1,255}$"), Allowed("text without spaces")] | None = (
        None
    )
    """What the platform calls the agent. Default: the `id`."""

    token: Token | None = None
    """What the platform knows the surface by. Better in a file or a variable."""

    token_file: PathSetting | None = None
    """A file with the token; white space around it is ignored. Always empty after loading."""

    token_env: Variable | None = None
    """A variable with the token. Always empty after loading."""

    reconnect_timeout: Seconds = Field(default=30, ge=0, le=3600)
    """Seconds for which a platform that cannot be reached is tried again in the middle of a turn."""


class OpenAIAgent(_Reached):
    """A model behind an OpenAI-compatible API. The surface keeps its memory of the conversations."""

    adapter: Literal["openai"]
    """`openai`: chat completions."""

    url: Url = "https://api.openai.com/v1"
    """The API's base, usually ending in `/v1`."""

    model: Annotated[str, Field(pattern=r"^\S{1,255}$"), Allowed("text without spaces")]
    """The model's name at that API."""

    api_key: Token | None = None
    """The API's key. Better in a file or a variable."""

    api_key_file: PathSetting | None = None
    """A file with the key; white space around it is ignored. Always empty after loading."""

    api_key_env: Variable | None = None
    """A variable with the key. Always empty after loading."""

    system: Annotated[str, Field(max_length=100_000)] = ""
    """The system prompt: who the agent is."""

    temperature: Annotated[float, BeforeValidator(no_bool)] | None = Field(default=None, ge=0, le=2)
    """How varied the answers are, 0 to 2. Default: the API's own."""

    max_tokens: Annotated[int, BeforeValidator(no_bool)] | None = Field(
        default=None, ge=1, le=1_000_000
    )
    """The longest answer, in tokens. Default: the API's own."""

    history_turns: Annotated[int, BeforeValidator(no_bool)] = Field(default=50, ge=0, le=500)
    """How many earlier messages, with their answers, the model is told."""

    history_characters: Annotated[int, BeforeValidator(no_bool)] = Field(
        default=60_000, ge=0, le=10_000_000
    )
    """How long these may be together. The oldest are left out first, always with their answers."""


Agent: TypeAlias = EchoAgent | HttpAgent | OpenAIAgent
"""Any agent."""

ADAPTERS: Mapping[str, type[AgentEntry]] = {
    "echo": EchoAgent,
    "http": HttpAgent,
    "openai": OpenAIAgent,
}
"""The model of each adapter's keys, by the adapter's name."""


_AT_LEAST_ONE = Field(min_length=1)


class Registry(Section):
    """The agents of this installation, in the order of the file."""

    default: AgentId | None = None
    """The id of the agent that new people get. Left out, they are asked to choose."""

    agents: Annotated[tuple[Annotated[Agent, Field(discriminator="adapter")], ...], _AT_LEAST_ONE]
    """The agents, at least one; people see them numbered from 1 in this order."""

    @property
    def ids(self) -> tuple[str, ...]:
        """The agents' ids, in order."""
        return tuple(agent.id for agent in self.agents)

    def get(self, agent_id: str) -> Agent | None:
        """Return the agent of this id, or None."""
        return next((agent for agent in self.agents if agent.id == agent_id), None)

    def __contains__(self, agent_id: object) -> bool:
        return agent_id in self.ids

    @model_validator(mode="after")
    def _ids_make_sense(self) -> Self:
        if problems := _id_problems(self.default, self.ids):
            raise ValueError("; ".join(problems))
        return self


class _File(Section):
    # The registry's outline: the entries are read one by one, to name the agent in each message.
    default: AgentId | None = None
    agents: Annotated[
        tuple[Any, ...], _AT_LEAST_ONE, Allowed(f"a list of at least one agent, as in {EXAMPLE}")
    ]


def load_agents(path: Path, environ: Mapping[str, str] = os.environ) -> Registry:
    """Read the registry.

    Args:
        path: the YAML file; files it names count from its directory.
        environ: where `…_env` is looked up.

    Raises:
        ConfigError: with every problem found.
    """
    data = read_mapping(path, example=EXAMPLE)
    name = shown_path(path)
    agents: list[Agent] = []
    problems = misfits(_File, data, name, "key of this file")
    entries = data.get("agents")
    if isinstance(entries, list):
        for number, entry in enumerate(entries, start=1):
            agent = _agent(f"{name}: agent", number, entry, path.absolute().parent, environ)
            if isinstance(agent, list):
                problems += agent
            else:
                agents.append(agent)
        ids = [entry.get("id") if isinstance(entry, dict) else None for entry in entries]
        problems += [f"{name}: {problem}" for problem in _id_problems(data.get("default"), ids)]
    if problems:
        raise ConfigError(problems)
    return Registry(default=data.get("default"), agents=tuple(agents))


def _agent(
    place: str, number: int, entry: Any, base: Path, environ: Mapping[str, str]
) -> Agent | list[str]:
    """Return the agent, or the problems with it."""
    if not isinstance(entry, dict):
        return [f"{place} {number} is not a group of keys; give it `id`, `name` and `adapter`"]
    agent_id, adapter = entry.get("id"), entry.get("adapter")
    has_id = isinstance(agent_id, str) and _SLUG.fullmatch(agent_id)
    place = f"{place} `{agent_id}`" if has_id else f"{place} {number}"
    if adapter is None:
        return [f"{place} has no `adapter`; allowed: {', '.join(ADAPTERS)}"]
    if not isinstance(adapter, str):
        return [f"{place} has adapter {shown_value(adapter)}; allowed: {', '.join(ADAPTERS)}"]
    if adapter not in ADAPTERS:
        near = nearest(adapter, ADAPTERS)
        guess = f" (did you mean `{near}`?)" if near else ""
        names = ", ".join(ADAPTERS)
        return [f"{place} has adapter {shown_key((adapter,))}; allowed: {names}{guess}"]
    model = ADAPTERS[adapter]
    thing = f"key of adapter {adapter}"
    whole, problems = fitting(model, entry, place, thing, base, environ)
    return problems or cast("Agent", model.model_validate(whole))


def _id_problems(default: object, ids: Sequence[object]) -> list[str]:
    problems = used_twice(ids)
    names = [agent_id for agent_id in ids if isinstance(agent_id, str)]
    if isinstance(default, str) and names and default not in names:
        problems.append(
            f"`default` is {shown_key((default,))}, which is no agent here; "
            f"{did_you_mean(default, names)}"
        )
    return problems


def used_twice(ids: Sequence[object]) -> list[str]:
    """Say which ids more than one entry has."""
    problems: list[str] = []
    names = [agent_id for agent_id in ids if isinstance(agent_id, str)]
    for agent_id in dict.fromkeys(names):
        places = [str(number) for number, other in enumerate(ids, start=1) if other == agent_id]
        if len(places) > 1:
            where = " and ".join(places)
            problems.append(
                f"more than one agent has the id {shown_key((agent_id,))}: entries {where}; "
                "give each its own"
            )
    return problems
