"""Which agents there are: `agents.yaml`, the registry.

An agent is reached through an adapter, and each adapter brings a model of its own keys. `ADAPTERS`
is the one list of them. To add one: a model derived from `AgentEntry`, a line in `ADAPTERS`, a
member of `Agent`. The order of the file is kept, because people choose agents by number.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, ValidationError, model_validator

from config.errors import (
    ConfigError,
    did_you_mean,
    nearest,
    problems_of,
    shown_key,
    shown_path,
    shown_value,
)
from config.reading import read_mapping
from config.section import Allowed, Seconds, Section

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


Agent: TypeAlias = EchoAgent
"""Any agent. With a second adapter: a union, discriminated by `adapter`."""

ADAPTERS: Mapping[str, type[Agent]] = {"echo": EchoAgent}
"""The model of each adapter's keys, by the adapter's name."""


_AT_LEAST_ONE = Field(min_length=1)


class Registry(Section):
    """The agents of this installation, in the order of the file."""

    default: AgentId | None = None
    """The id of the agent that new people get. Left out, they are asked to choose."""

    agents: Annotated[tuple[Agent, ...], _AT_LEAST_ONE]
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


def load_agents(path: Path) -> Registry:
    """Read the registry.

    Args:
        path: the YAML file.

    Raises:
        ConfigError: with every problem found.
    """
    data = read_mapping(path, example=EXAMPLE)
    name = shown_path(path)
    agents: list[Agent] = []
    problems = _problems(_File, data, name, "key of this file")
    entries = data.get("agents")
    if isinstance(entries, list):
        for number, entry in enumerate(entries, start=1):
            agent = _agent(f"{name}: agent", number, entry)
            if isinstance(agent, list):
                problems += agent
            else:
                agents.append(agent)
        ids = [entry.get("id") if isinstance(entry, dict) else None for entry in entries]
        problems += [f"{name}: {problem}" for problem in _id_problems(data.get("default"), ids)]
    if problems:
        raise ConfigError(problems)
    return Registry(default=data.get("default"), agents=tuple(agents))


def _agent(place: str, number: int, entry: Any) -> Agent | list[str]:
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
    if problems := _problems(model, entry, place, f"key of adapter {adapter}"):
        return problems
    return model.model_validate(entry)


def _problems(model: type[Section], data: Any, place: str, thing: str) -> list[str]:
    # Translated outside of `except`, so that no traceback leads to pydantic's message.
    try:
        model.model_validate(data)
    except ValidationError as caught:
        error = caught
    else:
        return []
    return problems_of(error, model, lambda _: place, thing=thing)


def _id_problems(default: object, ids: Sequence[object]) -> list[str]:
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
    if isinstance(default, str) and names and default not in names:
        problems.append(
            f"`default` is {shown_key((default,))}, which is no agent here; "
            f"{did_you_mean(default, names)}"
        )
    return problems
