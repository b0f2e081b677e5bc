"""Looks for secrets in the files that git tracks, with detect-secrets; nothing found is tried anywhere.

    uv run python -m tests.security.leaks

Passwords of tests are made up, so there only what has the shape or the entropy of a key counts; everywhere
else also what is called password or secret. What looks like one and is none is listed in `NONE`, by its line;
what is listed must be found. Ends with 1 otherwise.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.rig.bot import PROJECT

Find = tuple[str, str]

NONE: dict[Find, str] = {
    ("README.md", "that names a missing one is told so. Secrets: `token_file` or"): "names of keys",
    ("compose/docker-compose.fullstack.yml", "- secrets:/secrets:ro"): "a volume",
    ("config/surface.example.yaml", 'password: "change me"'): "what to fill in",
    ("surface/matrix/secret_storage.py", '_ALPHABET = "123456789ABCDEFGH'): "base58's digits",
    ("tests/fuzz/recorded.json", '{"next_batch": '): "keys of devices that are gone",
}


def tracked(root: Path) -> tuple[list[str], list[str]]:
    """The files git tracks: those of tests, and the others."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True)
    names = [name for name in listed.stdout.decode().split("\0") if name and (root / name).exists()]
    return (
        [name for name in names if name.startswith("tests/")],
        [name for name in names if not name.startswith("tests/")],
    )


def finds(root: Path, names: Sequence[str], *options: str) -> Iterator[tuple[str, int, str, str]]:
    """Path, line number, kind and line of what looks like a secret in these files."""
    if not names:
        return
    hook = [sys.executable, "-m", "detect_secrets.pre_commit_hook", "--no-verify", "--json"]
    command = [*hook, *options, *names]
    done = subprocess.run(command, check=False, cwd=root, capture_output=True, text=True)
    if done.returncode not in {0, 1}:
        raise RuntimeError(f"detect-secrets ended with {done.returncode}: {done.stderr}")
    for path, found in json.loads(done.stdout or '{"results": {}}')["results"].items():
        lines = (root / path).read_text().splitlines()
        for one in found:
            yield path, one["line_number"], one["type"], lines[one["line_number"] - 1].strip()


def scan(root: Path, none: dict[Find, str]) -> list[str]:
    """What is wrong, one line each: what looks like a secret, and what is listed though it is gone."""
    tests, others = tracked(root)
    gone, wrong = dict(none), []
    found = [*finds(root, tests, "--disable-plugin", "KeywordDetector"), *finds(root, others)]
    for path, number, kind, line in found:
        known = [entry for entry in none if entry[0] == path and line.startswith(entry[1])]
        for entry in known:
            gone.pop(entry, None)
        if not known:
            wrong.append(f"{path}:{number}: {kind}")
    return wrong + [f"{path}: is listed as none, and gone: {line}" for path, line in gone]


def main() -> int:
    """Scan the project."""
    wrong = scan(PROJECT, NONE)
    print("\n".join(wrong) or "no secrets in tracked files")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
