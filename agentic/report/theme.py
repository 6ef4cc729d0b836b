"""How pictures look, on light and dark pages: colours, type, axes, legends.

The series colours are Okabe and Ito's set, which stays distinct for every common form of colour
blindness; the dark page takes lighter shades of them. Markers tell the series apart as well.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

MARKERS = "osD^vPX"
# Sizes in points for a figure 6.4 inches wide; on a phone that figure shrinks to about 60 %.
TITLE, LABEL, TICK, SMALL = 14, 12.5, 12, 9.5
# Inches. Matplotlib's own layout engines cost as much time as the drawing itself.
WIDTH, LEFT, RIGHT, TOP, BOTTOM, GAP, LEGEND_LINE = 6.4, 0.95, 0.2, 0.85, 0.8, 0.45, 0.27
DOTS_AN_INCH = 150


@dataclass(frozen=True)
class Theme:
    """Colours of a page.

    Attributes:
        paper: behind the axes.
        ink: of text.
        quiet: of what series are held against, such as the data and random actions.
        grid: of the lines behind everything.
        series: one for each series.
    """

    paper: str
    ink: str
    quiet: str
    grid: str
    series: tuple[str, ...]


LIGHT = Theme(
    paper="#ffffff",
    ink="#1c1f24",
    quiet="#6b7280",
    grid="#e3e5e8",
    series=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#4d4d4d"),
)
DARK = Theme(
    paper="#16181c",
    ink="#e8eaed",
    quiet="#9aa1ab",
    grid="#30343b",
    series=("#56b4e9", "#f0863a", "#2fc49a", "#e3a2c5", "#f0c04a", "#8f9bff", "#c8ccd2"),
)


def png(figure: Figure) -> bytes:
    """Return the figure as PNG, the same bytes for the same figure."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor=figure.get_facecolor(), metadata={})
    return buffer.getvalue()


def canvas(
    theme: Theme,
    rows: int = 1,
    columns: int = 1,
    height: float = 2.8,
    left: float = LEFT,
    top: float = TOP,
    gaps: tuple[float, float] = (GAP, 0.15),
    widths: Sequence[float] | None = None,
    share_y: bool = True,
) -> tuple[Figure, list[Axes]]:
    """Return a figure and its styled axes.

    Args:
        theme: colours.
        rows: of axes.
        columns: of axes.
        height: of each axes, in inches.
        left: inches for what stands at the left of the axes.
        top: inches for what stands above them.
        gaps: inches between axes, below each other and side by side.
        widths: of the columns, relative to each other.
        share_y: whether all axes have one scale from bottom to top; from left to right those of a
            column always have one.
    """
    total = top + BOTTOM + rows * height + (rows - 1) * gaps[0]
    width = (WIDTH - left - RIGHT - (columns - 1) * gaps[1]) / columns
    figure = Figure(figsize=(WIDTH, total), dpi=DOTS_AN_INCH, facecolor=theme.paper)
    axes = figure.subplots(
        rows, columns, sharex="col", sharey=share_y, squeeze=False, width_ratios=widths
    ).ravel()
    figure.subplots_adjust(
        left=left / WIDTH,
        right=1 - RIGHT / WIDTH,
        top=1 - top / total,
        bottom=BOTTOM / total,
        hspace=gaps[0] / height,
        wspace=gaps[1] / width,
    )
    for one in axes:
        one.set_facecolor(theme.paper)
        one.tick_params(colors=theme.ink, labelsize=TICK, length=0, which="both")
        one.grid(color=theme.grid, linewidth=0.8)
        one.set_axisbelow(True)
        one.spines[:].set_visible(False)
        one.spines["bottom"].set(visible=True, color=theme.quiet)
    return figure, list(axes)


def write_title(figure: Figure, theme: Theme, title: str, below: str = "") -> None:
    """Write a title above everything, and a line below it in quiet ink."""
    height = figure.get_figheight()
    place = {"x": 0.5, "ha": "center", "va": "center"}
    figure.text(
        y=1 - 0.28 / height, s=title, color=theme.ink, fontsize=TITLE, weight="bold", **place
    )
    if below:
        figure.text(y=1 - 0.55 / height, s=below, color=theme.quiet, fontsize=SMALL + 1, **place)


def write_labels(figure: Figure, theme: Theme, x: str, y: str) -> None:
    """Write what the axes measure, with their units: x below all axes, y at their left."""
    height, box = figure.get_figheight(), figure.subplotpars
    label = {"color": theme.ink, "fontsize": LABEL, "ha": "center", "va": "center"}
    figure.text((box.left + box.right) / 2, 0.3 / height, x, **label)
    figure.text(0.2 / WIDTH, (box.bottom + box.top) / 2, y, rotation=90, **label)


def add_legend(figure: Figure, theme: Theme, handles: Sequence, columns: int) -> None:
    """Add a legend below everything, where it can hide nothing; equal names appear once."""
    named = {handle.get_label(): handle for handle in handles}
    old = figure.get_figheight()
    added = LEGEND_LINE * -(-len(named) // columns) + 0.1
    new = old + added
    box = figure.subplotpars
    figure.set_figheight(new)
    figure.subplots_adjust(
        bottom=(box.bottom * old + added) / new, top=(box.top * old + added) / new
    )
    for text in figure.texts:
        text.set_y((text.get_position()[1] * old + added) / new)
    figure.legend(
        handles=list(named.values()),
        loc="lower center",
        bbox_to_anchor=((box.left + box.right) / 2, 0.05 / new),
        ncols=columns,
        frameon=False,
        fontsize=TICK,
        labelcolor=theme.ink,
    )


def shortened(text: str, length: int) -> str:
    """Return a text that fits: its middle gives way, so that names still differ at their ends."""
    if len(text) <= length:
        return text
    end = (length - 1) // 2
    return f"{text[: length - 1 - end]}\N{HORIZONTAL ELLIPSIS}{text[-end:]}"
