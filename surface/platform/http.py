"""An agent of a platform that speaks the surface's own contract (`wire`): HTTP and server-sent events.

One rule: nothing is asked twice that might be done twice. A call that was not answered is repeated,
because it carries a `message_id` or a `request_id`; a stream that broke goes on at its place
(`Last-Event-ID`), so that the answer is whole and nothing in it is there twice.

A platform that is *away* (`http_failures`) is tried again for a while, then the turn fails; one that refuses
or garbles fails it at once. Only *away* counts for the breaker. How much of one answer is taken in has an
end (`MOST`), and so has the time of every call.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from dataclasses import asdict
from typing import Any, Final, Protocol, TypeVar

import httpx
import structlog
from pydantic import SecretStr, TypeAdapter, ValidationError

from .breaker import Breaker
from .http_failures import (
    Away,
    broken_off,
    failure,
    garbled,
    resting,
    silent,
    too_long,
    unreachable,
)
from .interface import (
    CallFailed,
    Capabilities,
    ChatRef,
    ConfirmationAsked,
    ContextDescription,
    FileOut,
    Health,
    PlatformError,
    SavedContext,
    Status,
    TextDelta,
    TurnEvent,
    TurnRequest,
)
from .lines import Lines
from .sse import Garbled, read_body, read_events
from .streams import Streams
from .timeouts import Timeouts
from .wire import EVENT_STREAM, LAST_EVENT, VERSION, AgentCard, is_end, length

log = structlog.get_logger()

LONGEST: Final = 1_000_000
"""Characters of one answer."""
MOST: Final[Mapping[type[TurnEvent], int]] = {
    ConfirmationAsked: 50,
    FileOut: 100,
    Status: 10_000,
    TextDelta: LONGEST,
}
"""How much of what one answer may hold: of text characters, else events."""
CALL_TRIES: Final = 3
PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 5.0
_ALL: Final = ""
"""The line of calls that belong to no chat."""

_T = TypeVar("_T")


class HttpOptions(Timeouts, Protocol):
    """What the registry says of an HTTP agent; see `config.agents.HttpAgent`."""

    @property
    def url(self) -> str: ...  # noqa: D102
    @property
    def agent(self) -> str | None: ...  # noqa: D102
    @property
    def token(self) -> SecretStr | None: ...  # noqa: D102
    @property
    def reconnect_timeout(self) -> float: ...  # noqa: D102


class HttpClient:
    """`PlatformClient` of one agent behind the contract.

    Args:
        installation_id: the only installation it asks for.
        agent_id: the agent's id in the registry.
        options: where the platform is, and how long it may take.
    """

    def __init__(self, *, installation_id: str, agent_id: str, options: HttpOptions) -> None:
        self._installation_id, self._options = installation_id, options
        self._agent = options.agent or agent_id
        self._streams = Streams(installation_id, agent_id)
        self._breaker = Breaker()
        self._abilities = Capabilities(dedupes=True, confirmations=True, saves=True, files=True)
        headers = {"Accept-Encoding": "identity"}
        if options.token is not None:
            headers["Authorization"] = f"Bearer {options.token.get_secret_value()}"
        timeout = httpx.Timeout(options.silence_timeout, connect=options.connect_timeout)
        self._lines = Lines(options.url.rstrip("/"), headers, timeout)

    @property
    def capabilities(self) -> Capabilities:
        """What the platform said of the agent; all, until it was asked (`health`)."""
        return self._abilities

    async def turn(self, request: TurnRequest) -> AsyncGenerator[TurnEvent, None]:
        """Ask the agent; see `PlatformClient`."""
        self._streams.own(request.chat)
        async with aclosing(self._streams.run(request, self._answer(request))) as events:
            async for event in events:
                yield event

    async def answer_confirmation(
        self, chat: ChatRef, confirmation_id: str, accepted: bool, *, request_id: str
    ) -> None:
        """Answer a question of a running turn."""
        body = {"confirmation_id": confirmation_id, "accepted": accepted}
        await self._change(chat, "confirm", body, request_id)

    async def cancel(self, chat: ChatRef, message_id: str, *, request_id: str) -> None:
        """End the work on a message, here and there."""
        await self._change(chat, "cancel", {"message_id": message_id}, request_id)

    async def disconnect_chat(self, chat: ChatRef, *, request_id: str) -> None:
        """Let go of the chat's line, and let the platform do so."""
        try:
            await self._change(chat, "disconnect", {}, request_id)
        finally:
            await self._lines.drop(chat.platform_chat_id)

    async def describe_context(self, chat: ChatRef) -> ContextDescription:
        """Ask what the agent remembers of a chat."""
        return await self._get(self._path(chat), ContextDescription, chat.user_id)

    async def save_context(self, chat: ChatRef, name: str, *, request_id: str) -> SavedContext:
        """Keep the memory of a chat under a name."""
        answer = await self._change(chat, "saves", {"name": name}, request_id)
        return _read(TypeAdapter(SavedContext), answer)

    async def list_contexts(self, user_id: str) -> list[SavedContext]:
        """List the saves of a user, newest first."""
        return await self._get(f"/{VERSION}/saves", list[SavedContext], user_id)

    async def load_context(self, into: ChatRef, save_id: str, *, request_id: str) -> SavedContext:
        """Begin a chat with a save; see `PlatformClient` for what is raised."""
        answer = await self._change(into, "load", {"save_id": save_id}, request_id)
        return _read(TypeAdapter(SavedContext), answer)

    async def forget_user(self, user_id: str, *, request_id: str) -> None:
        """Delete the chats and saves of a user."""
        body = {**self._who(user_id), "request_id": request_id}
        await self._call(_ALL, "POST", f"/{VERSION}/forget", body=body)

    async def health(self) -> Health:
        """Ask for the agents, to see whether this one is there."""
        if self._streams.closed:
            return Health(ok=False, detail="closed")
        try:
            answer = await self._call(_ALL, "GET", f"/{VERSION}/agents", tries=1)
            cards = _read(TypeAdapter(list[AgentCard]), answer)
        except CallFailed as failed:
            said = failed.error.message
            if failed.error.code in ("not_found", "http_404"):
                said = f"nothing speaks the contract at {self._options.url} (no /{VERSION}/agents there)"
            return Health(ok=False, detail=said)
        card = next((card for card in cards if card.id == self._agent), None)
        if card is None:
            known = ", ".join(card.id for card in cards[:10]) or "none"
            return Health(ok=False, detail=f"no agent `{self._agent}` there; there are: {known}")
        self._abilities = Capabilities(dedupes=True, **card.abilities.model_dump())
        return Health(ok=True)

    async def aclose(self) -> None:
        """End the running streams and let go of all lines."""
        self._streams.close()
        await self._lines.aclose()

    # --- a turn -------------------------------------------------------------------------------

    async def _answer(self, request: TurnRequest) -> AsyncGenerator[TurnEvent, None]:
        """Ask, and go on where it broke, until there is an end."""
        if (wait := self._breaker.wait) > 0:
            yield resting(wait)
            return
        clock = asyncio.get_running_loop().time
        place, failures, away_since, began = 0, 0, 0.0, False
        held: Counter[type[TurnEvent]] = Counter()
        try:
            async with asyncio.timeout(self._options.answer_timeout) as limit:
                while True:
                    try:
                        async with aclosing(self._attempt(request, place, again=began)) as events:
                            began = True
                            async for here, event in events:
                                place, failures = here, 0
                                held[type(event)] += length(event)
                                if held[type(event)] > MOST.get(type(event), 1):
                                    await self._give_up(request)
                                    yield too_long(LONGEST)
                                    return
                                # A person may take their time.
                                asked = isinstance(event, ConfirmationAsked)
                                left = clock() + self._options.answer_timeout
                                if asked or limit.when() is None:
                                    limit.reschedule(None if asked else left)
                                yield event
                                if is_end(event):
                                    self._breaker.succeeded()
                                    return
                        raise Away(broken_off())
                    except Away as away:
                        failures += 1
                        away_since = clock() if failures == 1 else away_since
                        pause = max(away.after, min(PAUSE * 2 ** (failures - 1), LONGEST_PAUSE))
                        if clock() + pause - away_since > self._options.reconnect_timeout:
                            self._breaker.failed()
                            yield away.error
                            return
                        log.info("platform.away", agent=self._agent, why=str(away), again_in=pause)
                        await asyncio.sleep(pause)
        except TimeoutError:
            yield PlatformError("timeout", "The agent took too long to answer.", retryable=True)
        except Garbled as error:
            log.warning("platform.garbled", agent=self._agent, why=str(error))
            yield garbled(str(error))
        except CallFailed as refused:
            self._breaker.succeeded()
            yield refused.error

    async def _attempt(
        self, request: TurnRequest, place: int, *, again: bool
    ) -> AsyncGenerator[tuple[int, TurnEvent], None]:
        """Ask once, from a place on.

        Raises:
            Away, CallFailed, Garbled: there is no (further) answer.
        """
        body = {
            **self._who(request.user_id),
            "message_id": request.message_id,
            "text": request.text,
            "attachments": [asdict(file) for file in request.attachments],
        }
        headers = {"Accept": EVENT_STREAM} | ({LAST_EVENT: str(place)} if again else {})
        try:
            async with (
                # Once it has begun it may be silent for longer, as long as there are signs of life.
                asyncio.timeout(None if place else self._options.first_timeout) as first,
                self._lines.line(request.platform_chat_id) as line,
                line.stream(
                    "POST",
                    f"{self._path(request.chat)}/messages",
                    content=_json(body),
                    headers={**headers, "Content-Type": "application/json"},
                ) as response,
            ):
                if response.status_code != 200:
                    raise failure(response, await read_body(response))
                async with aclosing(read_events(response, place)) as events:
                    async for event in events:
                        first.reschedule(None)
                        yield event
        except httpx.HTTPError as error:
            raise Away(unreachable(error)) from error

    async def _give_up(self, request: TurnRequest) -> None:
        """Let the platform stop working on what nobody takes in any more."""
        with suppress(CallFailed, TimeoutError):
            async with asyncio.timeout(self._options.connect_timeout):
                request_id = f"{request.message_id}/too-long"
                await self.cancel(request.chat, request.message_id, request_id=request_id)

    # --- other calls --------------------------------------------------------------------------

    async def _change(
        self, chat: ChatRef, verb: str, body: dict[str, Any], request_id: str
    ) -> bytes:
        self._streams.own(chat)
        whole = {**self._who(chat.user_id), "request_id": request_id, **body}
        path = f"{self._path(chat)}/{verb}"
        return await self._call(chat.platform_chat_id, "POST", path, body=whole)

    async def _get(self, path: str, kind: type[_T], user_id: str) -> _T:
        answer = await self._call(_ALL, "GET", path, params=self._who(user_id))
        return _read(TypeAdapter(kind), answer)

    async def _call(
        self,
        line: str,
        method: str,
        path: str,
        *,
        body: dict[str, Any] | None = None,
        params: dict[str, str] | None = None,
        tries: int = CALL_TRIES,
    ) -> bytes:
        """Make a call that may be repeated.

        Raises:
            CallFailed: the platform refused or could not be reached.
        """
        if (wait := self._breaker.wait) > 0:
            raise CallFailed(resting(wait))
        for number in range(1, tries + 1):
            try:
                answer = await self._once(line, method, path, body, params)
            except Away as away:
                if number < tries:
                    await asyncio.sleep(max(away.after, PAUSE * 2 ** (number - 1)))
                    continue
                self._breaker.failed()
                raise CallFailed(away.error) from away
            except Garbled as error:
                raise CallFailed(garbled(str(error))) from error
            self._breaker.succeeded()
            return answer
        raise AssertionError("at least one try")

    async def _once(
        self,
        line: str,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        params: dict[str, str] | None,
    ) -> bytes:
        content = None if body is None else _json(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            async with (
                asyncio.timeout(self._options.first_timeout),
                self._lines.line(line) as client,
                client.stream(
                    method, path, content=content, params=params, headers=headers
                ) as response,
            ):
                answer = await read_body(response)
        except TimeoutError as error:
            raise Away(silent()) from error
        except httpx.HTTPError as error:
            raise Away(unreachable(error)) from error
        if response.is_success:
            return answer
        raise failure(response, answer)

    def _path(self, chat: ChatRef) -> str:
        return f"/{VERSION}/chats/{self._streams.own(chat).platform_chat_id}"

    def _who(self, user_id: str) -> dict[str, str]:
        return {
            "installation_id": self._installation_id,
            "agent_id": self._agent,
            "user_id": user_id,
        }


def _json(body: dict[str, Any]) -> bytes:
    # Half of a surrogate pair, which a client may have sent, is no text anywhere else.
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


def _read(kind: TypeAdapter[_T], answer: bytes) -> _T:
    try:
        return kind.validate_json(answer)
    except ValidationError as error:
        said = f"{error.error_count()} things in its answer are not what they should be"
    raise CallFailed(garbled(said))
