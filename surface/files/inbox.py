"""Files of people, from the homeserver into the workspace: whole and verified, or not at all.

A file is written under another name beside its place and gets its own when it is complete, verified and on
disk. So what lies under its own name needs not be fetched again, and an agent never sees half a file.
Every refusal is a text for the room; only what may succeed later is raised.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import PurePath

import structlog

from config import Files
from machines.effects import FetchFile, FileIn, Text
from surface.failpoints import Failpoints
from surface.files.kinds import HEAD, type_of
from surface.files.names import INBOX, ROOT, STAMP, folder_name, parts_of
from surface.files.sizes import megabytes, shown
from surface.files.workspace import NotInside, Workspace
from surface.matrix.api import Lost, MatrixError
from surface.matrix.attachments import Opener, opener
from surface.matrix.media import PIECE, Media
from surface.platform.interface import Attachment

log = structlog.get_logger()

PART = ".part"
"""The end of a name under which a file is while it is fetched."""
ABANDONED = 86_400.0
"""Seconds after which nobody is writing such a file any more."""
TRIES = 5
"""Answers without the file after which it is not asked for again: its own homeserver is away."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class _Refused(Exception):
    """The file is not taken; `text` says why."""

    def __init__(self, key: str, file: FileIn, **params: str | int) -> None:
        self.text = Text(key, {"name": file.name, **params})
        super().__init__(key)


class Inbox:
    """The inboxes of all people."""

    def __init__(
        self, workspace: Workspace, media: Media, rules: Files, failpoints: Failpoints
    ) -> None:
        self._workspace, self._media = workspace, media
        self._rules, self._failpoints = rules, failpoints
        self._tries: dict[str, int] = {}
        self._used: dict[str, int] = {}
        """By person, bytes of their files when they were counted, and of those that came since."""

    async def fetch(self, wanted: FetchFile) -> Text | None:
        """Bring a file into the workspace; returns why not, if it cannot be for good.

        Raises:
            MatrixError: the homeserver limits us.
            Lost: it cannot be had now.
        """
        path = wanted.file.path
        try:
            await self._fetch(wanted)
        except _Refused as refused:
            log.info("file.refused", why=refused.text.key, path=path)
            return refused.text
        except MatrixError as error:
            if error.limited:
                raise
            log.warning("file.not_there", path=path, why=str(error))
            return Text("file-gone", {"name": wanted.file.name})
        except Lost as error:
            self._tries[path] = self._tries.get(path, 0) + (error.status is not None)
            if self._tries[path] < TRIES:
                raise
            log.warning("file.given_up", path=path, why=str(error))
            return Text("file-gone", {"name": wanted.file.name})
        except OSError as error:
            full = error.errno in _FULL
            log.error(
                "file.not_written",
                path=path,
                why=str(error),
                hint="is the disk of `workspace_dir` full?"
                if full
                else "may this program write to `workspace_dir`?",
            )
            return Text("file-disk-full" if full else "file-unwritable", {"name": wanted.file.name})
        finally:
            if self._tries.get(path, 0) in (0, TRIES):
                self._tries.pop(path, None)
        return None

    async def attachments(self, files: list[FileIn]) -> tuple[Attachment, ...]:
        """The files that are there, as the agent is told of them."""
        if not files:
            return ()
        return await asyncio.to_thread(lambda: tuple(filter(None, map(self._attachment, files))))

    async def clean(self) -> int:
        """Delete what is older than it may be; returns how many files that were."""
        self._used.clear()
        return await asyncio.to_thread(self._clean, time.time())

    async def forget(self, user_id: str) -> None:
        """Delete all files of a person.

        Raises:
            OSError: they cannot be deleted, or not now.
        """
        self._used.pop(user_id, None)
        await asyncio.to_thread(self._forget, user_id)

    async def _fetch(self, wanted: FetchFile) -> None:
        parts = parts_of(wanted.file.path)
        assert parts is not None, "made by inbox_path"
        try:
            opening = opener(wanted.source)
        except ValueError:
            raise _Refused("file-unreadable", wanted.file) from None
        with ExitStack() as stack:
            folder = stack.enter_context(self._workspace.folder(parts[:-1], make=True))
            if _is_there(folder, parts[-1]):
                return  # A process before this one had come so far.
            part = f".{parts[-1][:STAMP]}{PART}"
            _remove(folder, part)
            handle = self._workspace.new_file(folder, part)
            stack.callback(_remove, folder, part)
            stack.callback(os.close, handle)
            await self._stream(wanted, opening, handle)
            await asyncio.to_thread(os.fsync, handle)
            self._failpoints.hit("file.written")
            os.rename(part, parts[-1], src_dir_fd=folder, dst_dir_fd=folder)
            await asyncio.to_thread(os.fsync, folder)
            self._failpoints.hit("file.kept")

    async def _stream(self, wanted: FetchFile, opening: Opener, handle: int) -> None:
        """Write what comes, as long as it is allowed to.

        Raises:
            _Refused: it is too large, or not what was sent.
        """
        file, most = wanted.file, megabytes(self._rules.max_incoming)
        quota = megabytes(self._rules.quota_per_user)
        size = 0
        async with self._media.download(wanted.source.url) as found:
            used = await self._used_by(wanted.user_id, found.size, quota)

            def check(size: int) -> None:
                if size > most:
                    raise _Refused("file-too-large", file, most=shown(most))
                if used + size > quota:
                    raise _Refused("file-over-quota", file, most=shown(quota))

            check(found.size or 0)
            async for piece in found.pieces(PIECE):
                size += len(piece)
                check(size)
                await asyncio.to_thread(_write, handle, opening, piece)
        if not opening.verified():
            raise _Refused("file-damaged", file)
        self._used[wanted.user_id] = used + size

    async def _used_by(self, user_id: str, more: int | None, quota: int) -> int:
        """Bytes that a person's files have together; at most, where that leaves place for more."""
        known = self._used.get(user_id)
        if known is None or more is None or known + more > quota:
            folders = (*ROOT, folder_name(user_id))
            entries = await asyncio.to_thread(lambda: list(self._entries(folders)))
            known = self._used[user_id] = sum(entry.st_size for _, _, entry in entries)
        return known

    def _attachment(self, file: FileIn) -> Attachment | None:
        try:
            handle = self._workspace.open_file(file.path)
        except (NotInside, OSError):
            return None
        try:
            mime_type = type_of(os.pread(handle, HEAD, 0), file.mime_type)
            size = os.fstat(handle).st_size
        except OSError:
            return None
        finally:
            os.close(handle)
        return Attachment(file.path, file.name, mime_type, size)

    def _entries(self, parts: tuple[str, ...]) -> Iterator[tuple[int, str, os.stat_result]]:
        """The plain files in the inboxes below a folder, each with the handle of its inbox."""
        with suppress(FileNotFoundError), self._workspace.folder(parts) as top:
            for path, _, names, folder in os.fwalk(dir_fd=top, follow_symlinks=False):
                for name in names if PurePath(path).name == INBOX else ():
                    with suppress(FileNotFoundError):
                        entry = os.stat(name, dir_fd=folder, follow_symlinks=False)
                        if stat.S_ISREG(entry.st_mode):
                            yield folder, name, entry

    def _clean(self, now: float) -> int:
        limit = self._rules.keep_days * 86_400 or float("inf")
        removed = 0
        try:
            for folder, name, entry in self._entries(ROOT):
                most = min(limit, ABANDONED) if name.endswith(PART) else limit
                if now - entry.st_mtime > most:
                    _remove(folder, name)
                    removed += 1
        except OSError as error:
            log.warning("files.not_cleaned", why=str(error))
        return removed

    def _forget(self, user_id: str) -> None:
        with suppress(FileNotFoundError), self._workspace.folder(ROOT) as top:
            shutil.rmtree(folder_name(user_id), dir_fd=top)


def _write(handle: int, opening: Opener, piece: bytes) -> None:
    plain = memoryview(opening.update(piece))
    while plain:
        plain = plain[os.write(handle, plain) :]


def _is_there(folder: int, name: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _remove(folder: int, name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
