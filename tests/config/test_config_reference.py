"""The operators' table of settings says what the models say."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import reference
from config.settings import Settings
from config.sources import settings_of


def test_the_checked_in_table_is_fresh() -> None:
    assert reference.main(["--check"]) == 0


def test_every_setting_is_explained() -> None:
    lines = reference.table().splitlines()[2:]
    assert len(lines) == len(list(settings_of(Settings)))
    for line in lines:
        about = line.rstrip("| ").rpartition(" | ")[2]
        assert about.endswith("."), line


def test_a_stale_table_is_found_and_mended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "README.md"
    file.write_text(f"before\n{reference.BEGIN}\nold\n{reference.END}\nafter\n")
    assert reference.main(["--check"], file) == 1
    assert "README.md" in capsys.readouterr().err
    assert reference.main([], file) == 0
    assert reference.main(["--check"], file) == 0
    assert file.read_text().startswith("before\n") and file.read_text().endswith("\nafter\n")


def test_a_document_without_a_place_for_it_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no"):
        reference.updated("nothing here")
