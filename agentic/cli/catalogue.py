"""`agentic data list`."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import tyro

from agentic.cli.terminal import print_json, print_table, say
from agentic.download.catalogue import ALGORITHMS, ROOT, DataSet, all_data_sets
from agentic.download.disk import readable
from agentic.download.local_copy import LocalCopy, Status
from agentic.report.table import Column, Table


def list(arguments: Sequence[str]) -> None:
    """Parse and run `agentic data list`."""

    def command(root: Path = ROOT, json: bool = False) -> None:
        """List the 54 ExoRL data sets: tasks, sizes where known, what is on disk.

        Args:
            root: folder that downloads go to.
            json: print JSON instead of tables.
        """
        _print_list(root, json)

    tyro.cli(command, prog="agentic data list", args=arguments)


def _print_list(root: Path, as_json: bool) -> None:
    found = {data_set: LocalCopy(root, data_set).status() for data_set in all_data_sets()}
    if as_json:
        records = [_record(data_set, status, root) for data_set, status in found.items()]
        print_json(records)
        return
    columns = Column("data set"), Column("archive"), Column("on disk")
    rows = tuple(
        (d.name, readable(d.published.size) if d.published else "unknown", _words(status))
        for d, status in found.items()
    )
    print_table(Table(columns, rows), title="ExoRL", caption=f"on disk: below {root}")
    columns = Column("domain"), Column("one data set, unpacked"), Column("tasks")
    rows = tuple(
        (domain.name, f"about {readable(domain.raw_bytes)}", ", ".join(domain.goals))
        for domain in dict.fromkeys(data_set.domain for data_set in found)
    )
    print_table(Table(columns, rows))
    columns = Column("algorithm"), Column("what explored"), Column("paper")
    rows = tuple((one.name, one.title, one.paper) for one in ALGORITHMS.values())
    print_table(Table(columns, rows))
    say("next: agentic data download DOMAIN ALGORITHM")


def _record(data_set: DataSet, status: Status, root: Path) -> dict:
    known = data_set.published
    return {
        "data_set": data_set.name,
        "domain": data_set.domain.name,
        "algorithm": data_set.algorithm.name,
        "paper": data_set.algorithm.paper,
        "tasks": data_set.domain.tasks,
        "url": data_set.url(),
        "archive_bytes": known.size if known else None,
        "etag": known.etag if known else None,
        "uncompressed_bytes_about": data_set.domain.raw_bytes,
        "folder": str(LocalCopy(root, data_set).folder),
        "on_disk": asdict(status),
    }


def _words(status: Status) -> str:
    size = readable(status.bytes)
    if status.kind == "partial" and status.total_bytes:
        return f"{status.bytes / status.total_bytes:.0%} downloaded"
    return {
        "absent": "-",
        "partial": f"{size} downloaded",
        "archive": "downloaded, not unpacked",
        "complete": f"{status.episodes} episodes, {size}",
        "damaged": "manifest damaged: move away",
        "foreign": f"{status.episodes} episodes, unverified",
    }[status.kind]
