"""The tables of results hold a row a condition and the numbers of `agentic.evaluation.protocol`."""

from dataclasses import replace

import numpy as np
import pytest

from agentic.evaluation.condition import Condition
from agentic.evaluation.protocol import scores, summarise, summarise_runs
from agentic.evaluation.references import random_reference
from agentic.report import tables
from agentic.report.rows import Row
from agentic.report.table import Estimate, Noted

TASK = "walker_run"
CHANCE = random_reference(TASK).mean
RNG = np.random.default_rng(0)
AT = Condition(task=TASK, method="at", episodes=3)
ROWS = [
    Row(AT, tuple(RNG.uniform(40, 90, (2, 4, 3)))),
    Row(replace(AT, memory="cleared"), (RNG.uniform(40, 90, (4, 3)),), setting="emptied"),
    Row(Condition(task=TASK, method="random", episodes=2), (RNG.uniform(20, 30, (4, 2)),)),
]
PROTOCOLS = ("first", "last", "mean", "best", "improvement")


def column(table, heading: str) -> list:
    return [row[[c.heading for c in table.columns].index(heading)] for row in table.rows]


def test_the_protocols_are_those_of_the_summaries_and_best_is_of_the_same_n():
    table = tables.protocol_table(ROWS, 2)
    assert [c.heading for c in table.columns] == [
        "condition", "first", "last", "mean", "best of 2", "last minus first",
    ]  # fmt: skip
    summaries = [
        summarise_runs(ROWS[0].tables, best_of=2),
        *(summarise(row.tables[0], best_of=2) for row in ROWS[1:]),
    ]
    for line, summary in zip(table.rows, summaries, strict=True):
        expected = [(summary[n].mean, summary[n].low, summary[n].high) for n in PROTOCOLS]
        assert list(line[1:]) == expected


def test_a_row_is_called_after_its_condition_and_its_method_where_there_are_several():
    alone = [Noted("Agentic Transformer"), Noted("emptied"), Noted("random policy")]
    assert column(tables.protocol_table(ROWS, 2), "condition") == alone == tables.labels(ROWS)
    assert tables.labels(ROWS[:1]) == [Noted("Agentic Transformer")]
    other = replace(ROWS[0], condition=replace(AT, method="dt"))
    assert tables.labels([*ROWS[:2], other]) == [
        Noted("Agentic Transformer"), Noted("Agentic Transformer", "emptied"),
        Noted("Decision Transformer"),
    ]  # fmt: skip


def test_the_shortest_contexts_say_how_many_episodes_best_is_over():
    assert tables.shortest(ROWS) == 2
    headings = [c.heading for c in tables.comparison_table(ROWS, []).columns]
    assert "best of 2" in headings and "score of the mean" not in headings


def test_a_comparison_has_scores_and_the_mean_of_each_training_run():
    table = tables.comparison_table(ROWS, [100.0])
    own = [scores(t, CHANCE, 100.0) for t in ROWS[0].tables]
    assert column(table, "score of the mean")[0].value == pytest.approx(np.mean(own))
    of_runs = ", ".join(f"{t.mean():.0f}" for t in ROWS[0].tables)
    assert column(table, "mean of each training run") == [of_runs, "", ""]


def test_scores_need_a_scale_and_what_stands_in_their_place_says_why():
    table = tables.score_table(ROWS, 2, [100.0])
    assert column(table, "mean")[0].value == pytest.approx(
        np.mean([scores(t, CHANCE, 100.0) for t in ROWS[0].tables])
    )
    assert f"{CHANCE:.1f} (mean of 64 episodes" in tables.about_scores(TASK, [100.0])
    for task, data, why in (
        ("walker_fly", [100.0], "random actions were never measured on walker_fly"),
        (TASK, [], "they need the returns of one data set"),
        (TASK, [1.0], "the data's best return 1 is no more than random actions earn"),
    ):
        rows = [replace(row, condition=replace(row.condition, task=task)) for row in ROWS]
        assert tables.score_table(rows, 2, data) is None
        assert why in tables.about_scores(task, data)


def test_the_curve_leaves_room_where_contexts_are_shorter():
    table = tables.curve_table(ROWS)
    assert [c.heading for c in table.columns][1:] == ["episode 1", "episode 2", "episode 3"]
    assert column(table, "episode 3")[2] == ""
    assert column(table, "episode 1")[1] == Estimate(*(float(part[0]) for part in ROWS[1].curve))


def test_a_column_a_task_holds_what_kept_its_context():
    rows = {TASK: ROWS, "walker_fly": ROWS[:1]}
    table = tables.score_by_task_table(rows, {TASK: [100.0], "walker_fly": [100.0]})
    assert [c.heading for c in table.columns] == ["method", TASK, "walker_fly (returns)"]
    assert column(table, "method") == ["Agentic Transformer", "random policy"]
    assert column(table, "walker_fly (returns)")[0].value == ROWS[0].summaries["mean"].mean
    assert column(table, "walker_fly (returns)")[1] == ""


def test_all_tasks_are_averaged_where_each_has_one_row_of_a_condition():
    other = "cartpole_swingup"
    data = {TASK: [90.0], other: [800.0]}
    # One task has another memory beside it, so only there is the label longer.
    kept = replace(ROWS[0], setting="context kept")
    rows = [kept, ROWS[1], replace(ROWS[0], condition=replace(AT, task=other, target_return=800))]
    table = tables.all_tasks_table(rows, data)
    assert column(table, "condition") == [Noted("Agentic Transformer")]
    scored = [row.scored(*tables.scale(row.task, data[row.task])) for row in (kept, rows[-1])]
    means = [table.mean() for row in scored for table in row.tables]
    assert column(table, "mean")[0][0] == pytest.approx(np.mean(means))
    # Of two targets in one task none stands for it.
    assert tables.all_tasks_table([*rows, replace(kept, condition=replace(AT, target_return=9))],
                                  data) is None  # fmt: skip
