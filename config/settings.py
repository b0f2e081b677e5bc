"""What the operator decides about this installation: `surface.yaml` and `SURFACE_…` variables.

The models say what there is to decide: every attribute's docstring is its documentation, from which
the JSON Schema and the reference are generated. `load_settings` builds them from their
sources. The rule: a `Settings` that exists is complete and usable; everything else is a
`ConfigError` that names the place, the key and what is allowed.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic.config import JsonDict

from config.errors import ConfigError, problems_of, shown_key, shown_path
from config.reading import read_mapping, read_text
from config.section import Allowed, Days, Loc, Megabytes, Seconds, Section, no_bool
from config.sources import (
    Leaf,
    environment_leaves,
    file_leaves,
    nested,
    override_leaves,
    variable_of,
)
from config.values import (
    Homeserver,
    LongToken,
    Mxid,
    MxidGlob,
    Password,
    PathSetting,
    RecoveryKey,
    RoomVersion,
    Token,
    is_loopback,
    is_mxid,
    lowered,
    matches_any,
)

EXAMPLE = "config/surface.example.yaml"
UNREAD = "unread-and-so-refused"


def _without_default(schema: JsonDict) -> None:
    # The default depends on `user_id`; an editor must not offer the model's own.
    schema.pop("default", None)


class Access(Section):
    """Who may talk to the bot: patterns over full Matrix user ids, `*` and `?` as wildcards."""

    allow: tuple[MxidGlob, ...] = Field(default=(), json_schema_extra=_without_default)
    """People who may use the bot. Default: everyone on the bot's own homeserver. An empty list
    allows no one."""

    deny: tuple[MxidGlob, ...] = ()
    """People who may not, whatever `allow` says."""

    admins: tuple[MxidGlob, ...] = ()
    """People who may also use the operators' commands; they must be allowed as well."""

    def permits(self, mxid: str) -> bool:
        """Whether this person may use the bot. `deny` wins over `allow`."""
        return not matches_any(mxid, self.deny) and matches_any(mxid, self.allow)

    def is_admin(self, mxid: str) -> bool:
        """Whether this person may use the bot and the operators' commands."""
        return self.permits(mxid) and matches_any(mxid, self.admins)


class Ops(Section):
    """Where health, metrics and the inspector are served."""

    host: Annotated[str, Allowed("a host name or an address such as 127.0.0.1")] = Field(
        default="127.0.0.1", pattern=r"^[0-9A-Za-z.:_-]+$"
    )
    """The address to listen on. 127.0.0.1 reaches this machine only, 0.0.0.0 everyone."""

    port: Annotated[int, BeforeValidator(no_bool)] = Field(default=8009, ge=0, le=65535)
    """The TCP port to listen on; 0 lets the system choose a free one."""

    inspector: bool = False
    """Whether `/inspector` is served: a page that shows what lives, and changes nothing. It needs a token,
    and a `host` that only this machine reaches."""

    inspector_token: LongToken | None = None
    """What a browser must show to see the inspector; 16 characters or more."""

    inspector_token_file: PathSetting | None = None
    """A file with that token; white space around it is ignored. Always empty after loading."""

    @model_validator(mode="after")
    def _only_for_this_machine(self) -> Self:
        if not self.inspector:
            return self
        if not is_loopback(self.host):
            raise ValueError(
                "`inspector` is served to this machine only, and `host` is not; set `host` to 127.0.0.1, "
                "and reach it from elsewhere through `ssh -L`"
            )
        if self.inspector_token is None and self.inspector_token_file is None:
            raise ValueError("`inspector` needs `inspector_token` or `inspector_token_file`")
        return self


class Answers(Section):
    """How an answer appears while the agent is still working on it."""

    placeholder_after: Seconds = Field(default=1.0, ge=0, le=60)
    """Seconds of silence from the agent before a placeholder message is sent."""

    edit_every: Seconds = Field(default=1.5, ge=0.1, le=60)
    """Seconds between the first two edits of a growing answer. Each later interval is a quarter longer;
    while the homeserver limits the bot, nothing is edited in between at all."""

    edits: Annotated[int, BeforeValidator(no_bool)] = Field(default=20, ge=0, le=500)
    """Most edits of one growing answer; the last one, with the complete text, comes on top."""


class Limits(Section):
    """How much one person may ask of the bot."""

    rooms: Annotated[int, BeforeValidator(no_bool)] = Field(default=50, ge=1, le=10_000)
    """Chat rooms of one person, archived ones included."""

    waiting: Annotated[int, BeforeValidator(no_bool)] = Field(default=200, ge=1, le=1_000)
    """Messages of one person that wait for an answer at one time."""

    per_minute: Annotated[int, BeforeValidator(no_bool)] = Field(default=200, ge=1, le=10_000)
    """Messages of one person within a minute, commands included."""


class Files(Section):
    """Files that people send, which the agents find in the workspace."""

    max_incoming: Megabytes = Field(default=100, ge=0, le=1_000_000)
    """Megabytes (of 1,000,000 bytes) that one file may have; 0 takes none."""

    quota_per_user: Megabytes = Field(default=1_000, ge=0, le=1_000_000_000)
    """Megabytes that all files of one person may have together. What is older than `keep_days` is gone,
    and does not count."""

    keep_days: Days = Field(default=30, ge=0, le=36_500)
    """Days after which a file is deleted from the inbox; 0 keeps them for ever. The message stays as
    it is."""

    tray_timeout: Seconds = Field(default=900, ge=1, le=86_400)
    """Seconds that a file sent without words waits for the message it belongs to."""


class CatchUp(Section):
    """What becomes of messages and invites that came while the bot was not running. What it had taken up
    before is always finished."""

    mode: Annotated[Literal["answer", "latest", "skip"], BeforeValidator(lowered)] = "answer"
    """`answer`: all are answered, in order. `latest`: of each room only the last message. `skip`: none.
    What is not answered is told once in each room, with the number of messages; a command is a message
    like any other, and an invite that is skipped is declined."""

    max_age: Seconds = Field(default=86_400, ge=0, le=31_536_000)
    """Seconds after which a message or invite is too old to be answered, by the homeserver's clock."""


class Log(Section):
    """What is logged, and how."""

    level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(lowered)] = (
        "info"
    )
    """The least important level that is still logged."""

    format: Literal["auto", "json", "console"] = "auto"
    """`console` for people, `json` for machines; `auto` is console on a terminal, else json."""

    ids: Annotated[Literal["plain", "hashed"], BeforeValidator(lowered)] = "plain"
    """Whether ids of people, rooms and events are logged as they are, or as hashes that only this
    installation can make."""


@dataclass(frozen=True)
class PasswordLogin:
    """Log in with a password; the session is kept, so this happens once."""

    password: SecretStr
    device_id: str | None


@dataclass(frozen=True)
class TokenLogin:
    """Use a session that exists already."""

    access_token: SecretStr
    device_id: str


class Settings(Section):
    """All that the operator decides, apart from the agents."""

    homeserver: Homeserver
    """The homeserver's client URL (http or https), as this program reaches it."""

    user_id: Mxid
    """The bot's full Matrix user id."""

    password: Password | None = None
    """The bot's password. One of `password`, `password_file`, `access_token` and
    `access_token_file` is required."""

    password_file: PathSetting | None = None
    """A file with the password; white space around it is ignored. Always empty after loading."""

    access_token: Token | None = None
    """An access token of the bot's account, instead of a password; needs `device_id`."""

    access_token_file: PathSetting | None = None
    """A file with the access token; white space around it is ignored. Always empty after
    loading."""

    device_id: Annotated[str, Allowed("text without spaces, in quotes")] | None = Field(
        default=None, pattern=r"^[\x21-\x7e]{1,255}$"
    )
    """The device the access token belongs to. With a password: the device to log in as; left out,
    the homeserver names one."""

    recovery_key: RecoveryKey | None = None
    """The recovery key of the bot's account: it opens the keys by which the bot vouches for its
    devices, and is needed when `state_dir` is lost. Left out, the first start makes one and shows it,
    once."""

    recovery_key_file: PathSetting | None = None
    """A file with the recovery key; white space around it is ignored. Always empty after loading."""

    pickle_key: Password | None = None
    """Encrypts the bot's keys on the disk. Left out, one is made and kept beside them."""

    pickle_key_file: PathSetting | None = None
    """A file with the pickle key; white space around it is ignored. Always empty after loading."""

    state_dir: PathSetting = Path("state")
    """Directory of what must survive: the database and the encryption keys."""

    workspace_dir: PathSetting = Path("agents")
    """Directory shared with the agents, through which files come and go."""

    agents: PathSetting = Path("agents.yaml")
    """The file that lists the agents."""

    locale: Literal["en", "ru"] = "en"
    """The language of the bot's own texts for people who have not chosen one."""

    encryption: bool = True
    """Whether new rooms are end-to-end encrypted. An encrypted room stays so."""

    room_version: RoomVersion | None = None
    """The room version of new rooms. Default: the homeserver's own."""

    access: Access = Access()
    """Who may talk to the bot."""

    ops: Ops = Ops()
    """Where health, metrics and the inspector are served."""

    answers: Answers = Answers()
    """How an answer appears while the agent is still working on it."""

    limits: Limits = Limits()
    """How much one person may ask of the bot."""

    files: Files = Files()
    """Files that people send, which the agents find in the workspace."""

    catch_up: CatchUp = CatchUp()
    """What becomes of messages and invites that came while the bot was not running."""

    dialog_timeout: Seconds = Field(default=300, ge=1, le=86400)
    """Seconds after which an unanswered question or list of choices is withdrawn."""

    shutdown_grace: Seconds = Field(default=20, ge=0, le=600)
    """Seconds that running answers get to finish when the program is told to stop. What does not
    finish is answered after the next start."""

    log: Log = Log()
    """What is logged, and how."""

    @property
    def server_name(self) -> str:
        """The server part of the bot's user id."""
        return self.user_id.partition(":")[2]

    @property
    def login(self) -> PasswordLogin | TokenLogin:
        """The one way to log in."""
        if self.access_token is not None and self.device_id is not None:
            return TokenLogin(self.access_token, self.device_id)
        assert self.password is not None  # the validator saw to it
        return PasswordLogin(self.password, self.device_id)

    @model_validator(mode="before")
    @classmethod
    def _allow_the_own_homeserver(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        user_id, access = data.get("user_id"), data.get("access", {})
        if isinstance(access, Access):
            access = access.model_dump(exclude_unset=True)
        if not isinstance(access, dict) or "allow" in access:
            return data
        if not isinstance(user_id, str) or not is_mxid(user_id):
            return data
        own = f"@*:{user_id.partition(':')[2]}"
        return {**data, "access": {**access, "allow": (own,)}}

    @model_validator(mode="after")
    def _one_way_to_log_in(self) -> Self:
        given = {name for name in (*_WAYS, "device_id") if getattr(self, name) is not None}
        if problem := _login_problem(given):
            raise ValueError(problem)
        if any(reduce(getattr, _file_of(secret), self) is not None for secret in SECRETS):
            raise ValueError("a secret's file is only read by `load_settings`")
        return self


_WAYS = ("password", "password_file", "access_token", "access_token_file")
_KEYS: tuple[tuple[str, ...], ...] = (
    ("recovery_key",),
    ("pickle_key",),
    ("ops", "inspector_token"),
)
SECRETS: tuple[tuple[str, ...], ...] = (("password",), ("access_token",), *_KEYS)
"""Where the settings hold what nobody else is to read."""


def _file_of(secret: tuple[str, ...]) -> tuple[str, ...]:
    """The key that names the file of a secret."""
    return (*secret[:-1], f"{secret[-1]}_file")


_FOLDERS = ("state_dir", "workspace_dir", "agents")
_PATHS: frozenset[Loc] = frozenset((*map(_file_of, SECRETS), *((folder,) for folder in _FOLDERS)))


def load_settings(
    path: Path | None,
    environ: Mapping[str, str] = os.environ,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Build the settings from all their sources.

    The stronger source wins, key by key: `overrides`, then variables `SURFACE_…` (groups with
    `__`: `SURFACE_OPS__PORT`; lists as JSON or separated by commas; empty means not set), then the
    secrets' files named by `SURFACE_…_FILE`, then the YAML file. The way to log in is taken as a
    whole from the strongest source that names one. A relative path counts from where it is
    written: from the directory of the YAML file, else from the working directory.

    Args:
        path: the YAML file, or None for none.
        environ: the environment.
        overrides: nested like the YAML file, e.g. from command line options; None means not given.

    Raises:
        ConfigError: with every problem found.
    """
    values = read_mapping(path, example=EXAMPLE) if path is not None else {}
    name = "environment" if path is None else shown_path(path)
    base = Path.cwd() if path is None else path.absolute().parent
    problems: list[str] = []

    from_file, found = file_leaves(Settings, values, label=name, base=base)
    problems += found
    from_environment, found = environment_leaves(Settings, environ, base=Path.cwd())
    problems += found
    for secret in SECRETS:
        if secret in from_environment:
            from_environment.pop(_file_of(secret), None)
    from_overrides, found = override_leaves(Settings, overrides or {}, base=Path.cwd())
    problems += found

    leaves: dict[Loc, Leaf] = {}
    for source in (from_file, from_environment, from_overrides):
        if any((way,) in source for way in _WAYS):
            for way in _WAYS:
                leaves.pop((way,), None)
        for secret in _KEYS:
            both: tuple[Loc, Loc] = (secret, _file_of(secret))
            if all(loc in source for loc in both):
                one, other = (shown_key(loc) for loc in both)
                problems.append(
                    f"{source[both[0]].label}: {one} and {other} are given together; keep one"
                )
            if any(loc in source for loc in both):
                for loc in both:
                    leaves.pop(loc, None)
        leaves.update(source)
    for key in _FOLDERS:
        default = Settings.model_fields[key].default
        leaves.setdefault((key,), Leaf(str(default), name, base))
    leaves = {loc: _rooted(leaf) if loc in _PATHS else leaf for loc, leaf in leaves.items()}

    given = {way for way in (*_WAYS, "device_id") if (way,) in leaves}
    if problem := _login_problem(given):
        problems.append(f"{name}: {problem}")
    else:
        problems += _read_secret_files(leaves)

    settings, found = _validated(leaves, name)
    problems += found
    if settings is None or problems:
        raise ConfigError(problems)
    return settings


def _validated(leaves: Mapping[Loc, Leaf], name: str) -> tuple[Settings | None, list[str]]:
    def place(loc: Loc) -> str:
        while loc and loc not in leaves:
            loc = loc[:-1]
        return leaves[loc].label if loc else name

    # The error is translated outside of `except`, so that no traceback leads to pydantic's.
    try:
        return Settings.model_validate(nested(leaves)), []
    except ValidationError as caught:
        error = caught
    return None, problems_of(
        error, Settings, place, way_out=lambda loc: f" (or set {variable_of(loc)})"
    )


def _read_secret_files(leaves: dict[Loc, Leaf]) -> list[str]:
    """Replace `password_file` by `password`, and so on; return what went wrong."""
    problems: list[str] = []
    for secret in SECRETS:
        leaf = leaves.get(_file_of(secret))
        if leaf is None or not isinstance(leaf.value, Path):
            continue
        text = ""
        where = f"{leaf.label}: {shown_key(_file_of(secret))}"
        try:
            text = read_text(leaf.value).strip()
            if not text:
                problems.append(f"{where}: {shown_path(leaf.value)}: is empty; write the secret")
        except ConfigError as error:
            problems += [f"{where}: {problem}" for problem in error.problems]
        del leaves[_file_of(secret)]
        # After a problem any value will do: the settings are refused, for that reason alone.
        leaves[secret] = Leaf(text or UNREAD, where, leaf.base)
    return problems


def _rooted(leaf: Leaf) -> Leaf:
    if isinstance(leaf.value, Path):
        return Leaf(leaf.base / leaf.value, leaf.label, leaf.base)
    if not isinstance(leaf.value, str) or not leaf.value.strip() or not leaf.value.isprintable():
        return leaf  # for the validator to refuse
    expanded = os.path.expanduser(leaf.value)  # noqa: PTH111  Path's raises without a home
    return Leaf(leaf.base / expanded, leaf.label, leaf.base)


def _login_problem(given: set[str]) -> str | None:
    ways = [way for way in _WAYS if way in given]
    if not ways:
        return (
            "no way to log in is given; give one of `password`, `password_file` "
            "(or set SURFACE_PASSWORD or SURFACE_PASSWORD_FILE), "
            "`access_token`, `access_token_file` (with `device_id`)"
        )
    if len(ways) > 1:
        named = " and ".join(f"`{way}`" for way in ways)
        return f"{named} are given together; allowed: one way to log in"
    if ways[0].startswith("access_token") and "device_id" not in given:
        return f"`{ways[0]}` needs `device_id`: give the device the token belongs to"
    return None
