"""One verified download of one data set, in steps that can each be killed and taken up again.

downloading   the archive arrives in a partial file                    (`agentic.download.fetch`)
verifying     its sha256 is taken, and its ETag compared if it is a digest
unpacking     every member with its CRC goes into a new folder          (`agentic.download.unpack`)
              with a manifest, and the folder takes its name
"""

import hashlib
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from agentic.download.catalogue import PUBLISHER, ROOT, DataSet, check_mirror
from agentic.download.disk import free_bytes, readable
from agentic.download.fetch import FetchConfig, fetch
from agentic.download.local_copy import LocalCopy
from agentic.download.manifest import Manifest, Member
from agentic.download.unpack import Damaged, Limits, read_members, unpack
from agentic.errors import AgenticError
from agentic.files import locked

# Episodes are compressed before they are packed; the rest is for the blocks of a file system.
UNPACKED_PER_BYTE = 1.1
FILE_SYSTEM_BLOCK = 4096
HASHED_AT_A_TIME = 8 * 2**20


@dataclass(frozen=True)
class DownloadConfig:
    """Where from, where to, and how patiently.

    Attributes:
        root: folder below which DOMAIN/ALGO appears.
        mirror: another server's address in front of DOMAIN/ALGO.zip.
        fetch: when to try again.
        limits: what no archive may exceed.
        free: returns the free bytes where a path will be.
    """

    root: Path = ROOT
    mirror: str = PUBLISHER
    fetch: FetchConfig = field(default_factory=FetchConfig)
    limits: Limits = field(default_factory=Limits)
    free: Callable[[Path], int] = free_bytes


class DownloadProgress(NamedTuple):
    """So many bytes of a step are done; `note` says what happened, where something did."""

    step: str
    done: int
    total: int | None
    note: str = ""


def download(
    data_set: DataSet,
    config: DownloadConfig,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[DownloadProgress]:
    """Bring a data set to `LocalCopy(config.root, data_set).folder`, yielding as it goes on.

    Killed anywhere and called again, it goes on and ends with the same bytes. A data set that is
    complete already is checked against its manifest, and nothing is yielded or fetched.

    Raises:
        AgenticError: it cannot be had; what another call can use is kept.
    """
    check_mirror(config.mirror)
    local = LocalCopy(config.root, data_set)
    if config.root.exists() and not config.root.is_dir():
        raise AgenticError(f"--root {config.root} is a file; give a folder.")
    busy = (
        f"another process is at work here (it holds {local.lock}); "
        "wait for it, or give another --root."
    )
    with locked(local.lock, busy):
        manifest = local.manifest()
        if manifest is not None:
            local.check(manifest)
        else:
            _refuse_foreign_files(local)
            if not local.archive.exists():
                yield from _fetched(local, config, sleep)
                yield from _verified(local)
            yield from _unpacked(local, config)
        local.remove_leftovers()


def _refuse_foreign_files(local: LocalCopy) -> None:
    if local.folder.exists() and (not local.folder.is_dir() or any(local.folder.iterdir())):
        raise AgenticError(
            f"{local.folder} is there already, and not from a download; use it as it is "
            f"(agentic data info {shlex.quote(str(local.folder))}), move it away, or give "
            "another --root."
        )
    source = local.partial.source()
    if local.archive.exists() and (source is None or source.sha256 is None):
        raise AgenticError(
            f"{local.archive} is there already, and not from this command; move it away, or "
            f"unpack it yourself into {local.folder}."
        )


def _fetched(local: LocalCopy, config: DownloadConfig, sleep) -> Iterator[DownloadProgress]:
    url = local.data_set.url(config.mirror)
    make_room = partial(_room, local, config.free)
    for received in fetch(url, local.partial, make_room, config.fetch, sleep):
        yield DownloadProgress("downloading", *received)


def _room(local: LocalCopy, free: Callable[[Path], int], size: int | None, here: int) -> int:
    """Return how many bytes the archive may have; raise AgenticError on too small a disk."""
    available = free(local.folder)
    # Where no size is told, the uncompressed size of the domain is an upper bound in practice.
    archive = local.data_set.domain.raw_bytes if size is None else size
    _check_room(local, available, archive - here, int(archive * UNPACKED_PER_BYTE))
    return here + available // 2 if size is None else size


def _check_room(local: LocalCopy, available: int, archive: int, unpacked: int) -> None:
    if available < archive + unpacked:
        raise AgenticError(
            f"{local.folder.parent} has {readable(available)} free, but {local.data_set.name} "
            f"needs {readable(archive + unpacked)} more ({readable(archive)} to fetch, "
            f"{readable(unpacked)} to unpack it); free space, or give --root a larger disk."
        )


def _verified(local: LocalCopy) -> Iterator[DownloadProgress]:
    """Compare the archive with the digest that the server announced; then it takes its name.

    Where they differ, nothing is known, because not every ETag that looks like a digest is one. The
    CRCs of the archive's members decide.
    """
    source, total = local.partial.source(), local.partial.size()
    kind, announced = source.announced_digest() or ("sha256", None)
    hashes = {name: hashlib.new(name, usedforsecurity=False) for name in {kind, "sha256"}}
    yield DownloadProgress("verifying", 0, total)
    with local.partial.path.open("rb") as file:
        while block := file.read(HASHED_AT_A_TIME):
            for each in hashes.values():
                each.update(block)
            yield DownloadProgress("verifying", file.tell(), total)
    found = hashes[kind].hexdigest()
    if announced not in (None, found):
        note = (
            f"the ETag {announced} is not the {kind} of what arrived ({found}): it may be "
            "something else, or the archive is damaged, which the CRC of every file will tell"
        )
        yield DownloadProgress("verifying", total, total, note)
    sha256 = hashes["sha256"].hexdigest()
    local.partial.write_source(replace(source, sha256=sha256, etag_verified=announced == found))
    local.partial.path.replace(local.archive)


def _unpacked(local: LocalCopy, config: DownloadConfig) -> Iterator[DownloadProgress]:
    """Unpack the archive into a folder that takes its name once its manifest is written."""
    local.remove_unpacking()
    try:
        members = read_members(local.archive, config.limits)
        total = sum(member.size for member in members)
        blocks = sum(-(-member.size // FILE_SYSTEM_BLOCK) for member in members)
        _check_room(local, config.free(local.archive), 0, blocks * FILE_SYSTEM_BLOCK)
        yield DownloadProgress("unpacking", 0, total)
        for done in unpack(local.archive, local.unpacking, config.limits):
            yield DownloadProgress("unpacking", done, total)
    except Damaged as damage:
        raise _damaged(local, damage) from damage
    local.write_manifest(_manifest(local, tuple(members)))
    yield DownloadProgress("unpacking", total, total)
    local.unpacking.replace(local.folder)


def _damaged(local: LocalCopy, damage: Damaged) -> AgenticError:
    source = local.partial.source()
    way_out = (
        "these are the bytes that the server announced, so its own copy is damaged: use another "
        "--mirror"
        if source.etag_verified
        else "run the same command again, or use another --mirror"
    )
    local.remove_leftovers()
    return AgenticError(
        f"the archive from {source.url} is damaged ({damage}) and was deleted; {way_out}."
    )


def _manifest(local: LocalCopy, members: tuple[Member, ...]) -> Manifest:
    source = local.partial.source()
    return Manifest(
        data_set=local.data_set.name,
        url=source.url,
        size=source.size,
        etag=source.etag,
        etag_verified=source.etag_verified,
        sha256=source.sha256,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        members=members,
    )
