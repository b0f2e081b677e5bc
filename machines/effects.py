"""What a machine wants done in the world, as plain values.

A machine never does anything itself. Its transitions *describe* what should happen as the frozen
dataclasses of this file; the surface commits them to the outbox in the same transaction as the new
state, and carries them out afterwards. An effect that did not finish is carried out again after a
restart, so every effect here must bear being repeated under the same transaction id.

Ids that only the store can give (a fresh `platform_chat_id`) are symbolic until the commit:
`Fresh`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

PLATFORM_CHAT_SEQ = "PLATFORM_CHAT_SEQ"


@dataclass(frozen=True, slots=True)
class Fresh:
    """An id that does not exist yet: the store gives it out while it saves.

    Args:
        name: two `Fresh` of one name within a single save become the same id.
        sequence: the never-reused sequence the id is taken from.
    """

    name: str
    sequence: str = PLATFORM_CHAT_SEQ


PlatformChatId: TypeAlias = str | Fresh
Param: TypeAlias = str | int | Fresh


@dataclass(frozen=True, slots=True)
class Text:
    """A text for people: a key of the catalogues and what fills its gaps."""

    key: str
    params: dict[str, Param] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FileIn:
    """A file that a person has sent.

    Args:
        event_id: the event it came with.
        path: where it is put, relative to the workspace.
        name: as the sender called it, made harmless.
        mime_type: as the sender says; its content may tell otherwise.
    """

    event_id: str
    path: str
    name: str
    mime_type: str


@dataclass(frozen=True, slots=True)
class Source:
    """Where a file is to be had, and how it is opened.

    Args:
        url: its `mxc://` address.
        key: of an encrypted file, the AES key (unpadded URL-safe base64); else None.
        iv: the initial counter (unpadded base64).
        sha256: of what is downloaded (unpadded base64).
    """

    url: str
    key: str | None = None
    iv: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class JoinRoom:
    """Accept an invite; the room comes back as a home room of the inviter, or one to ask about."""

    room_id: str
    inviter: str
    direct: bool


@dataclass(frozen=True, slots=True)
class FollowUpgrade:
    """Join the room that takes an upgraded one's place, if it lets us in; an invite will, otherwise."""

    room_id: str
    successor: str


@dataclass(frozen=True, slots=True)
class LeaveRoom:
    """Decline an invite, or leave a room for good."""

    room_id: str


@dataclass(frozen=True, slots=True)
class CreateRoom:
    """Ask for a Space or a chat room; it comes back as `observed_created` with the same nonce."""

    nonce: str
    kind: Literal["space", "chat"]
    owner: str
    name: str
    space_id: str | None = None
    chat_id: str | None = None
    agent_id: str | None = None


@dataclass(frozen=True, slots=True)
class InviteUser:
    """Invite the owner into one of their rooms."""

    room_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class LinkChild:
    """Write `m.space.child` into the Space. A room that the bot makes says so itself from the start."""

    space_id: str
    room_id: str
    order: str


@dataclass(frozen=True, slots=True)
class UnlinkChild:
    """Take a room out of its Space: empties `m.space.child`."""

    space_id: str
    room_id: str


@dataclass(frozen=True, slots=True)
class SetParent:
    """Say in the room that it is in a Space, or is not any more (`m.space.parent`)."""

    room_id: str
    space_id: str
    linked: bool


@dataclass(frozen=True, slots=True)
class WriteMirrors:
    """Before anything else is said in the room, what is known is kept in the account data too.

    For what is told and stands nowhere else in Matrix: a lost disk must not make it untrue.
    """

    room_id: str


@dataclass(frozen=True, slots=True)
class RenameRoom:
    """Set `m.room.name`."""

    room_id: str
    name: str


@dataclass(frozen=True, slots=True)
class SetTopic:
    """Set the room's topic, which names its agent."""

    room_id: str
    agent_id: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A service message (`m.notice`).

    Args:
        room_id: where it is said.
        text: what is said.
        reply_to: the event it answers, if any.
        dialog: the message belongs to a transient dialog. It dies with the process: the next
            start drops it, so a question whose dialog is gone is never posted.
        thread: the thread it belongs to, if what it is about was said in one.
    """

    room_id: str
    text: Text
    reply_to: str | None = None
    dialog: bool = False
    taps: tuple[str, ...] = ()
    """Reactions that the bot puts under it, for the person to tap."""
    thread: str | None = None


@dataclass(frozen=True, slots=True)
class Amend:
    """Edit a question of the bot's that is not open any more. Dies with the process, like the dialog.

    Args:
        event_id: the question; None: it is still on its way, and then the last that was put into the
            room before this.
    """

    room_id: str
    event_id: str | None
    text: Text


@dataclass(frozen=True, slots=True)
class OfferAgents:
    """Post the numbered list of agents in a room and wait there for a choice."""

    room_id: str
    reply_to: str | None = None


@dataclass(frozen=True, slots=True)
class Placeholder:
    """The first, growing form of an answer (`m.text`); what follows are edits of it."""

    room_id: str
    turn_id: str
    body: str
    thread: str | None = None
    reply_to: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The final form of an answer (`m.text`), or of why there is none.

    Args:
        room_id: where it is said.
        turn_id: the source event id of the turn.
        body: Markdown of the agent; may be empty when only `ending` is to be said.
        edits: the placeholder's event id, if it is known.
        placed: there is a placeholder, or will be, of which that is not known yet.
        ending: what the surface adds when the answer did not end by itself.
        thread: the thread it belongs to, if it was asked in one.
        reply_to: the message it answers, when others came between.
    """

    room_id: str
    turn_id: str
    body: str
    edits: str | None = None
    ending: Text | None = None
    thread: str | None = None
    reply_to: str | None = None
    placed: bool = False


@dataclass(frozen=True, slots=True)
class FetchFile:
    """Bring a file that a person has sent into the workspace.

    Args:
        source: where it is.
        staged_by: the process (boot id) in whose memory it is staged; None: its message took it along.
    """

    room_id: str
    user_id: str
    file: FileIn
    source: Source
    staged_by: str | None = None
    thread: str | None = None


@dataclass(frozen=True, slots=True)
class SignStaged:
    """Put the sign under a file that it waits for its message."""

    fetched: FetchFile


@dataclass(frozen=True, slots=True)
class UnsignStaged:
    """Take the sign back: the file does not wait any more, and no message took it along.

    Args:
        sign_id: the event id of the sign.
    """

    room_id: str
    sign_id: str


@dataclass(frozen=True, slots=True)
class SendFile:
    """Upload a file of an answer from the workspace; it comes back to be posted.

    Args:
        path: relative to the workspace, as the agent says. Untrusted.
        name: what the agent calls it. Untrusted.
        mime_type: as the agent says; its content may tell otherwise.
    """

    room_id: str
    turn_id: str
    path: str
    name: str
    mime_type: str
    thread: str | None = None


@dataclass(frozen=True, slots=True)
class PostFile:
    """Send the message that shows an uploaded file.

    Args:
        file: what was uploaded.
        content: the message's content, as JSON: with the address of what was uploaded.
    """

    file: SendFile
    content: str


@dataclass(frozen=True, slots=True)
class RefuseFile:
    """Say why a file of an answer is not shown, once the answer is over; those of one answer together."""

    room_id: str
    turn_id: str
    why: Text
    thread: str | None = None


@dataclass(frozen=True, slots=True)
class DisconnectChat:
    """Tell the platform that a conversation is no longer used from here."""

    agent_id: str
    platform_chat_id: PlatformChatId


@dataclass(frozen=True, slots=True)
class SaveContext:
    """Have the platform save a room's context under a name."""

    room_id: str
    user_id: str
    agent_id: str
    platform_chat_id: PlatformChatId
    name: str
    event_id: str
    thread: str | None = None


@dataclass(frozen=True, slots=True)
class LoadContext:
    """Have the platform seed a fresh chat from a save; no turn of that chat runs before."""

    room_id: str
    user_id: str
    agent_id: str
    platform_chat_id: PlatformChatId
    save_id: str
    name: str
    event_id: str
    thread: str | None = None


@dataclass(frozen=True, slots=True)
class AnswerQuestion:
    """Tell the agent what the person said to its question. Dies with the process, like the turn."""

    room_id: str
    user_id: str
    agent_id: str
    platform_chat_id: PlatformChatId
    question_id: str
    accepted: bool


@dataclass(frozen=True, slots=True)
class SettleQuestion:
    """The person has answered a question of the room's running turn, or nobody will."""

    room_id: str
    question_id: str
    accepted: bool


@dataclass(frozen=True, slots=True)
class ForgetUser:
    """Have every agent's platform delete what it keeps about a person, and delete their files."""

    user_id: str


@dataclass(frozen=True, slots=True)
class AcceptTurn:
    """Make a turn of the message being decided. Becomes a turn row in the same transaction.

    Args:
        body: what to ask, when it is not the message itself (`!retry`).
        files: what to ask it with, then.
    """

    room_id: str
    agent_id: str
    platform_chat_id: PlatformChatId
    body: str | None = None
    files: tuple[FileIn, ...] = ()


@dataclass(frozen=True, slots=True)
class StopTurn:
    """End the running turn of a room, in the same transaction."""

    room_id: str


@dataclass(frozen=True, slots=True)
class EndTurns:
    """End the waiting and running turns of a room, in the same transaction."""

    room_id: str


Effect: TypeAlias = (
    JoinRoom
    | FollowUpgrade
    | LeaveRoom
    | CreateRoom
    | InviteUser
    | LinkChild
    | UnlinkChild
    | SetParent
    | WriteMirrors
    | RenameRoom
    | SetTopic
    | Notice
    | Amend
    | OfferAgents
    | Placeholder
    | Answer
    | FetchFile
    | SignStaged
    | UnsignStaged
    | SendFile
    | PostFile
    | RefuseFile
    | DisconnectChat
    | SaveContext
    | LoadContext
    | AnswerQuestion
    | SettleQuestion
    | ForgetUser
    | AcceptTurn
    | StopTurn
    | EndTurns
)
