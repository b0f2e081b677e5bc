"""What lies under a homeserver's root: who it is, and the configuration Synapse starts from.

One rule: what must outlive a start (name, port, secrets, signing key) is written once and read
again; everything else is written anew at each start. Every file here is for its owner only.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

HOST: Final = "127.0.0.1"
ROOT_KEY: Final = "surface.root"
"""Key of the root's id in `/.well-known/matrix/client`: tells this homeserver from another."""

Limits = Literal["none", "default"]
_UNLIMITED: Final = {"per_second": 100_000, "burst_count": 100_000}


class HomeserverError(Exception):
    """The homeserver cannot do what was asked; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes a root the homeserver it is; kept in `homeserver.json`."""

    server_name: str
    port: int
    root_id: str
    registration_secret: str
    macaroon_secret: str
    form_secret: str


def load_identity(root: Path, *, server_name: str, port: int | None) -> Identity:
    """Read who the homeserver in `root` is, or decide it if there was none.

    Args:
        root: its directory, made if missing.
        server_name: what it must be called.
        port: the port it is to have; None keeps its own, or takes a free one the first time.

    Raises:
        HomeserverError: the file is unreadable, or the homeserver has another name.
    """
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = root / "homeserver.json"
    try:
        identity = Identity(**json.loads(path.read_text()))
    except FileNotFoundError:
        identity = Identity(
            server_name=server_name,
            port=port or _free_port(),
            root_id=secrets.token_hex(8),
            registration_secret=secrets.token_urlsafe(32),
            macaroon_secret=secrets.token_urlsafe(32),
            form_secret=secrets.token_urlsafe(32),
        )
    except (OSError, ValueError, TypeError) as error:
        raise HomeserverError(
            f"{path} cannot be read ({error}). It holds this homeserver's port and secrets: "
            f"restore it, or remove {root} and start afresh."
        ) from error
    if identity.server_name != server_name:
        raise HomeserverError(
            f"The homeserver in {root} is called {identity.server_name}, not {server_name}. Its "
            "users bear its name: use that one, or another directory."
        )
    if port is not None:
        identity = replace(identity, port=port)
    write_private(path, json.dumps(asdict(identity), indent=1))
    return identity


def write_config(
    root: Path,
    identity: Identity,
    *,
    limits: Limits,
    sync_cache: bool,
    room_version: str | None,
    settings: Mapping[str, Any],
) -> Path:
    """Write all that Synapse reads at its start; returns the path of its configuration."""
    key = root / "signing.key"
    if not key.exists():
        # The format of Synapse's own key files: algorithm, key version, unpadded base64 seed.
        seed = b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        write_private(key, f"ed25519 a_root {seed}\n")
    config = _fixed(root, identity)
    if not sync_cache:
        config["caches"] = {"sync_response_cache_duration": "0s"}
    if room_version is not None:
        config["default_room_version"] = room_version
    if limits == "none":
        config |= _no_limits()
    config |= settings
    # JSON is YAML.
    write_private(root / "log.yaml", json.dumps(_LOGGING, indent=1))
    write_private(config_path(root), json.dumps(config, indent=1))
    return config_path(root)


def config_path(root: Path) -> Path:
    """Where the configuration of the homeserver in `root` is."""
    return root / "homeserver.yaml"


def write_private(path: Path, text: str) -> None:
    """Replace a file: never half-written, never readable by others, not even for a moment."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.replace(path)


def _fixed(root: Path, identity: Identity) -> dict[str, Any]:
    return {
        "server_name": identity.server_name,
        "public_baseurl": f"http://{HOST}:{identity.port}/",
        "extra_well_known_client_content": {ROOT_KEY: identity.root_id},
        "listeners": [
            {
                "port": identity.port,
                "type": "http",
                "bind_addresses": [HOST],
                "tls": False,
                "resources": [{"names": ["client"], "compress": False}],
            }
        ],
        "database": {"name": "sqlite3", "args": {"database": str(root / "homeserver.db")}},
        "log_config": str(root / "log.yaml"),
        "media_store_path": str(root / "media"),
        "signing_key_path": str(root / "signing.key"),
        "registration_shared_secret": identity.registration_secret,
        "macaroon_secret_key": identity.macaroon_secret,
        "form_secret": identity.form_secret,
        # Alone in the world: no federation, nothing fetched, nothing reported.
        "federation_domain_whitelist": [],
        "trusted_key_servers": [],
        "suppress_key_server_warning": True,
        "report_stats": False,
        "url_preview_enabled": False,
        "push": {"enabled": False},
        # Quick: cheap password hashes, and none of the work nobody here looks at.
        "bcrypt_rounds": 4,
        "enable_search": False,
        "presence": {"enabled": False},
        "user_directory": {"enabled": True, "search_all_users": True},
    }


_LOGGING: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "%(asctime)s %(name)s %(levelname)s %(request)s %(message)s"}
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"level": "WARNING", "handlers": ["stderr"]},
    # Its banner: four warnings at every start.
    "loggers": {"synapse.config.logger": {"level": "ERROR"}},
}

_LIMITS: Final = (
    "rc_message",
    "rc_registration",
    "rc_registration_token_validity",
    "rc_admin_redaction",
    "rc_joins_per_room",
    "rc_3pid_validation",
    "rc_third_party_invite",
    "rc_media_create",
    "rc_key_requests",
    "rc_delayed_event_mgmt",
    "rc_room_creation",
    "rc_reports",
    "rc_user_directory",
)
_LIMITS_BY_KIND: Final = {
    "rc_login": ("address", "account", "failed_attempts"),
    "rc_joins": ("local", "remote"),
    "rc_invites": ("per_room", "per_user", "per_issuer"),
    "rc_presence": ("per_user",),
}


def _no_limits() -> dict[str, Any]:
    limits: dict[str, Any] = dict.fromkeys(_LIMITS, _UNLIMITED)
    for name, kinds in _LIMITS_BY_KIND.items():
        limits[name] = dict.fromkeys(kinds, _UNLIMITED)
    return limits


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
