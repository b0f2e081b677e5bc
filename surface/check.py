"""`surface check`: is everything there that `surface run` needs? Looks at everything, changes nothing.

Each check ends in findings: what was looked at, how it stands, and, where it does not, what to do. One
that fails does not hide the others. Nothing is written and nothing is locked for longer than a glance, so it
may be run beside the bot. A password that no session was made with yet is tried, and logged out again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from config import (
    Agent,
    ConfigError,
    PasswordLogin,
    Registry,
    Settings,
    load_agents,
    load_settings,
)
from store import MemoryStore, StoreError
from store.examine import examine, holder
from surface import doctor, doctor_encryption, doctor_limits, doctor_online
from surface.finding import Finding
from surface.login import DATABASE, known_session, verify
from surface.matrix import session as sessions
from surface.matrix.api import CLIENT, Lost, MatrixError, TokenDead
from surface.matrix.session import LoginLimited, SessionError
from surface.platform.directory import AdapterMissing, Directory
from surface.platform.interface import Health

TIMEOUT = 10.0
"""Seconds for each question to the homeserver or to an agent."""

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def check(config: Path | None, out: Console) -> bool:
    """Look at everything and say how it stands; True if nothing fails."""
    findings = list(_findings(config))
    if out.is_terminal:
        table = Table("", "what", "how it stands", "what to do", show_lines=True)
        for finding in findings:
            table.add_row(
                Text(finding.level, COLOURS[finding.level]),
                *(Text(cell) for cell in (finding.what, finding.found, finding.to_do)),
            )
        out.print(table)
    else:
        # One line each, for logs and for `grep`.
        for finding in findings:
            to_do = f" -> {finding.to_do}" if finding.to_do else ""
            line = f"{finding.level:<4}  {finding.what}: {finding.found}{to_do}"
            out.print(Text(line.replace("\n", "; ")), soft_wrap=True)
    return all(finding.level != "fail" for finding in findings)


def _findings(config: Path | None) -> Iterator[Finding]:
    try:
        settings = load_settings(config)
    except ConfigError as error:
        for problem in error.problems:
            yield Finding("fail", "settings", problem, "correct it; the rest needs the settings")
        return
    source = str(config) if config else "environment only"
    yield Finding("ok", "settings", source)
    agents: Registry | None = None
    try:
        agents = load_agents(settings.agents)
        yield Finding("ok", "agents", f"{settings.agents}: {', '.join(agents.ids)}")
        if agents.default is None:
            yield Finding("ok", "default agent", "none: new people are asked to choose")
    except ConfigError as error:
        for problem in error.problems:
            yield Finding("fail", "agents", problem, "correct it")
    yield from _state(settings)
    yield _folder("workspace", "workspace_dir", settings.workspace_dir)
    yield from doctor.local(settings, config)
    yield from asyncio.run(_online(settings, agents))
    yield doctor_limits.limits(settings)


def _state(settings: Settings) -> Iterator[Finding]:
    folder = settings.state_dir
    writable = _folder("state directory", "state_dir", folder)
    yield writable
    database = folder / DATABASE
    if writable.level == "fail" or not database.exists():
        return
    if by := holder(database):
        yield Finding(
            "warn", "database", f"in use by {by}, so not looked into", "none, if that is the bot"
        )
        return
    try:
        held = examine(database)
    except StoreError as error:
        yield Finding("fail", "database", str(error))
        return
    pending = held["inbox"] + held["turns"] + held["outbox"]
    yield Finding(
        "ok",
        "database",
        f"{held['users']} people, {held['rooms']} rooms, {pending} things to finish",
    )


def _folder(what: str, key: str, folder: Path) -> Finding:
    """Whether a directory can be written, or made."""
    existing = folder
    while not os.path.lexists(existing) and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        to_do = f"move it away, or set another `{key}`"
        return Finding("fail", what, f"{existing} is not a directory", to_do)
    if not os.access(existing, os.W_OK | os.X_OK):
        to_do = f"give the surface's user write access, or set another `{key}`"
        return Finding("fail", what, f"{existing} cannot be written", to_do)
    if existing != folder:
        return Finding("ok", what, f"{folder} is not there yet and will be made")
    return Finding("ok", what, str(folder))


async def _online(settings: Settings, agents: Registry | None) -> list[Finding]:
    findings = [await _homeserver(settings)]
    findings.append(await _login(settings, reached=findings[0].level == "ok"))
    if findings[0].level == "ok":
        well = findings[1].level == "ok"
        session = known_session(settings) if well else None
        findings += await doctor_online.online(settings, session)
        if well:
            findings.append(await doctor_encryption.encryption(settings, session))
    if agents is not None:
        findings += await _agents(agents)
    return findings


async def _ask(settings: Settings, where: str) -> dict[str, object]:
    async with sessions.asking(settings.homeserver, settings.user_id) as api:
        return await api.request("GET", where, timeout=TIMEOUT)


async def _homeserver(settings: Settings) -> Finding:
    try:
        answer = await _ask(settings, "/_matrix/client/versions")
    except (Lost, MatrixError, TokenDead) as error:
        found = f"{settings.homeserver} cannot be reached: {error}"
        return Finding("fail", "homeserver", found, "check `homeserver` and that it runs")
    versions = answer.get("versions")
    if not isinstance(versions, list) or not versions:
        found = f"{settings.homeserver} answers, but not as a Matrix homeserver"
        return Finding("fail", "homeserver", found, "correct `homeserver`: its client URL")
    return Finding("ok", "homeserver", f"{settings.homeserver} (Matrix {versions[-1]})")


async def _login(settings: Settings, *, reached: bool) -> Finding:
    try:
        session = known_session(settings)
        if not reached:
            return Finding("warn", "login", "not checked: the homeserver cannot be reached")
        if session is None:
            assert isinstance(settings.login, PasswordLogin), "a token is a session"
            return await _first_login(settings, settings.login)
        await verify(settings, session)
        return Finding("ok", "login", f"{session.user_id}, device {session.device_id}")
    except SessionError as error:
        return Finding("fail", "login", str(error))
    except (Lost, MatrixError) as error:
        return Finding("fail", "login", f"the homeserver does not say: {error}", "try again")


async def _first_login(settings: Settings, way: PasswordLogin) -> Finding:
    answer = await _ask(settings, f"{CLIENT}/login")
    flows = answer.get("flows")
    ways = (
        [flow.get("type") for flow in flows if isinstance(flow, dict)]
        if isinstance(flows, list)
        else []
    )
    if "m.login.password" not in ways:
        to_do = "give an `access_token` and its `device_id` instead of a password"
        return Finding("fail", "login", "the homeserver takes no passwords", to_do)
    try:
        # Never as the device of the settings: to log out deletes the device.
        tried = await sessions.log_in(
            settings.homeserver, settings.user_id, way.password.get_secret_value()
        )
    except LoginLimited as error:
        return Finding("warn", "login", f"the password could not be tried: {error}")
    await sessions.log_out(tried)
    found = f"no session yet: the first start logs {settings.user_id} in with the password"
    return Finding("ok", "login", found)


async def _agents(agents: Registry) -> list[Finding]:
    directory = Directory(agents, MemoryStore(), "check")
    try:
        return await asyncio.gather(*(_agent(directory, agent) for agent in agents.agents))
    finally:
        await directory.aclose()


async def _agent(directory: Directory, agent: Agent) -> Finding:
    what = f"agent {agent.id}"
    try:
        client = directory.client_for(agent.id)
        async with asyncio.timeout(TIMEOUT):
            health = await client.health()
    except AdapterMissing as error:
        to_do = "install that, or correct its entry in the agents' file"
        return Finding("fail", what, error.error.message, to_do)
    except TimeoutError:
        health = Health(ok=False, detail=f"no answer within {TIMEOUT:.0f} s")
    if health.ok:
        doubt = f"; {health.detail}" if health.detail else ""
        return Finding("ok", what, f"{agent.name}, by {agent.adapter}{doubt}")
    to_do = "people are told so when they talk to it; see to it that it runs, or correct its entry"
    return Finding("warn", what, health.detail or "not well", to_do)
