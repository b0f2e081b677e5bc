"""Cross-signing: the keys by which an account vouches for its devices, and what is signed with them.

Pure (spec, "Cross-signing"). An account has a *master* key, which signs two more: the *self-signing* key,
which signs the account's devices, and the *user-signing* key, which signs other people's master keys (the
bot never does, but clients expect it). nio knows nothing of all this.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Self

from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa

from surface.matrix.secret_storage import from_base64, new_key, unpadded

USAGES = ("master", "self_signing", "user_signing")


def canonical(value: Any) -> bytes:
    """Canonical JSON (spec, appendix): what is signed is the same for everybody."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode()


def signable(value: dict[str, Any]) -> bytes:
    """The part of an object that signatures cover."""
    return canonical({k: v for k, v in value.items() if k not in ("signatures", "unsigned")})


@dataclass(frozen=True, repr=False)
class SigningKey:
    """An Ed25519 key pair, by its seed."""

    seed: bytes

    @property
    def public(self) -> str:
        """The public key, in unpadded base64."""
        return unpadded(self._key().public_key().export_key(format="raw"))

    @property
    def key_id(self) -> str:
        """How signatures name this key."""
        return f"ed25519:{self.public}"

    def signed(self, value: dict[str, Any], user_id: str) -> dict[str, Any]:
        """The object with this key's signature added."""
        signature = unpadded(eddsa.new(self._key(), "rfc8032").sign(signable(value)))
        signatures = dict(value.get("signatures") or {})
        signatures[user_id] = {**signatures.get(user_id, {}), self.key_id: signature}
        return {**value, "signatures": signatures}

    def has_signed(self, value: dict[str, Any], user_id: str) -> bool:
        """Whether an object carries a valid signature of this key."""
        return is_signed(value, user_id, self.public)

    def _key(self) -> ECC.EccKey:
        return ECC.construct(curve="Ed25519", seed=self.seed)


def is_signed(value: dict[str, Any], user_id: str, public: str) -> bool:
    """Whether an object carries a valid signature of this public key."""
    try:
        signature = from_base64(value["signatures"][user_id][f"ed25519:{public}"])
        key = eddsa.import_public_key(from_base64(public))
        eddsa.new(key, "rfc8032").verify(signable(value), signature)
    except (KeyError, TypeError, AttributeError, ValueError):
        return False
    return True


@dataclass(frozen=True, repr=False)
class Identity:
    """The three keys of one account."""

    user_id: str
    master: SigningKey
    self_signing: SigningKey
    user_signing: SigningKey

    @classmethod
    def new(cls, user_id: str) -> Self:
        """A new identity."""
        return cls(user_id, *(SigningKey(new_key()) for _ in USAGES))

    @classmethod
    def of(cls, user_id: str, seeds: dict[str, bytes]) -> Self:
        """The identity of these seeds, by usage."""
        return cls(user_id, *(SigningKey(seeds[usage]) for usage in USAGES))

    @property
    def seeds(self) -> dict[str, bytes]:
        """The private halves, by usage."""
        return {usage: self.key(usage).seed for usage in USAGES}

    def key(self, usage: str) -> SigningKey:
        """One of the keys."""
        found: SigningKey = getattr(self, usage)
        return found

    def public(self) -> dict[str, Any]:
        """What is published: each key with its usage, the two others signed by the master key."""
        body = {}
        for usage in USAGES:
            key = self.key(usage)
            value = {"user_id": self.user_id, "usage": [usage], "keys": {key.key_id: key.public}}
            signed = value if usage == "master" else self.master.signed(value, self.user_id)
            body[f"{usage}_key"] = signed
        return body

    def is_published(self, published: dict[str, str | None]) -> bool:
        """Whether these are the keys that the homeserver names, by usage."""
        # Others' keys are signed with the last one, and it is shown to nobody: the first two decide.
        return all(self.key(usage).public == published.get(usage) for usage in USAGES[:2])


def published_keys(answer: dict[str, Any], user_id: str) -> dict[str, str | None]:
    """The public keys of an account by usage, from the answer to a key query; None where there is none."""
    found: dict[str, str | None] = {}
    for usage in USAGES:
        of_all = answer.get(f"{usage}_keys")
        value = of_all.get(user_id) if isinstance(of_all, dict) else None
        keys = value.get("keys") if isinstance(value, dict) else None
        public = next(iter(keys.values()), None) if isinstance(keys, dict) else None
        found[usage] = public if isinstance(public, str) else None
    return found
