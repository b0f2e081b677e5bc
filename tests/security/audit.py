"""Asks what is known against the pinned packages: advisories, and releases that were withdrawn.

    uv run python -m tests.security.audit

pip-audit asks the package index for advisories. An index that only hands out packages says nothing of
weaknesses, and pip-audit then ends well, with every package skipped. So the service is first asked about a
release that is known to be weak; one that does not know it is not believed, and the last line says that
nothing was audited. One that knows it has to speak of every pin. Withdrawn ("yanked") releases and newer ones
any index tells. Ends with 1 if a pin is weak or withdrawn, or if a service that keeps advisories was silent
of one.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.rig.bot import PROJECT

PIP_AUDIT = "pip-audit==2.10.1"
KNOWN_TO_BE_WEAK = "jinja2==3.1.2"  # CVE-2024-22195
ACCEPTED: dict[str, str] = {}  # id of an advisory, or a withdrawn pin: why it does not matter here

_YANKED = re.compile(r"`(?P<pin>[^`]+)` is yanked(?: \(reason: \"(?P<why>.*)\"\))?")


@dataclass(frozen=True)
class Audit:
    """What the service said: advisories by pin, and the pins that it said nothing about."""

    weak: dict[str, tuple[str, ...]]
    silent: tuple[str, ...]


def read(report: str, pins: Sequence[str]) -> Audit:
    """Read pip-audit's JSON; whatever it does not speak of, or is no report, is silence."""
    try:
        entries = json.loads(report)["dependencies"]
    except (ValueError, KeyError, TypeError):
        entries = []
    heard = {
        normal(f"{entry['name']}=={entry['version']}"): tuple(weak["id"] for weak in entry["vulns"])
        for entry in entries
        if "vulns" in entry
    }
    weak = {pin: ids for pin, ids in heard.items() if ids}
    return Audit(weak, tuple(pin for pin in map(normal, pins) if pin not in heard))


def normal(pin: str) -> str:
    """A pin with the package's name as PEP 503 writes it."""
    name, at, version = pin.partition("==")
    return re.sub(r"[-_.]+", "-", name.strip()).lower() + at + version.strip()


def withdrawn(said: str) -> dict[str, str]:
    """Which pins the index calls yanked, and why, from what uv says of them."""
    return {
        normal(found["pin"]): found["why"] or "no reason given" for found in _YANKED.finditer(said)
    }


def pinned() -> list[str]:
    """Every pin of pyproject.toml."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    return [normal(pin) for pin in project["tool"]["uv"]["constraint-dependencies"]]


def ask(pins: Sequence[str]) -> Audit:
    """Have pip-audit ask the index about the pins."""
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "pins.txt"
        listed.write_text("\n".join(pins))
        options = "--no-deps --disable-pip --vulnerability-service pypi --format json"
        done = _uv("tool", "run", "--from", PIP_AUDIT, "pip-audit", "-r", listed, *options.split())
    return read(done.stdout, pins)


def main(words: Sequence[str] | None = None) -> int:
    """Ask, say what was heard, and what was not."""
    argparse.ArgumentParser(
        "python -m tests.security.audit",
        description="Asks the package index what is known against the pinned packages; ends with 1 if "
        "something is, or if it knows of weaknesses and is silent of a pin.",
    ).parse_args(words)
    pins, wrong, unheard = pinned(), [], ""
    if not ask([KNOWN_TO_BE_WEAK]).weak:
        unheard = (
            f"NOT AUDITED: the package index knows nothing against {KNOWN_TO_BE_WEAK}, so it keeps no\n"
            "advisories, or cannot be reached. Run this where it does; until then nothing is known of\n"
            f"weaknesses in the {len(pins)} pinned packages: NOT AUDITED."
        )
    else:
        audit = ask(pins)
        print(f"advisories: {len(pins) - len(audit.silent)} of {len(pins)} pinned packages audited")
        wrong += [f"{pin}: not audited: the service says nothing of it" for pin in audit.silent]
        for pin, ids in audit.weak.items():
            wrong += [f"{pin}: {known}" for known in ids if known not in ACCEPTED]
    compiled = _uv("pip", "compile", "--no-deps", "-", said="\n".join(pins))
    if compiled.returncode:
        print(f"withdrawn releases: NOT LOOKED AT: {compiled.stderr.strip()}")
    else:
        yanked = withdrawn(compiled.stderr)
        print(f"withdrawn releases: {len(yanked)} of {len(pins)}")
        wrong += [f"{pin}: withdrawn: {why}" for pin, why in yanked.items() if pin not in ACCEPTED]
    newer = _uv("pip", "list", "--outdated", "--python", sys.executable)
    print("newer releases:", newer.stdout.strip() or newer.stderr.strip() or "none")
    for line in wrong:
        print(line, file=sys.stderr)
    if unheard:
        print(unheard)
    return 1 if wrong else 0


def _uv(*words: str | Path, said: str = "") -> subprocess.CompletedProcess[str]:
    command = ["uv", *map(str, words)]
    return subprocess.run(
        command, check=False, cwd=PROJECT, input=said, capture_output=True, text=True
    )


if __name__ == "__main__":
    sys.exit(main())
