"""The picture of a context: what lies close can be told apart, and what is drawn together."""

from dataclasses import replace

import numpy as np

from agentic.evaluation.condition import Condition
from agentic.report.episodes import episodes
from agentic.report.rows import Row
from agentic.report.theme import LIGHT

AT = Condition(task="walker_run", method="at", episodes=4)
RNG = np.random.default_rng(0)


def row(level: float, method: str = "at", memory: str = "kept") -> Row:
    condition = replace(AT, method=method, memory=memory)
    setting = condition.setting([replace(condition, memory="cleared")])
    return Row(condition, (RNG.normal(level, 1, (8, 4)),), setting=setting)


def test_conditions_within_a_few_points_fill_the_scale():
    figure = episodes([row(790), row(24, "random")], [10.0, 843.0], LIGHT)
    [axes] = figure.axes
    low, high = axes.get_ylim()
    assert 740 < low < 790 < high < 840 and len(axes.containers) == 1
    # What the scale does not hold is said above.
    assert any("best of the data 843, random actions 24" in t.get_text() for t in figure.texts)
    assert len(axes.lines) == len(axes.containers[0].lines[:1]) + 2  # the caps of the intervals


def test_what_the_scale_holds_is_drawn_as_a_line():
    [axes] = episodes([row(790)], [700.0, 800.0], LIGHT).axes
    levels = [line.get_ydata()[0] for line in axes.lines if line.get_linestyle() == ":"]
    assert levels == [800.0]


def test_each_control_stands_beside_the_context_kept():
    memories = ("cleared", "index", "random")
    rows = [row(790), *(row(780, memory=memory) for memory in memories), row(500, "bc")]
    figure = episodes(rows, [], LIGHT)
    assert [len(axes.containers) for axes in figure.axes] == [2, 2, 2, 1]
    assert [axes.get_title().split("\n")[0] for axes in figure.axes] == [
        *["Agentic Transformer"] * 3, "behaviour cloning",
    ]  # fmt: skip
    scales = [axes.get_ylim() for axes in figure.axes]
    assert scales[0] == scales[1] == scales[2] != scales[3]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["context kept", "as the panel says"]


def test_random_actions_are_drawn_where_there_is_nothing_else_and_nothing_without_rows():
    [axes] = episodes([row(24, "random")], [], LIGHT).axes
    assert len(axes.containers) == 1
    assert episodes([], [1.0], LIGHT) is None
