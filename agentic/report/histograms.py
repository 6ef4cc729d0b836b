"""How returns are spread: the data's, and those of policies."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from agentic.evaluation.condition import RANDOM
from agentic.report.rows import Row
from agentic.report.theme import TICK, Theme, canvas, shortened, write_labels, write_title

# Letters that fit above a panel.
LONG = 58


def returns(rows: Sequence[Row], data_returns: Sequence[float], theme: Theme) -> Figure | None:
    """Draw the data above and each method with its context kept below; None without either."""
    shown = [row for row in rows if row.memory == "kept"] or list(rows)
    panels = [(row.label, row.returns) for row in shown]
    colours = [theme.series[place % len(theme.series)] for place in range(len(panels))]
    colours = [
        theme.quiet if row.method == RANDOM else colour
        for row, colour in zip(shown, colours, strict=True)
    ]
    if len(data_returns):
        panels.insert(0, ("the data", np.asarray(data_returns, dtype=float)))
        colours.insert(0, theme.quiet)
    if not panels:
        return None
    title = "Returns of the data and returns achieved" if rows else "Returns of the data"
    return _histograms(panels, colours, title, theme)


def data_histogram(returns: Mapping[str, np.ndarray], theme: Theme) -> Figure:
    """Draw how a data set's returns are spread, one panel a task."""
    colours = [theme.series[place % len(theme.series)] for place in range(len(returns))]
    return _histograms(list(returns.items()), colours, "Returns of the data", theme)


def _histograms(
    panels: Sequence[tuple[str, np.ndarray]], colours: Sequence[str], title: str, theme: Theme
) -> Figure:
    low = min(0.0, *(float(values.min()) for _, values in panels))
    high = max(float(values.max()) for _, values in panels)
    bins = np.linspace(low, high if high > low else low + 1, 26)
    figure, axes = canvas(theme, len(panels), height=1.25, gaps=(0.6, 0))
    for one, (name, values), colour in zip(axes, panels, colours, strict=True):
        one.hist(values, bins, weights=np.full(len(values), 100 / len(values)), color=colour)
        one.axvline(values.mean(), color=theme.ink, linewidth=1.6, linestyle="--")
        numbers = f"{len(values)} episodes, mean {values.mean():.0f}, best {values.max():.0f}"
        between = "\n" if len(name) + len(numbers) > LONG else " "
        above = f"{shortened(name, LONG)}:{between}{numbers}"
        one.set_title(above, loc="left", color=theme.ink, fontsize=TICK)
        one.yaxis.set_major_locator(MaxNLocator(3))
    write_title(figure, theme, title)
    write_labels(figure, theme, "return of one episode (dashed: mean)", "% of episodes")
    return figure
