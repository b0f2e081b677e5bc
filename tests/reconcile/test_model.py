"""Whatever people, crashes and the operator do in whatever order: a plan settles it, and only once.

Hypothesis drives the model (`model`): real machines, ledger, planner and `apply`. After every
reconciliation the next plan must be empty; at the end, when everything has been heard and carried out,
store and Matrix must agree. No id is ever issued twice, also over a lost database.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
import structlog
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from surface.inputs import Invite, Message
from surface.mirrors.content import BINDING, PROFILE
from tests.reconcile.model import BOT, BOTH, NO_DEFAULT, ONE, Model
from tests.rig.seeds import EXAMPLES, model_seed

T = TypeVar("T")
USERS = ("@alice:hs", "@bob:hs")
WORDS = (
    "hello",
    "!new",
    "!clear",
    "!undo",
    "!archive",
    "!yes",
    "!no",
    "!restore C1",
    "!restore C2",
    "!rename Plans",
    "!agent shout",
    "!agent echo",
    "!lang ru",
    "!forget",
)
JUNK = ({}, {"v": 9}, {"v": 1, "rev": "x"}, [], "?", {"v": 1, "rev": 3, "state": "bound"})
users, heard, picks = st.sampled_from(USERS), st.booleans(), st.integers(0, 30)


class Life(RuleBasedStateMachine):
    """A bot, its people and its operator."""

    @initialize()
    def begin(self) -> None:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        self.loop = asyncio.new_event_loop()
        self.model = Model()
        self.run(self.model.boot())

    def teardown(self) -> None:
        if not hasattr(self, "model"):
            return
        try:
            self.run(self.model.comes_to_rest())
        finally:
            self.loop.close()
            structlog.reset_defaults()

    def run(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(work)  # type: ignore[arg-type]

    def pick(self, number: int, fits: Callable[[str], bool]) -> str | None:
        found = [room_id for room_id in self.model.homeserver.rooms if fits(room_id)]
        return found[number % len(found)] if found else None

    def membership(self, room_id: str, user: str) -> str | None:
        return self.model.homeserver.rooms[room_id].membership(user)

    def shared(self, user: str) -> Callable[[str], bool]:
        return lambda r: self.membership(r, user) == "join" == self.membership(r, BOT)

    # People

    @rule(user=users)
    def contact(self, user: str) -> None:
        if len(self.model.homeserver.rooms) < 40:
            self.model.dm(user)

    @rule(user=users, number=picks, words=st.sampled_from(WORDS))
    def talk(self, user: str, number: int, words: str) -> None:
        room_id = self.pick(number, self.shared(user))
        if room_id is not None:
            event = Message(f"$m{next(self.model.inputs)}", room_id, user, words, "m.text")
            self.model.pending.append((room_id, event))

    @rule(user=users, heard=heard)
    def accept(self, user: str, heard: bool) -> None:
        for room_id in list(self.model.homeserver.rooms):
            if self.membership(room_id, user) == "invite":
                self.model.goes(room_id, user, "join", heard=heard)

    @rule(user=users, number=picks, heard=heard)
    def leave(self, user: str, number: int, heard: bool) -> None:
        room_id = self.pick(number, lambda r: self.membership(r, user) in ("join", "invite"))
        if room_id is not None:
            self.model.goes(room_id, user, "leave", heard=heard)

    @rule(number=picks, heard=heard)
    def remove_the_bot(self, number: int, heard: bool) -> None:
        room_id = self.pick(number, lambda r: self.membership(r, BOT) == "join")
        if room_id is not None:
            self.model.removes_bot(room_id, heard=heard)

    @rule(user=users, number=picks)
    def invite_the_bot_again(self, user: str, number: int) -> None:
        def fits(room_id: str) -> bool:
            out = self.membership(room_id, BOT) in (None, "leave")
            return out and self.membership(room_id, user) == "join"

        room_id = self.pick(number, fits)
        if room_id is not None:
            self.model.invites_bot(room_id, user)

    @rule(user=users)
    def invite_the_bot_into_a_space(self, user: str) -> None:
        if len(self.model.homeserver.rooms) < 40:
            space = self.model.homeserver.create(user, type="m.space")
            self.model.invites_bot(space, user)

    @rule(user=users, number=picks, heard=heard)
    def unlink(self, user: str, number: int, heard: bool) -> None:
        links = [
            (space_id, key)
            for space_id, room in self.model.homeserver.rooms.items()
            for kind, key in room.state
            if kind == "m.space.child" and self.membership(space_id, user) == "join"
        ]
        if links:
            self.model.unlinks(*links[number % len(links)], user, heard=heard)

    @rule(user=users, number=picks, heard=heard, name=st.sampled_from(["Kitchen", "Attic"]))
    def rename(self, user: str, number: int, heard: bool, name: str) -> None:
        room_id = self.pick(number, self.shared(user))
        if room_id is not None:
            self.model.names(room_id, user, name, heard=heard)

    @rule(user=users, number=picks, heard=heard, invited=st.booleans())
    def upgrade(self, user: str, number: int, heard: bool, invited: bool) -> None:
        def fits(room_id: str) -> bool:
            old = self.model.homeserver.rooms[room_id].content("m.room.tombstone")
            return self.shared(user)(room_id) and not old

        room_id = self.pick(number, fits)
        if room_id is not None and len(self.model.homeserver.rooms) < 40:
            self.model.upgrades(room_id, user, invited=invited, heard=heard)

    # The operator, and fate

    @rule(agents=st.sampled_from([BOTH, ONE, NO_DEFAULT]))
    def change_the_registry(self, agents: Any) -> None:
        self.model.agents = agents
        self.restart()

    def restart(self) -> None:
        self.run(self.model.boot())
        self.reconciled()

    def reconciled(self) -> None:
        self.run(self.model.reconciled())

    @rule()
    def crash(self) -> None:
        self.restart()

    @rule(most=st.integers(1, 5))
    def crash_while_it_mends(self, most: int) -> None:
        self.run(self.model.boot())
        self.run(self.model.reconcile(most))
        self.restart()

    @rule()
    def crash_after_a_room_was_made(self) -> None:
        self.run(self.model.lost_response())
        self.restart()

    @precondition(lambda self: self.model.homeserver.rooms)
    @rule()
    def lose_the_database(self) -> None:
        self.model.pending = [(r, e) for r, e in self.model.pending if isinstance(e, Invite)]
        self.run(self.model.lose_database())
        self.reconciled()

    @rule(number=picks, kind=st.sampled_from([BINDING, PROFILE]), junk=st.sampled_from(JUNK))
    def spoil_a_mirror(self, number: int, kind: str, junk: Any) -> None:
        room_id = self.pick(number, lambda r: self.membership(r, BOT) == "join")
        if room_id is not None:
            self.model.meddle(room_id, kind, junk)

    # The bot

    @rule()
    def hear(self) -> None:
        self.run(self.model.hear_all())

    @rule(most=st.integers(1, 6))
    def act(self, most: int) -> None:
        self.run(self.model.carry_out(most))

    @rule()
    def settle(self) -> None:
        self.run(self.model.settle_down())

    @rule()
    def mirror(self) -> None:
        self.run(self.model.mirror())

    # What always holds

    @invariant()
    def ids_are_used_once(self) -> None:
        if not hasattr(self, "model"):
            return
        labels: dict[tuple[str, str], str] = {}
        for _, stored in self.run(self.model.store.scan("rooms")):
            room = stored.body
            if room["chat_id"] is None:
                continue
            label = (room["matrix_user_id"], room["chat_id"])
            assert labels.setdefault(label, room["room_id"]) == room["room_id"], label
            for chat in {room["platform_chat_id"], room["previous_chat_id"]} - {None}:
                assert self.model.issued.setdefault(chat, str(label)) == str(label), chat


def test_life(request: pytest.FixtureRequest) -> None:
    """The same steps each time; `--model-seed` and `--model-examples` ask for others, and for more."""
    examples = request.config.getoption("--model-examples", default=EXAMPLES)
    run_state_machine_as_test(
        seed(model_seed(request.config))(Life),  # type: ignore[arg-type]
        settings=settings(
            max_examples=examples,
            database=None,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
