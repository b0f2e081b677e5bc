"""Looks for secrets in the files that git tracks, with detect-secrets; nothing found is tried anywhere.

    uv run python -m tests.security.leaks

Passwords of tests are made up, so there only what has the shape or the entropy of a key counts; everywhere
else also what is called password or secret. Matrix's access tokens and recovery keys, which detect-secrets
does not know, have rules of their own (`RULES`). What looks like a secret and is none is listed in `NONE`
with a reason, each by itself: no comment in a line hides anything, and what is listed must be found. Ends
with 1 otherwise.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.rig.bot import PROJECT

_FOURS = "[1-9A-HJ-NP-Za-km-z]{4}"
RULES = {
    "Matrix Access Token": re.compile(
        r"\b(?:sy[tr]_[A-Za-z0-9+/=_-]+_[A-Za-z]{20}_[A-Za-z0-9]{6}|m(?:at|ar|ct)_[A-Za-z0-9]{20,}_[A-Za-z0-9]{6}"
        r"|MDA[A-Za-z0-9_-]{60,})\b"
    ),
    "Matrix Recovery Key": re.compile(rf"\bE[sS][1-9A-HJ-NP-Za-km-z]{{2}}(?: ?{_FOURS}){{11}}\b"),
}
HIDES = (
    "detect_secrets.filters.allowlist.is_line_allowlisted",
    "detect_secrets.filters.heuristic.is_swagger_file",
)
"""Filters of detect-secrets by which a line or a file's name would keep something from being found."""

_MARK = 12


@dataclass(frozen=True)
class Find:
    """Something that looks like a secret.

    Args:
        mark: the beginning of its SHA-1.
    """

    path: str
    line: int
    kind: str
    mark: str

    def __str__(self) -> str:
        return f"{self.path}: {self.kind} {self.mark}"


SPEC, BROKEN = "the spec's example of a recovery key", "the same with a wrong letter"
NONE: dict[str, str] = {
    "README.md: Secret Keyword 2b5303d0dabf": "names of keys",
    "compose/docker-compose.fullstack.yml: Secret Keyword eed1903a65fb": "a volume",
    "config/surface.example.yaml: Secret Keyword 2cc33d5dbe13": "what to fill in",
    "surface/matrix/secret_storage.py: Base64 High Entropy String 1fbf29f4d017": "base58's digits",
    "tests/config/test_config_settings.py: Matrix Recovery Key aa1cf6df7dc5": SPEC,
    "tests/e2e/test_encryption.py: Matrix Recovery Key aa1cf6df7dc5": SPEC,
    "tests/fuzz/recorded.json: Base64 High Entropy String aef692eae3b6": "a device that is gone",
    "tests/fuzz/recorded.json: Base64 High Entropy String fc84b5f1bb37": "a message to it",
    "tests/surface/test_check_findings.py: Matrix Recovery Key 0268a3208d1c": BROKEN,
    "tests/surface/test_cli_bad_input.py: Matrix Recovery Key 0268a3208d1c": BROKEN,
    "tests/surface/test_doctor.py: Matrix Recovery Key aa1cf6df7dc5": SPEC,
    "tests/surface/test_secret_storage.py: Matrix Recovery Key aa1cf6df7dc5": SPEC,
}


def tracked(root: Path) -> tuple[list[str], list[str]]:
    """The files git tracks: those of tests, and the others."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True)
    names = [name for name in listed.stdout.decode().split("\0") if name and (root / name).exists()]
    return (
        [name for name in names if name.startswith("tests/")],
        [name for name in names if not name.startswith("tests/")],
    )


def finds(root: Path, names: Sequence[str], *options: str) -> Iterator[Find]:
    """What looks like a secret in these files."""
    if not names:
        return
    hook = [sys.executable, "-m", "detect_secrets.pre_commit_hook", "--no-verify", "--json"]
    shown = [word for name in HIDES for word in ("--disable-filter", name)]
    command = [*hook, *shown, *options, "--", *names]
    done = subprocess.run(command, check=False, cwd=root, capture_output=True, text=True)
    if done.returncode not in {0, 1}:
        raise RuntimeError(f"detect-secrets ended with {done.returncode}: {done.stderr}")
    for path, found in json.loads(done.stdout or '{"results": {}}')["results"].items():
        for one in found:
            yield Find(path, one["line_number"], one["type"], one["hashed_secret"][:_MARK])
    for name in names:
        for number, line in enumerate((root / name).read_bytes().splitlines(), 1):
            for kind, rule in RULES.items():
                for its in rule.finditer(line.decode(errors="replace")):
                    mark = hashlib.sha1(its[0].encode(), usedforsecurity=False).hexdigest()
                    yield Find(name, number, kind, mark[:_MARK])


def scan(root: Path, none: Mapping[str, str]) -> list[str]:
    """What is wrong, one line each: what looks like a secret, and what is listed though it is gone.

    Args:
        none: what is no secret, as a `Find` tells it, and why.
    """
    tests, others = tracked(root)
    found = [*finds(root, tests, "--disable-plugin", "KeywordDetector"), *finds(root, others)]
    wrong = [f"{find} (line {find.line})" for find in found if str(find) not in none]
    gone = none.keys() - {str(find) for find in found}
    return wrong + [f"{find}: is listed as none, and gone" for find in sorted(gone)]


def main(words: Sequence[str] | None = None) -> int:
    """Scan the project."""
    argparse.ArgumentParser(
        "python -m tests.security.leaks",
        description="Looks for secrets in the files that git tracks; ends with 1 if there are some.",
    ).parse_args(words)
    wrong = scan(PROJECT, NONE)
    print("\n".join(wrong) or "no secrets in tracked files")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
