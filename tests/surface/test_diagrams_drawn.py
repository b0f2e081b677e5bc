"""The committed pictures are at hand wherever the bot is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from surface.diagrams import drawn as module
from surface.diagrams.drawn import NAMES, NotDrawn, drawn

PROJECT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", NAMES)
def test_a_checkout_has_the_committed_pictures(name: str) -> None:
    assert drawn(name) == (PROJECT / "diagrams" / f"{name}.svg").read_text()


def test_an_unknown_machine_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        NotDrawn, match="no picture 'StateMachine'; one of UserMachine, RoomMachine"
    ):
        drawn("StateMachine")


def test_a_picture_that_is_missing_names_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_places", lambda: (tmp_path,))
    with pytest.raises(NotDrawn, match=r"RoomMachine\.svg is not in this .* `surface diagrams`"):
        drawn("RoomMachine")


def test_a_wheel_carries_the_pictures_and_shows_them(tmp_path: Path) -> None:
    """Built from what the image is built from; then read from the wheel, far from the checkout."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    for name in ("machines", "store", "config", "surface", "diagrams"):
        shutil.copytree(PROJECT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-c", "import hatchling.build as b; print(b.build_wheel('dist'))"]
    subprocess.run(build, cwd=source, check=True, capture_output=True, timeout=120)
    (wheel,) = (source / "dist").glob("*.whl")
    unpacked = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(unpacked)
    shutil.rmtree(source)
    show = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from surface.diagrams import drawn\n"
        "assert drawn.__file__.startswith(sys.argv[1])\n"
        "for name in drawn.NAMES: print(len(drawn.drawn(name)))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", show, str(unpacked)],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    sizes = [len((PROJECT / "diagrams" / f"{name}.svg").read_text()) for name in NAMES]
    assert [int(line) for line in done.stdout.split()] == sizes
