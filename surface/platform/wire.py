"""The contract `/v1` between the surface and a platform, as it travels: HTTP, JSON, server-sent events.

Client (`http.py`) and reference service (`reference/`) both speak in these words, and the OpenAPI
document is made from them. The meaning of every call is that of `interface`.

A turn's stream
---------------

`POST /v1/chats/{platform_chat_id}/messages` answers with `text/event-stream`. Each event has an
`event:` name (the keys of `EVENTS`), one line of JSON as `data:`, and an `id:`, its *place*: how
much of the stream has been sent when it is through. A `delta` is as long as its text (in
Unicode code points), every other event is one long. So it does not matter how the text is cut into deltas: a
reader that says `Last-Event-ID: 17` gets what comes after place 17, also from a platform that was
restarted meanwhile. Every POST of the same `message_id` with a `Last-Event-ID`, 0 included, goes on
with the same turn; one without it begins at place 0, and asks anew where the turn had ended with an
`error`.

A question that was answered is sent to later readers as a `status`: nobody is asked twice.

`done` or `error` is the last event. Comments (`: ping`) tell that the platform lives. Names that a
reader does not know are passed over.

Everything else is JSON, and an error is a problem document (RFC 9457) with `code` and `retryable`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from .interface import (
    Attachment,
    ConfirmationAsked,
    Done,
    FileOut,
    PlatformError,
    Status,
    TextDelta,
    TurnEvent,
)

VERSION: Final = "v1"
EVENT_STREAM: Final = "text/event-stream"
PROBLEM: Final = "application/problem+json"
LAST_EVENT: Final = "Last-Event-ID"
PING: Final = 15.0
"""Seconds after which a platform with nothing to say sends a comment."""

EVENTS: Final[Mapping[str, type[TurnEvent]]] = {
    "delta": TextDelta,
    "status": Status,
    "file": FileOut,
    "question": ConfirmationAsked,
    "done": Done,
    "error": PlatformError,
}
"""The kinds of events, by their name in the stream."""

NAMES: Final[Mapping[type, str]] = {kind: name for name, kind in EVENTS.items()}
_EVENT: Final[Mapping[str, TypeAdapter[Any]]] = {n: TypeAdapter(k) for n, k in EVENTS.items()}

ChatId: TypeAlias = Annotated[str, Field(pattern=r"^[0-9]{1,20}$")]
Id: TypeAlias = Annotated[str, Field(min_length=1, max_length=255)]


class _Body(BaseModel):
    # A newer surface may say more than this platform understands.
    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class Who(_Body):
    """Whose conversation, with whom."""

    installation_id: Id
    """The surface's installation: chats of different ones have nothing in common."""
    agent_id: Id
    """One of `GET /v1/agents`."""
    user_id: Annotated[str, Field(max_length=255)]
    """The person's id; empty where the surface does not know it."""


class Message(Who):
    """A message for the agent to answer."""

    message_id: Id
    """The idempotency key of the turn."""
    text: Annotated[str, Field(max_length=1_000_000)]
    """What was said; may be empty when there are attachments."""
    attachments: Annotated[tuple[Attachment, ...], Field(max_length=100)] = ()
    """Files of the message, by their path relative to the shared workspace."""


class Change(Who):
    """A call that changes something."""

    request_id: Id
    """The same call with the same `request_id` has no second effect."""


class Verdict(Change):
    """A person's answer to a `question`."""

    confirmation_id: Id
    """The question's `id`."""
    accepted: bool
    """Yes or no."""


class Cancel(Change):
    """Ends the work on a message."""

    message_id: Id
    """The message."""


class SaveAs(Change):
    """Keeps the memory of a chat under a name."""

    name: Id
    """As the person gave it."""


class LoadFrom(Change):
    """Lets a chat without memory begin with a save."""

    save_id: Id
    """The save's `id`."""


class Abilities(_Body):
    """What an agent can do. That a message asked twice is worked on once is a must of this contract."""

    confirmations: bool = True
    """It may ask back."""
    saves: bool = True
    """Its contexts can be saved, listed and loaded."""
    files: bool = True
    """Attachments reach it, and it may send files."""


class AgentCard(_Body):
    """An agent of the platform."""

    id: Id
    """Names it to every call."""
    name: str
    """For people."""
    description: str = ""
    """What it is good for."""
    abilities: Abilities = Abilities()
    """What it can do."""


class Problem(_Body):
    """Why a call did not succeed (RFC 9457)."""

    type: str = "about:blank"
    """A URI for the kind of problem."""
    title: str
    """The kind of problem, in words."""
    status: int
    """The HTTP status once more."""
    code: str
    """The kind of problem, for programs: lower case, stable."""
    detail: str = ""
    """This very problem, in words."""
    retryable: bool = False
    """Asking again may help."""


class Pulse(_Body):
    """How a service is."""

    status: Literal["ok", "not ready"]
    """`ok`, or why not."""
    detail: str = ""
    """More of it."""


def length(event: TurnEvent) -> int:
    """How far an event moves the place in the stream."""
    return len(event.text) if isinstance(event, TextDelta) else 1


def is_end(event: TurnEvent) -> bool:
    """Whether nothing may follow this event."""
    return isinstance(event, Done | PlatformError)


def after(events: Iterable[TurnEvent], place: int) -> Iterator[tuple[int, TurnEvent]]:
    """Yield what comes after a place in the stream, each event with the place behind it."""
    here = 0
    for event in events:
        start, here = here, here + length(event)
        if here <= place:
            continue
        if isinstance(event, TextDelta) and start < place:
            yield here, TextDelta(event.text[place - start :])
        else:
            yield here, event


def joined(events: Iterable[TurnEvent]) -> tuple[TurnEvent, ...]:
    """Join neighbouring deltas; the places stay the same."""
    whole: list[TurnEvent] = []
    text: list[str] = []
    for event in events:
        if isinstance(event, TextDelta):
            text.append(event.text)
            continue
        if text:
            whole.append(TextDelta("".join(text)))
            text.clear()
        whole.append(event)
    if text:
        whole.append(TextDelta("".join(text)))
    return tuple(whole)


def data_of(event: TurnEvent) -> str:
    """Return an event as a line of JSON."""
    return _EVENT[NAMES[type(event)]].dump_json(event).decode()


def frame(place: int, event: TurnEvent) -> str:
    """Return an event as it stands in the stream."""
    return f"event: {NAMES[type(event)]}\nid: {place}\ndata: {data_of(event)}\n\n"


def event_from(name: str, data: str | bytes) -> TurnEvent | None:
    """Read an event; None if its name is not known.

    Raises:
        ValueError: the data is not what the name promises.
    """
    adapter = _EVENT.get(name)
    if adapter is None:
        return None
    event: TurnEvent = adapter.validate_json(data)
    return event
