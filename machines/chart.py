"""The strict base of every machine, and the line between durable and transient.

Rules kept here, and only here:

- an event that the current state does not know is refused (`Refused`), never ignored;
- an exception inside a transition leaves the machine as it was;
- each state says whether it may be stored: `DurableState` is stored under its own name,
  `TransientState` never is. A transient state of a persisted machine names the durable state that
  its document holds meanwhile (`stored_as`); an ending (`ends=True`) means that it is gone.
- restoring a machine runs no entry action: the world has seen those effects already.

A machine is built for one decision from a *record* (what it remembers besides its state), takes
events, changes the record, and collects effects. It does no I/O and keeps no clock.
"""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, cast

from statemachine import State, StateChart
from statemachine.exceptions import TransitionNotAllowed
from statemachine.factory import StateMachineMetaclass

from machines.effects import Effect
from machines.tables import help_table

R = TypeVar("R")


class DurableState(State):
    """A state that survives a restart: its value is what the document holds."""

    durable: ClassVar[bool] = True


class TransientState(State):
    """A state that is deliberately never stored.

    Args:
        stored_as: id of the durable state that the document holds while the machine is here, and in
            which it finds itself after a restart. None: the machine has no document at all.
        ends: the machine is over: its document is deleted in the transaction that gets here.
    """

    durable: ClassVar[bool] = False

    def __init__(
        self, name: str = "", *, stored_as: str | None = None, ends: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(name, final=ends, **kwargs)
        self.stored_as = stored_as
        self.ends = ends


class Refused(Exception):
    """The machine does not take this event in this state; nothing has changed."""

    def __init__(self, machine: str, state: str, event: str) -> None:
        self.machine, self.state, self.event = machine, state, event
        super().__init__(f"{machine} refuses {event!r} in state {state!r}")


class UnknownState(ValueError):
    """A state was to be restored that this machine does not have, or never stores."""


class NotPersisted(ValueError):
    """A state was to be stored that must never be stored."""


class Taken(NamedTuple):
    """One event that a machine took: where from, where to, and what was wanted by it."""

    source: str
    event: str
    target: str
    effects: tuple[Effect, ...]


class _Memory:
    """Where statemachine keeps the current state while a decision lasts."""

    state: Any = None


class _Documented(StateMachineMetaclass):
    """Puts the transition table in the place of `{table}` in a chart's docstring.

    statemachine's own placeholder leaves internal transitions out, and costs 30 ms of imports.
    """

    def __init__(
        cls,  # noqa: N805 - the instances of a metaclass are classes
        name: str,
        bases: tuple[type],
        attrs: dict[str, Any],
    ) -> None:
        super().__init__(name, bases, attrs)
        text: str = cls.__doc__ or ""
        for line in text.splitlines():
            if line.strip() == "{table}":
                indent = line.removesuffix("{table}")
                table = help_table(cast("type[Chart[Any]]", cls)).splitlines()
                cls.__doc__ = text.replace(line, "\n".join((indent + t).rstrip() for t in table))


class Chart(StateChart[_Memory], Generic[R], metaclass=_Documented):
    """A statechart over one record.

    Args:
        record: what the machine remembers besides its state; changed in place by transitions.
        state: the state to restore; None starts in the initial state.
        live: the state comes from this process's memory, not from a document; it may be transient.

    Raises:
        UnknownState: `state` is not one of `durable_states()` (`live`: not one of this machine's).
    """

    allow_event_without_transition = False
    catch_errors_as_events = False
    atomic_configuration_update = True

    def __init__(self, record: R, state: str | None = None, *, live: bool = False) -> None:
        self.record = record
        self.effects: list[Effect] = []
        self.path: list[Taken] = []
        memory = _Memory()
        if state is not None:
            self._require_known(state, live=live)
            memory.state = state
        super().__init__(memory)
        self.effects.clear()
        self.path.clear()

    def become(self, record: R, state: str, *, live: bool = False) -> None:
        """Become what a new machine with these arguments would be, at a hundredth of its cost.

        Not for a machine whose last event was not taken to its end.

        Raises:
            UnknownState: as for a new machine.
        """
        self._require_known(state, live=live)
        if self.ended:
            # The engine has stopped at the final state.
            self._engine = self._get_engine()
        self.model.state = state
        # New lists: whoever used the machine before may have kept the old ones.
        self.record, self.effects, self.path = record, [], []

    @classmethod
    def _require_known(cls, state: str, *, live: bool) -> None:
        allowed = cls.states_map if live else cls.durable_states()
        if state not in allowed:
            raise UnknownState(
                f"{cls.__name__} cannot be restored to {state!r}; "
                f"one of {', '.join(map(str, allowed)) or 'none: it is never stored'}"
            )

    @classmethod
    def durable_states(cls) -> tuple[str, ...]:
        """The values a document of this machine may hold, in the order of declaration."""
        return tuple(str(v) for v, s in cls.states_map.items() if isinstance(s, DurableState))

    @classmethod
    def transient_states(cls) -> tuple[str, ...]:
        """The values that are never stored."""
        return tuple(str(v) for v, s in cls.states_map.items() if not isinstance(s, DurableState))

    @classmethod
    @cache
    def events_from(cls, state: str) -> tuple[str, ...]:
        """The events that `state` knows, whatever their guards say, in order of declaration."""
        names: dict[str, None] = {}
        for transition in cls.states_map[state].transitions:
            for event in transition.events:
                names.setdefault(str(event))
        return tuple(names)

    @property
    def state(self) -> str:
        """The current state."""
        return str(self.model.state)

    @property
    def ended(self) -> bool:
        """True when the machine is over and its document has to go."""
        return bool(getattr(self.states_map[self.state], "ends", False))

    @property
    def stored_state(self) -> str:
        """What the document has to hold now.

        Raises:
            NotPersisted: the machine is in a state that is never stored, and stands for none.
        """
        state = self.states_map[self.state]
        if isinstance(state, DurableState):
            return self.state
        stored_as = getattr(state, "stored_as", None)
        if stored_as is None:
            raise NotPersisted(f"{type(self).__name__}.{self.state} is transient: never stored")
        return str(stored_as)

    def take(self, event: str, **details: Any) -> str:
        """Send one event and return the state it leads to.

        Raises:
            Refused: the state does not know the event, or every guard said no.
        """
        before, wanted = self.state, len(self.effects)
        try:
            self.send(event, **details)
        except TransitionNotAllowed:
            raise Refused(type(self).__name__, before, event) from None
        self.path.append(Taken(before, event, self.state, tuple(self.effects[wanted:])))
        return self.state

    def knows(self, event: str) -> bool:
        """Say whether the current state knows the event (a guard may still refuse it)."""
        return event in self.events_from(self.state)

    def want(self, *effects: Effect) -> None:
        """Describe what should happen; called by transitions."""
        self.effects.extend(effects)
