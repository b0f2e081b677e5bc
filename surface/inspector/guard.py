"""Who may look at the inspector: this machine's own user, in a page of ours, with the token.

The port listens on a loopback address (`config.settings.Ops` sees to it), which other *pages* of the same
browser can reach too. So a request whose `Host` is no loopback name is refused, or a name that is made to
point here (DNS rebinding) would be an origin of its own with access; the token travels in a header that no
other origin can set without being asked first (there is no CORS here, so they are told no), and never in an
address, where it would stay in a history or a log.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware
from pydantic import SecretStr

from config.values import is_loopback

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""On every answer. With trusted types and none of them, the page's own code cannot write HTML from text."""
GUARDED: Final = "/inspector/api/"
"""What is under this needs the token; the rest is the same for everybody: the page, and the diagrams."""
KINDS: Final = {".svg": "image/svg+xml", ".css": "text/css", ".js": "text/javascript"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def is_here(host: str) -> bool:
    """Whether a request's `Host` names this machine by a loopback name."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises ValueError when it is no port
    except ValueError:
        return False
    return not parts.path and parts.username is None and is_loopback(parts.hostname or "")


def may_look(authorization: str, token: SecretStr) -> bool:
    """Whether the token was shown; takes as long whatever was."""
    shown = authorization.removeprefix("Bearer ") if authorization.startswith("Bearer ") else ""
    # What is no UTF-8 comes as surrogates.
    given = shown.encode("utf-8", "surrogateescape")
    return hmac.compare_digest(given, token.get_secret_value().encode())


def guarding(token: SecretStr) -> Middleware:
    """What every request passes first."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_here(request.headers.get("Host", "")):
            raise web.HTTPMisdirectedRequest(text="not here\n")
        if request.method != "GET":
            raise web.HTTPMethodNotAllowed(request.method, ("GET",))
        if request.path.startswith(GUARDED):
            if not may_look(request.headers.get("Authorization", ""), token):
                raise web.HTTPUnauthorized(text="no\n")
        return await handler(request)

    return guard


async def with_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Put the headers on an answer that is about to leave."""
    response.headers.update(HEADERS)
    response.headers.setdefault(
        "Cache-Control", "no-store" if request.path.startswith(GUARDED) else "no-cache"
    )
