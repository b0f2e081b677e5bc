"""What follows when a file was fetched or uploaded, or could not be: pure."""

from __future__ import annotations

from machines.effects import (
    FetchFile,
    FileIn,
    Notice,
    PostFile,
    RefuseFile,
    SendFile,
    SignStaged,
    Text,
    UnsignStaged,
)
from surface.case import Case, decode_row

STAGED = "📎"
"""The reaction under a file that waits for its message."""
NAMED = 5
"""Files that are called by their names where many are spoken of."""
ENCRYPTED_SINCE = "encrypted since"
"""Why a message is not sent whose file was uploaded before its room was encrypted."""


def of_file(
    case: Case,
    effect: FetchFile | SendFile | PostFile,
    content: str | None,
    why: Text | None,
    *,
    refused: str | None,
) -> None:
    """What follows from an effect that is about a file.

    Args:
        content: what an upload has come to.
        why: what the person is told, if it did not work for good.
        refused: why a message was not sent.
    """
    match effect:
        case FetchFile():
            _fetched(case, effect, why)
        case SendFile():
            _uploaded(case, effect, content, why)
        case PostFile(file=file):
            if refused == ENCRYPTED_SINCE:
                case.want(file)


def _fetched(case: Case, effect: FetchFile, why: Text | None) -> None:
    """A file is in the workspace, or will not be: its sender sees which, as long as it is staged."""
    room_id, file = effect.room_id, effect.file
    case.thread = effect.thread
    if why is None:
        if _hold(case, effect):
            case.want(SignStaged(effect))
        return
    if case.has_staged(room_id, effect.user_id):
        tray = case.tray(room_id, effect.user_id)
        if tray.record.holds(file.event_id):
            tray.take("unstage", event_id=file.event_id)
    case.want(Notice(room_id, why, reply_to=file.event_id))


def _hold(case: Case, effect: FetchFile) -> bool:
    """Stage a file again that was staged in the memory of a process that is gone; says if it is staged."""
    ours = effect.staged_by == case.world.boot
    if ours and not case.has_staged(effect.room_id, effect.user_id):
        return False
    tray = case.tray(effect.room_id, effect.user_id)
    held = tray.record.holds(effect.file.event_id)
    if not held and not ours and tray.has_place() and not _is_taken(case, effect.file):
        tray.take("stage", file=effect.file)
        return True
    return held


def signed(case: Case, effect: SignStaged, sign_id: str | None) -> None:
    """The sign that a file waits is in the room, and goes again when the file does not wait any more."""
    fetched = effect.fetched
    held = _hold(case, fetched)
    if sign_id is None:
        return
    if held:
        tray = case.tray(fetched.room_id, fetched.user_id)
        tray.take("signed", event_id=fetched.file.event_id, sign_id=sign_id)
    elif not _is_taken(case, fetched.file):
        case.want(UnsignStaged(fetched.room_id, sign_id))


def _is_taken(case: Case, file: FileIn) -> bool:
    """Whether a message has taken the file along."""
    return any(
        file.event_id in (key, *(taken["event_id"] for taken in stored.body.get("files", ())))
        for key, stored in case.scan("turns", "")
    )


def _uploaded(case: Case, effect: SendFile, content: str | None, why: Text | None) -> None:
    """A file of an answer can be posted now, or its reader is told why it is not."""
    if content is not None:
        case.want(PostFile(effect, content))
    elif why is not None:
        case.want(RefuseFile(effect.room_id, effect.turn_id, why, effect.thread))


def refused(case: Case, effect: RefuseFile) -> None:
    """All that is known to be refused of an answer is told by one message, however many that are."""
    rows = [
        decode_row(key, stored.body) for key, stored in case.scan("outbox", f"{effect.turn_id}/")
    ]
    its = {
        row.key: row.effect
        for row in sorted(rows, key=lambda row: row.seq)
        if isinstance(row.effect, RefuseFile) and row.effect.turn_id == effect.turn_id
    }
    for key in its:
        if not case.settles(key):
            case.spare(key)
    case.thread, told = effect.thread, effect.why
    if len(its) > 1:
        names = [str(each.why.params["name"]) for each in its.values()]
        told = Text("files-out-refused", {"n": len(names), "files": ", ".join(names[:NAMED])})
    case.want(Notice(effect.room_id, told, reply_to=effect.turn_id))
