"""CONTRIBUTING.md's newcomer's path, walked: its changes made, its commands run, on a copy of the tree.

What is done stands in the document alone: blocks marked `newcomer` are taken from it, in their order.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("machines", "store", "config", "surface", "compose", "diagrams", "tests", "pyproject.toml")
BLOCK = re.compile(r"^( *)```(\w+) newcomer( fails)?\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
UNTOLD = "test_details_are_known_for_every_event[TrayMachine]"
"""What fails while nobody has told the tests of a new event."""
PYTEST = (sys.executable, "-m", "pytest", "-n0", "-q", "-p", "no:cacheprovider")
SURFACE = (sys.executable, "-P", "-m", "surface")


@dataclass(frozen=True)
class Block:
    """One step of the path.

    Attributes:
        kind: `diff`, a change, or `sh`, commands.
        fails: the commands are shown because they fail.
    """

    kind: str
    fails: bool
    text: str


def blocks() -> list[Block]:
    """The steps, in order."""
    page = (ROOT / "CONTRIBUTING.md").read_text()
    return [
        Block(kind, bool(fails), textwrap.dedent(text))
        for _, kind, fails, text in BLOCK.findall(page)
    ]


def run(command: str, tree: Path) -> subprocess.CompletedProcess[str]:
    """A command as it is written, with this environment in the place of `uv`'s."""
    match shlex.split(command):
        case ["uv", "run", "pytest", *words]:
            line = [*PYTEST, *words]
        case ["uv", "run", "surface", *words]:
            line = [*SURFACE, *words]
        case _:
            raise AssertionError(f"no command for newcomers: {command}")
    ours = ("PYTEST_", "SURFACE_")
    env = {k: v for k, v in os.environ.items() if not k.startswith(ours)} | {
        "PYTHONPATH": str(tree)
    }
    return subprocess.run(line, cwd=tree, env=env, capture_output=True, text=True, check=False)


def steps() -> Iterator[tuple[str, Block]]:
    """Each change and each command by itself."""
    for block in blocks():
        if block.kind == "diff":
            yield block.text, block
        else:
            for line in block.text.splitlines():
                yield line, block


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what a newcomer clones."""
    leave = shutil.ignore_patterns("__pycache__", "node_modules", ".*")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, tmp_path / part, ignore=leave)
        else:
            shutil.copy(ROOT / part, tmp_path / part)
    return tmp_path


@pytest.mark.minutes
def test_the_path_leads_there(tree: Path) -> None:
    walked = []
    for step, block in steps():
        walked.append(block.kind + " fails" * block.fails)
        if block.kind == "diff":
            done = subprocess.run(
                ["git", "apply", "-"],
                cwd=tree,
                input=step,
                capture_output=True,
                text=True,
                check=False,
            )
        else:
            done = run(step, tree)
        said = f"{step}\n{done.stdout}\n{done.stderr}"
        if block.fails:
            assert (
                done.returncode == 1
                and "test_details_are_known_for_every_event[TrayMachine]" in done.stdout
            ), said
        else:
            assert done.returncode == 0, said
    assert walked[:3] == ["diff", "sh fails", "diff"] and walked.count("sh") == 4
    drawn = (tree / "diagrams" / "TrayMachine.svg").read_text()
    assert "pinned" in drawn and "pinned" not in (ROOT / "diagrams" / "TrayMachine.svg").read_text()


def test_nothing_else_is_marked() -> None:
    """A mark that the test would not understand is none that it passes over."""
    page = (ROOT / "CONTRIBUTING.md").read_text()
    assert len(re.findall(r"```.*newcomer", page)) == len(blocks())
    assert {block.kind for block in blocks()} == {"diff", "sh"}
