"""Names of strangers as names of files: whatever they are, nothing gets out, and no two collide.

`--hostile 50000` makes as many examples.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path, PureWindowsPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surface.files.names import (
    NAME_BYTES,
    file_name,
    folder_name,
    inbox_path,
    is_of_room,
    parts_of,
)
from tests.rig.hostile import HOSTILE

any_text = st.text(st.characters(exclude_categories=()), max_size=300)
parts = st.sampled_from(
    [
        "..",
        ".",
        "/",
        "\\",
        "\0",
        "\u202e",
        "con",
        "nul",
        "~",
        " ",
        "-",
        "é",
        "e\u0301",
        "!",
        "@",
        ":",
    ]
)
hostile = st.lists(st.one_of(parts, any_text, st.sampled_from(HOSTILE)), max_size=6).map("".join)
near = st.text("aA-_.:@!=/ıİßſK", min_size=1, max_size=255)
ids = st.one_of(near, near.map("@{}:hs".format), near.map("!{}".format), hostile)


@pytest.fixture(scope="session")
def examples(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--hostile", default=1000))


def is_safe(name: str) -> bool:
    """What ext4 takes for one entry, Windows for no device, and a reader for what it is."""
    return (
        0 < len(name.encode()) <= NAME_BYTES
        and name not in (".", "..")
        and not name.startswith((".", "-", "~", " "))
        and not name.endswith((".", " "))
        and not set(name) & set('/\\<>:"|?*')
        and all(unicodedata.category(c)[0] != "C" for c in name)
        and not PureWindowsPath(name).is_reserved()
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_becomes_a_safe_one_that_a_file_can_have(name: str, tmp_path: Path) -> None:
    safe = file_name(name)

    assert is_safe(safe), safe
    (tmp_path / safe).write_bytes(b"x")
    assert [entry.name for entry in tmp_path.iterdir()] == [safe]
    assert file_name(safe) == safe, "a safe name stays"


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("Отчёт за май.pdf", "Отчёт за май.pdf"),
        ("/srv/me/cat.png", "cat.png"),
        ("C:\\Users\\me\\cat.png", "cat.png"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("nul.txt", "_nul.txt"),
        ("what?.txt", "what_.txt"),
        ("", "file"),
        ("...", "file"),
        ("x" * 300 + ".png", "x" * 251 + ".png"),
        ("ж" * 200 + ".png", "ж" * 125 + ".png"),
    ],
)
def test_a_name_stays_recognisable(name: str, safe: str) -> None:
    assert file_name(name) == safe


def test_ids_that_look_alike_have_folders_of_their_own() -> None:
    alike = [
        "@a:hs",
        "@A:hs",
        "@a.hs",
        "@a/hs",
        "@a:hs ",
        "a:hs",
        "!a:hs",
        "@a-hs",
        "@a:h",
        "@ı:hs",
        "@i:hs",
    ]
    assert len({folder_name(one) for one in alike}) == len(alike)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "..",
        "a/../b",
        "a/../../b",
        "a\0b",
        "./..",
        "\ud800",
        "x/" * 3000,
        ".",
        "//",
    ],
)
def test_a_path_that_leads_nowhere_inside_is_refused(path: str) -> None:
    assert parts_of(path) is None


@pytest.mark.parametrize(
    ("path", "seen"),
    [
        ("agents/echo/out.png", True),
        ("out.png", True),
        (f"surfaces/matrix/u/{folder_name('!mine')}/inbox/x", True),
        (f"surfaces/matrix/u/{folder_name('!other')}/inbox/x", False),
        (f"surfaces/matrix/{folder_name('!mine')}/u/inbox/x", False),
        (f"surfaces/telegram/u/{folder_name('!mine')}/inbox/x", False),
        (f"SURFACES/matrix/u/{folder_name('!other')}/inbox/x", False),
        (f"surfaces/matrix/u/{folder_name('!mine')}", False),
        ("surfaces/x", False),
    ],
)
def test_a_room_sees_its_own_files_and_those_of_the_agents(path: str, seen: bool) -> None:
    found = parts_of(path)
    assert found is not None
    assert is_of_room(found, "!mine") is seen


def test_no_generated_name_gets_out_or_is_too_long(examples: int) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(user=ids, room=ids, event=ids, name=hostile, sent=st.floats(-1e20, 1e20))
    def holds(user: str, room: str, event: str, name: str, sent: float) -> None:
        path = inbox_path(user, room, event, sent, name)
        found = parts_of(path)
        assert found is not None
        assert "/".join(found) == path
        assert found[:2] == ("surfaces", "matrix")
        assert len(found) == 6 and found[4] == "inbox"
        assert all(is_safe(part) for part in found)
        assert is_of_room(found, room)
        assert path == inbox_path(user, room, event, sent, name)
        assert is_safe(file_name(name)) and file_name(file_name(name)) == file_name(name)

    holds()


def test_no_two_generated_ids_share_a_folder_nor_two_events_a_file(examples: int) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(one=ids, other=ids, name=hostile)
    def holds(one: str, other: str, name: str) -> None:
        if one == other:
            return
        # Also where case does not count, and where names are normalised.
        folded = {unicodedata.normalize("NFKC", folder_name(i)).casefold() for i in (one, other)}
        assert len(folded) == 2
        assert not is_of_room(parts_of(inbox_path("@u:hs", one, "$e", 0, name)) or (), other)
        assert inbox_path("@u:hs", "!r", one, 0, name) != inbox_path("@u:hs", "!r", other, 0, name)

    holds()


def test_all_generated_names_are_entries_of_their_own_in_a_real_folder(
    examples: int, tmp_path: Path
) -> None:
    seen: set[str] = set()

    @settings(
        max_examples=min(examples, 5000), deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(event=ids, name=hostile)
    def holds(event: str, name: str) -> None:
        entry = inbox_path("@u:hs", "!r", event, 0, name).rpartition("/")[2]
        if entry not in seen:
            seen.add(entry)
            (tmp_path / entry).touch(exist_ok=False)

    holds()
    assert {entry.name for entry in tmp_path.iterdir()} == seen
