"""What follows when a file was fetched or uploaded, or could not be: pure."""

from __future__ import annotations

from machines.effects import FetchFile, FileIn, Notice, PostFile, React, SendFile, Text
from surface.case import Case

STAGED = "📎"
"""The reaction under a file that waits for its message."""
ENCRYPTED_SINCE = "encrypted since"
"""Why a message is not sent whose file was uploaded before its room was encrypted."""


def fetched(case: Case, effect: FetchFile, why: Text | None) -> None:
    """A file is in the workspace, or will not be: its sender sees which, as long as it is staged."""
    room_id, file = effect.room_id, effect.file
    case.thread = effect.thread
    staged = case.has_staged(room_id, effect.user_id)
    tray = case.tray(room_id, effect.user_id) if staged else None
    held = tray is not None and tray.record.holds(file.event_id)
    if why is not None:
        if held and tray is not None:
            tray.take("unstage", event_id=file.event_id)
        case.want(Notice(room_id, why, reply_to=file.event_id))
        return
    if not held and effect.staged_by != case.world.boot and not _is_taken(case, file):
        # It was staged in the memory of a process that is gone.
        tray = case.tray(room_id, effect.user_id)
        if tray.has_place():
            tray.take("stage", file=file)
            held = True
    if held:
        case.want(React(room_id, file.event_id, STAGED))


def _is_taken(case: Case, file: FileIn) -> bool:
    """Whether a message has taken the file along."""
    return any(
        file.event_id in (key, *(taken["event_id"] for taken in stored.body.get("files", ())))
        for key, stored in case.scan("turns", "")
    )


def uploaded(case: Case, effect: SendFile, content: str | None, why: Text | None) -> None:
    """A file of an answer can be posted now, or its reader is told why it is not."""
    if content is not None:
        case.want(PostFile(effect, content))
    elif why is not None:
        case.thread = effect.thread
        case.want(Notice(effect.room_id, why, reply_to=effect.turn_id))
