"""The operators' subcommands of `surface`: look at a running bot, and tell it what to do."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live

from surface.terminal import ConfigFile, Failure, complaints, out, settings_of

app = typer.Typer(no_args_is_help=True)
outbox_app = typer.Typer(
    help="See, retry or drop effects that are committed and not carried out yet.",
    invoke_without_command=True,
)
app.add_typer(outbox_app, name="outbox")

WIDE = 10_000
"""More letters than a line of a table has."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
State = Annotated[str | None, typer.Option("--state", help="Only those in this state.")]
Room = Annotated[
    str, typer.Argument(metavar="ROOM", help="Its id, its label (C7) with --user, or its name.")
]
User = Annotated[str | None, typer.Option("--user", "-u", help="Whose room it is: @name:server.")]
Agent = Annotated[str | None, typer.Option("--agent", help="Only those with this agent.")]


@app.command()
def status(
    config: ConfigFile = None,
    as_json: AsJson = False,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it again and again, until Ctrl-C.")
    ] = False,
    every: Annotated[
        float, typer.Option("--every", min=0.2, help="Seconds between two looks with --watch.")
    ] = 2.0,
) -> None:
    """Say how the running bot is. The exit code is 1 if it is not ready, or not running.

    With --watch a bot that is away is waited for.
    """
    from surface.ops import show  # noqa: PLC0415
    from surface.ops.client import ask  # noqa: PLC0415

    state_dir = settings_of(config).state_dir
    if watch:
        with contextlib.suppress(KeyboardInterrupt):
            _watch(state_dir, every, as_json=as_json)
        return
    told = ask(state_dir, "/status")
    if as_json:
        out.print_json(json.dumps(told))
    else:
        out.print(show.status(told))
    if not told["ready"]:
        raise typer.Exit(1)


def _watch(state_dir: Path, every: float, *, as_json: bool) -> None:
    """Look again and again; a bot that is away may come back."""
    from surface.ops import show  # noqa: PLC0415
    from surface.ops.client import Away, ask  # noqa: PLC0415

    def look() -> dict[str, Any]:
        try:
            return dict(ask(state_dir, "/status"))
        except Away as error:
            return {"ready": False, "away": str(error)}

    if as_json:
        while True:
            out.print(json.dumps(look()), markup=False, soft_wrap=True)
            time.sleep(every)
    with Live(show.status(look()), console=out, auto_refresh=False) as live:
        while True:
            time.sleep(every)
            live.update(show.status(look()), refresh=True)


@app.command()
def users(
    who: Annotated[str | None, typer.Argument(help="A pattern over user ids: '@ann*'.")] = None,
    config: ConfigFile = None,
    state: State = None,
    agent: Agent = None,
    as_json: AsJson = False,
) -> None:
    """List the people whom the bot knows. It may run or be stopped."""
    from surface.ops import listing  # noqa: PLC0415

    found = listing.users(
        settings_of(config).state_dir, listing.Filters(person=who, state=state, agent=agent)
    )
    headings = {
        "user_id": "person",
        "state": "state",
        "agent_id": "agent",
        "locale": "language",
        "chats": "chats",
        "archived": "archived",
        "space_id": "Space",
    }
    _print(headings, found, as_json=as_json)


@app.command()
def rooms(
    who: Annotated[
        str | None, typer.Argument(help="A pattern over their owners' user ids: '@ann*'.")
    ] = None,
    config: ConfigFile = None,
    state: State = None,
    agent: Agent = None,
    kind: Annotated[str | None, typer.Option("--kind", help="Only `chat` or `home` rooms.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the rooms that the bot keeps. It may run or be stopped."""
    from surface.ops import listing  # noqa: PLC0415

    filters = listing.Filters(person=who, state=state, agent=agent, kind=kind)
    found = listing.rooms(settings_of(config).state_dir, filters)
    headings = {
        "chat_id": "chat",
        "name": "name",
        "state": "state",
        "agent_id": "agent",
        "platform_chat_id": "context",
        "encrypted": "encrypted",
        "changed": "changed",
        "user_id": "person",
        "room_id": "room",
    }
    _print(headings, found, as_json=as_json)


@app.command()
def history(
    room: Room,
    config: ConfigFile = None,
    user: User = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=1, help="Only the last so many.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what happened to a room and its owner, by what, and what was done about it; oldest first.

    The bot may run or be stopped. Turns, questions and staged files only a running bot can tell of.
    """
    from store.history import whole  # noqa: PLC0415
    from surface.ops import show  # noqa: PLC0415
    from surface.ops.lookup import described  # noqa: PLC0415
    from surface.ops.standing import of_room  # noqa: PLC0415

    found = of_room(settings_of(config).state_dir, room, user)
    steps = found.steps[-limit:] if limit else found.steps
    if as_json:
        told = {
            "room_id": found.room["room_id"],
            "running": found.running,
            "machines": [asdict(machine) for machine in found.machines],
            "steps": [whole(step) for step in steps],
        }
        out.print_json(json.dumps(told))
        return
    out.print(f"{described(found.room)}: {found.room['state']}", markup=False, soft_wrap=True)
    _table().print(show.history(steps))
    if not found.running:
        complaints.print("The bot is stopped: turns, questions and staged files are not told of.")


@app.command()
def drain(
    config: ConfigFile = None,
    within: Annotated[
        float,
        typer.Option(
            "--within", min=0, max=86_400, help="Seconds that running answers get to finish."
        ),
    ] = 600.0,
) -> None:
    """Let the running bot finish its answers, take nothing new, and end with exit code 0.

    Returns when it has ended. What does not finish in time, and what comes meanwhile, is answered after the
    next start. A supervisor may start it again at once: stop it there, too.
    """
    from surface.ops.client import follow  # noqa: PLC0415

    told = follow(settings_of(config).state_dir, "/drain", {"within": within})
    first = next(told)
    out.print(f"Draining: {first['running']} answers run, {first['waiting']} wait.")
    last = next(told, None)
    if last is None:
        raise Failure("the bot ended before it was drained; what was running is answered later")
    left = last["left"]
    out.print(
        f"Stopped. For the next start: {left['inbox']} inputs, {left['turns']} answers, "
        f"{left['outbox']} effects."
    )


@outbox_app.callback()
def outbox(context: typer.Context, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """See what is committed and not carried out yet; `retry` and `drop` need the bot running."""
    from surface.ops import listing  # noqa: PLC0415
    from surface.ops.client import ask, is_running  # noqa: PLC0415

    context.obj = config
    if context.invoked_subcommand is not None:
        return
    state_dir = settings_of(config).state_dir
    running = is_running(state_dir)
    found = ask(state_dir, "/outbox") if running else listing.pending(state_dir)
    headings = {"seq": "row", "effect": "effect", "lane": "lane"}
    if running:
        headings |= {"seconds": "seconds", "attempts": "attempts", "why": "why"}
    _print(headings, found, as_json=as_json)


@outbox_app.command()
def retry(
    context: typer.Context,
    rows: Annotated[list[int] | None, typer.Argument(help="Rows by number; all if none.")] = None,
    config: ConfigFile = None,
) -> None:
    """Try again at once what waits for its next attempt."""
    from surface.ops.client import ask  # noqa: PLC0415

    done = ask(_state_dir(context, config), "/outbox/retry", {"rows": rows})
    _report(done, "tried again", "was not waiting for another attempt")


@outbox_app.command()
def drop(
    context: typer.Context,
    rows: Annotated[list[int], typer.Argument(help="Rows by number, as `surface outbox` shows.")],
    config: ConfigFile = None,
) -> None:
    """Give effects up, as if the homeserver had refused them for good. There is no way back."""
    from surface.ops.client import ask  # noqa: PLC0415

    done = ask(_state_dir(context, config), "/outbox/drop", {"rows": rows})
    _report(done, "dropped", "is not there (any more)")


def _state_dir(context: typer.Context, config: Path | None) -> Path:
    """Of the settings that are named here, or before the subcommand."""
    return settings_of(config or context.obj).state_dir


def _report(done: dict[str, bool], did: str, did_not: str) -> None:
    for row, well in done.items():
        out.print(f"row {row}: {did if well else did_not}")
    if not done:
        out.print("nothing to do")
    if not all(done.values()):
        raise typer.Exit(1)


def _print(headings: dict[str, str], found: list[dict[str, Any]], *, as_json: bool) -> None:
    from surface.ops import show  # noqa: PLC0415

    if as_json:
        out.print_json(json.dumps(found))
    else:
        _table().print(show.rows(headings, found))


def _table() -> Console:
    """Where tables go: one line each where it is not for a terminal, for `grep`."""
    return out if out.is_terminal else Console(width=WIDE, highlight=False)
