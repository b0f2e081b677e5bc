"""What is wrong before anything starts: one clear message, exit code 1, and nothing written."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from store import TinyStore
from tests.rig.cli import AGENTS, NOWHERE, Installation


@pytest.fixture
def here(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def _untouched(here: Installation, *words: str) -> str:
    """The complaint of a command that must not have written anything."""
    before = here.tree()
    said = here.complaint(*words)
    assert here.tree() == before
    return said


def _session(here: Installation, **changes: Any) -> Path:
    folder = here.state_dir / "matrix_store"
    folder.mkdir(parents=True)
    session = {
        "homeserver": NOWHERE,
        "user_id": "@lambda:localhost",
        "device_id": "D",
        "access_token": "syt_token",
        "pickle_key": "key",
    }
    file = folder / "session.json"
    file.write_text(json.dumps(session | changes))
    return file


@pytest.mark.parametrize("command", ["run", "login"])
def test_no_settings_at_all(tmp_path: Path, command: str) -> None:
    here = Installation(tmp_path)
    (tmp_path / "surface.yaml").unlink()
    said = _untouched(here, command)
    assert "`homeserver` is missing" in said
    assert "`user_id` is missing" in said
    assert f"there is no surface.yaml in {tmp_path}" in said
    assert "config/surface.example.yaml" in said


@pytest.mark.parametrize("command", ["run", "login"])
def test_the_named_settings_are_missing(here: Installation, command: str) -> None:
    said = _untouched(here, command, "--config", "elsewhere.yaml")
    assert said.startswith("elsewhere.yaml: no such file; copy config/surface.example.yaml")


def test_settings_from_the_environment(here: Installation) -> None:
    here.env = {"SURFACE_CONFIG": "elsewhere.yaml"}
    assert _untouched(here, "run").startswith("elsewhere.yaml: no such file")


def test_a_recovery_key_that_is_none(here: Installation) -> None:
    """Whoever has set it relies on it: it is not found out on the day it is needed."""
    here.write(recovery_key="EsTc LW2K PGiF wKEA 3As5 g5c4 BXwk qeeJ ZJV8 Q9fu gUMN UE4e")
    assert _untouched(here, "run") == (
        "`recovery_key` cannot be read: a letter in it is wrong; correct it, or leave it out"
    )


def test_a_directory_in_the_place_of_the_settings(here: Installation) -> None:
    (here.root / "conf").mkdir()
    assert _untouched(here, "run", "-c", "conf").startswith("conf: is a directory, not a file")


def test_a_directory_in_the_place_of_the_agents(here: Installation) -> None:
    (here.root / "agents.yaml").unlink()
    (here.root / "agents.yaml").mkdir()
    assert _untouched(here, "run").startswith("agents.yaml: is a directory, not a file")


def test_settings_that_are_no_text(here: Installation) -> None:
    (here.root / "surface.yaml").write_bytes(b"homeserver: \xff\xfe\n")
    said = _untouched(here, "run")
    assert said == "surface.yaml: line 1: is not UTF-8 text; save the file as UTF-8"


def test_an_unknown_key(here: Installation) -> None:
    here.write(homserver="http://x")
    said = _untouched(here, "run")
    assert "surface.yaml" in said
    assert "`homserver`" in said
    assert "`homeserver`" in said  # did you mean


def test_an_unknown_key_in_the_environment(here: Installation) -> None:
    here.env = {"SURFACE_LOCAL": "en"}
    said = _untouched(here, "run")
    assert "SURFACE_LOCAL" in said
    assert "SURFACE_LOCALE" in said


def test_markup_in_a_name_is_shown_as_it_is(here: Installation) -> None:
    here.write(locale="[red]en[/red]")
    assert "[red]en[/red]" in _untouched(here, "run")


@pytest.mark.parametrize(
    ("agents", "words"),
    [
        (
            {"agents": [{"id": "a", "name": "A", "adapter": "ecko"}]},
            ("agents.yaml: agent `a` has adapter `ecko`", "allowed: echo", "did you mean `echo`"),
        ),
        (
            {"agents": [{"id": "a", "name": n, "adapter": "echo"} for n in "AB"]},
            ("agents.yaml: more than one agent has the id `a`: entries 1 and 2",),
        ),
        (
            {"agents": [{"id": "a", "name": "A", "adapter": "echo", "speed": 1}]},
            ("agents.yaml: agent `a`", "`speed`"),
        ),
        (
            {**AGENTS, "default": "eco"},
            ("agents.yaml: `default` is `eco`, which is no agent here", "`echo`"),
        ),
        ({"agents": []}, ("agents.yaml", "at least one agent")),
    ],
)
def test_a_wrong_registry(
    here: Installation, agents: dict[str, Any], words: tuple[str, ...]
) -> None:
    here.write(agents)
    said = _untouched(here, "run")
    for word in words:
        assert word in said


@pytest.mark.parametrize("command", ["run", "login"])
def test_an_unreachable_homeserver(here: Installation, command: str) -> None:
    said = _untouched(here, command)
    assert said.startswith(f"homeserver {NOWHERE} cannot be reached:")
    assert "Check `homeserver`" in said


@pytest.mark.parametrize("command", ["run", "login"])
def test_a_state_directory_below_a_file(here: Installation, command: str) -> None:
    (here.root / "file").write_text("")
    here.write(state_dir="file/state", access_token="t", device_id="D", password=None)
    if command == "login":
        here.write(access_token=None, device_id=None, password="secret words")
    said = _untouched(here, command)
    if command == "run":
        assert str(here.root / "file/state") in said
        assert "set another state_dir" in said
    else:  # the login comes first, and fails here
        assert NOWHERE in said


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        ({"workspace_dir": "state/agents", "state_dir": "state"}, "the agents see the bot's keys"),
        ({"workspace_dir": ".", "state_dir": "state"}, "which the agents can read"),
    ],
)
def test_keys_in_reach_of_the_agents(
    here: Installation, folders: dict[str, str], words: str
) -> None:
    here.write(**folders)
    said = _untouched(here, "run")
    assert words in said and "to a directory beside it" in said


@pytest.mark.parametrize("command", ["run", "login"])
def test_a_state_directory_in_use(here: Installation, command: str) -> None:
    _session(here)
    store = TinyStore.open(here.state_dir / "lambda_matrix.db")
    try:
        said = _untouched(here, command)
    finally:
        store._close()
        store._writer.shutdown()
    assert said.startswith(f"{here.state_dir} is in use by another surface (process ")
    assert "Stop it first" in said


def _newer(db: sqlite3.Connection) -> None:
    db.execute(
        "update documents set json = ? where tbl = 'meta' and key = 'schema'",
        ['{"rev": 1, "v": 1, "version": 99}'],
    )


def _foreign(db: sqlite3.Connection) -> None:
    db.execute("drop table documents")
    db.execute("create table theirs(x)")


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (_newer, ("written by a newer surface (schema 99", "Run the newer version")),
        (_foreign, ("belongs to another program", "Move it away")),
    ],
)
@pytest.mark.parametrize("command", ["run", "check"])
def test_a_database_that_cannot_be_used(
    here: Installation,
    harm: Callable[[sqlite3.Connection], None],
    words: tuple[str, ...],
    command: str,
) -> None:
    _session(here)
    file = _database(here)
    with closing(sqlite3.connect(file)) as db, db:
        harm(db)
    _complains_of(here, file, words, command)


def test_a_document_of_a_newer_version(here: Installation) -> None:
    file = _database(here)
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("insert into documents values ('turns', '$e', '{\"rev\": 1, \"v\": 77}')")
    done = here.surface("check")
    assert done.returncode == 1
    assert "fail  database: turns/$e: is of version 77" in done.stdout


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_damaged_database(here: Installation, command: str) -> None:
    _session(here)
    file = _database(here)
    file.write_bytes(b"\0" * 100 + file.read_bytes()[100:])
    _complains_of(here, file, ("cannot be opened", "restore a backup"), command)


def _database(here: Installation) -> Path:
    file = here.state_dir / "lambda_matrix.db"
    store = TinyStore.open(file)
    store._close()
    store._writer.shutdown()
    return file


def _complains_of(here: Installation, file: Path, words: tuple[str, ...], command: str) -> None:
    kept = file.read_bytes()
    if command == "run":
        said = here.complaint("run")
    else:
        before = here.tree()
        done = here.surface("check")
        assert done.returncode == 1
        assert here.tree() == before
        (said,) = [line for line in done.stdout.splitlines() if line.startswith("fail  database")]
    assert file.name in said
    for word in words:
        assert word in said
    assert file.read_bytes() == kept


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"user_id": "@lambda:localhost"}', '{"x": 1}', "\udcff"]
)
def test_a_malformed_session(here: Installation, text: str) -> None:
    file = _session(here)
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    said = _untouched(here, "run")
    assert said.startswith(f"{file} cannot be read")
    assert "run `surface login`" in said


def test_a_session_with_an_empty_token(here: Installation) -> None:
    file = _session(here, access_token="")
    assert _untouched(here, "run").startswith(f"{file} cannot be read")


def test_a_state_directory_of_another_account(here: Installation) -> None:
    _session(here, user_id="@other:localhost")
    said = _untouched(here, "run")
    assert said.startswith(f"{here.state_dir} belongs to @other:localhost")
    assert "correct `user_id`" in said


def test_damaged_encryption_keys(here: Installation) -> None:
    session = _session(here)
    (session.parent / "@lambda:localhost_D.db").write_bytes(b"no database" * 100)
    said = here.complaint("run")
    assert f"{session.parent}: the encryption keys of device D cannot be read" in said
    assert "`surface login`" in said


def test_login_with_a_token_in_the_settings(here: Installation) -> None:
    here.write(access_token="t", device_id="D", password=None)
    said = _untouched(here, "login")
    assert "`surface login` needs a `password`" in said


def test_a_wrong_option(here: Installation) -> None:
    done = here.surface("run", "--confg", "x")
    assert done.returncode == 2
    assert "--confg" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), ("run", "login", "check", "diagrams")),
        (("run",), ("--config", "SURFACE_CONFIG", "surface.yaml", "SIGTERM", "password")),
        (("login",), ("--config", "new device", "password", "stopped")),
        (("check",), ("--config", "Changes nothing", "exit code")),
        (("diagrams",), ("--check", "--directory")),
    ],
)
def test_help(here: Installation, words: tuple[str, ...], told: tuple[str, ...]) -> None:
    done = here.surface(*words, "--help")
    assert done.returncode == 0
    for word in told:
        assert word in done.stdout
