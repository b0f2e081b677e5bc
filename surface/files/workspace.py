"""The folder that agents and surface share, held by its handle: nothing outside it is ever touched.

Agents write there too, so any entry may be a trap. Every path is walked one component at a time from the
workspace's own handle, and no symbolic link is followed on the way: what a path leads to cannot be
exchanged between a look and the opening.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from surface.files.names import parts_of

FOLDER_MODE, FILE_MODE = 0o755, 0o644
"""The agents read what we write, and may be other users."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Not to wait at a pipe that somebody planted.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class NotInside(Exception):
    """A path that leads nowhere in the workspace: out of it, over a link, or to no plain file."""


class Workspace:
    """The workspace under `root`, which is made when it is first written to."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def folder(self, parts: tuple[str, ...], *, make: bool = False) -> Iterator[int]:
        """The handle of a folder inside, as long as the context lasts.

        Args:
            make: make it, and those above it, if they are not there.

        Raises:
            OSError: it is not there, cannot be made, or something else has its name.
        """
        if make:
            self.root.mkdir(parents=True, exist_ok=True)
        # The workspace itself may be a link: that is the operator's.
        handle = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts:
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(part, FOLDER_MODE, dir_fd=handle)
                below = os.open(part, _FOLDER, dir_fd=handle)
                os.close(handle)
                handle = below
            yield handle
        finally:
            os.close(handle)

    def open_file(self, path: str) -> int:
        """A handle to read a plain file inside; the caller closes it.

        Raises:
            NotInside: the path leads elsewhere, or to something else.
            OSError: there is no such file, or it may not be read.
        """
        parts = parts_of(path)
        if parts is None:
            raise NotInside(path)
        try:
            with self.folder(parts[:-1]) as folder:
                handle = os.open(parts[-1], _READ, dir_fd=folder)
        except OSError as error:
            # Links, and what is no folder or cannot be opened as a file (a socket).
            if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
                raise NotInside(path) from None
            raise
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise NotInside(path)
        return handle

    def new_file(self, folder: int, name: str) -> int:
        """A handle to write a file that was not there."""
        return os.open(name, _NEW, FILE_MODE, dir_fd=folder)
