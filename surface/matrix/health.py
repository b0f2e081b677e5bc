"""How the bot's encryption stands, for whoever asks: `/readyz`, metrics, the inspector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass
class CryptoHealth:
    """What is known of it in this process. Written by who finds out, read by anybody."""

    signed: bool | None = None
    """Whether the device is signed by the account's identity; None: not known yet."""
    not_signed_because: str = ""
    canary: Literal["unknown", "ok", "broken"] = "unknown"
    """How the last encrypted round trip to ourselves ended."""
    broken_because: str = ""
    round_trips: int = 0
    """Encrypted round trips to ourselves that came back."""
    undecryptable: int = 0
    """Events that could not be decrypted when they came."""
    keys_asked_for: int = 0
    """Sessions whose key was asked for again."""
    decrypted_late: int = 0
    """Of the undecryptable events: those whose key came in time."""
    given_up: int = 0
    """Of the undecryptable events: those whose sender was asked to send them again, or that were
    for nobody."""

    @property
    def ok(self) -> bool:
        """Whether people's encrypted messages can be read and answered, as far as is known."""
        return self.canary != "broken"
