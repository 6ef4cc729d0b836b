"""`agentic data list`."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import tyro
from rich.table import Table

from agentic.cli.terminal import console, say
from agentic.download.catalogue import ALGORITHMS, ROOT, DataSet, all_data_sets
from agentic.download.disk import readable
from agentic.download.local_copy import LocalCopy, Status


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
        console.print_json(json.dumps(records))
        return
    table = Table("data set", "archive", "on disk", title="ExoRL")
    table.caption = f"on disk: below {root}"
    domain = None
    for data_set, status in found.items():
        if data_set.domain != domain:
            domain = data_set.domain
            table.add_section()
            size = f"about {readable(domain.raw_bytes)} raw"
            table.add_row(domain.name, size, f"tasks: {', '.join(domain.goals)}", style="bold")
        known = data_set.published
        table.add_row(
            data_set.name,
            readable(known.size) if known else "unknown",
            _words(status),
        )
    console.print(table)
    table = Table("algorithm", "what explored", "paper")
    for algorithm in ALGORITHMS.values():
        table.add_row(algorithm.name, algorithm.title, algorithm.paper)
    console.print(table)
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
