"""The picture of training: the loss by step, a line a run."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from agentic.evaluation.condition import title_of
from agentic.report.rows import variants_of
from agentic.report.runs import Run
from agentic.report.theme import Theme, add_legend, canvas, write_labels, write_title

# Of more methods than this, names stand below each other.
TWO_COLUMNS = 4
# Losses whose largest is more than this many times their smallest have a logarithmic scale.
LINEAR = 8


def learning_curve(runs: Sequence[Run], theme: Theme) -> Figure | None:
    """Draw the loss against the training step, one line a run; None where no run has metrics."""
    runs = [run for run in runs if run.metrics]
    if not runs:
        return None
    figure, (axes,) = canvas(theme)
    colours: dict[str, str] = {}
    smallest, largest = np.inf, 0.0
    for run, variant in zip(runs, variants_of(runs), strict=True):
        name = title_of(run.method) + (f" ({variant})" if variant else "")
        label = "_more" if name in colours else name
        colour = colours.setdefault(name, theme.series[len(colours) % len(theme.series)])
        steps, loss = _losses(run)
        smooth = _running_mean(loss)
        axes.plot(steps, loss, color=colour, alpha=0.25, linewidth=1)
        axes.plot(steps, smooth, color=colour, linewidth=2, label=label)
        if np.isfinite(smooth).any():
            smallest = min(smallest, np.nanmin(smooth))
            largest = max(largest, np.nanmax(smooth))
    if smallest > 0 and largest > LINEAR * smallest:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    write_title(figure, theme, "Loss in training")
    write_labels(
        figure, theme, "training step (updates of the weights)", "loss on the training batch"
    )
    if len(colours) > 1:
        handles = axes.get_legend_handles_labels()[0]
        short = max(map(len, colours)) <= 24
        add_legend(figure, theme, handles, 2 if short and len(colours) <= TWO_COLUMNS else 1)
    return figure


def _losses(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Return steps and losses, nan for one that is not finite."""
    # A resumed run repeats the steps since its checkpoint; its later lines led on.
    losses = {line["step"]: line["loss"] for line in run.metrics}
    steps = np.array(sorted(losses))
    loss = np.array([losses[step] for step in steps.tolist()], dtype=float)
    loss[~np.isfinite(loss)] = np.nan
    return steps, loss


def _running_mean(values: np.ndarray) -> np.ndarray:
    """Average each value with its neighbours, a thirtieth of the whole; gaps stay gaps."""
    width = max(1, len(values) // 30)
    known = np.isfinite(values)
    kernel = np.ones(width)
    # "same" of a kernel longer than the values would return the kernel's length; it never is.
    total = np.convolve(np.where(known, values, 0.0), kernel, mode="same")
    count = np.convolve(known.astype(float), kernel, mode="same")
    return np.divide(total, count, out=np.full(len(values), np.nan), where=known)
