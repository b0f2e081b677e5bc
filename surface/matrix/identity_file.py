"""The bot's cross-signing identity on the disk: `matrix_store/identity.json`, sealed with the pickle key."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import structlog

from surface.matrix.cross_signing import USAGES, Identity
from surface.matrix.secret_storage import SealBroken, seal, unseal

log = structlog.get_logger()

FILE = "identity.json"
_RECOVERY = "recovery_key"


@dataclass(frozen=True, repr=False)
class Kept:
    """The identity as it is kept."""

    identity: Identity
    recovery_key: bytes | None = None
    """Until secret storage holds everything and the key has been shown; then None."""


def load(folder: Path, user_id: str, pickle_key: str) -> Kept | None:
    """What is kept; None if nothing, of another account, or sealed with another key."""
    file, key = folder / FILE, pickle_key.encode()
    try:
        told = json.loads(file.read_text())
        if told["user_id"] != user_id:
            return None
        sealed = told["sealed"]
        seeds = {usage: unseal(key, usage, sealed[usage]) for usage in USAGES}
        recovery = unseal(key, _RECOVERY, sealed[_RECOVERY]) if _RECOVERY in sealed else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, SealBroken) as error:
        log.warning("identity.not_read", file=str(file), why=str(error))
        return None
    return Kept(Identity.of(user_id, seeds), recovery)


def keep(folder: Path, kept: Kept, pickle_key: str) -> None:
    """Write it, whole or not at all, readable by the owner only.

    Raises:
        OSError: the folder cannot be written.
    """
    secrets = dict(kept.identity.seeds)
    if kept.recovery_key is not None:
        secrets[_RECOVERY] = kept.recovery_key
    sealed = {name: seal(pickle_key.encode(), name, value) for name, value in secrets.items()}
    partial = folder / f"{FILE}.new"
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        json.dump({"v": 1, "user_id": kept.identity.user_id, "sealed": sealed}, out, indent=1)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(folder / FILE)


def seal_anew(folder: Path, user_id: str, old_key: str, pickle_key: str) -> None:
    """Seal it with another pickle key; done already is no error.

    Raises:
        OSError: the folder cannot be written.
    """
    if (folder / FILE).exists() and (kept := load(folder, user_id, old_key)) is not None:
        keep(folder, kept, pickle_key)
