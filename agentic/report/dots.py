"""The picture of methods beside the data: every training run a dot, intervals, and the data."""

from collections.abc import Sequence
from itertools import cycle

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from agentic.report.figures import shortened
from agentic.report.results import Row
from agentic.report.theme import LABEL, RIGHT, TICK, WIDTH, Theme, canvas, words

# Inches for the names at the left, a line each.
NAMES, LINE = 2.9, 0.36
# Letters of a name that fit there.
LONG_NAME = 37


def beside_data(rows: Sequence[Row], data_returns: Sequence[float], theme: Theme) -> Figure:
    """Draw each row's mean return with its interval and training runs, below the data's returns.

    Dots are training runs (mean over contexts and episodes), or contexts where there is one run.
    """
    names = ["the data's episodes", *map(_name, rows)]
    figure, (axes,) = canvas(theme, height=LINE * (len(names) + 0.5))
    figure.subplots_adjust(left=NAMES / WIDTH)
    _distribution(axes, np.asarray(data_returns, float), theme)
    colours = _colours(rows, theme)
    for line, row in enumerate(rows, start=1):
        colour = colours[row.method]
        means = [table.mean() for table in row.tables]
        if not row.over_runs:
            means = row.tables[0].mean(axis=1)
        summary = row.summaries["mean"]
        faint = 0.35 if row.memory == "kept" else 0.25
        axes.scatter(means, np.full(len(means), line), s=26, color=colour, alpha=faint, lw=0)
        if np.isfinite(summary.low):
            axes.plot([summary.low, summary.high], [line, line], color=colour, lw=2.5)
        axes.plot(
            summary.mean, line, "|", color=theme.ink, markersize=11, markeredgewidth=2.2, zorder=3
        )
    axes.set_yticks(range(len(names)), [shortened(name, LONG_NAME) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.7)
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.tick_params(axis="y", labelsize=TICK - 2.5)
    words(figure, theme, "Methods beside their data", "", "")
    label = "return (bar: mean; line: 95 % interval)"
    figure.text(
        (NAMES + WIDTH - RIGHT) / 2 / WIDTH, 0.3 / figure.get_figheight(), label,
        color=theme.ink, fontsize=LABEL, ha="center", va="center",
    )  # fmt: skip
    return figure


def _name(row: Row) -> str:
    """Return the method, or for a control, which stands below its method, what it changes."""
    return row.name if row.memory == "kept" else f"\N{EN DASH} {row.memory_words}"


def _colours(rows: Sequence[Row], theme: Theme) -> dict[str, str]:
    """Return every method's colour; random actions have learned nothing and get none."""
    methods = dict.fromkeys(row.method for row in rows if row.method != "random")
    return {**dict(zip(methods, cycle(theme.series))), "random": theme.quiet}


def _distribution(axes, returns: np.ndarray, theme: Theme) -> None:
    """Draw the data's returns as a histogram that stands on the first line, their mean and best."""
    counts, edges = np.histogram(returns, bins=40)
    heights = counts / max(counts.max(), 1)
    axes.bar(
        edges[:-1], -0.85 * heights, np.diff(edges), bottom=0.35, align="edge", color=theme.quiet
    )
    for level, style in ((returns.mean(), "--"), (returns.max(), ":")):
        axes.axvline(level, color=theme.quiet, linestyle=style, lw=1.5, zorder=0)
