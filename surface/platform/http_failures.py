"""What goes wrong between surface and platform, in the contract's words.

Failures come in three kinds. *Away*: the platform cannot be reached, fell silent, is overloaded or
broken; it may be tried again. *Refused* (`CallFailed`): it says no; its problem is told. *Garbled*: it
says what the contract does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import httpx
from pydantic import ValidationError

from .interface import (
    CallFailed,
    ChatInUse,
    ConfirmationGone,
    PlatformError,
    SaveMissing,
    Unsupported,
)
from .wire import Problem

_RAISED: Final[Mapping[str, type[CallFailed]]] = {
    "chat_in_use": ChatInUse,
    "confirmation_gone": ConfirmationGone,
    "save_missing": SaveMissing,
    "unsupported": Unsupported,
}


class Away(Exception):
    """The platform cannot be reached, or not now.

    Args:
        error: what is told if it stays so.
        after: seconds to wait at least, where the platform says so.
    """

    def __init__(self, error: PlatformError, after: float = 0.0) -> None:
        self.error, self.after = error, after
        super().__init__(error.message)


def failure(response: httpx.Response, body: bytes) -> Exception:
    """Say what a status that is no success means."""
    status = response.status_code
    try:
        problem = Problem.model_validate_json(body)
    except ValidationError:
        problem = Problem(title="", status=status, code=f"http_{status}", detail="")
    if status in (401, 403):
        said = "The platform does not accept this surface's token."
        return CallFailed(PlatformError("unauthorized", said, retryable=False))
    if status == 429:
        error = PlatformError("busy", "The platform has too much to do.", retryable=True)
        return Away(error, after=_seconds(response.headers.get("retry-after", "")))
    if status >= 500 and status != 501 and (problem.retryable or not problem.detail):
        said = problem.detail or f"The platform is broken (HTTP {status})."
        return Away(PlatformError("broken", said, retryable=True))
    said = problem.detail or problem.title or f"The platform refused (HTTP {status})."
    kind = _RAISED.get(problem.code, CallFailed)
    return kind(PlatformError(problem.code, said, problem.retryable))


def _seconds(text: str) -> float:
    return min(float(text), 60.0) if text.isdecimal() and text.isascii() else 0.0


def unreachable(error: httpx.HTTPError) -> PlatformError:
    """Say what a connection that failed means."""
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            why = f" ({error})" if str(error) else ""
            said = f"The platform cannot be reached{why}."
            return PlatformError("unreachable", said, retryable=True)
        case httpx.TimeoutException():
            return silent()
        case _:
            return broken_off()


def silent() -> PlatformError:
    """Nothing came for too long."""
    return PlatformError("silent", "The platform fell silent.", retryable=True)


def broken_off() -> PlatformError:
    """The connection ended before the answer."""
    return PlatformError("broken_off", "The platform broke off.", retryable=True)


def resting(wait: float) -> PlatformError:
    """The breaker is open."""
    said = f"The platform cannot be reached. It is tried again in {wait:.0f} s."
    return PlatformError("unreachable", said, retryable=True)


def too_long(most: int) -> PlatformError:
    """What an answer without end ends with."""
    return PlatformError("too_long", f"The answer is longer than {most} characters.", False)


def garbled(said: str) -> PlatformError:
    """The platform says what the contract does not know."""
    return PlatformError("garbled", f"The platform does not speak the contract: {said}.", False)
