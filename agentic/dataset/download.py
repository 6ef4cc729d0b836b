"""One verified download of one data set, in steps that can each be killed and taken up again.

transfer   the archive arrives in a partial file          (`agentic.dataset.transfer`)
verify     its ETag, as far as that is a digest; sha256   (`agentic.dataset.integrity`)
unpack     every member with its CRC into a new folder    (`agentic.dataset.archive`)
finish     a manifest, and the folder takes its name      (`agentic.dataset.landing`)
"""

import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from agentic.dataset.archive import Damaged, Limits, read_members, unpack
from agentic.dataset.catalogue import PUBLISHER, ROOT, DataSet, check_mirror
from agentic.dataset.integrity import digest, kind_of, plain
from agentic.dataset.landing import (
    Landing,
    Manifest,
    Member,
    free_bytes,
    readable,
    remove_folder,
)
from agentic.dataset.lock import locked
from agentic.dataset.transfer import TransferConfig, transfer
from agentic.errors import AgenticError

# Episodes are compressed before they are packed; the rest is for the blocks of a file system.
UNPACKED_PER_BYTE = 1.1
BLOCK = 4096


@dataclass(frozen=True)
class DownloadConfig:
    """Where from, where to, and how patiently.

    Attributes:
        root: folder below which DOMAIN/ALGO appears.
        mirror: another server's address in front of DOMAIN/ALGO.zip.
        transfer: when to try again.
        limits: what no archive may exceed.
    """

    root: Path = ROOT
    mirror: str = PUBLISHER
    transfer: TransferConfig = field(default_factory=TransferConfig)
    limits: Limits = field(default_factory=Limits)

    def command(self, data_set: DataSet) -> str:
        """Return the command line that goes on with a download."""
        words = ["agentic", "data", "download", data_set.domain.name, data_set.algorithm.name]
        if self.root != ROOT:
            words += ["--root", str(self.root)]
        if self.mirror != PUBLISHER:
            words += ["--mirror", self.mirror]
        return shlex.join(words)


class Progress(NamedTuple):
    """So many bytes of a step are done; `note` says what happened, where something did."""

    step: str
    done: int
    total: int | None
    note: str = ""


def download(
    data_set: DataSet,
    config: DownloadConfig,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Progress]:
    """Bring a data set to `Landing(config.root, data_set).folder`, yielding as it goes on.

    Killed anywhere and called again, it goes on and ends with the same bytes. A data set that is
    complete already is checked against its manifest, and nothing is yielded or fetched.

    Raises:
        AgenticError: it cannot be had; whatever is of use to another call is kept.
    """
    check_mirror(config.mirror)
    landing = Landing(config.root, data_set)
    if config.root.exists() and not config.root.is_dir():
        raise AgenticError(f"--root {config.root} is a file; give a folder.")
    busy = (
        f"another process is at work here (it holds {landing.lock}); "
        "wait for it, or give another --root."
    )
    with locked(landing.lock, busy):
        manifest = landing.manifest()
        if manifest is not None:
            landing.check(manifest)
        else:
            _refuse_what_is_not_ours(landing)
            if not landing.archive.exists():
                yield from _fetched(landing, config, sleep)
                yield from _verified(landing)
            yield from _unpacked(landing, config.limits)
        landing.forget()


def _refuse_what_is_not_ours(landing: Landing) -> None:
    if landing.folder.exists() and (not landing.folder.is_dir() or any(landing.folder.iterdir())):
        raise AgenticError(
            f"{landing.folder} is there already, and not from a download; use it as it is "
            f"(agentic data info {shlex.quote(str(landing.folder))}), move it away, or give "
            "another --root."
        )
    source = landing.source()
    if landing.archive.exists() and (source is None or source.sha256 is None):
        raise AgenticError(
            f"{landing.archive} is there already, and not from this command; move it away, or "
            f"unpack it yourself into {landing.folder}."
        )


def _fetched(landing: Landing, config: DownloadConfig, sleep) -> Iterator[Progress]:
    url = landing.data_set.url(config.mirror)
    make_room = partial(_room, landing)
    for received in transfer(url, landing, make_room, config.transfer, sleep):
        yield Progress("downloading", *received)


def _room(landing: Landing, size: int | None, here: int) -> int:
    """Return how many bytes the archive may have; raise AgenticError on too small a disk."""
    free = free_bytes(landing.folder)
    data_set = landing.data_set
    # Of a size that is not told, what the domain has uncompressed is an upper bound in practice.
    archive = data_set.domain.raw_bytes if size is None else size
    _refuse_too_small_a_disk(landing, free, archive - here, int(archive * UNPACKED_PER_BYTE))
    return here + free // 2 if size is None else size


def _refuse_too_small_a_disk(landing: Landing, free: int, archive: int, unpacked: int) -> None:
    if free < archive + unpacked:
        raise AgenticError(
            f"{landing.folder.parent} has {readable(free)} free, but {landing.data_set.name} needs "
            f"{readable(archive + unpacked)} more ({readable(archive)} to fetch, "
            f"{readable(unpacked)} to unpack it); free space, or give --root a larger disk."
        )


def _verified(landing: Landing) -> Iterator[Progress]:
    """Compare the archive with the ETag that the server announced; then it takes its name.

    Where they differ, nothing is known: ETags of encrypted objects look like digests and are none.
    The archive's own CRCs decide.
    """
    source = landing.source()
    total = landing.received()
    reading = digest(landing.partial, kind_of(source.etag, total))
    yield Progress("verifying", 0, total)
    while True:
        try:
            yield Progress("verifying", next(reading), total)
        except StopIteration as end:
            digests = end.value
            break
    same = digests.etag == plain(source.etag)
    if digests.etag is not None and not same:
        note = (
            f"the ETag {plain(source.etag)} is not the digest of what arrived ({digests.etag}): "
            "it may be none, or the archive is damaged, which the CRC of every file will tell"
        )
        yield Progress("verifying", total, total, note)
    landing.write_source(replace(source, sha256=digests.sha256, etag_verified=same))
    landing.partial.replace(landing.archive)


def _unpacked(landing: Landing, limits: Limits) -> Iterator[Progress]:
    """Unpack the archive into a folder that takes its name once its manifest is written."""
    remove_folder(landing.unpacking)
    try:
        members = read_members(landing.archive, limits)
        total = sum(member.size for member in members)
        needed = sum(-(-member.size // BLOCK) * BLOCK for member in members)
        _refuse_too_small_a_disk(landing, free_bytes(landing.archive), 0, needed)
        yield Progress("unpacking", 0, total)
        for done in unpack(landing.archive, landing.unpacking, limits):
            yield Progress("unpacking", done, total)
    except Damaged as damage:
        raise _damaged(landing, damage) from damage
    landing.write_manifest(_manifest(landing, tuple(members)))
    yield Progress("unpacking", total, total)
    landing.unpacking.replace(landing.folder)


def _damaged(landing: Landing, damage: Damaged) -> AgenticError:
    source = landing.source()
    way_out = (
        "these are the bytes that the server announced, so its own copy is damaged: use another "
        "--mirror"
        if source.etag_verified
        else "run the same command again, or use another --mirror"
    )
    landing.forget()
    return AgenticError(
        f"the archive from {source.url} is damaged ({damage}) and was deleted; {way_out}."
    )


def _manifest(landing: Landing, members: tuple[Member, ...]) -> Manifest:
    source = landing.source()
    return Manifest(
        data_set=landing.data_set.name,
        url=source.url,
        size=source.size,
        etag=source.etag,
        etag_verified=source.etag_verified,
        sha256=source.sha256,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        members=members,
    )
