"""The contract between the surface and whatever runs the agents.

One rule: the surface knows an agent only through `PlatformClient`. An adapter keeps every guarantee
below, or says in its `capabilities` that its platform cannot; it never pretends.

Theory of the contract
----------------------

**Who is spoken to.** A client speaks for one agent of one installation. A chat is known by
`ChatRef`; the platform keeps the memory of it, and no chat sees anything of another: not of another
agent, not of another installation, not of another number. A chat comes into being with its first
turn or with `load_context`; asking about one that was never used finds it empty.

**What ends a stream.** A turn is a stream of events that ends with exactly one `Done` or one
`PlatformError`, and nothing follows it. Every failure of the platform is a `PlatformError` in the
stream; an exception out of it, other than `CancelledError`, is a bug of the adapter. Of the text,
the deltas joined are the whole answer; nothing is taken back.

**What happens at once.** Nothing, until the stream is first awaited: `turn` itself does no work.
A consumer that stops early closes the stream (`aclose`, or `contextlib.aclosing`).

**Twice is once.** A turn is known by its `message_id`. Where `capabilities.dedupes` is true, the
same message in the same chat is given the same answer, is in the memory once, and its work is done
once, also when the first attempt was cut by a crash on either side. A turn that ended with a
`PlatformError` may be asked again under its `message_id`; it is then worked on anew, unless the
answer was already decided.

**Changes carry a `request_id`.** Every call that changes something has one. The same call with
the same `request_id` succeeds again and has no second effect. (`forget_user` alone may forget
again what was said since: the safe side.)

**Cancelling.** `cancel` ends the stream of a running message on the platform's side; the stream
then ends with `PlatformError(CANCELLED)`. Cancelling what does not run is no error. Cancelling
the task that reads the stream ends it too, without a last event. Either way the memory stays
whole: it holds the message with its full answer, or not at all.

**Asking back.** After `ConfirmationAsked` the stream waits, without a limit of its own, for
`answer_confirmation`, for `cancel`, or to be closed. A repeated turn asks again under the same id.

**Leaving a chat is not forgetting it.** `disconnect_chat` lets go of what is alive (connections);
the memory stays, because an undo may come back to it. A stream that runs is not ended by it.

**Saves** belong to a user and an agent. Saving under a name that is taken replaces that save.
Loading copies a save into a chat that has no memory yet; the save and the chat go their own ways
from there.

**Calls outside a stream** fail with `CallFailed`, which carries the `PlatformError`. `health` never
fails: it says so in its answer. After `aclose` no call is made; streams still running end with
`PlatformError(CLOSED)`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Final, Protocol, TypeAlias

from annotated_types import Ge, Le, MaxLen, MinLen

CANCELLED: Final = "cancelled"
"""Code of the error that ends a stream after `cancel`."""

CLOSED: Final = "closed"
"""Code of the error that ends a stream when its client was closed under it."""

# What is read from a platform is held to these limits; who builds such a value is trusted.
Name: TypeAlias = Annotated[str, MinLen(1), MaxLen(255)]
ShortText: TypeAlias = Annotated[str, MaxLen(10_000)]
WorkspacePath: TypeAlias = Annotated[str, MinLen(1), MaxLen(4096)]
Count: TypeAlias = Annotated[int, Ge(0), Le(1_000_000_000)]


@dataclass(frozen=True, slots=True)
class ChatRef:
    """A conversation, as the platform is told of it.

    Args:
        installation_id: the surface's installation; a reset one never meets another's chats.
        agent_id: an entry of the agent registry.
        platform_chat_id: decimal string, never reused within the installation.
        user_id: whose chat it is.
    """

    installation_id: str
    agent_id: str
    platform_chat_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that came with a message. Only its path travels, relative to the workspace.

    Args:
        mime_type: what its content shows it to be; what the sender says, where that shows nothing.
        size: in bytes.
    """

    workspace_path: WorkspacePath
    filename: Name
    mime_type: Annotated[str, MaxLen(255)]
    size: int = 0


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """One message of a user, for the agent to answer.

    Args:
        message_id: the source event id; the idempotency key of the turn.
        text: what was said; may be empty when there are attachments.
        attachments: the files that came with it, in order.
    """

    message_id: str
    installation_id: str
    agent_id: str
    platform_chat_id: str
    user_id: str
    text: str
    attachments: tuple[Attachment, ...] = ()

    @property
    def chat(self) -> ChatRef:
        """The chat this message is said in."""
        return ChatRef(
            installation_id=self.installation_id,
            agent_id=self.agent_id,
            platform_chat_id=self.platform_chat_id,
            user_id=self.user_id,
        )


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of the answer's text (Markdown)."""

    text: str


@dataclass(frozen=True, slots=True)
class Status:
    """What the agent is doing at the moment. Not part of the answer; a later one replaces it."""

    text: ShortText


@dataclass(frozen=True, slots=True)
class FileOut:
    """A file of the answer, lying in the workspace.

    Args:
        workspace_path: relative to the workspace. Untrusted: the reader checks it stays inside.
    """

    workspace_path: WorkspacePath
    filename: Name
    mime_type: Annotated[str, MaxLen(255)]


@dataclass(frozen=True, slots=True)
class ConfirmationAsked:
    """The agent asks for a yes or a no before it goes on.

    Args:
        id: names the question to `answer_confirmation`.
        prompt: the question (Markdown).
    """

    id: Name
    prompt: ShortText


@dataclass(frozen=True, slots=True)
class Done:
    """The answer is complete.

    Args:
        usage: what it cost, in units named by the platform (`input_tokens`, …); may be empty.
    """

    usage: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlatformError:
    """There is no (further) answer.

    Args:
        code: for programs; lower case, stable.
        message: for the log and the curious, in the platform's words.
        retryable: asking again may help.
    """

    code: str
    message: str
    retryable: bool


TurnEvent: TypeAlias = TextDelta | Status | FileOut | ConfirmationAsked | Done | PlatformError


@dataclass(frozen=True, slots=True)
class SavedContext:
    """A saved context as it is listed.

    Args:
        id: names the save to `load_context`; unique among the saves of one user with one agent.
        name: as the user gave it.
        turns: how many messages of the user it holds.
        summary: a line to recognise it by; may be empty.
        saved_at: when, by the platform's clock; None where the platform does not tell.
    """

    id: Name
    name: Name
    turns: Count
    summary: ShortText
    saved_at: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse a date that is no moment: without a zone it cannot be compared."""
        if self.saved_at is not None and self.saved_at.tzinfo is None:
            raise ValueError("`saved_at` has no time zone")


@dataclass(frozen=True, slots=True)
class ContextDescription:
    """What the agent remembers of a chat.

    Args:
        turns: how many messages of the user are in the memory.
        summary: a line to recognise it by; may be empty.
        saves: the user's saves with this agent, newest first.
        loaded_from: the name of the save this chat began with, if it did.
    """

    turns: Count
    summary: ShortText
    saves: tuple[SavedContext, ...] = ()
    loaded_from: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the agent can be reached now, and if not, why."""

    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the platform behind a client can do. What it cannot is told to the user, not faked.

    Args:
        dedupes: the same `message_id` twice is answered the same and worked on once.
        confirmations: the agent may ask back.
        saves: contexts can be saved, listed and loaded.
        files: attachments reach the agent and it may send files.
    """

    dedupes: bool
    confirmations: bool
    saves: bool
    files: bool


class CallFailed(Exception):
    """A call outside a stream did not succeed; `error` says why."""

    def __init__(self, error: PlatformError) -> None:
        self.error = error
        super().__init__(f"{error.code}: {error.message}")


class Unsupported(CallFailed):
    """The platform cannot do this; its `capabilities` say so beforehand."""


class SaveMissing(CallFailed):
    """There is no such save of this user with this agent."""


class ChatInUse(CallFailed):
    """A save can only be loaded into a chat that has no memory yet."""


class ConfirmationGone(CallFailed):
    """Nobody waits for this answer: the question is unknown, or its turn has ended without one."""


class PlatformClient(Protocol):
    """One agent, as the surface speaks to it. The module's text is the contract."""

    @property
    def capabilities(self) -> Capabilities:
        """What this agent's platform can do."""
        ...

    def turn(self, request: TurnRequest) -> AsyncGenerator[TurnEvent, None]:
        """Ask the agent; the stream ends with exactly one `Done` or `PlatformError`."""
        ...

    async def answer_confirmation(
        self, chat: ChatRef, confirmation_id: str, accepted: bool, *, request_id: str
    ) -> None:
        """Answer a `ConfirmationAsked` of a running turn; the first answer counts.

        Raises:
            ConfirmationGone: nobody waits for it.
            CallFailed: the platform refused or could not be reached.
        """
        ...

    async def cancel(self, chat: ChatRef, message_id: str, *, request_id: str) -> None:
        """End the work on a message, if there is any.

        Raises:
            CallFailed: the platform refused or could not be reached.
        """
        ...

    async def disconnect_chat(self, chat: ChatRef, *, request_id: str) -> None:
        """Let go of what is alive for a chat. Its memory stays.

        Raises:
            CallFailed: the platform refused or could not be reached.
        """
        ...

    async def describe_context(self, chat: ChatRef) -> ContextDescription:
        """Tell what the agent remembers of a chat.

        Raises:
            CallFailed: the platform refused or could not be reached.
        """
        ...

    async def save_context(self, chat: ChatRef, name: str, *, request_id: str) -> SavedContext:
        """Keep the memory of a chat, as it is now, under a name. Replaces a save of that name.

        Raises:
            Unsupported: the platform has no saves.
            CallFailed: the platform refused or could not be reached.
        """
        ...

    async def list_contexts(self, user_id: str) -> Sequence[SavedContext]:
        """List the user's saves with this agent, newest first.

        Raises:
            Unsupported: the platform has no saves.
            CallFailed: the platform refused or could not be reached.
        """
        ...

    async def load_context(self, into: ChatRef, save_id: str, *, request_id: str) -> SavedContext:
        """Let a chat without memory begin with a save of its user.

        Args:
            into: a chat under a fresh `platform_chat_id`.
            save_id: `SavedContext.id`.
            request_id: repeats of the same load succeed, also when the chat has gone on since.

        Raises:
            SaveMissing: no such save.
            ChatInUse: the chat has a memory, and not from this request.
            Unsupported: the platform has no saves.
            CallFailed: the platform refused or could not be reached.
        """
        ...

    async def forget_user(self, user_id: str, *, request_id: str) -> None:
        """Delete the user's chats and saves with this agent, for good.

        Raises:
            CallFailed: the platform refused or could not be reached.
        """
        ...

    async def health(self) -> Health:
        """Tell whether the agent can be reached. Never raises."""
        ...

    async def aclose(self) -> None:
        """Release everything. Running streams end with `CLOSED`."""
        ...
