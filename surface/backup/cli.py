"""The subcommands that put the bot's state away and bring it back."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from surface.terminal import ConfigFile, Failure, found, out, settings_of

app = typer.Typer(no_args_is_help=True)

PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        help="A file with the passphrase that the archive is encrypted with, in the age format. Needs "
        "matrix-surface\\[backup].",
    ),
]


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="A new file; `-` for standard output.")],
    config: ConfigFile = None,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Write database, keys, settings and registry into one archive, while the bot runs.

    Not in it: the files that secrets are read from, and the workspace. Keep it as you keep a password.
    """
    from surface.backup import archive, seal, take  # noqa: PLC0415

    settings = settings_of(config)
    with _as_failure():
        passphrase = seal.read_passphrase(passphrase_file) if passphrase_file else None
        data = take.backup(settings, found(config), passphrase)
        if str(file) == "-":
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            return
        archive.keep(file, data)
    out.print(f"{escape(str(file))}: {len(data):,} bytes", soft_wrap=True)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="The archive; `-` for standard input.")],
    config: ConfigFile = None,
    passphrase_file: PassphraseFile = None,
    config_to: Annotated[
        Path | None,
        typer.Option("--config-to", help="Only write settings and registry, into this folder."),
    ] = None,
) -> None:
    """Fill an empty state directory from an archive, and log in as a new device.

    The archive is taken whole or refused whole. What happened after it comes back from Matrix at the
    next start. The bot that the archive is of must not run any more.
    """
    from surface.backup import restore as restoring  # noqa: PLC0415
    from surface.backup import seal  # noqa: PLC0415

    with _as_failure():
        passphrase = seal.read_passphrase(passphrase_file) if passphrase_file else None
        label = "standard input" if str(file) == "-" else str(file)
        try:
            data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        except OSError as error:
            raise Failure(f"{label}: cannot be read ({error.strerror})") from error
        manifest, members = restoring.read(data, label, passphrase)
        if config_to is not None:
            for path in restoring.restore_config(members, config_to):
                out.print(escape(str(path)), soft_wrap=True)
            return
        settings = settings_of(config)
        done = asyncio.run(restoring.restore(settings, manifest, members, label))
    if not done.has_identity:
        out.print(
            "The archive holds no identity of the account: the device is signed if `recovery_key` is set."
        )
    out.print(
        f"Restored {escape(done.manifest.user_id)} as of {done.manifest.made_at}, as device "
        f"{done.session.device_id}"
        + (f" (it was {done.was})." if done.was else ".")
        + " The next `surface run` compares everything with Matrix first.",
        soft_wrap=True,
    )


@contextmanager
def _as_failure() -> Iterator[None]:
    from surface.backup.errors import BackupError  # noqa: PLC0415

    try:
        yield
    except BackupError as error:
        raise Failure(str(error)) from error
