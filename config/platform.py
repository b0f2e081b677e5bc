"""What the operator of the reference platform decides: `platform.yaml`.

Beside the service's own settings it lists agents; each has a brain, and each brain a model of its own
keys (`BRAINS`), as adapters have in the registry of the surface.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import BeforeValidator, Field

from config.agents import AgentEntry, OpenAIAgent, Variable, used_twice
from config.errors import ConfigError, nearest, shown_path, shown_value
from config.reading import read_mapping
from config.secrets import fitting
from config.section import Allowed, Seconds, Section, no_bool
from config.values import PathSetting, Token

EXAMPLE = "config/platform.example.yaml"


class EchoBrain(AgentEntry):
    """Says everything back."""

    brain: Literal["echo"]
    """`echo`: says back what it was told, and needs nothing."""

    style: Literal["plain", "shout", "reverse"] = "plain"
    """How it says it back: as it is, in capitals, or backwards."""

    delay: Seconds = Field(default=0, ge=0, le=10)
    """Seconds between two words of an answer; 0 answers at once."""


class ScriptedBrain(AgentEntry):
    """Plays a scenario."""

    brain: Literal["scripted"]
    """`scripted`: plays a YAML scenario, for demos and tests."""

    script: PathSetting
    """The scenario, a YAML file."""


class LlmBrain(OpenAIAgent):
    """A model behind an OpenAI-compatible API."""

    adapter: Literal["openai"] = "openai"
    """Always `openai`; may be left out."""

    brain: Literal["llm"]
    """`llm`: a model behind an OpenAI-compatible API."""


Brain: TypeAlias = EchoBrain | ScriptedBrain | LlmBrain
"""Any agent of the reference platform."""

BRAINS: Mapping[str, type[AgentEntry]] = {
    "echo": EchoBrain,
    "scripted": ScriptedBrain,
    "llm": LlmBrain,
}
"""The model of each brain's keys, by the brain's name."""


class PlatformSettings(Section):
    """The reference platform."""

    host: Annotated[str, Allowed("a host name or an address such as 127.0.0.1")] = Field(
        default="127.0.0.1", pattern=r"^[0-9A-Za-z.:_-]+$"
    )
    """The address to listen on. 127.0.0.1 reaches this machine only, 0.0.0.0 everyone."""

    port: Annotated[int, BeforeValidator(no_bool)] = Field(default=8000, ge=0, le=65535)
    """The TCP port to listen on; 0 lets the system choose a free one."""

    state: PathSetting = Path("platform.db")
    """The file with the memory of all conversations."""

    workspace: PathSetting = Path("agents")
    """The directory shared with the surface, through which files come and go."""

    token: Token | None = None
    """What callers must show. Without one anyone who reaches the port may call."""

    token_file: PathSetting | None = None
    """A file with the token; white space around it is ignored. Always empty after loading."""

    token_env: Variable | None = None
    """A variable with the token. Always empty after loading."""

    agents: Annotated[
        tuple[Annotated[Brain, Field(discriminator="brain")], ...], Field(min_length=1)
    ]
    """The agents, at least one."""


class _File(PlatformSettings):
    agents: Annotated[
        tuple[Any, ...],
        Field(min_length=1),
        Allowed(f"a list of at least one agent, as in {EXAMPLE}"),
    ]


def load_platform(path: Path, environ: Mapping[str, str] = os.environ) -> PlatformSettings:
    """Read the settings of the reference platform.

    Args:
        path: the YAML file; paths in it count from its directory.
        environ: where `…_env` is looked up.

    Raises:
        ConfigError: with every problem found.
    """
    data, name, base = read_mapping(path, example=EXAMPLE), shown_path(path), path.absolute().parent
    whole, problems = fitting(_File, data, name, "key of this file", base, environ)
    listed = data.get("agents")
    entries = listed if isinstance(listed, list) else []
    agents: list[Brain] = []
    for number, entry in enumerate(entries, start=1):
        agent = _agent(f"{name}: agent {number}", entry, base, environ)
        if isinstance(agent, list):
            problems += agent
        else:
            agents.append(agent)
    ids = [entry.get("id") if isinstance(entry, dict) else None for entry in entries]
    problems += [f"{name}: {problem}" for problem in used_twice(ids)]
    if problems:
        raise ConfigError(problems)
    settings = PlatformSettings.model_validate({**whole, "agents": tuple(agents)})
    return settings.model_copy(
        update={key: _rooted(base, getattr(settings, key)) for key in ("state", "workspace")}
    )


def _agent(place: str, entry: Any, base: Path, environ: Mapping[str, str]) -> Brain | list[str]:
    if not isinstance(entry, dict):
        return [f"{place} is not a group of keys; give it `id`, `name` and `brain`"]
    brain = entry.get("brain")
    if not isinstance(brain, str) or brain not in BRAINS:
        near = nearest(brain, BRAINS) if isinstance(brain, str) else None
        guess = f" (did you mean `{near}`?)" if near else ""
        has = f"has brain {shown_value(brain)}" if brain is not None else "has no `brain`"
        return [f"{place} {has}; allowed: {', '.join(BRAINS)}{guess}"]
    model = BRAINS[brain]
    whole, problems = fitting(model, entry, place, f"key of brain {brain}", base, environ)
    if problems:
        return problems
    made = cast("Brain", model.model_validate(whole))
    if isinstance(made, ScriptedBrain):
        return made.model_copy(update={"script": _rooted(base, made.script)})
    return made


def _rooted(base: Path, path: Path) -> Path:
    return base / path.expanduser()
