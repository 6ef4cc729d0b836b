"""Space on a disk, and numbers of bytes in words."""

import shutil
from pathlib import Path


def free_bytes(path: Path) -> int:
    """Return the free space where `path` will be; it need not exist yet."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def readable(size: float) -> str:
    """Return a number of bytes as text: 2.59 GB, 340 MB, 12.1 kB."""
    for unit, scale, digits in (("GB", 1e9, 2), ("MB", 1e6, 1), ("kB", 1e3, 1)):
        if size >= scale:
            return f"{round(size / scale, digits):g} {unit}"
    return f"{size:.0f} bytes"
