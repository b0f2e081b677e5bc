"""UserMachine: one person and their Space, keyed by the person's MXID.

Theory of operation
-------------------
A person is `unprovisioned` until they invite the bot. The invite leads to `provisioning`: the
write-ahead intent that a Space and a first chat room were asked for. Whatever happens then (a
second invite, a lost response, a killed process), there is one such intent, so there is one Space.

Room creation has no transaction id in Matrix. So every Space or room asked for is written down
first as a *creation* under a nonce, the nonce travels in the room's marker, and the room is
recognised by it: `observed_created` is the same event whether the homeserver answered, the room
turned up in /sync, or the reconciler found it. The first one completes the creation; the machine
refuses a second (`observed_created` with a nonce it does not know).

The Space comes first, the first chat room when its Space is known. With that room the machine
reaches `ready`, or `choosing` when no valid agent is selected; then the person chooses, and rooms
without an agent bind at that moment. A selected agent that vanishes from the registry leads back to
`choosing` but stays on the record, so that `observed_agent_back` can restore the choice.

A person who leaves the Space, or declines it, is `departed`: nothing is recreated behind their back,
and their next message or invite invites them to the same Space again.

The machine is coupled to RoomMachine only through the surface: a created chat room reaches this
machine as `observed_created` and the room's machine as `provision`, in one decision.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from machines.chart import Chart, DurableState, TransientState
from machines.effects import (
    CreateRoom,
    ForgetUser,
    InviteUser,
    LeaveRoom,
    Notice,
    OfferAgents,
    Text,
)


@dataclass
class Creation:
    """A Space or chat room that was asked for and has no id yet."""

    kind: Literal["space", "chat"]
    name: str
    chat_id: str | None = None
    agent_id: str | None = None
    asked_in: str | None = None
    """The room in which `!new` was said: told when the room is there."""
    asked_by: str | None = None
    """The event with which it was said."""


@dataclass
class User:
    """What is remembered of a person besides the machine's state."""

    user_id: str
    display_name: str | None = None
    locale: str = "en"
    space_id: str | None = None
    space_name: str | None = None
    home_rooms: list[str] = field(default_factory=list)
    next_chat_index: int = 1
    selected_agent_id: str | None = None
    creations: dict[str, Creation] = field(default_factory=dict)


class UserMachine(Chart[User]):
    """Durable machine of one person.

    {table}
    """

    unprovisioned = DurableState(initial=True)
    provisioning = DurableState()
    choosing = DurableState()
    ready = DurableState()
    departed = DurableState()
    forgotten = TransientState(ends=True)

    # The person.
    invited = (
        unprovisioned.to(provisioning, on="ask_for_space")
        | provisioning.to.itself(internal=True, on="note_home")
        | choosing.to.itself(internal=True, on="note_home")
        | ready.to.itself(internal=True, on="note_home")
        | departed.to(ready, cond="has_space and has_agent", on="come_back")
        | departed.to(choosing, cond="has_space", on="come_back")
        | departed.to(provisioning, on="ask_for_space")
    )
    returned = (
        departed.to(ready, cond="has_space and has_agent", on="come_back")
        | departed.to(choosing, cond="has_space", on="come_back")
        | departed.to(provisioning, on="ask_for_space")
    )
    new_chat = ready.to.itself(internal=True, on="ask_for_chat") | choosing.to.itself(
        internal=True, on="ask_for_chat"
    )
    select_agent = (
        choosing.to(ready, on="take_agent")
        | ready.to.itself(internal=True, on="take_agent")
        | provisioning.to.itself(internal=True, on="take_agent")
    )

    take_label = ready.to.itself(internal=True, on="use_label") | choosing.to.itself(
        internal=True, on="use_label"
    )
    set_locale = (
        unprovisioned.to.itself(internal=True, on="take_locale")
        | provisioning.to.itself(internal=True, on="take_locale")
        | choosing.to.itself(internal=True, on="take_locale")
        | ready.to.itself(internal=True, on="take_locale")
        | departed.to.itself(internal=True, on="take_locale")
    )
    forget = (
        unprovisioned.to(forgotten)
        | provisioning.to(forgotten)
        | choosing.to(forgotten)
        | ready.to(forgotten)
        | departed.to(forgotten)
    )

    # What becomes of a creation.
    observed_created = (
        provisioning.to.itself(internal=True, cond="nonce_of_space", on="take_space")
        | provisioning.to(ready, cond="nonce_of_first_chat and has_agent", on="take_chat")
        | provisioning.to(choosing, cond="nonce_of_first_chat", on="take_chat")
        | ready.to.itself(internal=True, cond="nonce_of_chat", on="take_chat")
        | choosing.to.itself(internal=True, cond="nonce_of_chat", on="take_chat")
        | departed.to.itself(internal=True, cond="nonce_of_chat", on="take_chat")
    )
    create_failed = (
        provisioning.to(unprovisioned, cond="nonce_of_space", on="drop_creations")
        | provisioning.to(ready, cond="nonce_of_first_chat and has_agent", on="drop_creation")
        | provisioning.to(choosing, cond="nonce_of_first_chat", on="drop_creation")
        | ready.to.itself(internal=True, cond="nonce_of_chat", on="drop_creation")
        | choosing.to.itself(internal=True, cond="nonce_of_chat", on="drop_creation")
        | departed.to.itself(internal=True, cond="nonce_of_chat", on="drop_creation")
    )

    # What the reconciler and /sync see.
    observed_space = (
        unprovisioned.to(departed, cond="is_away", on="adopt_space")
        | unprovisioned.to(ready, cond="brings_agent", on="adopt_space")
        | unprovisioned.to(choosing, on="adopt_space")
        | departed.to.itself(internal=True, cond="is_away", on="adopt_space")
        | departed.to(ready, cond="brings_agent", on="adopt_space")
        | departed.to(choosing, on="adopt_space")
    )
    observed_left = (
        provisioning.to(departed, cond="has_space") | ready.to(departed) | choosing.to(departed)
    )
    observed_space_gone = (
        provisioning.to(departed, cond="has_space", on="forget_space")
        | ready.to(departed, on="forget_space")
        | choosing.to(departed, on="forget_space")
        | departed.to.itself(internal=True, on="forget_space")
    )
    observed_agent_missing = ready.to(choosing)
    observed_agent_back = choosing.to(ready, cond="has_agent")
    observed_home_gone = (
        provisioning.to.itself(internal=True, on="forget_home")
        | choosing.to.itself(internal=True, on="forget_home")
        | ready.to.itself(internal=True, on="forget_home")
        | departed.to.itself(internal=True, on="forget_home")
    )
    observed_home_moved = (
        provisioning.to.itself(internal=True, on="move_home")
        | choosing.to.itself(internal=True, on="move_home")
        | ready.to.itself(internal=True, on="move_home")
        | departed.to.itself(internal=True, on="move_home")
    )
    observed_space_moved = (
        provisioning.to.itself(internal=True, cond="has_space", on="move_space")
        | choosing.to.itself(internal=True, on="move_space")
        | ready.to.itself(internal=True, on="move_space")
        | departed.to.itself(internal=True, cond="has_space", on="move_space")
    )
    observed_space_renamed = (
        provisioning.to.itself(internal=True, cond="has_space", on="note_space_name")
        | choosing.to.itself(internal=True, on="note_space_name")
        | ready.to.itself(internal=True, on="note_space_name")
        | departed.to.itself(internal=True, cond="has_space", on="note_space_name")
    )
    observed_counter = (
        provisioning.to.itself(internal=True, on="raise_counter")
        | ready.to.itself(internal=True, on="raise_counter")
        | choosing.to.itself(internal=True, on="raise_counter")
        | departed.to.itself(internal=True, on="raise_counter")
    )

    # Guards

    def has_space(self) -> bool:
        """The Space is known."""
        return self.record.space_id is not None

    def has_agent(self, agent_valid: bool = True) -> bool:
        """An agent is selected, and the event does not say that the registry lost it."""
        return self.record.selected_agent_id is not None and agent_valid

    def is_away(self, away: bool = False) -> bool:
        """The person is not in the Space that was found, or none was."""
        return away

    def brings_agent(self, selected_agent_id: str | None = None, agent_valid: bool = True) -> bool:
        """An agent is selected by what was found, and the registry has it."""
        return selected_agent_id is not None and agent_valid

    def nonce_of_space(self, nonce: str) -> bool:
        """The nonce is one of ours, for a Space."""
        creation = self.record.creations.get(nonce)
        return creation is not None and creation.kind == "space"

    def nonce_of_chat(self, nonce: str) -> bool:
        """The nonce is one of ours, for a chat room."""
        creation = self.record.creations.get(nonce)
        return creation is not None and creation.kind == "chat"

    def nonce_of_first_chat(self, nonce: str) -> bool:
        """The nonce is one of ours, for a chat room, and its Space is known."""
        return self.has_space() and self.nonce_of_chat(nonce)

    # What transitions do

    def ask_for_space(
        self,
        nonce: str,
        space_name: str,
        first_chat_name: str,
        home_room: str | None = None,
        agent_id: str | None = None,
    ) -> None:
        """Write the intent down: a Space now, its first chat room when the Space is known."""
        r = self.record
        if home_room:
            self._add_home(home_room)
        if agent_id and r.selected_agent_id is None:
            r.selected_agent_id = agent_id
        r.space_id = None
        r.creations = {nonce: Creation("space", space_name)}
        chat_id = self._next_chat_id()
        r.creations[f"{nonce}.1"] = Creation("chat", first_chat_name, chat_id=chat_id)
        self.want(CreateRoom(nonce, "space", r.user_id, space_name))

    def note_home(self, home_room: str) -> None:
        """Another direct room: one more home room, no second Space."""
        self._add_home(home_room)

    def come_back(self, home_room: str | None = None) -> None:
        """Invite the person to the Space they left."""
        r = self.record
        assert r.space_id is not None
        if home_room:
            self._add_home(home_room)
        self.want(InviteUser(r.space_id, r.user_id))

    def ask_for_chat(
        self, nonce: str, name: str, asked_in: str, event_id: str | None = None
    ) -> None:
        """One more chat room, with the next label and the person's agent."""
        r = self.record
        assert r.space_id is not None
        chat_id = self._next_chat_id()
        agent_id = r.selected_agent_id if self.state == "ready" else None
        r.creations[nonce] = Creation("chat", name, chat_id, agent_id, asked_in, event_id)
        self.want(self._create(nonce))

    def use_label(self) -> None:
        """A room that the bot did not make takes the next label."""
        self._next_chat_id()

    def take_locale(self, locale: str) -> None:
        """The language to speak with this person."""
        self.record.locale = locale

    def on_forget(self) -> None:
        """Nothing is kept here nor at the platform; the Space stays theirs, without the bot."""
        self.want(ForgetUser(self.record.user_id))
        if self.record.space_id:
            self.want(LeaveRoom(self.record.space_id))

    def take_agent(self, agent_id: str) -> None:
        """The person's choice for rooms to come."""
        self.record.selected_agent_id = agent_id

    def take_space(self, nonce: str, room_id: str) -> None:
        """The Space exists: invite its owner, and ask for the first chat room in it."""
        r = self.record
        r.space_id, r.space_name = room_id, r.creations.pop(nonce).name
        self.want(InviteUser(room_id, r.user_id))
        for waiting, creation in r.creations.items():
            creation.agent_id = r.selected_agent_id
            self.want(self._create(waiting))

    def take_chat(self, nonce: str, room_id: str) -> None:
        """The room exists: say so where it was asked for."""
        r = self.record
        creation = r.creations.pop(nonce)
        params: dict[str, str] = {"name": creation.name, "room": room_id}
        if creation.asked_in:
            text = Text("chat-created", dict(params))
            self.want(Notice(creation.asked_in, text, creation.asked_by))
            return
        for home in r.home_rooms:
            space = {"space": r.space_id or "", "space_name": r.space_name or ""}
            welcome = Text("welcome", {**params, **space})
            self.want(Notice(home, welcome))
            if r.selected_agent_id is None:
                self.want(OfferAgents(home))

    def drop_creations(self, nonce: str, reason: str) -> None:
        """Onboarding failed for good: the person's next message or invite tries again."""
        self.record.creations = {}
        for home in self.record.home_rooms:
            self.want(Notice(home, Text("onboarding-failed", {"reason": reason})))

    def drop_creation(self, nonce: str, reason: str) -> None:
        """A chat room could not be made: say so where it was asked for. The Space stays."""
        creation = self.record.creations.pop(nonce)
        text = Text("create-failed", {"name": creation.name, "reason": reason})
        for room in [creation.asked_in] if creation.asked_in else self.record.home_rooms:
            self.want(Notice(room, text, creation.asked_by))

    def adopt_space(
        self,
        *,
        room_id: str | None,
        selected_agent_id: str | None = None,
        space_name: str | None = None,
        display_name: str | None = None,
        locale: str | None = None,
        home_rooms: list[str] | None = None,
        next_chat_index: int = 1,
    ) -> None:
        """What Matrix knows of this person: their Space, and what the mirror in it tells."""
        r = self.record
        r.space_id, r.space_name = room_id, space_name or r.space_name
        r.selected_agent_id = selected_agent_id
        r.display_name, r.locale = display_name or r.display_name, locale or r.locale
        for home in home_rooms or []:
            self._add_home(home)
        self.raise_counter(next_chat_index)

    def forget_space(self) -> None:
        """The Space is gone from Matrix; a next contact makes a new one."""
        self.record.space_id, self.record.creations = None, {}

    def move_home(self, home_room: str, successor: str) -> None:
        """A home room was upgraded."""
        self.forget_home(home_room)
        self._add_home(successor)

    def move_space(self, room_id: str) -> None:
        """The Space was upgraded, or another one takes its place."""
        self.record.space_id = room_id

    def note_space_name(self, name: str) -> None:
        """Somebody renamed the Space in their client."""
        self.record.space_name = name

    def forget_home(self, home_room: str) -> None:
        """A home room is gone."""
        if home_room in self.record.home_rooms:
            self.record.home_rooms.remove(home_room)

    def raise_counter(self, next_chat_index: int) -> None:
        """A label turned out to be in use already: never give it out again."""
        self.record.next_chat_index = max(self.record.next_chat_index, next_chat_index)

    def _add_home(self, room_id: str) -> None:
        if room_id not in self.record.home_rooms:
            self.record.home_rooms.append(room_id)

    def _next_chat_id(self) -> str:
        label = f"C{self.record.next_chat_index}"
        self.record.next_chat_index += 1
        return label

    def _create(self, nonce: str) -> CreateRoom:
        r, creation = self.record, self.record.creations[nonce]
        return CreateRoom(
            nonce,
            creation.kind,
            r.user_id,
            creation.name,
            space_id=r.space_id,
            chat_id=creation.chat_id,
            agent_id=creation.agent_id,
        )
