"""Which extra of the distribution brings which adapter: a plain install stays small."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_EXTRAS: Final[Mapping[str, str]] = {
    "fastapi": "platform",
    "httpx": "platform",
    "httpx_sse": "platform",
    "openai": "openai",
    "starlette": "platform",
    "uvicorn": "platform",
}
"""From a module to the extra that installs it."""


def missing_extra(what: str, error: ModuleNotFoundError) -> str:
    """Say which extra to install for something that could not be imported.

    Raises:
        ModuleNotFoundError: the module belongs to no extra; the installation is broken.
    """
    extra = _EXTRAS.get((error.name or "").partition(".")[0])
    if extra is None:
        raise error
    return f"{what} needs more than is installed here: pip install 'matrix-surface[{extra}]'"
