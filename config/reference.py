"""The operators' table of settings, written from the models' docstrings into `compose/README.md`.

`python -m config.reference` writes it; with `--check` it writes nothing and fails if it is stale.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefined

from config.generated import only_checks
from config.section import Loc
from config.settings import Settings
from config.sources import settings_of, variable_of

FILE = Path(__file__).parents[1] / "compose" / "README.md"
BEGIN, END = "<!-- settings -->", "<!-- /settings -->"


def table() -> str:
    """The table in Markdown: every setting, its variable, its default and what it is."""
    rows = ["| setting | variable | default | |", "|---|---|---|---|"]
    schema = Settings.model_json_schema()
    for loc, field in settings_of(Settings):
        default, about = _default(loc, field.default), " ".join((field.description or "").split())
        allowed = _allowed(_part(schema, loc))
        cells = (f"`{'.'.join(map(str, loc))}`", f"`{variable_of(loc)}`", default, about + allowed)
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows)


def updated(text: str) -> str:
    """The document with the table as it has to be.

    Raises:
        ValueError: it has no place for the table.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"there is no {BEGIN} and {END}")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{table()}\n{END}{tail}"


def main(arguments: Sequence[str], file: Path = FILE) -> int:
    """Write the table, or check it; return the exit status."""
    checks = only_checks(
        "config.reference", "the table of settings into compose/README.md", arguments
    )
    text = file.read_text("utf-8")
    if not checks:
        file.write_text(updated(text), "utf-8")
        return 0
    if updated(text) != text:
        sys.stderr.write(f"stale: {file.name}; run `python -m config.reference`\n")
        return 1
    return 0


def _default(loc: Loc, value: Any) -> str:
    if value is PydanticUndefined:
        return "required"
    if value is None or loc == ("access", "allow"):
        return ""
    if isinstance(value, tuple):
        return "none" if not value else ", ".join(map(str, value))
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`"


def _part(schema: Mapping[str, Any], loc: Loc) -> Mapping[str, Any]:
    """Where a setting is described in the schema."""
    node: Mapping[str, Any] = schema
    for key in loc:
        node = node["properties"][str(key)]
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return node


def _allowed(part: Mapping[str, Any]) -> str:
    if "enum" in part:
        return f" One of {', '.join(f'`{value}`' for value in part['enum'])}."
    if "minimum" in part and "maximum" in part:
        return f" From {part['minimum']:,} to {part['maximum']:,}."
    return ""


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
