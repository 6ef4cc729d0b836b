"""What commands print: progress with rate and remaining time, tables, notes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from agentic.protocol import Summary

if TYPE_CHECKING:
    from agentic.dataset.conversion import Converted

console = Console()
# Where progress is shown when what is printed is for a machine to read.
errors = Console(stderr=True)


class RateColumn(ProgressColumn):
    """Units per second, whatever the unit."""

    def __init__(self, unit: str):
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        """Return the rate as text."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.1f} {self.unit}/s", style="cyan")


@contextmanager
def progress(what: str, unit: str, on: Console = console) -> Iterator[Callable[..., None]]:
    """Show a bar; yields advance(done, total, note="")."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(unit),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=on) as bars:
        bar = bars.add_task(what, total=None, note="")

        def advance(done: int, total: int, note: str = "") -> None:
            bars.update(bar, completed=done, total=total, note=note)

        yield advance


def print_written(store: Converted) -> None:
    """Say what a new store holds and what to do with it next."""
    console.print(f"{store.path}: {store.episodes} episodes, {store.steps:,} steps")
    if store.tasks:
        console.print(f"next: agentic train {store.tasks[0]} --data {store.path} --out runs/NAME")
    else:
        console.print(f"next: agentic data relabel {store.path} --task TASK")


def interval(summary: Summary) -> str:
    """Return `mean [low, high]`, without brackets where one value gives no interval."""
    if summary.low != summary.low:
        return f"{summary.mean:.0f}"
    return f"{summary.mean:.0f} [{summary.low:.0f}, {summary.high:.0f}]"


def protocol_table(title: str, rows: dict[str, dict[str, Summary]], caption: str) -> Table:
    """Return a table of named rows of protocol summaries."""
    table = Table(title=title, caption=caption)
    table.add_column("")
    names = next(iter(rows.values()))
    for name in names:
        table.add_column(name, justify="right")
    for label, summaries in rows.items():
        table.add_row(label, *(interval(summary) for summary in summaries.values()))
    return table
