"""Writes what the image is made of, as a CycloneDX document that was held against its schema.

    uv run python -m tests.security.sbom [FILE]

The packages are those that compose/Dockerfile installs, with the same requirements, in an environment that is
thrown away. Of the image's base, neither the Debian packages nor the Python interpreter are in it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.rig.bot import PROJECT

OUT = PROJECT / "artifacts/sbom.cdx.json"
CYCLONEDX = "cyclonedx-bom==7.5.0"


def extras(dockerfile: str) -> list[str]:
    """The extras that the image is built with."""
    (found,) = re.findall(r"requirements\.py pyproject\.toml ([\w ]+) >", dockerfile)
    return str(found).split()


def make(out: Path) -> None:
    """Install what the image has, and write it down.

    Raises:
        subprocess.CalledProcessError: a package is not to be had, or what was made does not fit the schema.
    """
    requirements = PROJECT / "compose/image/requirements.py"
    wanted = extras((PROJECT / "compose/Dockerfile").read_text())
    with tempfile.TemporaryDirectory() as folder:
        listed = _run(sys.executable, requirements, PROJECT / "pyproject.toml", *wanted, cwd=folder)
        (Path(folder) / "requirements.txt").write_text(listed)
        _run("uv", "venv", "--quiet", "venv", cwd=folder)
        python = Path(folder) / "venv/bin/python"
        _run("uv", "pip", "install", "--python", python, "-r", "requirements.txt", cwd=folder)
        # What builds the wheel is taken out of the image again (compose/Dockerfile).
        _run("uv", "pip", "uninstall", "--python", python, "hatchling", "setuptools", cwd=folder)
        out.parent.mkdir(parents=True, exist_ok=True)
        _run(
            *["uv", "tool", "run", "--from", CYCLONEDX, "cyclonedx-py", "environment", python],
            *["--pyproject", PROJECT / "pyproject.toml", "--mc-type", "application", "--validate"],
            *["--spec-version", "1.6", "--output-reproducible", "--output-file", out.resolve()],
            cwd=folder,
        )


def _run(*words: str | Path, cwd: str) -> str:
    command = [*map(str, words)]
    done = subprocess.run(command, check=False, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        sys.stderr.write(done.stderr)
        done.check_returncode()
    return done.stdout


def main(words: Sequence[str] | None = None) -> int:
    """Write it where it is wanted."""
    parser = argparse.ArgumentParser(
        "python -m tests.security.sbom",
        description="Writes what the image is made of (CycloneDX 1.6): its Python packages.",
    )
    where = OUT.relative_to(PROJECT)
    parser.add_argument("file", nargs="?", type=Path, default=OUT, help=f"what to write ({where})")
    out: Path = parser.parse_args(words).file
    if out.is_dir():
        parser.error(f"{out} is a directory")
    make(out)
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
