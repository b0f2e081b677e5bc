"""An archive as a file: a gzipped tar, closed by one line with the SHA-256 of all before it.

`tar tzf` lists it. The rule: it is believed whole or not at all. Reading first proves every byte (the last
line, or age's own proof when it is sealed), then that the members are those of the manifest, no more and no
less; only then is anything unpacked.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from store import SCHEMA_VERSION
from store.documents import VERSIONS
from surface.backup import seal
from surface.backup.contents import FORMAT, Manifest, Member, may_be_restored
from surface.backup.errors import BackupError

MANIFEST = "manifest.json"
_SEAL = b"\nsurface-backup sha256 "
_TRAILER = len(_SEAL) + 64 + 1


def member(name: str, data: bytes) -> Member:
    """What the manifest says of a file."""
    return Member(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())


def packed(manifest: Manifest, members: Mapping[str, bytes], passphrase: str | None) -> bytes:
    """The bytes of an archive.

    Raises:
        BackupError: it is to be sealed, and what that takes is not installed.
    """
    out = io.BytesIO()
    # No time and no name in the gzip header: the same contents make the same bytes.
    with (
        gzip.GzipFile(filename="", fileobj=out, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name, data in [
            (MANIFEST, manifest.model_dump_json(indent=1).encode()),
            *members.items(),
        ]:
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o600
            tar.addfile(info, io.BytesIO(data))
    body = out.getvalue()
    whole = body + _SEAL + hashlib.sha256(body).hexdigest().encode() + b"\n"
    return whole if passphrase is None else seal.seal(whole, passphrase)


def keep(path: Path, data: bytes) -> None:
    """Write a new file, whole or not at all, readable by its owner only.

    Raises:
        BackupError: it is there already, or cannot be written.
    """
    # `.` and `/` have no name; they are there already.
    partial = path.parent / f".{path.name}.{os.getpid()}"
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            # Unlike a rename, a link never replaces what is there.
            os.link(partial, path)
        finally:
            partial.unlink()
    except FileExistsError:
        raise BackupError(f"{path}: is there already; name a new file") from None
    except OSError as error:
        raise BackupError(f"{path}: cannot be written ({error.strerror})") from error


def opened(data: bytes, passphrase: str | None) -> tuple[Manifest, dict[str, bytes]]:
    """What is in an archive, proven whole.

    Raises:
        BackupError: it is torn, altered, not an archive at all, or written by a newer program.
    """
    sealed = data.startswith(seal.HEAD)
    if sealed and passphrase is None:
        raise BackupError("is encrypted; give the passphrase with --passphrase-file")
    if passphrase is not None and not sealed:
        # Whoever put a plain file in the place of a sealed one is not to get away with it.
        raise BackupError(
            "is not encrypted; leave --passphrase-file out if that is as it should be"
        )
    if passphrase is not None:
        data = seal.unseal(data, passphrase)
    body, trailer = data[:-_TRAILER], data[-_TRAILER:]
    if not trailer.startswith(_SEAL) or not body:
        raise BackupError("is no backup of the surface, or its end is missing")
    if trailer[len(_SEAL) : -1] != hashlib.sha256(body).hexdigest().encode() or data[-1:] != b"\n":
        raise BackupError("is not what was written: it was damaged or altered")
    try:
        members = _unpacked(body)
        manifest = Manifest.model_validate_json(members.pop(MANIFEST), strict=True)
    except (tarfile.TarError, OSError, EOFError, KeyError, ValidationError) as error:
        raise BackupError(f"is no backup that this version can read: {error}") from error
    _require_known(manifest)
    found = {each.name: each for each in manifest.members}
    if set(found) != set(members) or len(found) != len(manifest.members):
        raise BackupError("holds other files than its manifest says")
    for name, content in members.items():
        if member(name, content) != found[name]:
            raise BackupError(f"`{name}` in it is not what its manifest says")
        if not may_be_restored(name):
            raise BackupError(f"holds `{name}`, which is in no backup of the surface")
    return manifest, members


def _unpacked(body: bytes) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(body), mode="r:gz") as tar:
        for info in tar:
            file = tar.extractfile(info) if info.isfile() else None
            if file is None or info.name in members:
                raise tarfile.TarError(f"`{info.name}` is no plain file, or is there twice")
            members[info.name] = file.read()
    return members


def _require_known(manifest: Manifest) -> None:
    newer = [
        table
        for table, v in manifest.documents.items()
        if v > VERSIONS.get(table, 0)  # type: ignore[call-overload]
    ]
    if manifest.format > FORMAT or manifest.db_schema > SCHEMA_VERSION or newer:
        raise BackupError(
            f"was written by a newer surface ({manifest.program}); restore it with that version or a "
            "later one"
        )
