"""What all subcommands share: where they print, how they name and read the settings, how they fail."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from config import ConfigError, Settings, load_settings
from config.settings import EXAMPLE

complaints = Console(stderr=True, highlight=False)
out = Console(highlight=False)

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="SURFACE_CONFIG",
        help="The settings, a YAML file. Every setting can also come from the environment (SURFACE_…).",
        show_default="surface.yaml, if there is one",
    ),
]


class Failure(Exception):
    """Something a person can mend; the message says what, where and how."""


def harmless(text: str) -> Text:
    """A text of anybody's: no markup, and what would steer the terminal is shown, not done."""
    return Text("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text))


def settings_of(config: Path | None) -> Settings:
    """Read the settings.

    Raises:
        ConfigError: they cannot be used, or there are none.
    """
    try:
        return load_settings(found(config))
    except ConfigError as error:
        if found(config) is not None:
            raise
        where = f"there is no surface.yaml in {Path.cwd()}"
        hint = f"{where}: name the settings with --config, or copy {EXAMPLE} there and edit it"
        raise ConfigError([*error.problems, hint]) from None


def found(config: Path | None) -> Path | None:
    """The settings file: the one named, or `surface.yaml` if there is one."""
    default = Path("surface.yaml")
    return default if config is None and default.exists() else config
