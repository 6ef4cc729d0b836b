"""The main picture: conditions below each other beside the data, and what their context adds."""

import textwrap
from collections.abc import Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from agentic.evaluation.condition import RANDOM
from agentic.evaluation.protocol import Summary
from agentic.report.rows import Row, kept_of
from agentic.report.theme import SMALL, TICK, Theme, canvas, write_title

# Inches for the names at the left, and for a line.
NAMES, LINE = 1.95, 0.42
# Letters of a name that fit there, on each of two lines.
LONG_NAME = 26


def forest(rows: Sequence[Row], data_returns: Sequence[float], theme: Theme) -> Figure | None:
    """Draw each row's mean return with its interval below the data's returns; None without rows.

    Dots are training runs (mean over contexts and episodes), or contexts where there is one run.
    Where there are controls, a second axis says how much more a method earns with its context kept:
    differences of a few points are too small for the first.
    """
    if not rows:
        return None
    names = [*(["the data's episodes"] if len(data_returns) else []), *map(_name, rows)]
    gains = [_gain(row, rows) for row in rows]
    controlled = any(gain is not None for gain in gains)
    figure, axes = canvas(
        theme, columns=2 if controlled else 1, height=LINE * (len(names) + 0.3), left=NAMES,
        gaps=(0, 0.3), widths=(3, 2) if controlled else None,
    )  # fmt: skip
    if len(data_returns):
        _draw_data(axes[0], np.asarray(data_returns, float), theme)
    colours = _colours(rows, theme)
    first = len(names) - len(rows)
    for line, (row, gain) in enumerate(zip(rows, gains, strict=True), start=first):
        colour = colours[row.method]
        _draw_estimate(axes[0], line, _dots(row), row.summaries["mean"], colour, theme)
        if gain is not None:
            _draw_estimate(axes[1], line, _dots(gain), gain.summaries["mean"], colour, theme)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(len(names) - 0.5, -0.7)
    axes[0].tick_params(axis="y", labelsize=SMALL + 0.5)
    axes[0].set_xlim(left=min(0.0, axes[0].get_xlim()[0]))
    labels = ["mean return", "gain from the context"]
    for one, label, ticks in zip(axes, labels, (5, 4), strict=False):
        one.xaxis.set_major_locator(MaxNLocator(ticks))
        one.set_xlabel(label, color=theme.ink, fontsize=TICK - 1)
        one.tick_params(axis="x", labelsize=TICK - 1)
    if controlled:
        axes[1].axvline(0, color=theme.ink, lw=1, zorder=0)
        axes[1].tick_params(labelleft=False)
    below = "bar: mean; line: its 95 % interval; dots: "
    below += "training runs" if any(row.over_runs for row in rows) else "contexts"
    write_title(figure, theme, "Returns beside the data" if len(data_returns) else "Returns", below)
    return figure


def _name(row: Row) -> str:
    """Return the method, or for a control, which stands below its method, what it changes."""
    name = row.label if row.memory == "kept" else f"\N{EN DASH} {row.setting}"
    # No line begins with a per cent sign.
    name = name.replace(" %", "\N{NO-BREAK SPACE}%")
    lines = textwrap.wrap(name, LONG_NAME, max_lines=2, placeholder="\N{HORIZONTAL ELLIPSIS}")
    return "\n".join(lines)


def _gain(row: Row, rows: Sequence[Row]) -> Row | None:
    """Return how much more than a control its method earns with its context kept."""
    kept = kept_of(row, rows)
    return None if kept is None else kept.minus(row)


def _colours(rows: Sequence[Row], theme: Theme) -> dict[str, str]:
    """Return every method's colour; random actions have learned nothing and get none."""
    methods = dict.fromkeys(row.method for row in rows if row.method != RANDOM)
    return {**dict(zip(methods, cycle(theme.series))), RANDOM: theme.quiet}


def _dots(row: Row) -> np.ndarray:
    if row.over_runs:
        return np.array([table.mean() for table in row.tables])
    return row.tables[0].mean(axis=1)


def _draw_estimate(
    axes: Axes, line: int, dots: np.ndarray, mean: Summary, colour: str, theme: Theme
) -> None:
    axes.scatter(dots, np.full(len(dots), line), s=26, color=colour, alpha=0.3, lw=0)
    if np.isfinite(mean.low):
        axes.plot([mean.low, mean.high], [line, line], color=colour, lw=2.5)
    axes.plot(mean.mean, line, "|", color=theme.ink, markersize=11, markeredgewidth=2.2, zorder=3)


def _draw_data(axes: Axes, returns: np.ndarray, theme: Theme) -> None:
    """Draw the data's returns as a histogram that stands on the first line, their mean and best."""
    counts, edges = np.histogram(returns, bins=min(40, 1 + 2 * int(len(returns) ** 0.5)))
    heights = counts / max(counts.max(), 1)
    axes.bar(
        edges[:-1], -0.85 * heights, np.diff(edges), bottom=0.35, align="edge", color=theme.quiet
    )
    for level, style in ((returns.mean(), "--"), (returns.max(), ":")):
        axes.axvline(level, color=theme.quiet, linestyle=style, lw=1.5, zorder=0)
