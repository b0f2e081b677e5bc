"""The JSON Schemas of the configuration files, for editors: generated from the models, checked in.

`python -m config.schemas` writes them; with `--check` it writes nothing and fails if one is
stale.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from config.agents import Registry
from config.generated import only_checks
from config.platform import PlatformSettings
from config.settings import Settings

HERE = Path(__file__).parent


def schemas() -> Mapping[str, dict[str, Any]]:
    """Return each schema by its file name."""
    settings = Settings.model_json_schema()
    # What the file leaves out may come from the environment, so an editor must not insist on it.
    settings.pop("required", None)
    return {
        "surface.schema.json": _titled("Settings of surface", settings),
        "agents.schema.json": _titled("Agents of surface", Registry.model_json_schema()),
        "platform.schema.json": _titled(
            "The reference platform", PlatformSettings.model_json_schema()
        ),
    }


def stale(folder: Path = HERE) -> list[str]:
    """Return the names of the schemas in `folder` that do not match the models."""
    return [
        name
        for name, schema in schemas().items()
        if not (folder / name).is_file() or (folder / name).read_text("utf-8") != _text(schema)
    ]


def write(folder: Path = HERE) -> None:
    """Write all schemas into `folder`."""
    for name, schema in schemas().items():
        (folder / name).write_text(_text(schema), "utf-8")


def main(arguments: Sequence[str]) -> int:
    """Write the schemas, or check them; return the exit status."""
    if not only_checks("config.schemas", "the JSON Schemas of the configuration files", arguments):
        write()
        return 0
    if names := stale():
        sys.stderr.write(f"stale: {', '.join(names)}; run `python -m config.schemas`\n")
        return 1
    return 0


def _titled(title: str, schema: dict[str, Any]) -> dict[str, Any]:
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    whole: dict[str, Any] = _unwrapped({**head, **schema, "title": title})
    return whole


def _unwrapped(node: Any) -> Any:
    # Docstrings are wrapped for the source; an editor wraps them itself.
    if isinstance(node, dict):
        return {
            key: " ".join(value.split())
            if key == "description" and isinstance(value, str)
            else _unwrapped(value)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_unwrapped(item) for item in node]
    return node


def _text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
