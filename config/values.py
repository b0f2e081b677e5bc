"""The kinds of values settings have: URLs, Matrix ids and patterns over them, paths, secrets.

Each kind is a type that validates and says what it allows. The rule: a validator raises a bare
`ValueError`; the words are `Allowed`'s, so that no message can quote a value by accident.
"""

import functools
import re
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, WithJsonSchema

from config.section import Allowed

# Matrix spec, "Server name" and "User identifiers" (with the historical localparts).
_SERVER = r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z.-]{1,255})(?::[0-9]{1,5})?"
_MXID = re.compile(rf"@[\x21-\x39\x3b-\x7e]+:{_SERVER}")
_MXID_GLOB = re.compile(r"@[\x21-\x7e]{1,254}")
_ROOM_VERSION = re.compile(r"[a-z0-9.-]{1,32}")


def is_mxid(value: str) -> bool:
    """Whether this is a full Matrix user id."""
    return len(value) <= 255 and _MXID.fullmatch(value) is not None


def _mxid(value: str) -> str:
    if not is_mxid(value):
        raise ValueError
    return value


def _mxid_glob(value: str) -> str:
    if not _MXID_GLOB.fullmatch(value):
        raise ValueError
    return value


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on this host."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _homeserver(value: str) -> str:
    parts = urlsplit(value)
    _ = parts.port  # raises ValueError when it is no port
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or "@" in parts.netloc
        or parts.query
        or parts.fragment
        or re.search(r"[\s\x00-\x1f\x7f]", value)
    ):
        raise ValueError
    return value.rstrip("/")


def _usable_path(value: object) -> object:
    text = str(value) if isinstance(value, Path) else value
    if isinstance(text, str) and (not text.strip() or not text.isprintable()):
        raise ValueError
    return value


def _room_version(value: object) -> object:
    # `room_version: 12` is a number in YAML, and no one's mistake.
    text = str(value) if type(value) is int and 0 < value < 1000 else value
    if isinstance(text, str) and not _ROOM_VERSION.fullmatch(text):
        raise ValueError
    return text


def lowered(value: object) -> object:
    """Take a word in capitals for the same word in small letters."""
    return value.lower() if isinstance(value, str) else value


def _secret(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().strip():
        raise ValueError
    return value


def _token(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[\x21-\x7e]+", value.get_secret_value()):
        raise ValueError
    return value


def _long_token(value: SecretStr) -> SecretStr:
    if len(_token(value).get_secret_value()) < 16:
        raise ValueError
    return value


def _recovery_key(value: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[1-9A-HJ-NP-Za-km-z\s]{40,100}", value.get_secret_value()):
        raise ValueError
    return value


Homeserver: TypeAlias = Annotated[
    str,
    AfterValidator(_homeserver),
    Field(json_schema_extra={"pattern": "^https?://"}),
    Allowed("an http or https URL without a user, such as http://localhost:8008"),
]
Mxid: TypeAlias = Annotated[
    str,
    AfterValidator(_mxid),
    Field(json_schema_extra={"pattern": "^@[^:]+:.+$"}),
    Allowed("a full Matrix user id such as @lambda:example.org"),
]
MxidGlob: TypeAlias = Annotated[
    str,
    AfterValidator(_mxid_glob),
    Field(json_schema_extra={"pattern": "^@."}),
    Allowed("a Matrix user id that begins with @, where * and ? may stand, such as @*:example.org"),
]
PathSetting: TypeAlias = Annotated[Path, BeforeValidator(_usable_path), Allowed("a path")]
Password: TypeAlias = Annotated[
    SecretStr, AfterValidator(_secret), Allowed("text that is not empty, in quotes")
]
Token: TypeAlias = Annotated[
    SecretStr, AfterValidator(_token), Allowed("text without spaces, in quotes")
]
LongToken: TypeAlias = Annotated[
    SecretStr,
    AfterValidator(_long_token),
    Allowed("text without spaces of at least 16 characters, in quotes"),
]
RecoveryKey: TypeAlias = Annotated[
    SecretStr,
    AfterValidator(_recovery_key),
    Allowed("twelve groups of four letters and digits, in quotes"),
]
RoomVersion: TypeAlias = Annotated[
    str,
    BeforeValidator(_room_version),
    Allowed('a room version of your homeserver, such as "12"'),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}]}),
]


@functools.lru_cache(maxsize=1024)
def _glob(pattern: str) -> re.Pattern[str]:
    # Only * and ? are special, as in Matrix: `[` belongs to IPv6 server names.
    parts = (
        ".*" if part.startswith("*") else "." if part == "?" else re.escape(part)
        for part in re.findall(r"\*+|\?|[^*?]+", pattern)
    )
    return re.compile("".join(parts), re.DOTALL)


def matches_any(mxid: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns (`*` any characters, `?` one) covers the whole id."""
    return any(_glob(pattern).fullmatch(mxid) for pattern in patterns)
