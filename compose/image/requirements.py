"""Prints the image's requirements: every package that pyproject.toml pins, and the project's own.

Arguments: pyproject.toml, then the extras that the image has. The pins go into a file of their own, which pip
takes as constraints: what is pinned and not needed is not installed.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(sys.argv[1]).read_text())
pins = Path("constraints.txt")
pins.write_text("\n".join(project["tool"]["uv"]["constraint-dependencies"]) + "\n")
extras = project["project"]["optional-dependencies"]
wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
for extra in sys.argv[2:]:
    wanted += extras[extra]
sys.stdout.write(f"-c {pins}\n" + "\n".join(wanted) + "\n")
