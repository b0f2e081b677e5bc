"""The `surface` command. Each subcommand is a few lines here; the work is done elsewhere.

An error that a person can mend is one clear message and an exit code other than 0, never a traceback.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from config import ConfigError, PasswordLogin, load_agents, load_settings
from surface import logs

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Surface: a Matrix bot that puts AI agents into Matrix rooms.",
)
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


@app.command()
def run(config: ConfigFile = None) -> None:
    """Run the bot until SIGTERM or Ctrl-C."""
    from surface.app import serve  # noqa: PLC0415 — nio is slow to import, and --help needs none of it

    settings = load_settings(_found(config))
    agents = load_agents(settings.agents)
    logs.set_up(settings.log.level, settings.log.format)

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await serve(settings, agents, stop)

    asyncio.run(main())


@app.command()
def login(config: ConfigFile = None) -> None:
    """Log in again as a new device, after the homeserver has forgotten the old one."""
    from store.lock import StateLock  # noqa: PLC0415
    from surface.app import MATRIX_STORE  # noqa: PLC0415
    from surface.matrix import session as sessions  # noqa: PLC0415

    settings = load_settings(_found(config))
    way = settings.login
    if not isinstance(way, PasswordLogin):
        raise Failure(
            "`surface login` needs `password`; a token is simply replaced in the settings"
        )
    folder = settings.state_dir / MATRIX_STORE
    del StateLock
    session = asyncio.run(
        sessions.log_in(
            settings.homeserver, settings.user_id, way.password.get_secret_value(), folder
        )
    )
    out.print(f"Logged in as {session.user_id}, device {session.device_id}.")


@app.command()
def check(config: ConfigFile = None) -> None:
    """Validate settings and agents, and say what is wrong, where, and what is allowed."""
    from surface.check import check as run_check  # noqa: PLC0415

    if not run_check(_found(config), out):
        raise typer.Exit(1)


@app.command()
def diagrams(
    verify: Annotated[
        bool, typer.Option("--check", help="Only say whether the files are true to the code.")
    ] = False,
    directory: Annotated[
        Path, typer.Option("--directory", "-d", help="Where the diagrams are.")
    ] = Path("diagrams"),
) -> None:
    """Write the state-machine diagrams, or check that they are fresh."""
    from surface import diagrams as pictures  # noqa: PLC0415

    if verify:
        stale = pictures.check(directory)
        if stale:
            raise Failure(
                f"{directory}: not true to the code: {', '.join(stale)}; run `surface diagrams`"
            )
        out.print(f"{directory}: fresh")
    else:
        for file in pictures.write(directory):
            out.print(str(file))


def _found(config: Path | None) -> Path | None:
    """The settings file: the one named, or `surface.yaml` if there is one."""
    default = Path("surface.yaml")
    return default if config is None and default.exists() else config


def _errors() -> tuple[type[Exception], ...]:
    from store import StoreError  # noqa: PLC0415
    from surface.matrix.session import SessionError  # noqa: PLC0415

    return (ConfigError, StoreError, SessionError, Failure)


def guarded(work: Callable[[], None]) -> None:
    """Run `work`; turn an error that a person can mend into one message and exit code 1."""
    try:
        work()
    except Exception as error:
        if not isinstance(error, _errors()):
            raise
        complaints.print(f"[red]error:[/red] {error}", markup=True, soft_wrap=True)
        raise SystemExit(1) from None


def main() -> None:
    """Entry point of the `surface` command."""
    guarded(app)
