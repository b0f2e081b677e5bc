"""`!drop`: the files that wait for a person's next message."""

from __future__ import annotations

from surface.commands.said import Said


def has_staged(said: Said) -> bool:
    """Files of whoever says it wait in the room."""
    return said.case.has_staged(said.room_id, said.sender)


def drop(said: Said) -> None:
    """Empty the tray."""
    if not has_staged(said):
        said.reply("drop-nothing")
        return
    tray = said.case.tray(said.room_id, said.sender)
    count = len(tray.record.staged)
    tray.take("drop")
    said.reply("dropped", n=count)
