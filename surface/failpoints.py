"""Named points at which a test may kill the process: between every two durable or visible steps.

Inert unless `SURFACE_FAILPOINT=name` or `name:n` is set; then the n-th passing of that point ends the
process with SIGKILL, as a power cut would. `SURFACE_FAILPOINT=@file` reads that from a file at every
passing, so that a point can be armed while the process runs; `SURFACE_FAILPOINT_TRACE=file` writes down
every point passed. Every point is named in `POINTS`; passing one that is not is an error, so that the crash
tests, which are generated from the list, can forget none.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

COMMITS = (
    "ingest",
    "catch_up",
    "input",
    "turn.placeholder",
    "turn.files",
    "turn.final",
    "settle",
    "reconcile",
    "reserve",
    "mirror",
)
"""Commits of the store; each has a point `before` and `after`."""

REQUESTS = (
    "join",
    "leave",
    "create",
    "invite",
    "state",
    "notice",
    "placeholder",
    "answer",
    "preview",
    "marker",
    "extra",
    "sign",
    "reserve",
    "mirror",
    "download",
    "upload",
    "file",
)
"""Requests to the homeserver; `before` is before sending, `after` is the response received and not yet
looked at: to what lies on disk, a lost response."""

PLATFORM = (
    "platform.asked",
    "platform.streamed",
    "platform.done",
    "platform.disconnected",
    "platform.told",
    "platform.forgotten",
)
"""Points of a turn: asked but nothing heard, some text heard, all heard and nothing committed."""

ENCRYPTION = (
    "request.identity.before",
    "request.identity.after",
    "request.keys.before",
    "request.keys.after",
    "request.share.before",
    "request.share.after",
)
"""Requests about keys: the bot's identity, its one-time keys, and the sessions that it shares."""
FILES = ("file.written", "file.kept")
"""Of a file that was fetched: all of it is on disk under another name; it has its own."""

POINTS: frozenset[str] = frozenset(
    {f"commit.{name}.{side}" for name in COMMITS for side in ("before", "after")}
    | {f"request.{name}.{side}" for name in REQUESTS for side in ("before", "after")}
    | set(PLATFORM)
    | set(ENCRYPTION)
    | set(FILES)
)

VARIABLE = "SURFACE_FAILPOINT"
TRACE = "SURFACE_FAILPOINT_TRACE"


class Failpoints:
    """The armed point of this process, if any.

    Args:
        spec: `name`, `name:n` or `@file`; None or empty arms nothing.
        trace: the file to which the points passed are appended.
    """

    def __init__(self, spec: str | None, trace: str | None = None) -> None:
        self._file = Path(spec[1:]) if spec and spec.startswith("@") else None
        self._trace = Path(trace) if trace else None
        self._arm("" if self._file else spec or "")

    def hit(self, name: str) -> None:
        """Pass a point; does not return if this is the armed one."""
        if name not in POINTS:
            raise KeyError(f"failpoint {name!r} is not listed in POINTS")
        if self._file and (spec := self._file.read_text().strip()) != self._spec:
            self._arm(spec)
        if self._trace:
            with self._trace.open("a") as out:
                out.write(f"{name}\n")
        if name == self._name:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def _arm(self, spec: str) -> None:
        self._spec = spec
        self._name, _, nth = spec.partition(":")
        self._left = int(nth or 1)
        if self._name and self._name not in POINTS:
            raise ValueError(
                f"{VARIABLE}: `{self._name}` is not a failpoint; see surface/failpoints.py"
            )


def from_environment() -> Failpoints:
    """The failpoint that the environment arms; normally none."""
    return Failpoints(os.environ.get(VARIABLE), os.environ.get(TRACE))
