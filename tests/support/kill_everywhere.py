"""Kill a download before every single thing it does to the disk, go on, and compare.

    python kill_everywhere.py MIRROR FOLDER fresh|older

For k = 1, 2, ... a process downloads walker/rnd from MIRROR and is killed (SIGKILL: no cleaning up)
right before its k-th operation on files below FOLDER, or block of progress. A second process goes
on. With `older`, the first one finds the beginning of a file that the server had before. Prints, as
JSON, for every k the digest of all files, and what else lay around.
"""

import hashlib
import json
import os
import shutil
import signal
import sys
from pathlib import Path

from agentic.download.catalogue import find_data_set
from agentic.download.download import DownloadConfig, download
from agentic.download.fetch import FetchConfig
from agentic.download.local_copy import LocalCopy
from agentic.download.manifest import Source

# What Python reports before it does it; reading counts too, which does no harm.
OPERATIONS = {"open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.scandir"}


def run(config: DownloadConfig, kill_at: int) -> int:
    """Download in a new process that is killed at operation `kill_at`; return how it ended."""
    process = os.fork()
    if process == 0:
        count, root = 0, str(config.root)

        def operation(event: str = "", arguments: tuple = (root,)) -> None:
            nonlocal count
            if event in OPERATIONS | {""} and root in str(arguments[0]):
                count += 1
                if count == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(operation)
        try:
            for _ in download(find_data_set("walker", "rnd"), config, lambda _: None):
                operation()
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def digest(folder: Path) -> str:
    """Return one digest of all names and contents but the manifest, which tells the time."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "manifest.json":
            total.update(f"{path.relative_to(folder)} {path.stat().st_size}\n".encode())
            total.update(path.read_bytes())
    return total.hexdigest()


def leave_older(config: DownloadConfig) -> None:
    """Leave what a download of an older file had fetched before it was killed."""
    data_set = find_data_set("walker", "rnd")
    local = LocalCopy(config.root, data_set)
    local.folder.parent.mkdir(parents=True)
    local.partial.write_source(Source(data_set.url(config.mirror), 10**6, '"older"'))
    local.partial.path.write_bytes(b"older" * 10_000)


def main(mirror: str, folder: Path, before: str) -> None:
    """Kill everywhere."""
    records = []
    for kill_at in range(1, 10_000):
        root = folder / f"root{kill_at}"
        config = DownloadConfig(root, mirror, fetch=FetchConfig(block=32_768))
        if before == "older":
            leave_older(config)
        ended = run(config, kill_at)
        if ended == 0:
            break
        assert ended == -signal.SIGKILL, ended
        again = run(config, 0)
        beside = sorted(path.name for path in (root / "walker").iterdir())
        manifest = (root / "walker" / "rnd" / "manifest.json").exists()
        whole = digest(root / "walker" / "rnd")
        records.append({"again": again, "beside": beside, "digest": whole, "manifest": manifest})
        shutil.rmtree(root)
    print(json.dumps(records))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
