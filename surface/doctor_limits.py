"""What `surface check` finds out about the homeserver's limits for the bot's account: from the bot itself.

A homeserver tells nobody but its admins how it limits an account, and whatever would try it out spends what
the bot has to spend: on Synapse also requests that come to nothing are counted. So nothing is tried; the
running bot knows how often it was put off.
"""

from __future__ import annotations

from collections.abc import Mapping

from config import Settings
from surface.finding import Finding, Level
from surface.ops.client import Away, ask
from surface.terminal import Failure

LIFT: Mapping[str, str] = {
    "create": "raise `rc_room_creation`",
    "join": "raise `rc_joins`",
    "invite": "raise `rc_invites`",
}
"""What else limits requests of a kind on Synapse."""


def limits(settings: Settings) -> Finding:
    """Whether the homeserver has put the running bot off."""
    try:
        told = ask(settings.state_dir, "/status")
    except Away:
        return _finding("ok", "known while the bot runs only: `surface check` beside it tells")
    except Failure as error:
        return _finding("warn", f"not told: {error}", "run this as the bot's user")
    counts = {kind: int(count) for kind, count in told.get("limited", {}).items() if count}
    since = f"since the bot's start {told['uptime'] / 60:,.0f} min ago"
    if not counts:
        return _finding("ok", f"nothing was put off {since}")
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(counts.items()))
    ways = ["lift the limits of its account (Synapse: `override_ratelimit`, see compose/README.md)"]
    ways += [LIFT[kind] for kind in sorted(counts) if kind in LIFT]
    found = f"{sum(counts.values()):,} requests were put off {since} ({kinds}): answers come late"
    return _finding("warn", found, "; ".join(ways))


def _finding(level: Level, found: str, to_do: str = "") -> Finding:
    return Finding(level, "rate limits", found, to_do)
