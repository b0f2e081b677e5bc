"""Speaks to a model behind an OpenAI-compatible API: from a conversation to a stream of turn events.

The `openai` adapter and the reference platform's `llm` brain both think through this. It remembers
nothing; what the model is told of a conversation is `prompt`, pure, trimmed on whole turns.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final, Protocol, cast

import openai
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam
from pydantic import SecretStr

from .interface import Done, Health, PlatformError, TextDelta, TurnEvent
from .memory_documents import Remembered
from .timeouts import Timeouts

LONGEST: Final = 1_000_000
"""Characters of one answer."""


class ModelOptions(Timeouts, Protocol):
    """What the operator decides about a model; see `config.agents.OpenAIAgent`."""

    @property
    def url(self) -> str: ...  # noqa: D102
    @property
    def model(self) -> str: ...  # noqa: D102
    @property
    def api_key(self) -> SecretStr | None: ...  # noqa: D102
    @property
    def system(self) -> str: ...  # noqa: D102
    @property
    def temperature(self) -> float | None: ...  # noqa: D102
    @property
    def max_tokens(self) -> int | None: ...  # noqa: D102
    @property
    def history_turns(self) -> int: ...  # noqa: D102
    @property
    def history_characters(self) -> int: ...  # noqa: D102


def trimmed(
    earlier: Sequence[Remembered], *, turns: int, characters: int
) -> tuple[Remembered, ...]:
    """Return the latest messages that fit, each with its answer.

    Args:
        earlier: oldest first.
        turns: how many at most.
        characters: how long texts and answers may be together.
    """
    kept: list[Remembered] = []
    for said in reversed(earlier):
        characters -= len(said.text) + len(said.answer)
        if characters < 0 or len(kept) == turns:
            break
        kept.append(said)
    return tuple(reversed(kept))


def prompt(options: ModelOptions, earlier: Sequence[Remembered], text: str) -> list[dict[str, str]]:
    """Return what the model is told: who it is, what was said, and the message."""
    messages = [{"role": "system", "content": options.system}] if options.system else []
    for said in trimmed(
        earlier, turns=options.history_turns, characters=options.history_characters
    ):
        messages.append({"role": "user", "content": said.text})
        messages.append({"role": "assistant", "content": said.answer})
    return [*messages, {"role": "user", "content": text}]


class Model:
    """A model behind an API.

    Args:
        options: where it is and what it is told.
    """

    def __init__(self, options: ModelOptions) -> None:
        self._options = options
        key = options.api_key
        self._api = openai.AsyncOpenAI(
            base_url=options.url,
            # Local servers want none, but the SDK does.
            api_key=key.get_secret_value() if key else "none",
            timeout=openai.Timeout(options.silence_timeout, connect=options.connect_timeout),
            max_retries=2,
        )

    async def answer(
        self, earlier: Sequence[Remembered], text: str
    ) -> AsyncGenerator[TurnEvent, None]:
        """Answer a message; ends with a `Done` or a `PlatformError`."""
        usage: dict[str, int] = {}
        length, finished = 0, False
        try:
            async with asyncio.timeout(self._options.answer_timeout):
                async with aclosing(self._chunks(prompt(self._options, earlier, text))) as chunks:
                    async for chunk in chunks:
                        if chunk.usage is not None:
                            usage = {
                                "input_tokens": chunk.usage.prompt_tokens,
                                "output_tokens": chunk.usage.completion_tokens,
                            }
                        finished |= any(c.finish_reason is not None for c in chunk.choices)
                        piece = _whole("".join(c.delta.content or "" for c in chunk.choices[:1]))
                        length += len(piece)
                        if length > LONGEST:
                            yield PlatformError(
                                "too_long",
                                f"The answer is longer than {LONGEST} characters.",
                                False,
                            )
                            return
                        if piece:
                            yield TextDelta(piece)
        except TimeoutError:
            yield PlatformError("timeout", "The model took too long to answer.", retryable=True)
        except Exception as error:
            yield _explained(error, begun=length > 0)
        else:
            if length and not finished:
                yield PlatformError("broken_off", "The model broke off.", retryable=True)
            elif length:
                yield Done(usage=usage)
            else:
                yield PlatformError("empty", "The model answered nothing.", retryable=True)

    async def health(self) -> Health:
        """Tell whether the API answers and knows the model. Never raises."""
        try:
            async with asyncio.timeout(self._options.first_timeout):
                names = [model.id async for model in self._api.models.list()]
        except openai.NotFoundError:
            said = f"the API lists no models, so whether it knows `{self._options.model}` is open"
            return Health(ok=True, detail=said)
        except TimeoutError:
            return Health(ok=False, detail="no answer")
        except Exception as error:
            return Health(ok=False, detail=_explained(error, begun=False).message)
        if self._options.model not in names:
            known = ", ".join(names[:10]) or "none"
            return Health(ok=False, detail=f"no model `{self._options.model}`; there are: {known}")
        return Health(ok=True)

    async def aclose(self) -> None:
        """Release the connections."""
        await self._api.close()

    async def _chunks(
        self, messages: list[dict[str, str]]
    ) -> AsyncGenerator[ChatCompletionChunk, None]:
        wanted: dict[str, Any] = {}
        if self._options.temperature is not None:
            wanted["temperature"] = self._options.temperature
        if self._options.max_tokens is not None:
            wanted["max_tokens"] = self._options.max_tokens
        async with asyncio.timeout(self._options.first_timeout) as first:
            stream: openai.AsyncStream[
                ChatCompletionChunk
            ] = await self._api.chat.completions.create(
                model=self._options.model,
                messages=cast("list[ChatCompletionMessageParam]", messages),
                stream=True,
                extra_body=wanted,
            )
            async with stream:
                async for chunk in stream:
                    first.reschedule(None)
                    yield chunk


def _explained(error: Exception, *, begun: bool) -> PlatformError:
    """Say in the contract's words what went wrong at an API."""
    match error:
        case openai.AuthenticationError() | openai.PermissionDeniedError():
            return PlatformError(
                "unauthorized", "The model's API refused the key.", retryable=False
            )
        case openai.RateLimitError():
            return PlatformError("busy", "The model's API is over its limits.", retryable=True)
        case openai.APITimeoutError():
            return PlatformError("timeout", "The model's API gave no sign of life.", retryable=True)
        case openai.APIConnectionError() if begun:
            return PlatformError("broken_off", "The model broke off.", retryable=True)
        case openai.APIConnectionError():
            return PlatformError(
                "unreachable", "The model's API cannot be reached.", retryable=True
            )
        case openai.APIStatusError():
            wrong = error.status_code < 500
            said = f"The model's API answered {error.status_code}: {_first_line(error.message)}"
            return PlatformError("refused" if wrong else "broken", said, retryable=not wrong)
        case openai.APIError():
            return PlatformError("broken", f"The model failed: {_first_line(error.message)}", True)
        case ValueError():
            return PlatformError("garbled", "The model's API does not speak its protocol.", False)
        case _:
            return PlatformError("broken", f"The model failed: {type(error).__name__}", True)


def _whole(text: str) -> str:
    """Half of a surrogate pair, which JSON can spell, is no text anywhere else."""
    return text.encode("utf-8", "replace").decode()


def _first_line(text: str) -> str:
    return " ".join(text.split())[:200]
