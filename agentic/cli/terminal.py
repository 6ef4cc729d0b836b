"""What commands print: progress with rate and remaining time, tables, notes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

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

console = Console()


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
def progress(what: str, unit: str) -> Iterator[Callable[..., None]]:
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
    with Progress(*columns, console=console) as bars:
        bar = bars.add_task(what, total=None, note="")

        def advance(done: int, total: int, note: str = "") -> None:
            bars.update(bar, completed=done, total=total, note=note)

        yield advance


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
