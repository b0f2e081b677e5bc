"""Bytecode for the processes that tests start.

Where the environment keeps Python from writing it (`PYTHONDONTWRITEBYTECODE`), each process would compile all
that it imports: for the bot more work than everything else it does at a start.
"""

from __future__ import annotations

import os
from pathlib import Path


def keep_bytecode(folder: Path) -> None:
    """Let processes started from now on share their bytecode in `folder`, beside no source."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder)
