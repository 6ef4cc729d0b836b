"""Where a data set lies on this disk, and how much of it is here.

    ROOT/walker/
      rnd.zip.partial         what has arrived of the archive
      rnd.zip.partial.json    its address, size and ETag, so that the rest can be asked for
      rnd.zip                 the archive, whole and verified, until it is unpacked
      rnd.unpacking/          being unpacked; begun anew after an interruption
      rnd/                    the data set: buffer/*.npz, video/*.mp4
      rnd/manifest.json       what was fetched, when, and every file in it

Each step ends with one rename, so every file under its final name is whole.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from agentic.download.catalogue import DataSet
from agentic.download.manifest import MANIFEST, Manifest, Source, is_episode, read_manifest
from agentic.errors import AgenticError
from agentic.files import write_bytes


class PartialFile:
    """The beginning of a file, and beside it, as JSON, which file it is the beginning of."""

    def __init__(self, path: Path):
        self.path = path
        self.source_file = path.with_name(f"{path.name}.json")

    def size(self) -> int:
        """Return how many bytes have arrived."""
        return self.path.stat().st_size if self.path.exists() else 0

    def source(self) -> Source | None:
        """Return the file that the bytes belong to; None if it is not known."""
        try:
            return Source(**json.loads(self.source_file.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def write_source(self, source: Source) -> None:
        """Write down which file the bytes belong to."""
        write_bytes(self.source_file, json.dumps(asdict(source), indent=1).encode() + b"\n")

    def remove(self) -> None:
        """Remove both files, the one that vouches for the other last."""
        self.path.unlink(missing_ok=True)
        self.source_file.unlink(missing_ok=True)


@dataclass(frozen=True)
class Status:
    """How far a data set has come: absent, partial, archive, complete, foreign or damaged.

    Foreign: episodes without a manifest. Damaged: a manifest that cannot be read.
    """

    kind: str
    episodes: int | None = None
    bytes: int = 0
    total_bytes: int | None = None  # of the archive, while it is partial


class LocalCopy:
    """The files of one data set below a root folder."""

    def __init__(self, root: Path, data_set: DataSet):
        self.data_set = data_set
        self.folder = root / data_set.domain.name / data_set.algorithm.name
        parent, name = self.folder.parent, self.folder.name
        self.archive = parent / f"{name}.zip"
        self.partial = PartialFile(parent / f"{name}.zip.partial")
        self.unpacking = parent / f"{name}.unpacking"
        self.manifest_file = self.folder / MANIFEST
        self.lock = parent / f".{name}.lock"

    def remove_leftovers(self) -> None:
        """Remove what a download needs on its way, but not an archive that the user put here."""
        source = self.partial.source()
        self.remove_unpacking()
        if source is not None and source.sha256 is not None:
            self.archive.unlink(missing_ok=True)
        self.partial.remove()

    def remove_unpacking(self) -> None:
        """Remove the folder that an archive was being unpacked to."""
        if self.unpacking.exists():
            shutil.rmtree(self.unpacking)

    def write_manifest(self, manifest: Manifest) -> None:
        """Write the manifest into the folder being unpacked, as its last file."""
        content = json.dumps(asdict(manifest), indent=1).encode() + b"\n"
        write_bytes(self.unpacking / MANIFEST, content)

    def manifest(self) -> Manifest | None:
        """Return the manifest of a finished data set, or None if there is none."""
        return read_manifest(self.manifest_file)

    def check(self, manifest: Manifest) -> None:
        """Raise AgenticError unless every episode of the manifest is here with its size.

        Videos may be deleted to save space.
        """
        lost = [
            member.name
            for member in manifest.members
            if is_episode(member.name) and _size(self.folder / member.name) != member.size
        ]
        if lost:
            raise AgenticError(
                f"{self.folder} was complete once, but {len(lost)} of {manifest.episodes} episodes "
                f"are now missing or changed (first: {lost[0]}); move it away and download again."
            )

    def status(self) -> Status:
        """Return how far the data set has come."""
        try:
            manifest = self.manifest()
        except AgenticError:
            return Status("damaged")
        if manifest is not None:
            return Status("complete", manifest.episodes, manifest.unpacked_bytes)
        found = [*self.folder.glob("*.npz"), *self.folder.glob("buffer/*.npz")]
        if found:
            return Status("foreign", len(found), sum(path.stat().st_size for path in found))
        if self.archive.exists():
            return Status("archive", bytes=self.archive.stat().st_size)
        if self.partial.path.exists():
            source = self.partial.source()
            return Status("partial", None, self.partial.size(), source.size if source else None)
        return Status("absent")


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
