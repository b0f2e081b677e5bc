"""What must be true of all rooms, by the homeserver's own account, however often anybody was killed. Pure.

Each message of the bot's names the effect that it is (`lambda.surface.source`), and each effect what caused
it: so a message that a person sent is held against what the bot said because of it.

- What the bot says names the effect that it is; no effect is in Matrix twice.
- What wants an answer has exactly one, and it is what the agent makes of the words; when all is calm nothing
  else will do, and before that not more than half of the answers only say why there is none.
- Agents answer in the order in which they were asked.
- An answer that began to grow has its last words.
- No context is given out twice.
- A file comes back once, or it is said why not.
- Nobody is answered who did not ask: each effect is of something that happened in a room, or, but for the
  words of agents, of a decision that the bot has logged (on an invitation, when a timer has run out).

Fewer answers are right where the README says so: an answer that is stopped, a message that is taken back or
whose chat is archived before its turn, and a question that dies with the process that asked it.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final, Literal, TypeAlias

from surface import keys
from surface.matrix.rooms import SOURCE
from tests.rig.view import redacted_ids

Wants: TypeAlias = Literal["answer", "reply", "question", "stop", "retry", "sign"]
Event: TypeAlias = Mapping[str, Any]

EFFECTS: Final = 8
"""Effects of one decision among which a message's replies are looked for."""
SENDINGS: Final = 4
"""Times that an answer sends files, files of each time, effects of each: among these files are looked for."""
FILES: Final = frozenset({"m.file", "m.image", "m.audio", "m.video"})
STOPPED: Final = "Stopped."
THINKING: Final = "…"
CONTEXT: Final = re.compile(r"(?:New|the new) context (\d+)")
ARCHIVED: Final = "Archived."
INVITED_AGAIN: Final = "I have invited you to your Space again."
NOBODY_ANSWERS: Final = ("This room is for commands only", "This chat is archived")
"""What is said in a room in which no agent answers."""
FORGIVEN: Final = 60.0
"""Seconds after a question was asked for in which a death of the bot may have taken it along."""
SLACK: Final = 1.0
"""Seconds by which a death may be noticed late."""
FEW: Final = 8
"""Answers of which all may say why there is none: by chance."""
PREVIEW: Final = "preview-"
"""How the effects of growing answers begin; they are told apart by nothing."""


@dataclass
class Said:
    """A message that a person sent, and what they may expect.

    Attributes:
        wants: `answer`: what is meant for an agent. `reply`: a command. `question`: a command that asks back.
            `stop`: a command that may end an answer instead of having one. `retry`: a command that may have
            an agent's answer. `sign`: a reaction that may end an answer.
        versions: its text, and those it was changed to.
        file: the name of the file that comes with it.
        sent: seconds, as in the journal.
        gone: it was taken back.
        calm: the agent's very words, where all is well and nothing else is an answer.
    """

    event_id: str
    room_id: str
    wants: Wants
    versions: list[str]
    sent: float
    file: str | None = None
    gone: bool = False
    calm: str | None = None


@dataclass
class Heard:
    """A message of the bot's, with its edits.

    Attributes:
        source: the effect that it is.
        edited: the effects that its edits are; previews are `preview-…`.
        place: where it stands in its room's timeline.
        sent: when, by the homeserver's clock, in milliseconds.
    """

    event_id: str
    room_id: str
    msgtype: str
    body: str
    source: str | None
    place: int
    sent: int = 0
    reply_to: str | None = None
    edited: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Violation:
    """Something that must not be.

    Attributes:
        room_id, at: where, and when by the journal; None if it is of no room, or time.
    """

    kind: str
    why: str
    room_id: str | None = None
    at: float | None = None


@dataclass
class Evidence:
    """What there is to judge by.

    Attributes:
        said: all that people sent.
        rooms: by room, its whole timeline, oldest first.
        bot: the bot's user id.
        deaths: when the bot died, as in the journal.
        decided: the transaction ids of the effects of all decisions that the bot has logged.
        moment: when, as in the journal, it was so late by the homeserver's clock (milliseconds).
    """

    said: Sequence[Said]
    rooms: Mapping[str, Sequence[Event]]
    bot: str
    deaths: Sequence[float] = ()
    decided: Set[str] = frozenset()
    moment: Callable[[int], float] = lambda at: at / 1_000


@dataclass
class Count:
    """How much was judged.

    Attributes:
        reasons: answers that say why there is none, or no more of one, and notices in their place; not
            counted is who asked for that, or where no agent answers.
    """

    messages: int = 0
    commands: int = 0
    answers: int = 0
    reasons: int = 0
    replies: int = 0
    excused: int = 0


def judge(evidence: Evidence) -> tuple[list[Violation], Count]:
    """Everything that must not be, and how much was looked at."""
    court = _Court(evidence)
    return court.violations(), court.count


def heard(room_id: str, timeline: Sequence[Event], bot: str) -> list[Heard]:
    """The bot's messages of a room, edits applied; what was taken back is none."""
    gone = redacted_ids([dict(event) for event in timeline])
    found: dict[str, Heard] = {}
    for place, event in enumerate(timeline):
        content = event["content"]
        if event["sender"] != bot or event["type"] != "m.room.message" or "msgtype" not in content:
            continue
        relation = content.get("m.relates_to") or {}
        if relation.get("rel_type") == "m.replace":
            original = found.get(relation["event_id"])
            if original is not None:
                new = content.get("m.new_content", content)
                original.body, original.msgtype = new["body"], new["msgtype"]
                original.edited.append(str(content.get(SOURCE)))
        elif event["event_id"] not in gone:
            found[event["event_id"]] = Heard(
                event["event_id"],
                room_id,
                content["msgtype"],
                content["body"],
                content.get(SOURCE),
                place,
                event.get("origin_server_ts", 0),
                (relation.get("m.in_reply_to") or {}).get("event_id"),
            )
    return list(found.values())


def agents_say(text: str) -> set[str]:
    """What the agents of this test make of a text: they say it back, aloud or not."""
    return {text, text.upper()}


class _Court:
    def __init__(self, evidence: Evidence) -> None:
        self._evidence, self.count = evidence, Count()
        self._heard = {
            room_id: heard(room_id, timeline, evidence.bot)
            for room_id, timeline in evidence.rooms.items()
        }
        self._places = {
            room_id: {event["event_id"]: place for place, event in enumerate(timeline)}
            for room_id, timeline in evidence.rooms.items()
        }
        self._by_source: dict[str, list[Heard]] = defaultdict(list)
        self._edits: dict[str, Heard] = {}
        self._replies: dict[str, list[Heard]] = defaultdict(list)
        for message in self._all():
            if message.source is not None:
                self._by_source[message.source].append(message)
            if message.reply_to is not None and message.msgtype not in FILES | {"m.text"}:
                self._replies[message.reply_to].append(message)
            self._edits |= dict.fromkeys(message.edited, message)
        self._of = {said.event_id: self._caused_by(said.event_id) for said in evidence.said}

    def violations(self) -> list[Violation]:
        """All of them."""
        found: list[Violation] = []
        found += self._twice()
        for said in self._evidence.said:
            if said.room_id in self._places and said.event_id in self._places[said.room_id]:
                found += self._of_one(said)
            else:
                found.append(self._against("missing", said, "the homeserver does not have it"))
        found += self._disordered()
        found += self._left_growing()
        found += self._contexts()
        found += self._unasked()
        if self.count.answers >= FEW and self.count.reasons > self.count.answers / 2:
            why = f"{self.count.reasons} of {self.count.answers} answers only say why there is none"
            found.append(Violation("evasive", why))
        return found

    # --- what belongs to what ------------------------------------------------------------------

    def _all(self) -> Iterable[Heard]:
        return (message for messages in self._heard.values() for message in messages)

    def _caused_by(self, event_id: str) -> list[Heard]:
        """The bot's messages, files aside, that are there because of one of a person's events."""
        found = {
            message.event_id: message
            for source in _sources(event_id)
            for message in self._by_source.get(source, ())
        }
        found |= {message.event_id: message for message in self._replies.get(event_id, ())}
        return [message for message in found.values() if message.msgtype not in FILES]

    def _place(self, said: Said) -> int:
        return self._places[said.room_id][said.event_id]

    def _against(self, kind: str, said: Said, why: str) -> Violation:
        words = said.versions[-1][:80]
        return Violation(kind, f"{said.event_id} {words!r}: {why}", said.room_id, said.sent)

    # --- the laws ------------------------------------------------------------------------------

    def _twice(self) -> list[Violation]:
        """Effects that were sent twice, as messages or as edits."""
        sent: dict[str, list[tuple[str, Event]]] = defaultdict(list)
        for room_id, timeline in self._evidence.rooms.items():
            for event in timeline:
                source = event["content"].get(SOURCE)
                if event["sender"] == self._evidence.bot and isinstance(source, str):
                    if not source.startswith(PREVIEW):
                        sent[source].append((room_id, event))
        return [
            Violation(
                "doubled",
                f"the effect {source} is there {len(events)} times: "
                f"{events[0][1]['content'].get('body', '')[:80]!r}",
                events[0][0],
            )
            for source, events in sent.items()
            if len(events) > 1
        ]

    def _of_one(self, said: Said) -> list[Violation]:
        answers = self._of[said.event_id]
        if said.wants in ("reply", "question"):
            # An answer that the command has ended says so, besides its own reply.
            answers = [m for m in answers if m.msgtype == "m.notice" or STOPPED not in m.body]
        if len(answers) > 1:
            # Who had left is invited again, besides being answered.
            answers = [m for m in answers if not m.body.startswith(INVITED_AGAIN)]
        if said.file is not None:
            answers = [m for m in answers if said.file not in m.body or said.file in said.versions]
        if said.wants in ("answer", "retry"):
            self.count.messages += 1
            self.count.answers += len(answers)
        elif said.wants != "sign":
            self.count.commands += 1
            self.count.replies += len(answers)
        bodies = [message.body[:80] for message in answers]
        if len(answers) > 1:
            return [self._against("doubled", said, f"{len(answers)} answers: {bodies}")]
        if not answers:
            if self._may_be_silent(said):
                self.count.excused += 1
                return []
            return [self._against("lost", said, "nobody answered")]
        found = []
        # That there is nothing to ask again is a reply to who has asked for that.
        excuse = said.wants == "answer" and _is_excuse(answers[0])
        if said.wants in ("answer", "retry") and (excuse or _is_reason(answers[0])):
            self.count.reasons += 1
        if said.wants == "answer" and not self._is_right(said, answers[0]):
            found.append(self._against("wrong", said, f"the answer is {bodies[0]!r}"))
        if said.file is not None:
            found += self._of_file(said, answers[0])
        return found

    def _is_right(self, said: Said, answer: Heard) -> bool:
        """Whether an answer is what an agent makes of the words; or, unless all is calm, a notice, or as
        much of it as there was, and why it ends."""
        whole = {words for text in said.versions for words in agents_say(text)}
        if said.calm is not None:
            return answer.msgtype == "m.text" and answer.body == said.calm
        if answer.msgtype != "m.notice" and answer.body in whole:
            return True
        body, ending = _parted(answer.body)
        return answer.msgtype == "m.notice" or (
            _is_ending(ending) and any(words.startswith(body) for words in whole)
        )

    def _of_file(self, said: Said, answer: Heard) -> list[Violation]:
        """A file that comes back is told by its name; so is one that does not."""
        there = [m for m in self._heard[said.room_id] if said.file and said.file in m.body]
        shown = [m for m in there if m.msgtype in FILES]
        if len(shown) > 1:
            return [self._against("doubled", said, f"the file came back {len(shown)} times")]
        complete = answer.msgtype == "m.text" and answer.body in {
            body for text in said.versions for body in agents_say(text)
        }
        refused = [m for m in there if m.msgtype == "m.notice"]
        if not shown and complete and not refused and not said.gone:
            return [self._against("lost", said, "the file did not come back, and nobody said why")]
        return []

    def _may_be_silent(self, said: Said) -> bool:
        if said.wants == "sign" or said.gone:
            return True
        if said.wants == "question":
            until = min(said.sent + FORGIVEN, self._heard_again(said) + SLACK)
            return any(said.sent <= death <= until for death in self._evidence.deaths)
        if said.wants == "stop":
            # It ended an answer, which says so itself.
            return any(source in self._edits for source in _sources(said.event_id))
        return self._was_ended(said)

    def _heard_again(self, said: Said) -> float:
        """When the bot replied to something that was said later in the room."""
        place = self._place(said)
        return min(
            (
                self._evidence.moment(reply.sent)
                for other in self._evidence.said
                if other.room_id == said.room_id and self._place_or(other, -1) > place
                for reply in self._replies.get(other.event_id, ())
            ),
            default=math.inf,
        )

    def _was_ended(self, said: Said) -> bool:
        """Whether something ended all that waited in the room, or just this, before its turn came."""
        place = self._place(said)
        answered = [
            self._place(other)
            for other in self._evidence.said
            if other.room_id == said.room_id
            and other.wants in ("answer", "retry")
            and self._place_or(other, -1) > place
            and any(m.msgtype == "m.text" for m in self._of[other.event_id])
        ]
        until = min(answered, default=len(self._evidence.rooms[said.room_id]))
        return any(place < end <= until for end in self._ends(said.room_id)) or self._was_stopped(
            said, place, until
        )

    def _place_or(self, said: Said, otherwise: int) -> int:
        return self._places.get(said.room_id, {}).get(said.event_id, otherwise)

    def _ends(self, room_id: str) -> list[int]:
        """Where in a room its turns were ended: it was archived, or somebody else left it."""
        bot = self._evidence.bot
        left = [
            place
            for place, event in enumerate(self._evidence.rooms[room_id])
            if event["type"] == "m.room.member"
            and event["state_key"] != bot
            and event["content"].get("membership") == "leave"
        ]
        # It was archived when that was said, however late the reply came.
        archived = [
            self._places[room_id].get(m.reply_to or "", m.place)
            for m in self._heard[room_id]
            if m.body.startswith(ARCHIVED)
        ]
        return left + archived

    def _was_stopped(self, said: Said, place: int, until: int) -> bool:
        """Whether somebody's stop said so itself, having no answer of this one's to say it in."""
        for other in self._evidence.said:
            if other.room_id == said.room_id and other.wants in ("stop", "sign"):
                if place < self._place_or(other, -1) <= until:
                    if any(STOPPED in m.body for m in self._of[other.event_id]):
                        return True
        return False

    def _disordered(self) -> list[Violation]:
        """Answers of agents stand in the order of what they answer."""
        found = []
        last: dict[str, tuple[int, Said]] = {}
        asked = [s for s in self._evidence.said if s.wants in ("answer", "retry")]
        for said in sorted(asked, key=lambda s: self._place_or(s, -1)):
            answers = [m for m in self._of[said.event_id] if m.msgtype == "m.text"]
            if not answers:
                continue
            place, before = last.get(said.room_id, (-1, said))
            if answers[0].place < place:
                why = f"it was answered before {before.event_id} {before.versions[-1][:40]!r}"
                found.append(self._against("disordered", said, why))
            last[said.room_id] = (max(place, answers[0].place), said)
        return found

    def _left_growing(self) -> list[Violation]:
        return [
            Violation("left growing", f"{m.event_id} still says {m.body[:80]!r}", m.room_id)
            for m in self._all()
            if m.body == THINKING or (m.edited and m.edited[-1].startswith(PREVIEW))
        ]

    def _contexts(self) -> list[Violation]:
        """Contexts are numbered; a number that was told as new is new."""
        told: Counter[str] = Counter()
        where: dict[str, str] = {}
        for message in self._all():
            if message.msgtype == "m.notice" and (context := CONTEXT.search(message.body)):
                told[context[1]] += 1
                where[context[1]] = message.room_id
        return [
            Violation("doubled", f"context {context} was given out {n} times", where[context])
            for context, n in told.items()
            if n > 1
        ]

    def _unasked(self) -> list[Violation]:
        """What nobody asked for, or what does not say because of what it is there."""
        explained = {m.event_id for messages in self._of.values() for m in messages}
        for timeline in self._evidence.rooms.values():
            for event in timeline:
                if event["type"] == "m.room.member":
                    # Who leaves ends the answer that is growing.
                    explained |= {m.event_id for m in self._caused_by(event["event_id"])}
        found = []
        known = self._evidence.decided | set(self._possible())
        for room_id, event in self._spoken():
            content = event["content"]
            source = content.get(SOURCE)
            if not isinstance(source, str):
                kind = "unsigned"
            elif source not in known or (
                content["msgtype"] == "m.text"
                and event["event_id"] not in explained
                and "rel_type" not in (content.get("m.relates_to") or {})
            ):
                kind = "unasked"
            else:
                continue
            why = f"{event['event_id']} says {content['body'][:80]!r} ({content['msgtype']})"
            found.append(Violation(kind, why, room_id))
        return found

    def _spoken(self) -> Iterator[tuple[str, Event]]:
        """All messages and edits of the bot, by room; of what was taken back there is no content."""
        for room_id, timeline in self._evidence.rooms.items():
            for event in timeline:
                if event["sender"] == self._evidence.bot and event["type"] == "m.room.message":
                    if "msgtype" in event["content"]:
                        yield room_id, event

    def _possible(self) -> Iterator[str]:
        """What there may be because of all that others did in the rooms."""
        for timeline in self._evidence.rooms.values():
            for event in timeline:
                if event["sender"] != self._evidence.bot:
                    yield f"{PREVIEW}{event['event_id']}"
                    yield from _sources(event["event_id"])
                    yield from _sent_files(event["event_id"])


def _sources(event_id: str) -> list[str]:
    """The transaction ids of what the bot may say because of a message."""
    names = [keys.effect_key(event_id, n) for n in range(EFFECTS)]
    names += [keys.effect_key(keys.settling(name)) for name in names]
    names += [keys.effect_key(keys.placing(event_id)), keys.effect_key(keys.ending(event_id))]
    return [keys.transaction(name) for name in names]


def _sent_files(event_id: str) -> Iterator[str]:
    """The transaction ids of the files that come with an answer, and of why one does not."""
    causes = [keys.ending(event_id), *(f"{event_id}/files/{count}" for count in range(1, SENDINGS))]
    for cause, n in product(causes, range(SENDINGS)):
        name = keys.effect_key(cause, n)
        yield keys.transaction(name)
        for m in range(SENDINGS):
            yield keys.transaction(keys.effect_key(keys.settling(name), m))


def _parted(body: str) -> tuple[str, str]:
    """What an answer says, and why it ends, if it does."""
    words, _, ending = body.rpartition("\n\n")
    return words.rstrip(), ending


def _is_reason(answer: Heard) -> bool:
    """Whether an answer ends before it is whole, and nobody wanted that."""
    ending = _parted(answer.body)[1].strip("*")
    return answer.msgtype == "m.text" and _is_ending(ending) and not ending.startswith(STOPPED)


def _is_excuse(answer: Heard) -> bool:
    """Whether a notice stands for an answer where there are any."""
    return answer.msgtype == "m.notice" and not answer.body.startswith(NOBODY_ANSWERS)


def _is_ending(words: str) -> bool:
    """Whether words say why an answer is none, or not whole."""
    return words.strip("*").startswith((STOPPED, "The agent ", "The connection to the agent "))
