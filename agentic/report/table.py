"""A table as a value, and how numbers are written: one for terminal, page and Markdown.

Markdown is written here, HTML by page.html, and the terminal's table by `agentic.cli.terminal`. All
three take their texts from `Table.cells`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple


def number(value: float) -> str:
    """Return a return as text: whole numbers, and one decimal where returns are small."""
    text = f"{value:,.1f}" if abs(value) < 20 else f"{value:,.0f}"
    text = text.removesuffix(".0")
    # What rounds to nothing has no sign.
    return "0" if text == "-0" else text.replace("-", "\N{MINUS SIGN}")


def interval(low: float, high: float) -> str:
    """Return "380 to 441", or that there is no interval, which takes more than one value."""
    return "no interval" if math.isnan(low) else f"{number(low)} to {number(high)}"


class Estimate(NamedTuple):
    """A number with its 95 % interval, which is nan where a single value gives none."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Return "789 [741, 815]", or the number alone where it has no interval."""
        if math.isnan(self.low):
            return number(self.value)
        return f"{number(self.value)} [{number(self.low)}, {number(self.high)}]"


class Noted(NamedTuple):
    """A text, and a note that a terminal and a page show below it."""

    text: str
    note: str = ""


Value = str | float | Estimate | Noted


@dataclass(frozen=True)
class Column:
    """What one column is called, how it is aligned, and how its plain numbers become text."""

    heading: str
    align: Literal["left", "right"] = "left"
    format: Callable[[float], str] = number


@dataclass(frozen=True)
class Table:
    """Columns, and rows of as many values each."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]

    def __post_init__(self):
        wrong = {len(row) for row in self.rows} - {len(self.columns)}
        if wrong:
            raise ValueError(f"a row has {wrong.pop()} values and the table {len(self.columns)}.")

    def beside(self, column: Column, values: Sequence[Value]) -> "Table":
        """Return the table with one more column at its right."""
        rows = tuple((*row, value) for row, value in zip(self.rows, values, strict=True))
        return replace(self, columns=(*self.columns, column), rows=rows)

    def cells(self) -> list[list[Noted]]:
        """Return every value as text and note, a list for each row."""
        return [list(map(_cell, row, self.columns)) for row in self.rows]

    def markdown(self) -> str:
        """Return the table in Markdown, intervals in square brackets."""
        heads = [_literal(column.heading) for column in self.columns]
        marks = ["---:" if column.align == "right" else "---" for column in self.columns]
        rows = [map(_markdown, row, self.columns) for row in self.rows]
        lines = [f"| {' | '.join(texts)} |" for texts in (heads, *rows)]
        return "\n".join([lines[0], f"|{'|'.join(marks)}|", *lines[1:]])


def _cell(value: Value, column: Column) -> Noted:
    if isinstance(value, Estimate):
        return Noted(number(value.value), interval(value.low, value.high))
    if isinstance(value, Noted):
        return value
    return Noted(value if isinstance(value, str) else column.format(value))


def _markdown(value: Value, column: Column) -> str:
    if isinstance(value, Estimate):
        return str(value)
    text, note = _cell(value, column)
    return _literal(f"{text}, {note}" if note else text)


def _literal(text: str) -> str:
    """Return a text that ends no cell before its time."""
    return text.replace("|", "\\|").replace("\n", " ")
