"""Finds Node and the JavaScript client that the encrypted tests talk to, or says what is missing.

    python -m tests.rig.node install

Nothing of it is in the repository: its version is pinned in `js_person/package.json`, its modules
are installed beside it and ignored by git.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

DRIVER = Path(__file__).parent / "js_person" / "driver.mjs"
_PACKAGE = DRIVER.parent
_SDK = "matrix-js-sdk"
_INSTALL = "uv run python -m tests.rig.node install"
_OLDEST = 20


def node() -> str | None:
    """The path of `node`; the environment variable `NODE` wins."""
    return os.environ.get("NODE") or shutil.which("node")


def missing() -> str | None:
    """Why no JavaScript person can be started here, with the way out; None if one can."""
    program = node()
    if program is None:
        return f"encrypted tests need Node {_OLDEST} or later on the PATH; then: {_INSTALL}"
    version = _version(program)
    found = re.match(r"v(\d+)", version)
    if found is None or int(found[1]) < _OLDEST:
        return f"encrypted tests need Node {_OLDEST} or later; {program} is {version}"
    if _installed() != _wanted():
        return f"{_SDK} {_wanted()} is not installed for the encrypted tests; run: {_INSTALL}"
    return None


def install() -> None:
    """Install the modules, unless they are there already.

    Raises:
        SystemExit: npm is missing or failed.
    """
    if _installed() == _wanted():
        return
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm is not on the PATH; install Node 20 or later with npm")
    # No lock file: it would record where the packages came from.
    options = ["--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(
        [npm, "install", *options, "--loglevel=error"],
        cwd=_PACKAGE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0 or _installed() != _wanted():
        raise SystemExit(f"npm could not install {_SDK} {_wanted()}:\n{done.stdout}")


@cache
def _version(program: str) -> str:
    try:
        command = [program, "--version"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return f"not to be started ({error.strerror})"
    return answer.stdout.strip() or "broken"


def _wanted() -> str:
    package = json.loads((_PACKAGE / "package.json").read_text())
    return str(package["dependencies"][_SDK])


def _installed() -> str | None:
    try:
        path = _PACKAGE / "node_modules" / _SDK / "package.json"
        return str(json.loads(path.read_text())["version"])
    except (OSError, ValueError, KeyError):
        return None


if __name__ == "__main__":
    if sys.argv[1:] != ["install"]:
        raise SystemExit(__doc__)
    install()
    if reason := missing():
        raise SystemExit(reason)
