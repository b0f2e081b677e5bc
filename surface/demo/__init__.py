"""`surface demo`: a homeserver, the bot and a guest in one terminal, with nothing else to install.

With a script (or without a terminal: the built-in tour) the guest plays it and the transcript is printed;
on a terminal a person is the guest. Everything lies in one folder and is found again at the next start.
However a demo ends, it leaves no process behind.
"""

from __future__ import annotations

import asyncio
import importlib.util
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.text import Text

import config
from config import Registry, load_agents
from surface.demo import script as scripts
from surface.demo.errors import DemoError
from surface.demo.folder import GUEST, Folder, claimed
from surface.demo.script import Script

if TYPE_CHECKING:
    from surface.demo.setting import Setting

__all__ = ["DemoError", "Options", "run"]

TOUR: Final = Path(__file__).with_name("tour.surface")
EXAMPLE_AGENTS: Final = Path(config.__file__).with_name("agents.example.yaml")
_NEEDED: Final = ("synapse", "httpx")
_ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line."""

    data: Path
    script: Path | None = None
    fresh: bool = False
    agents: Path = EXAMPLE_AGENTS
    patience: float = 60.0
    """Seconds that a line of a script may wait for its answer."""


def run(options: Options) -> int:
    """Run a demo to its end; returns the exit code.

    Raises:
        DemoError, HomeserverError, ConfigError: it cannot be run; says why and what to do.
    """
    _require_installed()
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    script = None
    if options.script is not None or not on_terminal:
        script = scripts.load(options.script or TOUR)
    agents = load_agents(options.agents)
    with claimed(options.data, fresh=options.fresh) as folder:
        return asyncio.run(_until_stopped(options, script, agents, folder))


async def _until_stopped(
    options: Options, script: Script | None, agents: Registry, folder: Folder
) -> int:
    """Run the demo; a signal ends it in order."""
    work = asyncio.create_task(_demo(options, script, agents, folder), name="demo")
    stopped_by: list[int] = []

    def stop(number: int) -> None:
        stopped_by.append(number)
        work.cancel()

    loop = asyncio.get_running_loop()
    for number in _ENDINGS:
        loop.add_signal_handler(number, stop, number)
    try:
        await work
    except asyncio.CancelledError:
        if not stopped_by:
            raise
        return 128 + stopped_by[0]
    return 0


async def _demo(options: Options, script: Script | None, agents: Registry, folder: Folder) -> None:
    from surface.demo.setting import setting  # noqa: PLC0415 — needs what may not be installed

    out = Console(highlight=False)
    with _progress() as say:
        async with setting(folder, agents, options.agents, say) as stage:
            say(None)
            out.print(_banner(stage), soft_wrap=True)
            playing = asyncio.create_task(_play(options, script, stage, out), name="guest")
            broken = asyncio.create_task(stage.broken(), name="watch the processes")
            try:
                await asyncio.wait({playing, broken}, return_when=asyncio.FIRST_COMPLETED)
                if not playing.done():
                    raise broken.result()
                playing.result()
            finally:
                for task in (playing, broken):
                    task.cancel()
                await asyncio.gather(playing, broken, return_exceptions=True)


async def _play(options: Options, script: Script | None, setting: Setting, out: Console) -> None:
    from surface.demo.chat import Chat  # noqa: PLC0415
    from surface.demo.stage import GuestStage  # noqa: PLC0415
    from surface.demo.view import View  # noqa: PLC0415

    if script is None:
        await Chat(out, setting).run()
        return
    stage = GuestStage(setting, View(out, setting.guest), options.patience)
    try:
        await scripts.play(script, stage)
    except scripts.ScriptError:
        stage.show()
        raise
    lines = sum(isinstance(step, scripts.Say) for step in script.steps)
    out.print(f"\n{script.name}: every one of {lines} lines was answered.", soft_wrap=True)


def _banner(setting: Setting) -> Text:
    """How to join in from any Matrix client."""
    folder = setting.folder
    rows = (
        ("homeserver", setting.homeserver.url),
        ("user", f"{setting.guest.user_id} (log in as {GUEST})"),
        ("password", folder.guest_password),
        ("bot", setting.guest.bot),
        ("data", str(folder.path)),
        ("inspector", setting.inspector or "none: its port was not to be had"),
    )
    lines = [("Any Matrix client can join in:", "bold")]
    for name, value in rows:
        lines += [(f"\n  {name:<11}", "dim"), (value, "")]
    return Text.assemble(*lines)


@contextmanager
def _progress() -> Iterator[Callable[[str | None], None]]:
    """Say what is being waited for, on standard error; None: nothing any more."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lambda words: console.print(words, soft_wrap=True, markup=False) if words else None
        return
    status = console.status("")

    def say(words: str | None) -> None:
        if words:
            status.update(Text(f"{words} …"))
            status.start()
        else:
            status.stop()

    try:
        yield say
    finally:
        status.stop()


def _require_installed() -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise DemoError(
            f"The demo needs more than the bot itself ({' and '.join(missing)} not found). Install "
            'it with: pip install "matrix-surface[demo]"'
        )
