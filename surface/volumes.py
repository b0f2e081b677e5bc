"""The rule of the two volumes: agents share the workspace with the bot, and never see its state.

The start refuses what breaks it, and `surface check` says so before.
"""

from __future__ import annotations

from config import Settings
from surface.finding import Finding


def volumes_apart(settings: Settings) -> Finding:
    """Whether the bot's keys are out of the agents' reach."""
    state, workspace = settings.state_dir.resolve(), settings.workspace_dir.resolve()
    if workspace.is_relative_to(state):
        found = f"{workspace} is inside of {state}, so the agents see the bot's keys"
        return Finding("fail", "volumes", found, "set `workspace_dir` to a directory beside it")
    if state.is_relative_to(workspace):
        found = f"{state} is inside of {workspace}, which the agents can read"
        return Finding("fail", "volumes", found, "set `state_dir` to a directory beside it")
    return Finding("ok", "volumes", "state and workspace are apart")
