"""How the log looks: readable on a terminal, JSON elsewhere. Never a secret, never what people wrote.

What other libraries log goes the same way. With `log.ids: hashed` every Matrix id in it (of people, rooms and
events) is replaced by a hash: lines about the same room can still be told to be, but not which room it is.
The hashes are keyed by a secret of the installation: otherwise a list of user ids would undo them.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import sys
from collections.abc import MutableMapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Literal

import structlog

KEY_FILE: Final = "log.key"
"""Where the key of the hashes is, in the state directory. Losing it means other hashes from then on."""

_SERVER: Final = r":(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.\-]+)(?::[0-9]+)?"
_ID: Final = re.compile(
    # Old user ids, and aliases, may hold nearly everything.
    rf"@[^\s:@\"]+{_SERVER}|#[^\s:#@/\"]+{_SERVER}"
    rf"|[@!$#][A-Za-z0-9_.=/+\-]+(?:{_SERVER}|(?<=[A-Za-z0-9_\-]{{40}}))"
)
"""`@user:server`, `!room:server`, `#alias:server`, and the ids of events and newer rooms: 43 letters."""

_FOLDERS: Final = re.compile(r"(?<=surfaces/matrix/)[^/\s'\"]+/[^/\s'\"]+")
"""The folders of a person and a room in the workspace, which are named after them."""
_FILE: Final = re.compile(r"(\d{8}-\d{6}-[0-9a-f]{16}-)[^\n]+")
"""A file in an inbox: what is our own of its name, and what a person has called it."""


def set_up(
    level: str, style: Literal["auto", "json", "console"], *, hash_key: bytes | None = None
) -> None:
    """Configure structlog and the standard library's logging, once per process.

    Args:
        hash_key: replace ids by hashes keyed by this.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    json_wanted = style == "json" or (style == "auto" and not sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if json_wanted
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _drop_empty,
        *([structlog.processors.format_exc_info] if json_wanted or hash_key else []),
        _without_names,
        *([Hashing(hash_key)] if hash_key else []),
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # nio and aiohttp speak through the standard library; their chatter is no news to an operator.
    theirs = logging.StreamHandler(sys.stderr)
    theirs.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(level=max(number, logging.ERROR), handlers=[theirs])


class Hashing:
    """Replaces the ids in all that is logged.

    Args:
        key: at most 64 bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __call__(
        self, _logger: object, _method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        """The same event without ids."""
        return {name: self.hashed(value) for name, value in event.items()}

    def hashed(self, value: Any) -> Any:
        """The value, also inside lists and dicts, without ids."""
        match value:
            case str():
                return _FOLDERS.sub(self._hash, _ID.sub(self._hash, value))
            case list() | tuple() | set() | frozenset():
                return [self.hashed(inner) for inner in value]
            case MutableMapping():
                return {self.hashed(name): self.hashed(inner) for name, inner in value.items()}
        return value

    def _hash(self, found: re.Match[str]) -> str:
        text = found.group()
        sigil = text[0] if text[0] in "@!$#" else ""
        return f"{sigil}~{blake2b(text.encode(), digest_size=6, key=self._key).hexdigest()}"


def hash_key(state_dir: Path) -> bytes:
    """The installation's key for hashing ids, made if there is none.

    Raises:
        OSError: it can be neither read nor made.
    """
    file = state_dir / KEY_FILE
    try:
        return file.read_bytes()
    except FileNotFoundError:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = secrets.token_bytes(32)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(key)
        return key


def _without_names(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """What people call their files is theirs, like all that they say."""
    for key in ("path", "why", "exception"):
        if isinstance(value := event.get(key), str):
            event[key] = _FILE.sub(r"\1…", value)
    return event


def _drop_empty(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    return {key: value for key, value in event.items() if value is not None}
