"""The reference platform over HTTP: routes, authentication, errors as problem documents."""

from __future__ import annotations

import hmac
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, Any, Final, TypeAlias

import structlog
from fastapi import Depends, FastAPI, Header, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException

from store.store import StoreError
from surface.platform.interface import (
    CallFailed,
    ChatInUse,
    ChatRef,
    ConfirmationGone,
    ContextDescription,
    SavedContext,
    SaveMissing,
)
from surface.platform.wire import (
    EVENT_STREAM,
    EVENTS,
    PROBLEM,
    VERSION,
    AgentCard,
    Cancel,
    Change,
    ChatId,
    LoadFrom,
    Message,
    Problem,
    Pulse,
    SaveAs,
    Verdict,
    Who,
    frame,
)

from .desk import AgentUnknown, Desk
from .work import Sent

log = structlog.get_logger()

LARGEST_BODY: Final = 8_000_000
"""Bytes of one call."""

_STATUS: Final[Mapping[type[CallFailed], int]] = {
    AgentUnknown: 404,
    SaveMissing: 404,
    ConfirmationGone: 404,
    ChatInUse: 409,
}
_TROUBLE: Final = {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    "4XX": {"description": "Not to be had so.", "content": _TROUBLE},
    "5XX": {"description": "Not now.", "content": _TROUBLE},
}
_BEARER: Final = HTTPBearer(auto_error=False, description="The platform's token.")
_CHAT: Final = f"/{VERSION}/chats/{{platform_chat_id}}"
_Options: TypeAlias = dict[str, Any]
_LAST: Final = 9_007_199_254_740_991

Chat = Annotated[ChatId, Path(description="The conversation: digits.")]


class Refused(Exception):
    """A call that is answered with a problem document."""

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        self.problem, self.headers = problem, dict(headers or {})
        super().__init__(problem.detail)


def make_app(desk: Desk, agents: Sequence[AgentCard], token: str | None = None) -> FastAPI:
    """Build the service.

    Args:
        desk: does the work; closed with the service.
        agents: what `GET /v1/agents` tells.
        token: what callers must show; None: anyone may call.
    """

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        await desk.aclose()

    def known(shown: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]) -> None:
        if token is None:
            return
        given = shown.credentials if shown else ""
        if not hmac.compare_digest(given.encode(), token.encode()):
            raise Refused(
                _problem(401, "unauthorized", "Show the platform's token as a bearer token."),
                {"WWW-Authenticate": "Bearer"},
            )

    app = FastAPI(
        title="Surface platform",
        version=VERSION,
        summary="What the surface asks of a platform that runs agents.",
        lifespan=life,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
        max_body_size=LARGEST_BODY,
    )
    _handle_errors(app)
    guarded: dict[str, Any] = {"dependencies": [Depends(known)], "responses": _PROBLEMS}
    changes: dict[str, Any] = {**guarded, "status_code": 204, "response_class": Response}
    _add_turns(app, desk, guarded, changes)
    _add_memory(app, desk, guarded, changes)
    _add_state(app, desk, agents, guarded)
    _describe_events(app)
    return app


def _add_turns(app: FastAPI, desk: Desk, guarded: _Options, changes: _Options) -> None:
    @app.post(f"{_CHAT}/messages", **_streaming(guarded))
    async def say(
        platform_chat_id: Chat,
        message: Message,
        last_event_id: Annotated[int | None, Header(ge=0, le=_LAST)] = None,
    ) -> StreamingResponse:
        """Answer a message, with a stream of events."""
        # Whatever is a problem is one here, before the stream begins.
        events = await desk.turn(_chat(platform_chat_id, message), message, last_event_id)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(_frames(events), media_type=EVENT_STREAM, headers=headers)

    @app.post(f"{_CHAT}/confirm", **changes)
    async def confirm(platform_chat_id: Chat, verdict: Verdict) -> None:
        """Answer a question of the agent; the first answer counts."""
        chat = _chat(platform_chat_id, verdict)
        await desk.decide(chat, verdict.confirmation_id, verdict.accepted)

    @app.post(f"{_CHAT}/cancel", **changes)
    async def cancel(platform_chat_id: Chat, what: Cancel) -> None:
        """End the work on a message, if there is any; its stream ends with the error `cancelled`."""
        await desk.cancel(_chat(platform_chat_id, what), what.message_id)

    @app.post(f"{_CHAT}/disconnect", **changes)
    async def disconnect(platform_chat_id: Chat, who: Change) -> None:
        """Let go of what is alive for a chat; its memory stays."""


def _add_memory(app: FastAPI, desk: Desk, guarded: _Options, changes: _Options) -> None:
    @app.get(_CHAT, **guarded)
    async def describe(platform_chat_id: Chat, who: Annotated[Who, Query()]) -> ContextDescription:
        """Tell what the agent remembers of a chat."""
        return await desk.describe(_chat(platform_chat_id, who))

    @app.post(f"{_CHAT}/saves", **guarded)
    async def save(platform_chat_id: Chat, wanted: SaveAs) -> SavedContext:
        """Keep the memory of a chat under a name; replaces a save of that name."""
        return await desk.save(_chat(platform_chat_id, wanted), wanted.name, wanted.request_id)

    @app.post(f"{_CHAT}/load", **guarded)
    async def load(platform_chat_id: Chat, wanted: LoadFrom) -> SavedContext:
        """Let a chat without memory begin with a save of its user."""
        return await desk.load(_chat(platform_chat_id, wanted), wanted.save_id, wanted.request_id)

    @app.get(f"/{VERSION}/saves", **guarded)
    async def saves(who: Annotated[Who, Query()]) -> list[SavedContext]:
        """List the user's saves with this agent, newest first."""
        return await desk.saves(_chat("", who))

    @app.post(f"/{VERSION}/forget", **changes)
    async def forget(who: Change) -> None:
        """Delete the user's chats and saves with this agent, for good."""
        await desk.forget(_chat("", who))


def _add_state(app: FastAPI, desk: Desk, agents: Sequence[AgentCard], guarded: _Options) -> None:
    @app.get(f"/{VERSION}/agents", **guarded)
    async def list_agents() -> list[AgentCard]:
        """Tell which agents there are, and what they can do."""
        return list(agents)

    @app.get("/health")
    async def health() -> Pulse:
        """Tell that the service runs."""
        return Pulse(status="ok")

    @app.get("/ready", responses={503: {"model": Pulse, "description": "Not now."}})
    async def ready(response: Response) -> Pulse:
        """Tell whether messages can be answered now."""
        try:
            missing = await desk.check()
        except StoreError as error:
            missing = str(error)
        if missing:
            response.status_code = 503
            return Pulse(status="not ready", detail=missing)
        return Pulse(status="ok")


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        return _told(error.problem, error.headers)

    @app.exception_handler(CallFailed)
    async def failed(_: Request, error: CallFailed) -> JSONResponse:
        status = _STATUS.get(type(error), 503 if error.error.retryable else 500)
        told = error.error
        return _told(_problem(status, told.code, told.message, retryable=told.retryable))

    @app.exception_handler(StoreError)
    async def unstored(_: Request, error: StoreError) -> JSONResponse:
        log.error("platform.store_failed", why=str(error))
        return _told(_problem(503, "store_failed", "The platform cannot write.", retryable=True))

    @app.exception_handler(RequestValidationError)
    async def misfit(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return _told(_problem(422, "bad_request", f"{where}: {first['msg']}"))

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
        return _told(_problem(error.status_code, code, str(error.detail)), error.headers)


def _problem(status: int, code: str, detail: str, *, retryable: bool = False) -> Problem:
    title = code.replace("_", " ").capitalize()
    return Problem(title=title, status=status, code=code, detail=detail, retryable=retryable)


def _told(problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(
        problem.model_dump(), problem.status, headers=dict(headers or {}), media_type=PROBLEM
    )


def _chat(platform_chat_id: str, who: Who) -> ChatRef:
    return ChatRef(who.installation_id, who.agent_id, platform_chat_id, who.user_id)


async def _frames(
    events: AsyncGenerator[Sent | None, None],
) -> AsyncGenerator[bytes, None]:
    async with aclosing(events):
        async for event in events:
            yield b": ping\n\n" if event is None else frame(*event).encode()


def _streaming(guarded: Mapping[str, Any]) -> dict[str, Any]:
    """How a call that answers with a stream is described."""
    kinds = "; ".join(f"`{name}` ({kind.__name__})" for name, kind in EVENTS.items())
    stream = {
        "description": f"Server-sent events; by `event:`, what `data:` holds: {kinds}.",
        "content": {EVENT_STREAM: {"schema": {"oneOf": [_one_event(name) for name in EVENTS]}}},
    }
    return {
        **guarded,
        "response_class": StreamingResponse,
        "responses": {200: stream, **guarded["responses"]},
    }


def _one_event(name: str) -> dict[str, Any]:
    held = {"$ref": f"#/components/schemas/{EVENTS[name].__name__}"}
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": held}
    place = {"type": "string", "pattern": "^[0-9]+$"}
    return {
        "type": "object",
        "required": ["event", "id", "data"],
        "properties": {"event": {"const": name}, "id": place, "data": data},
    }


def _describe_events(app: FastAPI) -> None:
    """Put events and problems into the OpenAPI document; FastAPI knows nothing of them."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = plain()
            for kind in (*EVENTS.values(), Problem):
                schema = TypeAdapter(kind).json_schema(
                    ref_template="#/components/schemas/{model}", mode="serialization"
                )
                document["components"]["schemas"][kind.__name__] = schema
            # FastAPI's own, which nobody sends here.
            for path in document["paths"].values():
                for call in path.values():
                    call["responses"].pop("422", None)
            for gone in ("HTTPValidationError", "ValidationError"):
                document["components"]["schemas"].pop(gone, None)
        return app.openapi_schema or {}

    app.openapi = described  # type: ignore[method-assign]
