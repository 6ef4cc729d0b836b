"""What a comparison says in words is what its numbers say."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_hex

from agentic.evaluation.condition import Condition
from agentic.report.comparison import (
    beaten,
    markdown,
    no_better_than_random,
    risen,
    scores_table,
    table,
)
from agentic.report.figures import beside_data, png
from agentic.report.rows import Row
from agentic.report.theme import DARK, LIGHT

MINUS = "\N{MINUS SIGN}"


def row(method: str, *levels: float, memory: str = "kept", rise: float = 0.0) -> Row:
    """Return a row of one run a level, [2 contexts, 2 episodes] each, around it."""
    change = np.array([[-rise / 2, rise / 2]] * 2)
    condition = Condition(task="walker_run", method=method, memory=memory, episodes=2)
    setting = condition.setting([replace(condition, memory="cleared")] * (method == "at"))
    return Row(condition, tuple(level + change for level in levels), setting=setting)


ROWS = [
    row("at", 30, 32),
    row("at", 29, 31, memory="cleared"),
    row("dt", 29, 33, rise=5),
    row("bc", 10, 11, rise=-3),
    row("td3", 90, 95),
    row("random", 24),
]


def test_a_method_beats_what_lies_below_it_and_no_more():
    text = beaten(ROWS)
    assert "Agentic Transformer earns more than behaviour cloning (+20 [" in text
    assert f"does not beat, and earns less than, TD3 ({MINUS}62 [" in text
    assert "does not clearly beat Decision Transformer (0 [" in text
    assert "random" not in text and "emptied" not in text


def test_a_single_run_is_no_ground_for_a_verdict():
    text = beaten([row("at", 30), row("bc", 10)])
    assert text.startswith("With a single training seed a side, nothing is known of the spread")
    assert beaten([row("bc", 10, 11)]) == "" == beaten([row("at", 30, 31)])


def test_later_episodes_are_better_worse_or_no_better():
    # Falls in one run by more than it rises in the other: the interval holds zero.
    falling, rising = row("iql", 9, rise=-4), row("iql", 9, rise=1)
    mixed = Row(rising.condition, falling.tables + rising.tables)
    text = risen([*ROWS, mixed])
    assert "is better than the first for Decision Transformer (+5 [5, 5])." in text
    assert f"is worse than the first for behaviour cloning ({MINUS}3 [" in text
    held = text.partition("no better than the first (the interval of the difference holds zero)")[2]
    assert f"IQL ({MINUS}1.5 [{MINUS}4, 1])" in held and "Agentic Transformer (0 [0, 0])" in held
    assert "Only Agentic Transformer remembers earlier episodes" in text
    assert "remembers" not in risen(ROWS[2:])
    assert "random" not in text


def test_what_earns_no_more_than_chance_is_named():
    text = no_better_than_random(ROWS)
    assert text == "No clearly more than random actions (24 [24, 24]) earn behaviour cloning."
    assert no_better_than_random(ROWS[:3]) == ""
    assert no_better_than_random([ROWS[0], ROWS[-1]]) == ""


def test_tables_have_a_line_a_row_and_a_column_a_task():
    lines = table(ROWS, [20.0, 80.0]).splitlines()
    assert len(lines) == 2 + len(ROWS)
    assert lines[0].count("|") == lines[-1].count("|") == 8 + 1
    assert lines[2].endswith("| 30, 32 |") and lines[-1].endswith("|  |")
    # Without a scale there are no scores.
    assert "score" not in table(ROWS, []).splitlines()[0]
    lines = scores_table({"walker_run": ROWS, "b": ROWS[:1]}, {"walker_run": [80.0], "b": []})
    assert lines.splitlines()[0] == "| method | walker_run | b (returns) |"
    assert lines.splitlines()[-1].startswith("| random policy |") and lines.endswith("|  |")
    assert markdown(["a"], [["b"]]) == "| a |\n| --- |\n| b |"


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_the_picture_has_a_line_a_row_and_the_data_on_top(theme):
    figure = beside_data(ROWS, [20.0, 40.0, 80.0], theme)
    (axes,) = figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[:3] == [
        "the data's episodes", "Agentic Transformer",
        "\N{EN DASH} context emptied before each episode",
    ]  # fmt: skip
    dots = sum(len(dot.get_offsets()) for dot in axes.collections)
    assert dots == 2 * 5 + 2  # training runs, and contexts of random actions
    *learned, chance = (to_hex(dot.get_facecolor()[0]) for dot in axes.collections)
    # A method's colour is also that of its control below; random actions are grey like the data.
    assert learned == [theme.series[index] for index in (0, 0, 1, 2, 3)]
    assert chance == theme.quiet
    bottom, top = axes.get_ylim()
    assert bottom > len(ROWS) and top < 0  # the first name stands highest
    assert png(figure).startswith(b"\x89PNG")
