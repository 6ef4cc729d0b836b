"""What commands print: progress with rate and remaining time, tables, notes."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TransferSpeedColumn,
)
from rich.table import Table as RichTable
from rich.text import Text

from agentic.report.table import Noted, Table

if TYPE_CHECKING:
    from agentic.dataset.conversion import Converted

# Whatever is printed is printed as it is: square brackets in a file's name are no markup, and
# colons around a word no emoji.
LITERAL = {"markup": False, "emoji": False, "highlight": False}
console = Console(**LITERAL)
# Where progress is shown when what is printed is for a machine to read.
errors = Console(stderr=True, **LITERAL)


def say(text: str, style: str | None = None) -> None:
    """Print a line that keeps paths and commands whole, so that they can be copied."""
    console.print(_typed(text), style=style, soft_wrap=True)


def print_json(document: Any) -> None:
    """Print a document for machines to read, in ASCII, which every terminal has."""
    console.print_json(data=document, ensure_ascii=True)


def print_table(table: Table, title: str = "", caption: str = "", on: Console = console) -> None:
    """Print a table, on its side where it is too wide for the terminal and slimmer that way."""
    lines = [[Noted(column.heading) for column in table.columns], *table.cells()]
    upright = _Grid(lines, [column.align for column in table.columns])
    turned = _Grid(list(zip(*lines, strict=True)), ["left", *["right"] * len(table.rows)])
    shown = upright if upright.width <= on.width else min(upright, turned, key=lambda g: g.width)
    on.print(shown.drawn(on.width, title, caption))


class _Grid:
    """Lines of cells as a terminal shows them, the first of them the heading.

    `needed` says how wide each column has to be, so that numbers and intervals stay whole while
    words may stand below each other; `width` is what that makes of the whole grid.
    """

    def __init__(self, lines: Sequence[Sequence[Noted]], aligns: Sequence[str]):
        self.lines, self.aligns = lines, aligns
        self.columns = list(zip(*lines, strict=True))
        self.needed = list(map(_needed, self.columns, aligns))
        self.width = _framed(self.needed)

    def drawn(self, width: int, title: str, caption: str) -> RichTable:
        """Return the table for a terminal of a width; where nothing helps, numbers are folded."""
        wishes = [max(map(cell_len, itertools.chain(*column))) for column in self.columns]
        tight = self.width <= width < _framed(wishes)
        drawn = RichTable(
            title=title or None, caption=caption or None, caption_justify="left",
            show_lines=any(cell.note for line in self.lines for cell in line),
        )  # fmt: skip
        for cell, align, needed in zip(self.lines[0], self.aligns, self.needed, strict=True):
            fixed = needed if tight and align == "right" else None
            drawn.add_column(_text(cell), justify=align, overflow="fold", width=fixed)
        for line in self.lines[1:]:
            drawn.add_row(*map(_text, line))
        return drawn


def _framed(widths: Sequence[int]) -> int:
    """Return the width of columns with the lines and blanks around them."""
    return sum(widths) + 3 * len(widths) + 1


def _needed(cells: Sequence[Noted], align: str) -> int:
    """Return how wide a column has to be: its longest word, and of numbers its longest line."""
    words = [cell.text.split() + cell.note.split() for cell in cells]
    whole = cells[1:] if align == "right" else ()
    return max(map(cell_len, itertools.chain(*words, *whole)), default=0)


def _text(cell: Noted) -> Text:
    text, note = map(_typed, cell)
    return Text.assemble(text, (f"\n{note}", "dim")) if note else Text(text)


def _typed(text: str) -> str:
    """Return a text with hyphens, which can be typed and searched for, in place of minus signs."""
    return text.replace("\N{MINUS SIGN}", "-")


class RateColumn(ProgressColumn):
    """Units per second, whatever the unit."""

    def __init__(self, unit: str):
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        """Return the rate as text."""
        speed = task.speed
        if task.finished and task.finished_time:
            # The average: the bar's own figure is that of the last moments.
            speed = task.completed / task.finished_time
        if speed is None:
            return Text("")
        digits = 0 if speed >= 100 else 1
        return Text(f"{speed:,.{digits}f} {self.unit}/s", style="cyan")


class TimeColumn(ProgressColumn):
    """The time that is left, or in the end the time it took."""

    def render(self, task: Task) -> Text:
        """Return minutes and seconds, as text that says which of the two it is."""
        if task.finished:
            return Text(f"in {clock(task.finished_time)}", style="cyan")
        return Text(f"{clock(task.time_remaining)} left", style="cyan")


def clock(seconds: float | None) -> str:
    """Return seconds as 1:02:03 or 2:03; -:-- where they are not known."""
    if seconds is None:
        return "-:--"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def progress(what: str, unit: str, on: Console = console) -> Iterator[Callable[..., None]]:
    """Show a bar; yields advance(done, total, note="")."""
    # All of it fits into 80 columns.
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        RateColumn(unit),
        TimeColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=on) as bars:
        # Work that ends in an error before its first step leaves no bar behind.
        bar = bars.add_task(what, total=None, note="", visible=False)

        def advance(done: int, total: int, note: str = "") -> None:
            bars.update(bar, completed=done, total=total, note=note, visible=True)

        yield advance


@contextmanager
def steps_of_bytes(what: str) -> Iterator[Callable[..., None]]:
    """Show a bar for each step of work on bytes; yields show(step, done, total, note="").

    Notes stay on the screen. Where the output is no terminal, such as in the log of a batch job,
    every tenth of a step becomes a line.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=12),
        TextColumn("{task.percentage:>3.0f}%"),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeColumn(),
    )
    bars = {}
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        tenths = {}

        def show(step: str, done: int, total: int | None, note: str = "") -> None:
            if note:
                say(f"{what}: {note}", style="yellow")
            if step not in bars:
                # What an earlier call has done must not count as this one's speed.
                bars[step] = progress.add_task(f"{step} {what}", total=total, completed=done)
            progress.update(bars[step], completed=done, total=total)
            tenth = 10 * done // total if total else None
            if not console.is_terminal and tenth != tenths.get(step):
                tenths[step] = tenth
                console.print(f"{step} {what}: {10 * tenth} % of {total:,} bytes")

        yield show


def print_written(store: Converted) -> None:
    """Say what a new store holds and what to do with it next."""
    say(f"{store.path}: {store.episodes} episodes, {store.steps:,} steps")
    path = shlex.quote(str(store.path))
    if store.tasks:
        say(f"next: agentic train {store.tasks[0]} --data {path} --out runs/NAME")
    else:
        say(f"next: agentic data relabel {path} --task TASK")
