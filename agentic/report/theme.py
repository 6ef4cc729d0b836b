"""Colours and type of the figures, for light and dark pages.

The series colours are Okabe and Ito's set, which stays distinct for every common form of colour
blindness; the dark page takes lighter shades of them. Markers tell the series apart as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

MARKERS = "osD^vPX"
# Sizes in points for a figure 6.4 inches wide; on a phone that figure shrinks to about 60 %.
TITLE, LABEL, TICK = 14, 12.5, 12


@dataclass(frozen=True)
class Theme:
    """paper behind the axes, ink for text, one colour a series, quiet for what series are held
    against: the data's own lines, and random actions.
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


# Margins in inches. Matplotlib's own layout engines cost as much time as the drawing itself.
LEFT, RIGHT, TOP, BOTTOM, GAP, LEGEND_LINE = 0.95, 0.2, 0.85, 0.8, 0.45, 0.27
WIDTH = 6.4


def canvas(
    theme: Theme, rows: int = 1, columns: int = 1, height: float = 2.8, gap: float = GAP
) -> tuple[Figure, list[Axes]]:
    """Return a figure and its styled axes of `height` inches each, which share both scales."""
    total = TOP + BOTTOM + rows * height + (rows - 1) * gap
    figure = Figure(figsize=(WIDTH, total), dpi=150, facecolor=theme.paper)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    figure.subplots_adjust(
        left=LEFT / WIDTH,
        right=1 - RIGHT / WIDTH,
        top=1 - TOP / total,
        bottom=BOTTOM / total,
        hspace=gap / height,
        wspace=0.06,
    )
    for one in axes:
        one.set_facecolor(theme.paper)
        one.tick_params(colors=theme.ink, labelsize=TICK, length=0, which="both")
        one.grid(color=theme.grid, linewidth=0.8)
        one.set_axisbelow(True)
        one.spines[:].set_visible(False)
        one.spines["bottom"].set(visible=True, color=theme.quiet)
    return figure, list(axes)


def words(figure: Figure, theme: Theme, title: str, x: str, y: str) -> None:
    """Set the title and the axis labels with their units."""
    height = figure.get_figheight()
    centre = (LEFT + WIDTH - RIGHT) / 2 / WIDTH
    label = {"color": theme.ink, "fontsize": LABEL, "ha": "center", "va": "center"}
    figure.text(centre, 1 - 0.28 / height, title, **label | {"fontsize": TITLE}, weight="bold")
    figure.text(centre, 0.3 / height, x, **label)
    figure.text(0.2 / WIDTH, (BOTTOM + height - TOP) / 2 / height, y, rotation=90, **label)


def legend(figure: Figure, theme: Theme, handles: Sequence, columns: int) -> None:
    """Add a legend below everything, where it can hide nothing; equal names appear once."""
    named = {handle.get_label(): handle for handle in handles}
    old = figure.get_figheight()
    added = LEGEND_LINE * -(-len(named) // columns) + 0.1
    new = old + added
    parameters = figure.subplotpars
    figure.set_figheight(new)
    figure.subplots_adjust(
        bottom=(parameters.bottom * old + added) / new, top=(parameters.top * old + added) / new
    )
    for text in figure.texts:
        text.set_y((text.get_position()[1] * old + added) / new)
    figure.legend(
        handles=list(named.values()),
        loc="lower center",
        bbox_to_anchor=((LEFT + WIDTH - RIGHT) / 2 / WIDTH, 0.02),
        ncols=columns,
        frameon=False,
        fontsize=TICK,
        labelcolor=theme.ink,
    )
