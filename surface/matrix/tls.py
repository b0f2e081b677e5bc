"""Whether there is TLS where an `https` URL leads.

A server that speaks plain HTTP waits for the end of what it takes for a request line, so whoever greets it
with TLS waits with it, for a minute and more. Asked alone and briefly, it is found out at once.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from urllib.parse import urlsplit

from surface.matrix.api import Lost

HANDSHAKE = 5.0
"""Seconds that a server may take to greet back."""


async def greeted(url: str) -> None:
    """Shake hands with the server of a URL; nothing is done for `http`.

    Raises:
        Lost: it cannot be reached, has no TLS, or cannot prove who it is.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or parts.hostname is None:
        return
    plain = f"no TLS there; is it http://{parts.netloc}?"
    try:
        async with asyncio.timeout(2 * HANDSHAKE):
            _, writer = await asyncio.open_connection(
                parts.hostname,
                parts.port or 443,
                ssl=ssl.create_default_context(),
                ssl_handshake_timeout=HANDSHAKE,
            )
    except ssl.SSLCertVerificationError as error:
        raise Lost(f"its certificate is not trusted: {error.verify_message}") from error
    except (ssl.SSLError, ConnectionAbortedError) as error:
        raise Lost(plain) from error
    except (OSError, TimeoutError) as error:
        raise Lost(str(error) or "no answer") from error
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
