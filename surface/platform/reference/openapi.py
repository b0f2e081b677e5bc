"""The OpenAPI document of the contract: generated from the reference service, checked in.

`python -P -m surface.platform.reference.openapi` writes it; with `--check` it writes nothing and fails
if the file is stale.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from config.generated import only_checks
from store import MemoryStore

from .desk import Desk
from .service import make_app

FILE = Path(__file__).parents[1] / "openapi.json"


def document() -> dict[str, Any]:
    """Return the document."""
    return make_app(Desk(MemoryStore(), {}), [], token=None).openapi()


def text() -> str:
    """Return the document as it stands in the file."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the document, or check it; return the exit status."""
    if not only_checks(__spec__.name, "the OpenAPI document of the contract", arguments):
        FILE.write_text(text(), "utf-8")
        return 0
    if not FILE.is_file() or FILE.read_text("utf-8") != text():
        sys.stderr.write(f"{FILE.name} is stale; run `python -P -m {__spec__.name}`\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
