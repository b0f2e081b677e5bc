"""The demo's folder: kept, claimed by one, and never somebody else's."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from surface import demo
from surface.demo.errors import DemoError
from surface.demo.folder import claimed
from surface.login import DATABASE


def test_a_folder_keeps_its_passwords_for_its_owner_only(tmp_path: Path) -> None:
    with claimed(tmp_path / "demo", fresh=False) as first:
        pass
    with claimed(tmp_path / "demo", fresh=False) as second:
        assert second == first
    assert (tmp_path / "demo").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "demo" / "demo.json").stat().st_mode & 0o777 == 0o600


def test_the_demo_looks_into_the_bots_own_database(tmp_path: Path) -> None:
    with claimed(tmp_path, fresh=False) as folder:
        assert folder.database == folder.state / DATABASE


def test_a_folder_has_one_demo_at_a_time(tmp_path: Path) -> None:
    with (
        claimed(tmp_path, fresh=False),
        pytest.raises(DemoError, match=r"Another `surface demo` is running.*--data"),
        claimed(tmp_path, fresh=True),
    ):
        pass
    with claimed(tmp_path, fresh=False):
        pass


def test_starting_over_removes_what_a_demo_makes_and_nothing_else(tmp_path: Path) -> None:
    with claimed(tmp_path, fresh=False) as old:
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / "x.db").write_text("x")
        (tmp_path / "homeserver").mkdir()
        (tmp_path / "bot.log").write_text("x")
        (tmp_path / "notes.txt").write_text("mine")
    with claimed(tmp_path, fresh=True) as new:
        assert new.bot_password != old.bot_password
    left = {entry.name for entry in tmp_path.iterdir()}
    assert left == {"notes.txt", "demo.json", "demo.lock", ".gitignore"}


@pytest.mark.parametrize("fresh", [False, True])
def test_a_folder_that_no_demo_made_is_left_alone(tmp_path: Path, fresh: bool) -> None:
    (tmp_path / "state").mkdir()
    with (
        pytest.raises(DemoError, match=r"was not made by `surface demo`.*left alone"),
        claimed(tmp_path, fresh=fresh),
    ):
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["state"]


def test_somebody_elses_demo_json_is_no_proof(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text('{"made_by": "another program"}')
    with pytest.raises(DemoError, match="was not made by"), claimed(tmp_path, fresh=True):
        pass


def test_a_damaged_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text("{")
    with pytest.raises(DemoError, match=r"demo\.json is damaged"), claimed(tmp_path, fresh=False):
        pass


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("")
    with pytest.raises(DemoError, match="is not a folder"), claimed(tmp_path / "demo", fresh=True):
        pass
    with (
        pytest.raises(DemoError, match=r"--data DIR"),
        claimed(tmp_path / "demo" / "below", fresh=False),
    ):
        pass


def test_a_missing_homeserver_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DemoError, match=r'pip install "matrix-surface\[demo\]"'):
        demo.run(demo.Options(tmp_path / "demo"))
    assert not (tmp_path / "demo").exists()
