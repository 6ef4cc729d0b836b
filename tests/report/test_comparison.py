"""What a comparison says in words is what its numbers say."""

from dataclasses import replace

import numpy as np

from agentic.evaluation.condition import Condition
from agentic.report.comparison import above_random, beaten, controlled, risen, verdict
from agentic.report.rows import Row

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
    text = beaten(ROWS, ROWS[0])
    assert "Agentic Transformer earns more than behaviour cloning (+20 [" in text
    assert f"does not beat, and earns less than, TD3 ({MINUS}62 [" in text
    assert "does not clearly beat Decision Transformer (0 [" in text
    assert "random" not in text and "emptied" not in text


def test_a_single_run_is_no_ground_for_a_verdict():
    single = [row("at", 30), row("bc", 10)]
    text = beaten(single, single[0])
    assert text.startswith("With a single training seed a side, nothing is known of the spread")
    assert beaten(ROWS[:2], ROWS[0]) == ""


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
    chance = "earn clearly more than random actions (24 [24, 24])."
    assert above_random(ROWS) == f"All methods but behaviour cloning {chance}"
    assert above_random(ROWS[:3]) == ""
    assert above_random([*ROWS[:3], ROWS[-1]]) == f"All methods {chance}"
    one = chance.replace("earn ", "earns ")
    assert above_random([ROWS[0], ROWS[-1]]) == f"Agentic Transformer {one}"
    assert above_random([ROWS[3], ROWS[-1]]) == f"No method {one}"


def test_a_verdict_is_about_the_first_method_and_starts_with_its_return():
    texts = verdict(ROWS, [10.0, 80.0])
    assert texts[0].startswith(
        "Agentic Transformer, context kept: mean return 31 (95 % interval 30 to 32, "
    )
    assert texts[1:4] == [above_random(ROWS), beaten(ROWS, ROWS[0]), risen(ROWS)]
    assert texts[4] == (
        "What keeping its context adds to the mean return of Agentic Transformer: +1 (on other "
        "contexts) over context emptied before each episode."
    )
    alone = verdict(ROWS[4:5], [])
    assert len(alone) == 2 and "from the first to the last episode" in alone[1]
    assert verdict(ROWS[1:2], [10.0]) == [] == verdict([], [])


def test_a_gain_is_taken_context_by_context_where_contexts_are_the_same():
    # Runs far apart, and each a little better with its context: the difference has no such spread.
    sources = tuple((folder, (0, 1)) for folder in "ab")
    kept = replace(row("at", 10, 90), sources=sources)
    cleared = replace(row("at", 8, 89, memory="cleared"), sources=sources)
    assert controlled(kept, [cleared]).endswith(
        "Agentic Transformer: +1.5 [1, 2] over context emptied before each episode."
    )
    assert kept.minus(replace(cleared, sources=sources[::-1])) is None
    assert cleared.minus(kept).summaries["mean"].mean == -1.5
