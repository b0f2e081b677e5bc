"""What the operator decides: settings and agents. Imports nothing of machines, store or surface."""

from config.agents import (
    ADAPTERS,
    Agent,
    AgentEntry,
    EchoAgent,
    HttpAgent,
    OpenAIAgent,
    Registry,
    load_agents,
)
from config.errors import ConfigError
from config.settings import (
    Access,
    Answers,
    CatchUp,
    Files,
    Limits,
    Log,
    Ops,
    PasswordLogin,
    Settings,
    TokenLogin,
    load_settings,
)

__all__ = [
    "ADAPTERS",
    "Access",
    "Agent",
    "AgentEntry",
    "Answers",
    "CatchUp",
    "ConfigError",
    "EchoAgent",
    "Files",
    "HttpAgent",
    "Limits",
    "Log",
    "OpenAIAgent",
    "Ops",
    "PasswordLogin",
    "Registry",
    "Settings",
    "TokenLogin",
    "load_agents",
    "load_settings",
]
