"""The pictures of a report: learning curve, returns by episode, data beside achieved.

The picture of methods beside the data: every training run a dot, intervals, and the data.
"""

import io
from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from agentic.acting.memory import MEMORIES
from agentic.evaluation.condition import title_of
from agentic.report.rows import Row, variants_of
from agentic.report.runs import Run
from agentic.report.theme import LABEL, MARKERS, RIGHT, TICK, WIDTH, Theme, canvas, legend, words

# More lines than this in one panel cannot be told apart: each method gets a panel of its own.
MOST_LINES = 6
# Characters beyond which a label fills more than half of a figure's width, or all of it.
LONG_LABEL, LONG_TITLE, LONG_PANEL = 24, 58, 28


def png(figure: Figure) -> bytes:
    """Return the figure as PNG, the same bytes for the same figure."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor=figure.get_facecolor(), metadata={})
    return buffer.getvalue()


def learning_curve(runs: Sequence[Run], theme: Theme) -> Figure | None:
    """Draw the loss against the training step, one line a run; None where no run has metrics."""
    runs = [run for run in runs if run.metrics]
    if not runs:
        return None
    figure, (axes,) = canvas(theme)
    groups: dict[tuple[str, str], str] = {}
    smallest, largest = np.inf, 0.0
    for run, variant in zip(runs, variants_of(runs), strict=True):
        first = (run.method, variant) not in groups
        colour = groups.setdefault(
            (run.method, variant), theme.series[len(groups) % len(theme.series)]
        )
        # A resumed run repeats the steps since its checkpoint; its later lines led on.
        losses = {line["step"]: line["loss"] for line in run.metrics}
        steps = np.array(sorted(losses))
        loss = np.array([losses[step] for step in steps.tolist()], dtype=float)
        loss[~np.isfinite(loss)] = np.nan
        smooth = _running_mean(loss)
        name = title_of(run.method) + (f" ({variant})" if variant else "")
        axes.plot(steps, loss, color=colour, alpha=0.25, linewidth=1)
        axes.plot(steps, smooth, color=colour, linewidth=2, label=name if first else "_more")
        if np.isfinite(smooth).any():
            smallest = min(smallest, np.nanmin(smooth))
            largest = max(largest, np.nanmax(smooth))
    if smallest > 0 and largest > 8 * smallest:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    words(
        figure,
        theme,
        "Loss in training",
        "training step (updates of the weights)",
        "loss on the training batch",
    )
    if len(groups) > 1:
        handles = axes.get_legend_handles_labels()[0]
        legend(figure, theme, handles, _columns(handles) if len(groups) <= 4 else 1)
    return figure


def episodes(rows: Sequence[Row], data_returns: Sequence[float], theme: Theme) -> Figure | None:
    """Draw the mean return at each episode of a context with its intervals; None without rows."""
    if not rows:
        return None
    names = list(dict.fromkeys(row.name for row in rows))
    panels = [rows]
    if len(rows) > MOST_LINES and len(names) > 1:
        panels = [[row for row in rows if row.name == name] for name in names]
    columns = 1 if len(panels) == 1 else 2
    grid_rows = -(-len(panels) // columns)
    figure, axes = canvas(theme, grid_rows, columns, height=2.8 if columns == 1 else 1.9)
    for empty in range(len(panels), len(axes)):
        axes[empty].remove()
        axes[empty - columns].tick_params(labelbottom=True)
    handles, styles = [], list(dict.fromkeys(map(_condition, rows)))
    for place, (one, members) in enumerate(zip(axes, panels, strict=False)):
        for line, row in enumerate(members):
            # In panels a colour means a condition; in one panel it means the line.
            index = styles.index(_condition(row)) if len(panels) > 1 else line
            title_says_it = len(panels) > 1 or len(names) == 1 < len(rows)
            label = _condition(row) if title_says_it else row.label
            shift = 0.07 * (line - (len(members) - 1) / 2)
            handles.append(_line_with_intervals(one, row, index, shift, label, theme))
        if len(panels) > 1:
            one.set_title(shortened(names[place], LONG_PANEL), color=theme.ink, fontsize=TICK)
        if len(data_returns):
            lines = ((np.mean, "--", "mean of the data"), (np.max, ":", "best of the data"))
            for reduce, style, label in lines:
                level = float(reduce(data_returns))
                handles.append(
                    one.axhline(level, color=theme.quiet, linestyle=style, lw=2, label=label)
                )
    last = max(row.episodes for row in rows)
    axes[0].set_xlim(0.6, last + 0.4)
    axes[0].xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes[0].set_ylim(bottom=min(0.0, *(float(row.returns.min()) for row in rows)))
    words(
        figure,
        theme,
        "Return by episode within one context",
        "episode within the context",
        "mean return, 95 % interval",
    )
    legend(figure, theme, handles, _columns(handles))
    return figure


def returns(rows: Sequence[Row], data_returns: Sequence[float], theme: Theme) -> Figure | None:
    """Draw how returns are distributed: the data above, each method with its context kept below."""
    panels = [(row.label, row.returns) for row in rows if row.memory == "kept"]
    panels = panels or [(row.label, row.returns) for row in rows]
    if len(data_returns):
        panels.insert(0, ("the data", np.asarray(data_returns, dtype=float)))
    if not panels:
        return None
    colours = [theme.series[place % len(theme.series)] for place in range(len(panels))]
    if len(data_returns):
        colours = [theme.quiet, *colours]
    title = "Returns of the data and returns achieved" if rows else "Returns of the data"
    return _histograms(panels, colours, title, theme)


def return_histogram(returns: Mapping[str, np.ndarray], theme: Theme) -> Figure:
    """Draw how a data set's returns are distributed, one panel a task."""
    colours = [theme.series[place % len(theme.series)] for place in range(len(returns))]
    return _histograms(list(returns.items()), colours, "Returns of the data", theme)


def _histograms(
    panels: Sequence[tuple[str, np.ndarray]], colours: Sequence[str], title: str, theme: Theme
) -> Figure:
    low = min(0.0, *(float(values.min()) for _, values in panels))
    high = max(float(values.max()) for _, values in panels)
    bins = np.linspace(low, high if high > low else low + 1, 26)
    figure, axes = canvas(theme, len(panels), height=1.25, gap=0.6)
    for one, (name, values), colour in zip(axes, panels, colours, strict=False):
        one.hist(values, bins, weights=np.full(len(values), 100 / len(values)), color=colour)
        one.axvline(values.mean(), color=theme.ink, linewidth=1.6, linestyle="--")
        numbers = f"{len(values)} episodes, mean {values.mean():.0f}, best {values.max():.0f}"
        between = "\n" if len(name) + len(numbers) > LONG_TITLE else " "
        title_of = f"{shortened(name, LONG_TITLE)}:{between}{numbers}"
        one.set_title(title_of, loc="left", color=theme.ink, fontsize=TICK)
        one.yaxis.set_major_locator(MaxNLocator(3))
    words(figure, theme, title, "return of one episode (dashed: mean)", "% of episodes")
    return figure


def _line_with_intervals(axes, row: Row, index: int, shift: float, label: str, theme: Theme):
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


def _columns(handles: Sequence) -> int:
    """Return in how many columns a legend fits below a figure."""
    return 1 if max(len(handle.get_label()) for handle in handles) > LONG_LABEL else 2


def shortened(text: str, length: int) -> str:
    """Return a text that fits: its middle gives way, so that names still differ at their ends."""
    if len(text) <= length:
        return text
    end = (length - 1) // 2
    return f"{text[: length - 1 - end]}\N{HORIZONTAL ELLIPSIS}{text[-end:]}"


def _running_mean(values: np.ndarray) -> np.ndarray:
    """Average each value with its neighbours, a thirtieth of the whole; gaps stay gaps."""
    width = max(1, len(values) // 30)
    known = np.isfinite(values)
    kernel = np.ones(width)
    # "same" of a kernel longer than the values would return the kernel's length; it never is.
    total = np.convolve(np.where(known, values, 0.0), kernel, mode="same")
    count = np.convolve(known.astype(float), kernel, mode="same")
    return np.divide(total, count, out=np.full(len(values), np.nan), where=known)


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
    return row.name if row.memory == "kept" else f"\N{EN DASH} {row.setting}"


def _condition(row: Row) -> str:
    """Return the words of a row's condition where the method's name stands elsewhere."""
    return row.setting or MEMORIES[row.memory].title


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
