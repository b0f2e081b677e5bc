"""Puts a transcript of the running demo into the README. `python -m tests.readme [--check]`

Nothing in it is written by hand: it is what `surface demo --script examples/first-steps.surface`
prints, without the address and the password.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from config.generated import only_checks

ROOT = Path(__file__).parents[1]
SCRIPT = "examples/first-steps.surface"
BEGIN, END = "<!-- transcript -->", "<!-- /transcript -->"


def transcript() -> str:
    """What the demo prints, from the first room on."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-P", "-m", "surface", "demo", "--script", SCRIPT]
        played = subprocess.run(
            [*command, "--data", f"{folder}/demo"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    if played.returncode != 0:
        raise SystemExit(f"{SCRIPT} failed:\n{played.stdout}\n{played.stderr}")
    _, _, rooms = played.stdout.partition("\n== ")
    told, _, _ = rooms.rpartition(f"\n{SCRIPT}:")
    return "\n".join(line.rstrip() for line in f"== {told}".rstrip().splitlines())


def updated(readme: str, told: str) -> str:
    """The README with the transcript as it has to be."""
    head, _, rest = readme.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n```text\n{told}\n```\n{END}{tail}"


def main() -> int:
    """Write the transcript, or say whether the one that is there is true."""
    checks = only_checks("tests.readme", "the demo's transcript into README.md", sys.argv[1:])
    file = ROOT / "README.md"
    readme = file.read_text(encoding="utf-8")
    now = updated(readme, transcript())
    if not checks:
        file.write_text(now, encoding="utf-8")
    elif now != readme:
        print("README.md: the transcript is not what the demo prints; run `python -m tests.readme`")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
