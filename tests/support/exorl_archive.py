"""A small archive as the publisher makes them: real episodes, and a video."""

import hashlib
import io
import zipfile
from functools import cache
from pathlib import Path

import numpy as np

from agentic.dataset import sample_directory
from agentic.dataset.episodes import list_episodes

WHEN = (2022, 1, 13, 0, 0, 0)


@cache
def files() -> dict[str, bytes]:
    """Return the content of every file by its name in the archive."""
    episodes = list_episodes(sample_directory())[::25]
    video = np.random.default_rng(0).bytes(20_000)
    return {f"buffer/{path.name}": path.read_bytes() for path in episodes} | {
        "video/0.mp4": video,
        "video/empty.mp4": b"",
    }


def packed(content: dict[str, bytes]) -> bytes:
    """Return a zip with these files, with folders as members of their own."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("buffer/", WHEN), b"")
        for name, data in content.items():
            archive.writestr(zipfile.ZipInfo(name, WHEN), data, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


@cache
def archive_bytes() -> bytes:
    """Return the archive."""
    return packed(files())


def md5_etag(content: bytes) -> str:
    """Return the ETag that S3 gives to a file uploaded in one piece."""
    return f'"{hashlib.md5(content).hexdigest()}"'


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below `folder` but the manifest."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }
