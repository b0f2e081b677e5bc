"""The brain that is a model behind an OpenAI-compatible API."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from surface.platform.model import Model, ModelOptions

from .brain import Beat, Task, failed


class LlmBrain:
    """Thinks with a model. Not repeatable: the same question may get another answer."""

    repeatable: Final = False

    def __init__(self, options: ModelOptions) -> None:
        self._model = Model(options)

    async def answer(self, task: Task) -> AsyncGenerator[Beat, None]:
        """Let the model answer."""
        if task.message.attachments:
            yield failed("unsupported", "This model takes no files, only text.", retryable=False)
            return
        async with aclosing(self._model.answer(task.earlier, task.message.text)) as events:
            async for event in events:
                yield Beat(event)

    async def check(self) -> str:
        """Say why the model's API cannot be used; empty if it can."""
        health = await self._model.health()
        return "" if health.ok else health.detail

    async def aclose(self) -> None:
        """Release the connections."""
        await self._model.aclose()
