"""An OpenAI-compatible server of the tests' own: it answers by the last message it is told.

`what did i say` lists the earlier messages of the user; `fail` is HTTP 500; `hold` begins and then says
nothing more; `silence` never begins; `refuse` is 401, `busy` 429, `nothing` an empty answer, `garbage` no
JSON, `cut` breaks off, and
`half` ends without an end. Anything else is said back, word by word.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse


class ModelServer:
    """The server, and what it was asked.

    Attributes:
        asked: the bodies of all requests for an answer.
        gone: set when a reader of `hold` has left.
    """

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.gone = 0
        self.app = FastAPI()
        self.app.get("/v1/models")(self._models)
        self.app.post("/v1/chat/completions")(self._complete)

    async def _models(self) -> dict[str, Any]:
        return {"object": "list", "data": [{"id": "parrot", "object": "model"}]}

    async def _complete(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append(body)
        self.keys.append(request.headers.get("authorization"))
        users = [m["content"] for m in body["messages"] if m["role"] == "user"]
        match users[-1]:
            case "fail" | "refuse" | "busy" as how:
                status = {"fail": 500, "refuse": 401, "busy": 429}[how]
                error = {"error": {"message": "the model is ill", "type": "x", "code": "x"}}
                return JSONResponse(error, status, headers={"x-should-retry": "false"})
            case "garbage":
                return StreamingResponse(_once(b"data: {oh no\n\n"), media_type="text/event-stream")
            case "silence":
                await asyncio.Event().wait()
            case "What did I say?":
                answer = "\n".join(users[:-1]) or "nothing"
                return self._stream(answer)
            case "nothing":
                return self._stream("")
            case "hold" | "cut" | "half" as how:
                return self._stream("one two", how=how)
        return self._stream(users[-1])

    def _stream(self, answer: str, how: str = "") -> Response:
        return StreamingResponse(self._chunks(answer, how), media_type="text/event-stream")

    async def _chunks(self, answer: str, how: str) -> AsyncIterator[bytes]:
        try:
            for word in re.findall(r"\S+\s*|\s+", answer):
                yield _chunk({"choices": [{"index": 0, "delta": {"content": word}}]})
            if how == "hold":
                await asyncio.Event().wait()
            if how == "half":
                return
            if how == "cut":
                raise RuntimeError("cut")
            yield _chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
            yield _chunk({"choices": [], "usage": usage})
            yield b"data: [DONE]\n\n"
        finally:
            if how == "hold":
                self.gone += 1


def _chunk(more: dict[str, Any]) -> bytes:
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "parrot"}
    return f"data: {json.dumps({**head, **more})}\n\n".encode()


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
