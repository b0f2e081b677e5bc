"""The real command line, as a subprocess: what an operator types, and what they get to read.

One rule: a failure is one complaint. `Installation.complaint` is the only way to look at one, and it
insists on exit code 1, no traceback and a single `error:`.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]
AGENTS: Mapping[str, Any] = {
    "default": "echo",
    "agents": [{"id": "echo", "name": "Echo", "adapter": "echo"}],
}
NOWHERE = "http://127.0.0.1:9"
"""A homeserver that is not there: nobody listens on the discard port."""


def run(*words: str, cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `surface …`, without a terminal and with no settings but those given."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SURFACE_")}
    return subprocess.run(
        [sys.executable, "-P", "-m", "surface", *words],
        cwd=cwd,
        env={**clean, "PYTHONPATH": str(PROJECT), **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def surface(*words: str) -> subprocess.CompletedProcess[str]:
    """`run` in the project's directory."""
    return await asyncio.to_thread(run, *words, cwd=PROJECT, env={})


class Installation:
    """A directory with a configuration in it, and the command line to try on it."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self.root = root
        self.env: dict[str, str] = {}
        self.settings: dict[str, Any] = {
            "homeserver": NOWHERE,
            "user_id": "@lambda:localhost",
            "password": "secret words",
            **settings,
        }
        self.write()

    @property
    def state_dir(self) -> Path:
        return self.root / str(self.settings.get("state_dir", "state"))

    def write(self, agents: Mapping[str, Any] = AGENTS, **settings: Any) -> None:
        """Write settings (with these changes) and registry."""
        self.settings |= settings
        (self.root / "surface.yaml").write_text(json.dumps(self.settings))
        (self.root / "agents.yaml").write_text(json.dumps(agents))

    def surface(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `surface …` in the directory."""
        return run(*words, cwd=self.root, env=self.env)

    def complaint(self, *words: str) -> str:
        """The one complaint of a command that fails."""
        done = self.surface(*words)
        said = done.stdout + done.stderr
        assert done.returncode == 1, said
        assert "Traceback" not in said, said
        assert said.count("error:") == 1, said
        assert "secret words" not in said
        return done.stderr.partition("error:")[2].strip()

    def tree(self) -> dict[str, tuple[int, bytes]]:
        """All that is in the directory: modes and contents."""
        return {
            str(path.relative_to(self.root)): (
                path.stat().st_mode,
                path.read_bytes() if path.is_file() else b"",
            )
            for path in sorted(self.root.rglob("*"))
        }
