"""What `surface check` looks at besides settings, logins and agents: this machine.

Each line is one thing that has kept a bot from working somewhere, or that would be found out too late: on the
day of the disk. Nothing here asks the network; `doctor_online` does.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from config import Settings
from config.reading import read_mapping
from config.settings import EXAMPLE, SECRETS
from surface.finding import Finding
from surface.login import DATABASE, MATRIX_STORE
from surface.matrix.session import FILE as SESSION
from surface.volumes import volumes_apart

MOUNTS = Path("/proc/self/mounts")
NETWORKS = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph", "glusterfs")
"""File systems on which locks or the database's shared memory cannot be relied on."""
LITTLE, TOO_LITTLE = 500_000_000, 20_000_000
"""Bytes of free space that are soon, and now, not enough."""
FILES = 1024
"""Open files that a bot with many connections may need."""
NEEDED = {"matrix-nio": "0.26.", "python-statemachine": "3."}
"""How the versions of what is bound to one version begin."""


def local(settings: Settings, config: Path | None) -> Iterator[Finding]:
    """How this machine stands."""
    yield _versions()
    yield _permissions(settings, config)
    yield from _volumes(settings)
    yield _open_files()


def _versions() -> Finding:
    found = {name: version(name) for name in ("matrix-surface", *NEEDED)}
    shown = ", ".join(f"{name} {number}" for name, number in found.items())
    shown += f", Python {sys.version.split()[0]}"
    for name, start in NEEDED.items():
        if not found[name].startswith(start):
            to_do = f"install {name} {start}x, as `pip install matrix-surface` does by itself"
            return Finding("fail", "versions", shown, to_do)
    return Finding("ok", "versions", shown)


def _permissions(settings: Settings, config: Path | None) -> Finding:
    """Who else can read what is secret, and whose it is."""
    keys = settings.state_dir / MATRIX_STORE
    private = [settings.state_dir, keys, keys / SESSION, settings.state_dir / DATABASE]
    for path in private:
        try:
            status = path.stat()
        except OSError:
            continue  # Not there yet; that it cannot be reached is another line's finding.
        if status.st_uid != os.geteuid():
            found = f"{path} belongs to user {status.st_uid}, and this is user {os.geteuid()}"
            to_do = f"run as that user, or: chown -R {os.geteuid()} {settings.state_dir}"
            return Finding("warn", "permissions", found, to_do)
        if status.st_mode & 0o077:
            found = f"{path} is open to other users"
            to_do = f"chmod {'700' if path.is_dir() else '600'} {path}"
            return Finding("warn", "permissions", found, to_do)
    if config is not None and config.stat().st_mode & 0o004 and _holds_a_secret(config):
        to_do = f"chmod 640 {config}, or name a file instead: `password_file` and the like"
        return Finding("warn", "permissions", f"{config}: every user can read its secret", to_do)
    return Finding("ok", "permissions", "what is secret is for this user only")


def _holds_a_secret(config: Path) -> bool:
    values = read_mapping(config, example=EXAMPLE)
    return any(_at(values, secret) for secret in SECRETS)


def _at(values: Any, keys: Iterable[str]) -> Any:
    for key in keys:
        values = values.get(key) if isinstance(values, dict) else None
    return values


def _volumes(settings: Settings) -> Iterator[Finding]:
    """Whether what is kept stays, and has room."""
    state, workspace = settings.state_dir.resolve(), settings.workspace_dir.resolve()
    yield volumes_apart(settings)
    yield _state_volume(state)
    for what, folder in (("room for the state", state), ("room for files", workspace)):
        yield _room(what, folder)


def _state_volume(state: Path) -> Finding:
    kind = file_system_of(state, MOUNTS.read_text() if MOUNTS.exists() else "")
    if kind in NETWORKS:
        to_do = "put `state_dir` on a disk of this machine: the database needs true locks"
        return Finding(
            "fail", "state volume", f"{state} is on a network file system ({kind})", to_do
        )
    if kind in ("overlay", "tmpfs", "ramfs"):
        found = f"{state} is gone when this {'machine' if kind != 'overlay' else 'container'} ends ({kind})"
        return Finding("warn", "state volume", found, "mount a volume there")
    return Finding("ok", "state volume", kind or "a file system of its own kind")


def file_system_of(path: Path, mounts: str) -> str:
    """The type of the file system that a path is, or will be, on; empty if it is not known.

    Args:
        mounts: what `/proc/self/mounts` says.
    """
    best, found = -1, ""
    for line in mounts.splitlines():
        words = line.split()
        if len(words) < 3:
            continue
        # Blanks in names are written as octal numbers there.
        point = Path(words[1].encode().decode("unicode_escape"))
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, found = len(point.parts), words[2]
    return found


def _room(what: str, folder: Path) -> Finding:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    found, to_do = f"{free / 1e6:,.0f} MB free in {folder}", "make room there"
    if free < TOO_LITTLE:
        return Finding("fail", what, found, to_do)
    return Finding("warn", what, found, to_do) if free < LITTLE else Finding("ok", what, found)


def _open_files() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < FILES:
        to_do = f"raise it to {FILES} or more: `ulimit -n`, LimitNOFILE= of systemd, `ulimits` of compose"
        return Finding("warn", "open files", f"{soft} at most", to_do)
    return Finding("ok", "open files", f"{soft} at most" if soft > 0 else "no limit")
