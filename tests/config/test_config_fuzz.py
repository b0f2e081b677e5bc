"""Whatever a file or the environment holds: settings, or a ConfigError that can be printed."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config import ConfigError, Registry, Settings, load_agents, load_settings
from config.settings import Settings as Model
from config.sources import settings_of, variable_of

FUZZ = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
KEYS = [*Model.model_fields, "host", "port", "allow", "deny", "level", "id", "name", "adapter",
        "default", "delay", "style", "description"]  # fmt: skip
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.dates()
    | st.binary(max_size=5)
    | st.sampled_from(["echo", "@a:b", "http://hs", "en"])
)
keys = st.sampled_from(KEYS) | st.text(max_size=8) | st.integers() | st.none()
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=20,
)
documents = st.dictionaries(keys, trees, max_size=8) | trees


def load(loader: Callable[[Path], object], path: Path) -> object:
    """Return what loads, or None for a ConfigError; anything else fails the test."""
    try:
        return loader(path)
    except ConfigError as error:
        assert error.problems
        for problem in error.problems:
            assert "\n" not in problem
            problem.encode()
        return None


def settings_from(path: Path) -> Settings:
    return load_settings(path, {})


@pytest.mark.parametrize(("loader", "kind"), [(settings_from, Settings), (load_agents, Registry)])
@FUZZ
@given(data=documents)
def test_any_data_loads_or_is_refused(tmp_path, loader, kind, data):
    path = tmp_path / "file.yaml"
    path.write_text(yaml.safe_dump(data, allow_unicode=True), "utf-8", "surrogatepass")
    found = load(loader, path)
    assert found is None or isinstance(found, kind)


@pytest.mark.parametrize("loader", [settings_from, load_agents])
@FUZZ
@given(data=st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_refused(tmp_path, loader, data):
    path = tmp_path / "file.yaml"
    path.write_bytes(data)
    assert load(loader, path) is None


SNIPPETS = ["homeserver", "agents", "password", "user_id", ": ", ":", "\n", "  ", "- ", "[", "]",
            "{", "}", ",", '"', "'", "&a ", "*a", "!!int ", "!x ", "|", ">", "#", "%", "@", "`",
            "0x", "0b_", "1:30", ".inf", "~", "<<", "=", "---", "...", "\t", "é", "? "]  # fmt: skip


@pytest.mark.parametrize("loader", [settings_from, load_agents])
@FUZZ
@given(parts=st.lists(st.sampled_from(SNIPPETS), max_size=25))
def test_any_yaml_punctuation_is_refused(tmp_path, loader, parts):
    path = tmp_path / "file.yaml"
    path.write_text("".join(parts), "utf-8")
    assert load(loader, path) is None


VARIABLES = [variable_of(loc) for loc, _ in settings_of(Model)]
names = st.sampled_from(VARIABLES) | st.text(max_size=10).map("SURFACE_{}".format)
# Surrogates too: that is how Python hands over undecodable bytes.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=()), max_size=30)


@FUZZ
@given(environ=st.dictionaries(names, texts | st.sampled_from(["[1]", "[", "{}", "1e999"])))
def test_any_environment_loads_or_is_refused(environ: dict[str, Any]):
    good = {
        "SURFACE_HOMESERVER": "http://hs",
        "SURFACE_USER_ID": "@bot:hs",
        "SURFACE_PASSWORD": "p",
    }
    with contextlib.suppress(ConfigError):
        assert isinstance(load_settings(None, good | environ), Settings)
