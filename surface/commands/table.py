"""The README's table of commands, written from the registry. `python -m surface.commands.table [--check]`"""

from __future__ import annotations

import sys
from pathlib import Path

from surface import texts
from surface.commands.registry import COMMANDS

BEGIN, END = "<!-- commands -->", "<!-- /commands -->"


def table() -> str:
    """The table in Markdown."""
    rows = ["| command | what it does | also |", "|---|---|---|"]
    for spec in COMMANDS:
        aliases = ", ".join(f"`!{alias}`" for alias in spec.aliases)
        rows.append(f"| `{spec.usage('en')}` | {texts.say('en', spec.summary)} | {aliases} |")
    return "\n".join(rows)


def updated(readme: str) -> str:
    """The README with the table as it has to be."""
    head, _, rest = readme.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{table()}\n{END}{tail}"


def main() -> int:
    """Write the table, or say whether it is true."""
    file = Path("README.md")
    text = file.read_text(encoding="utf-8")
    if "--check" in sys.argv:
        return int(updated(text) != text)
    file.write_text(updated(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
