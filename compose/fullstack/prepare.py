"""Makes the secrets of the full stack, each once: what is there is never changed.

Everything else of the stack reads them from one volume, so `docker compose up` needs nothing beforehand.
"""

import secrets
from base64 import b64encode
from pathlib import Path

SECRETS, SYNAPSE = Path("/state"), Path("/agents")
NAMES = (
    "admin_password",
    "bot_password",
    "form_secret",
    "macaroon_secret",
    "platform_token",
    "registration_secret",
)


def keep(path: Path, text: str) -> None:
    """Write a file if it is not there, whole or not at all."""
    if path.exists():
        return
    draft = path.with_name(f".{path.name}")
    draft.write_text(text)
    draft.chmod(0o600)
    draft.rename(path)
    print(f"made {path.name}")


for name in NAMES:
    keep(SECRETS / name, secrets.token_urlsafe(32))
# The format of Synapse's own key files: algorithm, key version, unpadded base64 seed.
seed = b64encode(secrets.token_bytes(32)).decode().rstrip("=")
keep(SYNAPSE / "signing.key", f"ed25519 a_full {seed}\n")
(SYNAPSE / "media").mkdir(exist_ok=True)
