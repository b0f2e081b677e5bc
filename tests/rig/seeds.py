"""What the tests that take their steps by chance begin from; printed, so that a run can be repeated."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

NO_COMMIT = "no commit"
EXAMPLES = 100
"""Lives of the model bot that are lived when nobody asks for more."""


def crash_seed(config: pytest.Config) -> str:
    """Of the crash tests' sample: the option, else the commit, so that every commit tries another."""
    if (chosen := config.getoption("--crash-seed", default=None)) is not None:
        return str(chosen)
    try:
        asked = ["git", "rev-parse", "--verify", "HEAD"]
        found = subprocess.run(
            asked, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return NO_COMMIT
    return found.stdout.strip() or NO_COMMIT


def model_seed(config: pytest.Config) -> int:
    """Of the steps against the model homeserver: the option, else always the same."""
    return int(config.getoption("--model-seed", default=0))
