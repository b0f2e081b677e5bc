"""The `surface` command. Each subcommand is a few lines here; the work is done elsewhere.

An error that a person can mend is one clear message and an exit code other than 0, never a traceback.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer
from rich.markup import escape

from config import ConfigError, TokenLogin, load_agents
from surface import logs
from surface.backup.cli import app as keepers
from surface.ops.cli import User
from surface.ops.cli import app as operators
from surface.platform.extras import missing_extra
from surface.terminal import ConfigFile, Failure, complaints, found, out, settings_of

Format: TypeAlias = Literal["svg", "mermaid", "markdown", "html"]
"""What a diagram may be had as."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Surface: a Matrix bot that puts AI agents into Matrix rooms.",
)
app.add_typer(operators)
app.add_typer(keepers)


@app.command()
def run(
    config: ConfigFile = None,
    full: Annotated[
        bool, typer.Option("--full", help="Look at all rooms before anything is answered.")
    ] = False,
) -> None:
    """Run the bot until SIGTERM or Ctrl-C.

    SIGHUP, or a change of the agents' file, has the agents read again.
    The first start logs in with the password; after that the session in `state_dir` is used.
    """
    settings = settings_of(config)
    agents = load_agents(settings.agents)
    # What is imported stays: to look for garbage among it only takes time, a tenth of a start.
    gc.disable()
    from surface.serve import serve  # noqa: PLC0415 — nio is slow to import; till here nobody needs it

    gc.freeze()
    gc.enable()
    try:
        hashed = logs.hash_key(settings.state_dir) if settings.log.ids == "hashed" else None
    except OSError as error:
        raise Failure(f"{settings.state_dir / logs.KEY_FILE}: {error.strerror}") from error
    logs.set_up(settings.log.level, settings.log.format, hash_key=hashed)

    def show(key: str) -> None:
        _show_recovery_key(settings.user_id, key)

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        # Until it runs, a SIGHUP is nothing to die of: the registry has just been read.
        loop.add_signal_handler(signal.SIGHUP, lambda: None)
        await serve(
            settings,
            agents,
            stop,
            on_hangup=lambda read: loop.add_signal_handler(signal.SIGHUP, read),
            full=full,
            show_key=show,
        )

    asyncio.run(main())


@app.command()
def reconcile(
    config: ConfigFile = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done; required.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Compare all rooms, as `surface run --full` does.")
    ] = False,
) -> None:
    """Say what the next start would mend: in the database, and in Matrix. Changes nothing.

    The bot must be stopped: it mends things by itself, and its database changes while one looks.
    """
    if not dry_run:
        raise Failure(
            "`surface reconcile` only looks: add --dry-run. The bot mends what it finds at its start; "
            "`surface run --full` makes it look at all rooms first"
        )
    settings = settings_of(config)
    agents = load_agents(settings.agents)
    from surface.reconcile.preview import preview  # noqa: PLC0415

    preview(settings, agents, out, as_json=as_json, full=full)


@app.command()
def login(config: ConfigFile = None) -> None:
    """Log in again as a new device, after the homeserver has forgotten the old one.

    Needs the password in the settings, and the bot stopped. The old session is put aside.
    """
    settings = settings_of(config)
    from surface.login import log_in_again  # noqa: PLC0415

    session = asyncio.run(log_in_again(settings))
    out.print(f"Logged in as {session.user_id}, device {session.device_id}.")


@app.command("recovery-key")
def recovery_key(
    config: ConfigFile = None,
    reset: Annotated[
        bool,
        typer.Option(
            "--reset", help="Make a new identity, too: people who verified the bot are warned."
        ),
    ] = False,
) -> None:
    """Make a new recovery key for the bot's account and show it; the old one is worth nothing any more.

    The bot must be stopped. With `recovery_key` in the settings that one is taken.
    """
    settings = settings_of(config)
    from surface.recovery import renew  # noqa: PLC0415

    key = asyncio.run(renew(settings, reset=reset))
    if key is not None:
        _show_recovery_key(settings.user_id, key)
    else:
        out.print("The recovery key is that of the settings.")


@app.command()
def logout(
    config: ConfigFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """End the bot's device: the homeserver forgets it, and its encryption keys are deleted here.

    The bot must be stopped. People, rooms and what the agents know stay as they are.
    """
    settings = settings_of(config)
    if not yes:
        out.print(
            "What is encrypted for this device and not read yet can never be read. The next device is "
            "signed with the recovery key only, unless the settings have a `pickle_key`. Nothing else is "
            "lost."
        )
        typer.confirm("End the device?", abort=True)
    from surface.login import end_device  # noqa: PLC0415

    session = asyncio.run(end_device(settings))
    out.print(f"Logged out {session.user_id}, device {session.device_id}.")
    if isinstance(settings.login, TokenLogin):
        out.print("The `access_token` in the settings is worth nothing now: put a new one there.")
    else:
        out.print("The next `surface run` logs in as a new device.")


@app.command()
def forget(
    user_id: Annotated[str, typer.Argument(metavar="USER", help="The person: @name:server.")],
    config: ConfigFile = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete what is kept about a person, as their own `!forget` would.

    The bot must be stopped; its next start leaves their rooms and tells the platforms.
    """
    settings = settings_of(config)
    agents = load_agents(settings.agents)
    if not yes:
        typer.confirm(f"Forget {user_id}? It cannot be undone.", abort=True)
    from surface.forget import forget as forget_person  # noqa: PLC0415

    logs.set_up("warning", settings.log.format)
    rooms = asyncio.run(forget_person(settings, agents, user_id))
    out.print(
        f"{escape(user_id)} is forgotten. The next start leaves {rooms} rooms and tells the agents.",
        soft_wrap=True,
    )


@app.command()
def check(config: ConfigFile = None) -> None:
    """Look at settings, agents, state and homeserver, and say what is wrong and what to do.

    Changes nothing, and may be run beside the bot. The exit code is 1 if the bot could not run.
    """
    from surface.check import check as run_check  # noqa: PLC0415

    if not run_check(found(config), out):
        raise typer.Exit(1)


@app.command()
def platform(
    config: Annotated[
        Path, typer.Option("--config", "-c", help="The platform's settings, a YAML file.")
    ] = Path("platform.yaml"),
) -> None:
    """Run the reference platform: agents behind the surface's own contract, until SIGTERM or Ctrl-C."""
    from config.platform import load_platform  # noqa: PLC0415

    settings = load_platform(config)
    try:
        from surface.platform.reference.serve import serve  # noqa: PLC0415 — an extra
    except ModuleNotFoundError as error:
        raise Failure(missing_extra("surface platform", error)) from error
    logs.set_up("info", "auto")
    serve(settings)


@app.command()
def diagrams(
    verify: Annotated[
        bool, typer.Option("--check", help="Only say whether the files are true to the code.")
    ] = False,
    directory: Annotated[
        Path, typer.Option("--directory", "-d", help="Where the diagrams are.")
    ] = Path("diagrams"),
    machine: Annotated[
        str | None,
        typer.Argument(metavar="MACHINE", help="Show this one: RoomMachine, or just room."),
    ] = None,
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            "-f",
            help="What to show; without MACHINE, markdown and html are one page about all.",
            show_default="svg",
        ),
    ] = None,
    event: Annotated[
        str | None,
        typer.Option("--event", "-e", help="Show the way of this event: from inbox to effects."),
    ] = None,
    room: Annotated[
        str | None,
        typer.Option(
            "--room", "-r", help="Show where this room stands: its id, C7 with --user, or its name."
        ),
    ] = None,
    user: User = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="A folder for what is shown, or - for stdout; with --room also a file.",
            show_default="stdout; with --room C7.svg",
        ),
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Write the state-machine diagrams, or check that they are fresh, or show one.

    Without MACHINE, --format and --room all files are written, which needs the extra `diagrams`. With --room
    the room's state now is lit, and its last transitions are the way shown; the bot may run or not.
    """
    from surface import diagrams as pictures  # noqa: PLC0415
    from surface.diagrams import command  # noqa: PLC0415

    if user is not None and room is None:
        raise Failure("--user says whose --room is meant; give that, too")
    if room is not None:
        if form not in (None, "svg") or event is not None or verify:
            raise Failure(
                "--room shows a picture: neither another --format nor --event nor --check goes with it"
            )
        _show_room(room, user, machine or "room", output, config)
    elif verify:
        stale = pictures.check(directory)
        if stale:
            raise Failure(
                f"{directory}: not true to the code: {', '.join(stale)}; run `surface diagrams`"
            )
        out.print(f"{directory}: fresh")
    elif machine is None and form is None and event is None:
        if output == "-":
            raise Failure(
                "all diagrams are several files: name a machine, or say in which --format"
            )
        for file in pictures.write(output or directory):
            out.print(str(file))
    else:
        command.show(machine, form, event, Path(output) if output not in (None, "-") else None)


def _show_room(
    room: str, user: str | None, machine: str, output: str | None, config: Path | None
) -> None:
    from surface.diagrams.of_room import file_name, picture  # noqa: PLC0415
    from surface.ops.standing import of_room  # noqa: PLC0415

    found = of_room(settings_of(config).state_dir, room, user)
    svg = picture(found, machine)
    if output == "-":
        sys.stdout.write(svg)
        return
    file = Path(output or "")
    try:
        if output is not None and output.endswith("/"):
            file.mkdir(parents=True, exist_ok=True)
        if file.is_dir():
            file /= file_name(found, machine)
        file.write_text(svg, encoding="utf-8")
    except OSError as error:
        raise Failure(f"{file}: cannot be written: {error.strerror}") from error
    out.print(str(file), markup=False, soft_wrap=True)


@app.command()
def demo(
    script: Annotated[
        Path | None,
        typer.Option("--script", "-s", help="Play this file and print the transcript."),
    ] = None,
    data: Annotated[
        Path, typer.Option("--data", "-d", help="The folder of the demo; made if missing.")
    ] = Path("demo-data"),
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget what earlier demos left in that folder.")
    ] = False,
    agents: Annotated[
        Path | None,
        typer.Option(
            "--agents", help="The agents, a YAML file.", show_default="agents.example.yaml"
        ),
    ] = None,
    patience: Annotated[
        float,
        typer.Option("--patience", min=0.1, help="Seconds a script's line waits for its answer."),
    ] = 60.0,
) -> None:
    """Try it all: a homeserver, the bot and a chat with it, in this terminal.

    Without a terminal and without a script, a built-in tour is played.
    """
    from surface import demo as demos  # noqa: PLC0415
    from surface.homeserver import HomeserverError  # noqa: PLC0415

    options = demos.Options(data, script, fresh, agents or demos.EXAMPLE_AGENTS, patience)
    try:
        code = demos.run(options)
    except (demos.DemoError, HomeserverError) as error:
        raise Failure(str(error)) from error
    if code:
        raise typer.Exit(code)


def _show_recovery_key(user_id: str, key: str) -> None:
    out.print(
        f"\nThe recovery key of {escape(user_id)}. It is shown this once; keep it in a safe place:\n\n"
        f"    {key}\n\n"
        "With it the bot can vouch for a new device of its own when its state directory is lost.\n",
        soft_wrap=True,
    )
    sys.stdout.flush()


def _mendable(error: Exception) -> bool:
    if isinstance(error, ConfigError | Failure):
        return True
    from store import StoreError  # noqa: PLC0415
    from surface.matrix.session import SessionError  # noqa: PLC0415

    return isinstance(error, StoreError | SessionError)


def guarded(work: Callable[[], None]) -> None:
    """Run `work`; turn an error that a person can mend into one message and exit code 1."""
    try:
        work()
    except Exception as error:
        if not _mendable(error):
            raise
        complaints.print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True)
        raise SystemExit(1) from None


def main() -> None:
    """Entry point of the `surface` command."""
    guarded(app)
