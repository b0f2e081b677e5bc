"""What the build puts into a wheel besides the packages: the pictures of the machines.

They lie in `diagrams/`, where people read them, and are package data for `surface.diagrams.drawn`. An
editable installation finds them where they lie.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Pictures(BuildHookInterface):
    """Puts `diagrams/*.svg` into the wheel as `surface/diagrams/pictures/`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the pictures to the build.

        Raises:
            FileNotFoundError: there are none; the wheel would be without.
        """
        if version == "editable":
            return
        pictures = sorted(Path(self.root, "diagrams").glob("*.svg"))
        if not pictures:
            raise FileNotFoundError("diagrams/ has no pictures: `surface diagrams` draws them")
        for picture in pictures:
            build_data["force_include"][str(picture)] = f"surface/diagrams/pictures/{picture.name}"
