"""Whatever becomes of a file that an operator wrote, it loads, or is refused with words that can be printed.

The examples are changed in a few places, as mistakes do; what is nothing like them: `tests/config`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from config import ConfigError, load_agents, load_settings
from config.platform import load_platform
from surface.platform.reference.scripted import load_scenario
from tests.rig.bot import PROJECT
from tests.rig.mutations import as_json, broken_bytes, many, mutated

LOADERS: dict[str, Callable[[Path], object]] = {
    "surface": lambda path: load_settings(path, {}),
    "agents": lambda path: load_agents(path, {}),
    "platform": lambda path: load_platform(path, {}),
    "scenario": load_scenario,
}
EXAMPLES = {name: (PROJECT / f"config/{name}.example.yaml").read_bytes() for name in LOADERS}
SECTIONS = {
    "access": {"allow": ["@*:hs"], "deny": [], "admins": ["@a:hs"]},
    "ops": {"host": "127.0.0.1", "port": 8009, "inspector": False},
    "answers": {"placeholder_after": 1.0, "edits": 20},
    "limits": {"rooms": 50, "per_minute": 200},
    "files": {"max_incoming": 100, "keep_days": 30},
    "catch_up": {"mode": "latest", "max_age": 60},
    "log": {"level": "info", "ids": "hashed"},
}
"""Of the settings; in their example they are comments."""


def loads_or_is_refused(name: str, folder: Path, data: bytes) -> None:
    file = folder / "file.yaml"
    file.write_bytes(data)
    try:
        LOADERS[name](file)
    except ConfigError as error:
        assert error.problems
        for problem in error.problems:
            assert "\n" not in problem
            problem.encode()


@pytest.mark.parametrize("name", LOADERS)
@many(25)
@given(data=st.data())
def test_an_example_that_is_almost_one(name: str, tmp_path: Path, data: st.DataObject) -> None:
    document: Any = yaml.safe_load(EXAMPLES[name]) | (SECTIONS if name == "surface" else {})
    # JSON is YAML.
    loads_or_is_refused(name, tmp_path, data.draw(mutated([document]).map(as_json)))


@pytest.mark.parametrize("name", LOADERS)
@many(25)
@given(data=st.data())
def test_an_example_of_broken_bytes(name: str, tmp_path: Path, data: st.DataObject) -> None:
    loads_or_is_refused(name, tmp_path, data.draw(broken_bytes(st.just(EXAMPLES[name]))))
