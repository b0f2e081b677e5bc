"""What a person answers to the bot: a choice, yes or no, a tapped reaction, stop.

The dialog knows what was asked; here its outcome becomes what was asked for.
"""

from __future__ import annotations

from machines.dialog import KEYCAPS, NO, YES
from machines.effects import StopTurn
from surface import limits, onboarding
from surface.case import Case
from surface.commands import agents, contexts
from surface.commands.said import Said

ANSWERS = frozenset({"yes", "no", "y", "n", "да", "нет"})
"""Commands that answer a question instead of cancelling it."""
STOP_SIGN = "🛑"


def is_running(said: Said) -> bool:
    """An answer is being written in the room."""
    return said.case.running_in(said.room_id) is not None


def has_failed(said: Said) -> bool:
    """Something can be asked once more."""
    return said.room.record.failed_body is not None and said.room.knows("retry")


def is_asked(said: Said) -> bool:
    """Something waits for a yes or a no."""
    return said.case.dialog(said.room_id).state == "confirming"


def pick(said: Said, number: int) -> None:
    """A number of the open list."""
    dialog = said.case.dialog(said.room_id)
    dialog.take("pick", number=number, event_id=said.event_id)
    if dialog.state == "choosing":
        return
    chosen = dialog.record.outcome or ""
    if dialog.record.purpose == "load":
        contexts.load_save(said, chosen, dialog.record.labels[number - 1])
    elif (agent := said.case.agent(chosen)) is not None:
        agents.choose(said.case, said.user, said.room, agent, said.event_id)


def yes(said: Said) -> None:
    """`!yes`"""
    _confirm(said, accepted=True)


def no(said: Said) -> None:
    """`!no`"""
    _confirm(said, accepted=False)


def tapped(said: Said, target: str, key: str, *, stale: bool) -> None:
    """A reaction to one of the bot's messages."""
    key = key.replace("\ufe0f", "")
    dialog = said.case.dialog(said.room_id)
    keycaps = [cap.replace("\ufe0f", "") for cap in KEYCAPS]
    answers_it = target == dialog.record.list_event_id
    if key == STOP_SIGN:
        if is_running(said):
            _stop(said)
    elif key in keycaps and answers_it and dialog.state == "choosing":
        pick(said, keycaps.index(key) + 1)
    elif key in (YES, NO) and answers_it and dialog.state == "confirming":
        _confirm(said, accepted=key == YES)
    elif stale and not answers_it and (key in keycaps or key in (YES, NO)):
        said.reply("nothing-pending")


def stop(said: Said) -> None:
    """`!stop`: end the running answer; what waits behind it goes on."""
    if is_running(said):
        _stop(said)
    else:
        said.reply("nothing-to-stop")


def _stop(said: Said) -> None:
    turn = said.case.running_in(said.room_id)
    if turn is not None and turn.state == "waiting" and not turn.record.placeholder_asked:
        # Its files are still on their way: it ends without a word of its own.
        said.reply("turn-stopped")
    said.case.want(StopTurn(said.room_id))


def retry(said: Said) -> None:
    """`!retry`: ask once more what failed."""
    if not has_failed(said):
        said.reply("nothing-to-retry")
    elif limits.has_too_many_waiting(said.case, said.house.limits):
        said.reply("limit-waiting", most=said.house.limits.waiting)
    else:
        said.room.take("retry")


def _confirm(said: Said, *, accepted: bool) -> None:
    dialog = said.case.dialog(said.room_id)
    if not is_asked(said):
        said.reply("nothing-pending")
        return
    purpose = dialog.record.purpose
    dialog.take("yes" if accepted else "no")
    if purpose == "agent_question":
        if not is_running(said):
            said.reply("nothing-pending")
    elif not accepted:
        said.reply("confirm-declined")
    elif purpose == "archive" and not said.room.knows("archive"):
        said.reply("command-not-here", name="archive", why=said.why_not())
    elif purpose == "archive":
        said.room.take("archive", event_id=said.event_id)
    elif purpose == "forget":
        onboarding.forget(said.case, said.user, said.room_id)
    elif purpose == "bind" and limits.too_many_rooms(said.case, said.user, said.house.limits):
        said.reply("limit-rooms", most=said.house.limits.rooms)
    elif purpose == "bind":
        onboarding.stay(said.case, said.room)


def withdraw(case: Case, room_id: str, event: str) -> None:
    """Close a question that will not be answered (`cancel` or `expire`)."""
    dialog = case.dialog(room_id)
    if dialog.knows(event):
        dialog.take(event)
