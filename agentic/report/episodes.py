"""The picture of a context: return by episode, each control beside the context kept."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from agentic.evaluation.condition import RANDOM
from agentic.report.rows import Row, kept_of
from agentic.report.table import number
from agentic.report.theme import (
    MARKERS,
    SMALL,
    TOP,
    Theme,
    add_legend,
    canvas,
    write_labels,
    write_title,
)

# More lines than this in one panel cannot be told apart: each method gets a panel of its own.
MOST_LINES = 6
# Letters of a label that fit on half of a figure's width, and of a panel's title.
LONG_LABEL, LONG_PANEL = 24, 32
# Inches of a line of such a title.
TITLE_LINE = 0.17
# A scale covers at least this part of the largest return, so that it does not blow up noise.
LEAST = 0.05

# title, and the rows that are drawn together
Panel = tuple[str, list[Row]]


def episodes(rows: Sequence[Row], data_returns: Sequence[float], theme: Theme) -> Figure | None:
    """Draw the mean return at each episode of a context with its intervals; None without rows.

    Every method has a scale of its own, on which its conditions can be told apart; what the data
    and random actions earn is drawn where the scale holds it, and said above.
    """
    learned = [row for row in rows if row.method != RANDOM] or list(rows)
    if not learned:
        return None
    panels = _panels(learned)
    columns = 1 if len(panels) == 1 else 2
    above = TITLE_LINE * max(title.count("\n") for title, _ in panels)
    figure, axes = canvas(
        theme, -(-len(panels) // columns), columns, height=2.8 if columns == 1 else 1.9,
        top=TOP + above + (0.1 if above else 0.0), gaps=(0.55 + above, 0.65), share_y=False,
    )  # fmt: skip
    levels = _levels(rows, data_returns)
    handles: list[Artist] = []
    for one, (title, members) in zip(axes, panels, strict=False):
        alike = [row for row in learned if row.name == members[0].name]
        low, high = _limits(members if len(panels) == 1 else alike)
        labels = _labels(members, len(panels) > 1)
        for line, (row, label) in enumerate(zip(members, labels, strict=True)):
            shift = 0.07 * (line - (len(members) - 1) / 2)
            handles.append(_draw_line(one, row, line, shift, label, theme))
        for name, level, style in levels:
            if low <= level <= high:
                drawn = one.axhline(level, color=theme.quiet, linestyle=style, lw=2, label=name)
                handles.append(drawn)
        one.set_ylim(low, high)
        one.yaxis.set_major_locator(MaxNLocator(5))
        one.set_xlim(0.6, max(row.episodes for row in members) + 0.4)
        one.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        one.tick_params(labelbottom=True)
        one.set_title(title, color=theme.ink, fontsize=SMALL + 0.5)
    for empty in axes[len(panels) :]:
        empty.remove()
    said = ", ".join(f"{name} {number(level)}" for name, level, _ in levels)
    write_title(figure, theme, "Return by episode within one context", said)
    write_labels(figure, theme, "episode within the context", "mean return, 95 % interval")
    wide = max(len(handle.get_label()) for handle in handles) > LONG_LABEL
    add_legend(figure, theme, handles, 1 if wide else 2)
    return figure


def _panels(rows: Sequence[Row]) -> list[Panel]:
    """Return what is drawn together: each control with its kept context, or all in one panel."""
    names = list(dict.fromkeys(row.name for row in rows))
    if len(rows) <= MOST_LINES and all(row.memory == "kept" for row in rows):
        return [("", list(rows))]
    panels: list[Panel] = []
    for name in names:
        members = [row for row in rows if row.name == name]
        pairs = [(kept_of(row, members), row) for row in members if row.memory != "kept"]
        first = name if len(names) > 1 else ""
        if not pairs or any(kept is None for kept, _ in pairs):
            panels.append((_wrapped(first), members))
            continue
        panels += [(_wrapped(first, row.setting), [kept, row]) for kept, row in pairs]
    return panels


def _wrapped(*parts: str) -> str:
    lines = [line for part in parts for line in textwrap.wrap(part, LONG_PANEL)]
    return "\n".join(lines)


def _labels(members: Sequence[Row], titled: bool) -> list[str]:
    """Return what the legend calls the rows of a panel."""
    if not titled:
        return [row.label for row in members]
    if len(members) == 2 and members[1].memory != "kept":
        return ["context kept", "as the panel says"]
    return [row.setting or "context kept" for row in members]


def _levels(rows: Sequence[Row], data_returns: Sequence[float]) -> list[tuple[str, float, str]]:
    """Return what returns are held against: a name, the level and the style of a line."""
    levels = []
    if len(data_returns):
        levels.append(("mean of the data", float(np.mean(data_returns)), "--"))
        levels.append(("best of the data", float(np.max(data_returns)), ":"))
    random = next((row for row in rows if row.method == RANDOM), None)
    if random is not None:
        levels.append(("random actions", random.summaries["mean"].mean, "-."))
    return levels


def _limits(rows: Sequence[Row]) -> tuple[float, float]:
    """Return a scale that holds every mean and interval of the rows, and some air."""
    values = np.concatenate([np.ravel(row.curve) for row in rows])
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    air = max(0.12 * (high - low), LEAST / 2 * max(abs(low), abs(high)), 1e-6)
    return low - air, high + air


def _draw_line(axes: Axes, row: Row, index: int, shift: float, label: str, theme: Theme) -> Artist:
    curve = row.curve
    colour = theme.series[index % len(theme.series)]
    # Colours and markers come round together; the second time they are hollow.
    again = index // len(theme.series) % 2
    return axes.errorbar(
        np.arange(1, row.episodes + 1) + shift,
        curve.mean,
        yerr=np.maximum(0, [curve.mean - curve.low, curve.high - curve.mean]),
        color=colour,
        marker=MARKERS[index % len(MARKERS)],
        markerfacecolor=theme.paper if again else colour,
        markersize=6,
        linewidth=2,
        elinewidth=1.5,
        capsize=3,
        label=label,
    )
