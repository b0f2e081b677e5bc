"""The brain that plays a YAML scenario: slow words, files, questions, failures, for demos and tests.

A scenario is rules, tried in order: `on` (a regular expression, searched in the message) and `do`, the
steps to play; `otherwise` is played where none fits. A step is one of the keys of `Step`. The words
are in `config/scenario.example.yaml`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Final, Self

from pydantic import Field, ValidationError, model_validator

from config.errors import ConfigError, shown_path
from config.reading import read_mapping
from config.section import Allowed, Seconds, Section
from surface.platform.echo import said_back
from surface.platform.interface import (
    ConfirmationAsked,
    Done,
    FileOut,
    Status,
    TextDelta,
)

from .brain import Beat, Task, failed, spoken

EXAMPLE: Final = "config/scenario.example.yaml"
_RECALL: Final = "what did i say"
_TYPES: Final = {".md": "text/markdown", ".txt": "text/plain", ".json": "application/json"}


def _file_name(value: str) -> bool:
    return value not in ("", ".", "..") and value == PurePosixPath(value).name and "\0" not in value


class Step(Section):
    """One thing an agent does; exactly one of the first ten."""

    say: str | None = None
    """A piece of the answer."""
    slowly: str | None = None
    """A piece of the answer, word by word."""
    status: str | None = None
    """What the agent is doing."""
    work: str | None = None
    """The same, and counted."""
    wait: Annotated[Seconds, Field(ge=0, le=86400)] | None = None
    """Seconds of silence."""
    file: Annotated[str, Field(max_length=100), Allowed("a file's name, without a path")] | None = (
        None
    )
    """The name of a file of the answer."""
    attachments: bool | None = None
    """Sends the files of the message back."""
    ask: str | None = None
    """A question to the person."""
    fail: str | None = None
    """The message of an error, which ends the answer."""
    recall: bool | None = None
    """Lists what was said before."""

    text: str = ""
    """What is in `file`."""
    every: Seconds = Field(default=0.1, ge=0, le=60)
    """Seconds between the words of `slowly`."""
    retryable: bool = True
    """Whether it may help to ask again after `fail`."""
    yes: tuple[Step, ...] = ()
    """What follows a yes to `ask`."""
    no: tuple[Step, ...] = ()
    """What follows a no to `ask`."""

    @model_validator(mode="after")
    def _does_one_thing(self) -> Self:
        given = [name for name in _DEEDS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a step does one of {', '.join(_DEEDS)}")
        if self.file is not None and not _file_name(self.file):
            raise ValueError("`file` is a name without a path")
        return self


_DEEDS: Final = tuple(Step.model_fields)[:10]


class Rule(Section):
    """What is played for which messages."""

    on: str
    """A regular expression, searched in the message; case does not matter."""
    do: tuple[Step, ...]
    """What is played."""

    @model_validator(mode="after")
    def _can_be_searched(self) -> Self:
        try:
            re.compile(self.on)
        except re.error as error:
            raise ValueError(f"`on` is no regular expression: {error}") from None
        return self


class Scenario(Section):
    """All an agent can play."""

    rules: tuple[Rule, ...] = ()
    """Tried in order."""
    otherwise: tuple[Step, ...] = ()
    """Played where no rule fits."""

    def steps(self, text: str) -> tuple[Step, ...]:
        """Return what is played for a message."""
        for rule in self.rules:
            if re.search(rule.on, text, re.IGNORECASE):
                return rule.do
        return self.otherwise


def load_scenario(path: Path) -> Scenario:
    """Read a scenario.

    Raises:
        ConfigError: with every problem found.
    """
    data, name = read_mapping(path, example=EXAMPLE), shown_path(path)
    try:
        return Scenario.model_validate(data)
    except ValidationError as error:
        found = error.errors(include_url=False)
    raise ConfigError(
        f"{name}: {_place(item['loc'])}: {item.get('ctx', {}).get('error', item['msg'])}"
        for item in found
    )


class ScriptedBrain:
    """Plays a scenario.

    Args:
        scenario: what is played.
        agent_id: part of the path of its files.
        workspace: where its files go.
    """

    repeatable: Final = True

    def __init__(self, scenario: Scenario, agent_id: str, workspace: Path) -> None:
        self._scenario, self._agent_id, self._workspace = scenario, agent_id, workspace

    async def answer(self, task: Task) -> AsyncGenerator[Beat, None]:
        """Play what fits the message."""
        steps = [*self._scenario.steps(task.message.text)]
        pause, questions = 0.0, 0
        while steps:
            step = steps.pop(0)
            if step.wait is not None:
                pause += step.wait
                continue
            if step.ask is not None:
                questions += 1
                question = _question(task.message.message_id, questions)
                yield Beat(ConfirmationAsked(question, step.ask), pause)
                pause = 0.0
                steps[:0] = step.yes if await task.verdict(question) else step.no
                continue
            for beat in self._beats(step, task):
                yield Beat(beat.event, beat.pause + pause, beat.work)
                pause = 0.0
            if step.fail is not None:
                return
        yield Beat(Done(), pause)

    async def check(self) -> str:
        """Nothing can be missing."""
        return ""

    async def aclose(self) -> None:
        """Nothing to release."""

    def _beats(self, step: Step, task: Task) -> Iterator[Beat]:
        if step.say is not None:
            yield Beat(TextDelta(_filled(step.say, task)))
        elif step.slowly is not None:
            yield from spoken(_filled(step.slowly, task), step.every)
        elif step.status is not None:
            yield Beat(Status(step.status))
        elif step.work is not None:
            yield Beat(Status(step.work), work=step.work)
        elif step.file is not None:
            yield Beat(self._file(step.file, _filled(step.text, task), task))
        elif step.attachments:
            for file in task.message.attachments:
                yield Beat(FileOut(file.workspace_path, file.filename, file.mime_type))
        elif step.recall:
            yield Beat(TextDelta(said_back(_RECALL, "plain", task.earlier)))
        elif step.fail is not None:
            yield failed("scripted_failure", step.fail, retryable=step.retryable)

    def _file(self, name: str, text: str, task: Task) -> FileOut:
        """Write a file; the same again where a turn is played again."""
        # Nobody else's: chats of different installations have the same numbers.
        whose = f"{task.message.installation_id}\0{task.message.message_id}"
        said = hashlib.sha256(whose.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        folder = PurePosixPath("platform", self._agent_id, task.platform_chat_id, said)
        there = self._workspace / folder
        there.mkdir(parents=True, exist_ok=True)
        fresh = there / f".{name}.new"
        fresh.write_text(text, "utf-8")
        os.replace(fresh, there / name)  # noqa: PTH105  atomic, over what a cut turn left
        return FileOut(
            str(folder / name), name, _TYPES.get(Path(name).suffix, "application/octet-stream")
        )


def _filled(text: str, task: Task) -> str:
    return text.replace("{text}", task.message.text)


def _question(message_id: str, number: int) -> str:
    return message_id if number == 1 else f"{message_id}/{number}"


def _place(loc: tuple[str | int, ...]) -> str:
    # As people count: from 1.
    return ".".join(str(part + 1 if isinstance(part, int) else part) for part in loc)
