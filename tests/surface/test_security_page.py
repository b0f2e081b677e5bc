"""The security page names tests: each is there, and no line stands without one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.rig.bot import PROJECT

PAGE = (PROJECT / "SECURITY.md").read_text()
GUARD = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_every_guard_is_a_test() -> None:
    guards = GUARD.findall(PAGE)
    assert len(guards) > 40
    missing = [f"{path}::{name}" for path, name in guards if name not in _tests(PROJECT / path)]
    assert missing == []


def test_every_attack_has_a_guard() -> None:
    for table in PAGE.split("\n\n"):
        head, *rows = table.splitlines()
        if head.endswith("| guard |"):
            unguarded = [row for row in rows[1:] if not GUARD.search(row.rsplit(" | ", 1)[-1])]
            assert unguarded == []


def _tests(path: Path) -> set[str]:
    body = ast.parse(path.read_text()).body if path.is_file() else []
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {found.name for found in body if isinstance(found, kinds)}
