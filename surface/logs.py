"""How the log looks: readable on a terminal, JSON elsewhere. Never a secret, never what people wrote."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog


def set_up(level: str, style: Literal["auto", "json", "console"]) -> None:
    """Configure structlog and the standard library's logging, once per process."""
    number = logging.getLevelNamesMapping()[level.upper()]
    json_wanted = style == "json" or (style == "auto" and not sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if json_wanted
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _drop_empty,
            *([structlog.processors.format_exc_info] if json_wanted else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # nio and aiohttp speak through the standard library; their chatter is no news to an operator.
    logging.basicConfig(
        level=max(number, logging.ERROR), stream=sys.stderr, format="%(name)s %(message)s"
    )


def _drop_empty(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    return {key: value for key, value in event.items() if value is not None}
