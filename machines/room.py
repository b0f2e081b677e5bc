"""RoomMachine: the life of one Matrix room, keyed by its room id.

Theory of operation
-------------------
A room is known to Matrix before it means anything to us (`unprovisioned`). It then becomes either a
`home` room (the direct room in which a person met the bot: guidance and commands, no agent) or a
chat room. A chat room is `bound` to one agent and to one platform chat, the agent's memory of the
conversation; without a valid agent it is `unbound` and asks for one at the next message.

`clear` gives the room a fresh platform chat and leads to `cleared`: nothing was said since, so
`undo` can still go back to the chat before. The first `talk` makes it `bound` again, for good.

`load` is like `clear`, but the fresh chat is seeded from a save; should that fail, `load_failed`
goes back to the chat that was there, cleared or not; unless something was said in the fresh one, which
then stays. `turn_failed` remembers what was asked, so that `retry` can ask it again: in the same chat,
of the same agent, so a turn of a chat that the room has left is not remembered.

A room that the bot did not make is never bound silently: its inviter is asked, and `take_in` follows
their word. `forget` ends the document: the person asked for it.

Changing the agent always takes a fresh platform chat: one agent never sees what was said to
another. A vanished agent (`observed_agent_missing`) leaves agent and chat on the record, so that
the binding comes back with the agent (`observed_agent_back`).

People and other clients act on rooms too: what the reconciler or /sync *observes* enters as
`observed_*` events. A room that was lost and is there again (`observed_again`) is taken over as its
mirror tells (`observed_bound`, `observed_home`). When another account of the room is the true one, its newer
mirror's or, after an upgrade, its successor's, it is `lost` first (`observed_replaced`).
When an observation and a command compete, the one committed first wins, and
the other is decided again on the new state: it is either accepted there or refused.

The machine is coupled to UserMachine only through the surface, which sends both their events in one
decision: a created room reaches the user as `observed_created` and the room as `provision`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from machines.chart import Chart, DurableState, TransientState
from machines.effects import (
    AcceptTurn,
    DisconnectChat,
    EndTurns,
    FileIn,
    Fresh,
    InviteUser,
    LeaveRoom,
    LinkChild,
    LoadContext,
    Notice,
    OfferAgents,
    PlatformChatId,
    RenameRoom,
    SaveContext,
    SetParent,
    SetTopic,
    Text,
    UnlinkChild,
)


@dataclass
class Room:
    """What is remembered of a room besides its state."""

    room_id: str
    room_type: str | None = None
    """`chat` or `home`; None while unprovisioned."""
    matrix_user_id: str | None = None
    """The owner."""
    space_id: str | None = None
    chat_id: str | None = None
    display_name: str | None = None
    agent_id: str | None = None
    platform_chat_id: PlatformChatId | None = None
    previous_chat_id: str | None = None
    """The platform chat that `undo` goes back to; only in `cleared`."""
    replaced_chat_id: PlatformChatId | None = None
    """The platform chat that the last `load` took the place of."""
    failed_body: str | None = None
    """What the last turn was asked that failed; `retry` asks it again."""
    failed_files: list[FileIn] = field(default_factory=list)
    """What it was asked with."""
    others: list[str] = field(default_factory=list)
    """Who else is in the room besides the owner and the bot: then it answers only when addressed."""
    inviter: str | None = None
    """Who invited the bot into a room that it did not make; only they are asked about it."""
    foreign: bool = False
    """The bot did not make this room: it was invited into it and asked to stay."""
    encrypted: bool = False
    """One-way: a room once encrypted is never written to in plain text."""


class RoomMachine(Chart[Room]):
    """Durable machine of one room.

    {table}
    """

    unprovisioned = DurableState(initial=True)
    home = DurableState()
    unbound = DurableState()
    bound = DurableState()
    cleared = DurableState()
    archived = DurableState()
    lost = DurableState()
    forgotten = TransientState(ends=True)

    # The person meets the bot, or a chat room they asked for exists.
    greet = unprovisioned.to(home)
    provision = unprovisioned.to(bound, cond="agent_given") | unprovisioned.to(unbound)

    contact = unprovisioned.to.itself(internal=True, on="note_inviter")
    take_in = unprovisioned.to(bound, cond="agent_given") | unprovisioned.to(unbound)

    # Talk and commands.
    talk = (
        bound.to.itself(internal=True, on="accept")
        | cleared.to(bound, on="accept")
        | unbound.to.itself(internal=True, on="ask_agent")
        | home.to.itself(internal=True, on="guide")
        | archived.to.itself(internal=True, on="say_archived")
    )
    bind = (
        unbound.to(bound, on="rebind")
        | bound.to.itself(internal=True, cond="same_agent")
        | bound.to(bound, on="rebind")
        | cleared.to.itself(internal=True, cond="same_agent")
        | cleared.to(bound, on="rebind")
    )
    clear = bound.to(cleared, on="rotate") | cleared.to.itself(
        internal=True, on="say_already_clear"
    )
    undo = cleared.to(bound, cond="has_previous")
    save = bound.to.itself(internal=True, on="ask_save") | cleared.to.itself(
        internal=True, on="ask_save"
    )
    load = bound.to(cleared, on="seed") | cleared.to(cleared, on="seed")
    load_failed = (
        cleared.to(bound, cond="loading_that and replaced_previous", on="unload")
        | cleared.to.itself(internal=True, cond="loading_that", on="unload")
        | cleared.to.itself(internal=True, on="pass_over")
        | bound.to.itself(internal=True)
    )
    turn_failed = bound.to.itself(internal=True, cond="in_chat", on="note_failed")
    retry = bound.to.itself(internal=True, cond="has_failed", on="ask_again")
    rename = (
        bound.to.itself(internal=True, on="take_name")
        | cleared.to.itself(internal=True, on="take_name")
        | unbound.to.itself(internal=True, on="take_name")
    )
    archive = bound.to(archived) | cleared.to(archived) | unbound.to(archived)
    restore = archived.to(bound, cond="has_binding and agent_valid") | archived.to(unbound)

    # What the reconciler and /sync see.
    observed_bound = unprovisioned.to(bound, on="adopt", cond="agent_answers") | unprovisioned.to(
        unbound, on="adopt"
    )
    observed_cleared = bound.to(cleared, on="note_previous")
    observed_again = lost.to(unprovisioned)
    observed_home = unprovisioned.to(home, on="adopt_home") | home.to.itself(internal=True)
    observed_gone = (
        unprovisioned.to(lost)
        | home.to(lost)
        | unbound.to(lost)
        | bound.to(lost)
        | cleared.to(lost)
        | archived.to(lost)
    )
    observed_replaced = (
        unprovisioned.to(lost)
        | home.to(lost)
        | unbound.to(lost)
        | bound.to(lost)
        | cleared.to(lost)
        | archived.to(lost)
    )
    observed_archived = unbound.to(archived) | bound.to(archived) | cleared.to(archived)
    observed_unlinked = (
        unbound.to.itself(internal=True, on="relink")
        | bound.to.itself(internal=True, on="relink")
        | cleared.to.itself(internal=True, on="relink")
    )
    observed_space_moved = (
        unbound.to.itself(internal=True, on="move")
        | bound.to.itself(internal=True, on="move")
        | cleared.to.itself(internal=True, on="move")
        | archived.to.itself(internal=True, on="note_space")
    )
    observed_incomplete = (
        unbound.to.itself(internal=True, on="fill_label")
        | bound.to.itself(internal=True, on="fill_binding")
        | cleared.to.itself(internal=True, on="fill_binding")
        | archived.to.itself(internal=True, on="fill_label")
    )
    observed_owner_joined = (
        unbound.to.itself(internal=True, on="offer_agents")
        | bound.to.itself(internal=True)
        | cleared.to.itself(internal=True)
        | archived.to.itself(internal=True)
        | home.to.itself(internal=True)
    )
    observed_others = (
        unprovisioned.to.itself(internal=True, on="note_others")
        | home.to.itself(internal=True, on="note_others")
        | unbound.to.itself(internal=True, on="note_company")
        | bound.to.itself(internal=True, on="note_company")
        | cleared.to.itself(internal=True, on="note_company")
        | archived.to.itself(internal=True, on="note_others")
    )
    observed_agent_missing = bound.to(unbound) | cleared.to(unbound)
    observed_agent_back = unbound.to(bound, cond="has_binding")
    observed_renamed = (
        unprovisioned.to.itself(internal=True, on="note_name")
        | home.to.itself(internal=True, on="note_name")
        | unbound.to.itself(internal=True, on="note_name")
        | bound.to.itself(internal=True, on="note_name")
        | cleared.to.itself(internal=True, on="note_name")
        | archived.to.itself(internal=True, on="note_name")
    )
    observed_encrypted = (
        unprovisioned.to.itself(internal=True, on="note_encrypted")
        | home.to.itself(internal=True, on="note_encrypted")
        | unbound.to.itself(internal=True, on="note_encrypted")
        | bound.to.itself(internal=True, on="note_encrypted")
        | cleared.to.itself(internal=True, on="note_encrypted")
        | archived.to.itself(internal=True, on="note_encrypted")
        | lost.to.itself(internal=True, on="note_encrypted")
    )

    forget = (
        unprovisioned.to(forgotten)
        | home.to(forgotten)
        | unbound.to(forgotten)
        | bound.to(forgotten)
        | cleared.to(forgotten)
        | archived.to(forgotten)
        | lost.to(forgotten)
    )

    # Guards

    def agent_given(self, agent_id: str | None = None) -> bool:
        """The event names an agent."""
        return agent_id is not None

    def agent_answers(self, agent_id: str | None = None, agent_valid: bool = True) -> bool:
        """The event names an agent, and the registry has it."""
        return agent_id is not None and agent_valid

    def agent_valid(self, agent_valid: bool = True) -> bool:
        """The registry still has the room's agent (the event says so)."""
        return agent_valid

    def same_agent(self, agent_id: str) -> bool:
        """The agent asked for is the one the room has."""
        return self.record.agent_id == agent_id

    def has_binding(self) -> bool:
        """Agent and platform chat are on the record."""
        return self.record.agent_id is not None and self.record.platform_chat_id is not None

    def has_previous(self) -> bool:
        """There is a chat to go back to."""
        return self.record.previous_chat_id is not None

    def loading_that(self, platform_chat_id: str) -> bool:
        """The chat that could not be seeded is still the room's."""
        r = self.record
        return r.replaced_chat_id is not None and r.platform_chat_id == platform_chat_id

    def replaced_previous(self) -> bool:
        """The load took the place of the chat that `undo` goes back to: nothing was cleared before."""
        return self.record.replaced_chat_id == self.record.previous_chat_id

    def in_chat(self, platform_chat_id: str) -> bool:
        """The platform chat is still the room's."""
        return self.record.platform_chat_id == platform_chat_id

    def has_failed(self) -> bool:
        """The last turn failed."""
        return self.record.failed_body is not None

    # What transitions do

    def on_greet(self, owner: str) -> None:
        """A home room has an owner and nothing else."""
        self.record.room_type, self.record.matrix_user_id = "home", owner

    def on_provision(
        self,
        *,
        owner: str,
        space_id: str,
        chat_id: str,
        name: str,
        agent_id: str | None = None,
        encrypted: bool = False,
    ) -> None:
        """Take label, Space and, if an agent is given, a fresh platform chat."""
        r = self.record
        r.encrypted = r.encrypted or encrypted
        r.room_type, r.matrix_user_id, r.space_id = "chat", owner, space_id
        r.chat_id, r.display_name = chat_id, name
        self.want(LinkChild(space_id, r.room_id, order_of(chat_id)), InviteUser(r.room_id, owner))
        if agent_id is not None:
            r.agent_id, r.platform_chat_id = agent_id, Fresh(r.room_id)
            self.want(SetTopic(r.room_id, agent_id))

    def accept(self, event_id: str) -> None:
        """The message becomes a turn of this moment's agent and chat."""
        r = self.record
        assert r.agent_id is not None and r.platform_chat_id is not None
        r.previous_chat_id = None
        self._forget_failed()
        self.want(AcceptTurn(r.room_id, r.agent_id, r.platform_chat_id))

    def ask_agent(self, event_id: str) -> None:
        """Nobody is there to answer: the person chooses who should."""
        self.want(OfferAgents(self.record.room_id, reply_to=event_id))

    def offer_agents(self) -> None:
        """The owner came in and nobody is there to answer: who should?"""
        self.want(OfferAgents(self.record.room_id))

    def guide(self, event_id: str) -> None:
        """A home room has no agent."""
        self.want(Notice(self.record.room_id, Text("home-guidance"), reply_to=event_id))

    def say_archived(self, event_id: str) -> None:
        """An archived room does not talk."""
        text = Text("room-archived-hint", {"chat": self.record.chat_id or ""})
        self.want(Notice(self.record.room_id, text, reply_to=event_id))

    def rebind(self, agent_id: str) -> None:
        """A different agent, hence a fresh platform chat; turns accepted before keep the old."""
        r = self.record
        self._disconnect()
        r.agent_id, r.platform_chat_id = agent_id, Fresh(r.room_id)
        r.previous_chat_id = None
        self._forget_failed()
        self.want(SetTopic(r.room_id, agent_id))

    def rotate(self, event_id: str | None = None) -> None:
        """A fresh platform chat for this room only; turns accepted before stay in the old one."""
        r = self.record
        assert isinstance(r.platform_chat_id, str)
        self._disconnect()
        old, fresh = r.platform_chat_id, Fresh(r.room_id)
        self._forget_failed()
        r.previous_chat_id, r.platform_chat_id = old, fresh
        text = Text("cleared", {"context": fresh, "old": old})
        self.want(Notice(r.room_id, text, reply_to=event_id))

    def ask_save(self, name: str, event_id: str) -> None:
        """The platform keeps a copy of the context."""
        r = self.record
        assert r.agent_id and r.platform_chat_id and r.matrix_user_id
        owner, chat = r.matrix_user_id, r.platform_chat_id
        self.want(SaveContext(r.room_id, owner, r.agent_id, chat, name, event_id))

    def seed(self, save_id: str, name: str, event_id: str) -> None:
        """A fresh platform chat that begins with what was saved; `undo` goes back to the one before."""
        r = self.record
        assert r.agent_id and r.matrix_user_id and isinstance(r.platform_chat_id, str)
        self._disconnect()
        if self.state == "bound":
            r.previous_chat_id = r.platform_chat_id
        r.replaced_chat_id = r.platform_chat_id
        fresh = r.platform_chat_id = Fresh(r.room_id)
        self._forget_failed()
        self.want(
            LoadContext(r.room_id, r.matrix_user_id, r.agent_id, fresh, save_id, name, event_id)
        )

    def unload(self) -> None:
        """Nothing was loaded: back to the chat that was there."""
        r = self.record
        r.platform_chat_id, r.replaced_chat_id = r.replaced_chat_id, None
        if r.platform_chat_id == r.previous_chat_id:
            r.previous_chat_id = None

    def pass_over(self, platform_chat_id: str) -> None:
        """Another chat was loaded over the one that failed: should it fail too, nobody goes there."""
        if self.record.replaced_chat_id == platform_chat_id:
            self.record.replaced_chat_id = self.record.previous_chat_id

    def note_failed(self, body: str, files: Sequence[FileIn] = ()) -> None:
        """Remember what was asked, for `retry`."""
        self.record.failed_body, self.record.failed_files = body, list(files)

    def ask_again(self) -> None:
        """Ask what failed once more, as a turn of its own."""
        r = self.record
        assert r.agent_id is not None and r.platform_chat_id is not None
        body, files = r.failed_body, tuple(r.failed_files)
        self._forget_failed()
        self.want(AcceptTurn(r.room_id, r.agent_id, r.platform_chat_id, body, files))

    def note_others(self, others: list[str]) -> None:
        """Somebody came or went."""
        self.record.others = others

    def note_company(self, others: list[str]) -> None:
        """Somebody came or went; who is not alone any more is told how to be answered from now on."""
        if others and not self.record.others:
            self.want(Notice(self.record.room_id, Text("company-came")))
        self.note_others(others)

    def note_inviter(self, inviter: str, others: list[str]) -> None:
        """Whom to ask whether the bot should stay in a room that it did not make."""
        self.record.inviter, self.record.others = inviter, others

    def on_take_in(
        self,
        *,
        owner: str,
        chat_id: str,
        name: str,
        others: list[str],
        agent_id: str | None = None,
    ) -> None:
        """Stay in a room that the bot did not make, on its inviter's word. It keeps its place."""
        r = self.record
        r.room_type, r.matrix_user_id, r.foreign = "chat", owner, True
        r.chat_id, r.display_name, r.others = chat_id, name, others
        if agent_id is None:
            self.want(OfferAgents(r.room_id))
        else:
            r.agent_id, r.platform_chat_id = agent_id, Fresh(r.room_id)

    def on_forget(self) -> None:
        """Nothing is kept; the bot leaves, unless it is gone already."""
        self.want(EndTurns(self.record.room_id))
        if self.state != "lost":
            self.want(LeaveRoom(self.record.room_id))

    def say_already_clear(self, event_id: str | None = None) -> None:
        """Nothing was said since the last `clear`: there is nothing to forget."""
        text = Text("already-clear", {"context": self.record.platform_chat_id or ""})
        self.want(Notice(self.record.room_id, text, reply_to=event_id))

    def on_undo(self, event_id: str | None = None) -> None:
        """Back to the chat before `clear`."""
        r = self.record
        self._disconnect()
        r.platform_chat_id, r.previous_chat_id = r.previous_chat_id, None
        text = Text("undone", {"context": r.platform_chat_id or ""})
        self.want(Notice(r.room_id, text, reply_to=event_id))

    def take_name(self, name: str, event_id: str | None = None) -> None:
        """Rename the room on the person's word."""
        r = self.record
        r.display_name = name
        text = Text("renamed", {"chat": r.chat_id or "", "name": name})
        self.want(RenameRoom(r.room_id, name), Notice(r.room_id, text, reply_to=event_id))

    def on_archive(self, event_id: str | None = None) -> None:
        """Out of the Space; the bot stays in the room and can be asked to bring it back."""
        r = self.record
        self._disconnect()
        r.previous_chat_id = None
        self.want(EndTurns(r.room_id))
        if r.space_id:
            self.want(
                UnlinkChild(r.space_id, r.room_id), SetParent(r.room_id, r.space_id, linked=False)
            )
        self.want(Notice(r.room_id, Text("archived", {"chat": r.chat_id or ""}), event_id))

    def on_restore(self) -> None:
        """Back into the Space, and the owner back into the room."""
        r = self.record
        if r.space_id and r.chat_id and r.matrix_user_id:
            self.want(
                LinkChild(r.space_id, r.room_id, order_of(r.chat_id)),
                SetParent(r.room_id, r.space_id, linked=True),
                InviteUser(r.room_id, r.matrix_user_id),
            )

    def adopt(
        self,
        *,
        owner: str,
        space_id: str | None,
        chat_id: str,
        name: str,
        agent_id: str | None = None,
        platform_chat_id: str | None = None,
        others: list[str] | None = None,
        inviter: str | None = None,
        foreign: bool = False,
        encrypted: bool = False,
    ) -> None:
        """Take a room over from its marker and mirror; without a mirror the chat is a fresh one."""
        r = self.record
        r.room_type, r.matrix_user_id, r.space_id = "chat", owner, space_id
        r.chat_id, r.display_name = chat_id, name
        r.agent_id = agent_id
        r.platform_chat_id = platform_chat_id or (Fresh(r.room_id) if agent_id else None)
        r.previous_chat_id = r.replaced_chat_id = None
        self._forget_failed()
        r.others, r.inviter, r.foreign = others or [], inviter, foreign
        r.encrypted = r.encrypted or encrypted

    def note_previous(self, previous_chat_id: str) -> None:
        """Nothing was said since the context was rotated, when the room was last heard of."""
        self.record.previous_chat_id = previous_chat_id

    def adopt_home(
        self,
        owner: str,
        name: str | None = None,
        others: list[str] | None = None,
        encrypted: bool = False,
    ) -> None:
        """Take a direct room over as a home room."""
        r = self.record
        r.room_type, r.matrix_user_id = "home", owner
        r.display_name, r.others = name or r.display_name, others or []
        r.encrypted = r.encrypted or encrypted

    def on_observed_gone(self) -> None:
        """Nobody can be answered here any more."""
        self.record.previous_chat_id = None
        self.want(EndTurns(self.record.room_id))
        self._disconnect()

    def on_observed_archived(self) -> None:
        """A person took the room out of the Space or left it."""
        r = self.record
        r.previous_chat_id = None
        self.want(EndTurns(r.room_id))
        self._disconnect()
        if r.space_id:
            self.want(UnlinkChild(r.space_id, r.room_id))

    def on_observed_replaced(self) -> None:
        """Turns that wait end here; label and platform chat live on in the successor."""
        r = self.record
        r.chat_id = r.agent_id = r.platform_chat_id = r.previous_chat_id = None
        r.replaced_chat_id = None
        self._forget_failed()
        self.want(EndTurns(r.room_id))

    def move(self, space_id: str) -> None:
        """The person has another Space: the room goes with them."""
        self.note_space(space_id)
        self.relink()

    def note_space(self, space_id: str) -> None:
        """The Space in which the room would be."""
        self.record.space_id = space_id

    def fill_label(self, chat_id: str) -> None:
        """A chat room has a label."""
        self.record.chat_id = self.record.chat_id or chat_id

    def fill_binding(self, chat_id: str) -> None:
        """A bound room has a label and a platform chat."""
        self.fill_label(chat_id)
        if self.record.platform_chat_id is None:
            self.record.platform_chat_id = Fresh(self.record.room_id)

    def relink(self) -> None:
        """The link broke though nobody removed it."""
        r = self.record
        if r.space_id and r.chat_id:
            self.want(
                LinkChild(r.space_id, r.room_id, order_of(r.chat_id)),
                SetParent(r.room_id, r.space_id, linked=True),
            )

    def on_observed_agent_missing(self) -> None:
        """Agent and chat stay on the record, for the day the agent comes back."""
        self.record.previous_chat_id = None

    def note_name(self, name: str) -> None:
        """Somebody renamed the room in their client."""
        self.record.display_name = name

    def note_encrypted(self) -> None:
        """Encryption cannot be taken back."""
        self.record.encrypted = True

    def _forget_failed(self) -> None:
        self.record.failed_body, self.record.failed_files = None, []

    def _disconnect(self) -> None:
        r = self.record
        if r.agent_id is not None and r.platform_chat_id is not None:
            self.want(DisconnectChat(r.agent_id, r.platform_chat_id))


def order_of(chat_id: str) -> str:
    """The `order` of a chat in its Space: `C2` before `C10` (spec: m.space.child, 50 ASCII)."""
    return f"{int(chat_id[1:]):08d}"
