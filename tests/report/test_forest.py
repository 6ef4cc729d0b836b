"""The main picture has a line a row, the data on top, and the controls' differences beside them."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex

from agentic.evaluation.condition import Condition
from agentic.report.forest import forest
from agentic.report.rows import Row
from agentic.report.theme import DARK, LIGHT, png

DATA = [20.0, 40.0, 80.0]


def row(method: str, *levels: float, memory: str = "kept") -> Row:
    """Return a row of one run a level, [2 contexts, 2 episodes] each, around it."""
    condition = Condition(task="walker_run", method=method, memory=memory, episodes=2)
    setting = condition.setting([replace(condition, memory="cleared")] * (method == "at"))
    tables = tuple(np.array([[level, level + 1], [level - 1, level]]) for level in levels)
    sources = tuple((f"{method}-{place}", (0, 1)) for place in range(len(levels)))
    return Row(condition, tables, setting=setting, sources=sources)


ROWS = [
    row("at", 30, 32), row("at", 29, 28, memory="cleared"), row("dt", 29, 33), row("bc", 10, 11),
    row("td3", 90, 95), row("random", 24),
]  # fmt: skip


def dots_of(axes) -> list[np.ndarray]:
    return [np.asarray(dot.get_offsets()) for dot in axes.collections]


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_a_line_a_row_below_the_data(theme):
    figure = forest(ROWS, DATA, theme)
    returns, _ = figure.axes
    names = [label.get_text() for label in returns.get_yticklabels()]
    assert names[:3] == [
        "the data's episodes", "Agentic Transformer,\ncontext kept",
        "\N{EN DASH} context emptied before\neach episode",
    ]  # fmt: skip
    assert [len(dots) for dots in dots_of(returns)] == [2] * 6  # runs; contexts of random actions
    assert [dots[0, 1] for dots in dots_of(returns)] == [1, 2, 3, 4, 5, 6]
    *learned, chance = (to_hex(dot.get_facecolor()[0]) for dot in returns.collections)
    # A method's colour is also that of its control below; random actions are grey like the data.
    assert learned == [theme.series[index] for index in (0, 0, 1, 2, 3)]
    assert chance == theme.quiet
    bottom, top = returns.get_ylim()
    assert bottom > len(ROWS) and top < 0  # the first name stands highest
    assert png(figure).startswith(b"\x89PNG")


def test_a_control_shows_what_it_lacks_run_by_run_on_a_scale_of_its_own():
    returns, gains = forest(ROWS, DATA, LIGHT).axes
    [dots] = dots_of(gains)
    assert dots.tolist() == [[1, 2], [4, 2]]
    low, high = gains.get_xlim()
    assert high - low < 10 < returns.get_xlim()[1]


def test_without_controls_or_data_there_is_one_axis_and_without_rows_none():
    assert len(forest(ROWS[2:], DATA, LIGHT).axes) == 1
    [returns] = forest(ROWS[2:3], [], LIGHT).axes
    assert [label.get_text() for label in returns.get_yticklabels()] == ["Decision Transformer"]
    assert forest([], DATA, LIGHT) is None
