"""The shipped examples and the generated schemas agree with the models."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

import config
from config import ADAPTERS, load_agents, load_settings, schemas
from config.section import section_of
from config.settings import Settings

HERE = Path(config.__file__).parent
EXAMPLES = [
    ("surface.example.yaml", "surface.schema.json"),
    ("agents.example.yaml", "agents.schema.json"),
]


def schema(name: str) -> dict:
    return json.loads((HERE / name).read_text("utf-8"))


@pytest.mark.parametrize(("example", "name"), EXAMPLES)
def test_an_example_fits_its_schema_and_names_it(example, name):
    text = (HERE / example).read_text("utf-8")
    assert text.startswith(f"# yaml-language-server: $schema=./{name}\n")
    jsonschema.Draft202012Validator.check_schema(schema(name))
    jsonschema.validate(yaml.safe_load(text), schema(name))


def test_the_example_settings_load_and_show_the_defaults():
    settings = load_settings(HERE / "surface.example.yaml", {})
    bare = Settings(
        homeserver=settings.homeserver, user_id=settings.user_id, password="change me"
    ).model_dump(exclude={"state_dir", "workspace_dir", "agents"})
    assert settings.model_dump(exclude={"state_dir", "workspace_dir", "agents"}) == bare
    assert settings.agents == HERE / "agents.yaml"


def test_the_example_settings_explain_every_key():
    text = (HERE / "surface.example.yaml").read_text("utf-8")
    for key, field in Settings.model_fields.items():
        assert f"{key}:" in text
        if section := section_of(field):
            for inner in section.model_fields:
                assert f"  {inner}:" in text


def test_the_example_agents_load():
    registry = load_agents(HERE / "agents.example.yaml")
    assert registry.default == "echo"
    assert {"echo", "slow"} <= set(registry.ids)
    assert registry.get("echo").delay == 0
    assert registry.get("slow").delay > 0


def test_the_schemas_are_fresh():
    assert schemas.stale() == [], "run `python -m config.schemas`"


def test_a_stale_schema_is_noticed(tmp_path, monkeypatch, capsys):
    assert schemas.stale(tmp_path) == [
        "surface.schema.json",
        "agents.schema.json",
        "platform.schema.json",
    ]
    schemas.write(tmp_path)
    assert schemas.stale(tmp_path) == []
    (tmp_path / "agents.schema.json").write_text("{}")
    assert schemas.stale(tmp_path) == ["agents.schema.json"]
    monkeypatch.setattr(schemas, "stale", lambda: ["agents.schema.json"])
    assert schemas.main(["--check"]) == 1
    assert "agents.schema.json" in capsys.readouterr().err


@pytest.mark.parametrize("name", [*schemas.schemas()])
def test_every_key_is_described(name):
    whole = schema(name)
    for part in [whole, *whole["$defs"].values()]:
        assert part["additionalProperties"] is False
        for key, value in part["properties"].items():
            group = whole["$defs"][value["$ref"].rpartition("/")[2]] if "$ref" in value else {}
            assert value.get("description") or group.get("description"), key


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("surface.schema.json", {"homserver": "x"}),
        ("surface.schema.json", {"ops": {"port": 70000}}),
        ("surface.schema.json", {"user_id": "lambda"}),
        ("surface.schema.json", {"access": {"allow": ["bob"]}}),
        ("agents.schema.json", {"agents": []}),
        ("platform.schema.json", {"agents": [{"id": "a", "name": "A", "brain": "scripted"}]}),
        ("agents.schema.json", {"agents": [{"id": "a", "name": "A", "adapter": "http"}]}),
    ],
)
def test_an_editor_sees_a_mistake(name, bad):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(bad, schema(name))


def test_every_adapter_is_registered_under_its_own_name():
    for name, model in ADAPTERS.items():
        assert model.model_json_schema()["properties"]["adapter"]["const"] == name
