"""How the effects of a decision are called in the outbox, and on their way to the homeserver.

One rule: a name says where the effect comes from, so that the same decision, taken again, names the same
effects. Whoever has to know a name asks here.
"""

from __future__ import annotations

from hashlib import blake2b


def effect_key(cause: str, number: int = 0) -> str:
    """The outbox key of one effect of a decision; `number` counts them from 0."""
    return f"{cause}/{number}"


def placing(turn_id: str) -> str:
    """The decision that a turn's answer gets a placeholder: its first effect is that."""
    return f"{turn_id}/placeholder"


def ending(turn_id: str) -> str:
    """The decision with which a turn ends by itself: its first effect is the last words."""
    return f"{turn_id}/final"


def settling(key: str) -> str:
    """The decision on what an effect has come to."""
    return f"{key}!"


def transaction(key: str) -> str:
    """The transaction id under which an effect is sent, always the same."""
    return "s" + blake2b(key.encode(), digest_size=12).hexdigest()
