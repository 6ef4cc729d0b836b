"""Laws of the reductions from returns to reported numbers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from agentic.errors import AgenticError
from agentic.evaluation.protocol import (
    PROTOCOLS,
    REDUCTIONS,
    difference_runs,
    episode_curve,
    episode_curve_runs,
    scores,
    summarise,
    summarise_runs,
    summarise_tasks,
)

TABLES = st.tuples(st.integers(1, 6), st.integers(1, 5)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(0, 1000))
)
TABLE = np.array([[10.0, 50.0, 30.0], [20.0, 40.0, 60.0]])


def test_reductions_of_a_table_worked_by_hand():
    means = {name: summary.mean for name, summary in summarise(TABLE).items()}
    assert means == {"first": 15, "last": 45, "mean": 35, "best": 55, "improvement": 30}


@given(TABLES)
def test_best_is_at_least_mean_is_at_least_smallest(table):
    best, mean = PROTOCOLS["best"](table), PROTOCOLS["mean"](table)
    assert (best >= mean - 1e-9).all() and (mean >= table.min(axis=1) - 1e-9).all()
    for name in ("first", "last"):
        assert (PROTOCOLS[name](table) <= best).all()


# A bootstrap has no deadline on a machine with other work.
@settings(deadline=None)
@given(TABLES, st.data())
def test_the_best_of_n_is_that_of_the_first_n_and_changes_nothing_else(table, data):
    n = data.draw(st.integers(1, table.shape[1]))
    limited, whole = summarise(table, best_of=n), summarise(table)
    oracle = np.mean([max(row[i] for i in range(n)) for row in table.tolist()])
    assert limited["best"].mean == pytest.approx(oracle)
    assert all(repr(limited[name]) == repr(whole[name]) for name in REDUCTIONS if name != "best")
    assert limited["best"].mean <= whole["best"].mean + 1e-9
    assert repr(summarise_runs([table], best_of=n)["best"].mean) == repr(limited["best"].mean)


@given(TABLES, st.floats(-50, 500), st.floats(1, 900))
def test_scores_are_a_straight_line_through_the_two_references(table, random, width):
    best = random + width
    for row, scored in zip(table.tolist(), scores(table, random, best).tolist(), strict=True):
        for value, score in zip(row, scored, strict=True):
            assert score == pytest.approx((value - random) * 100 / width, abs=1e-6)
    ends = scores(np.array([random, best]), random, best)
    np.testing.assert_allclose(ends, [0, 100], atol=1e-9)


def test_scores_need_data_that_is_better_than_random():
    with pytest.raises(AgenticError, match="best return is 20 and random actions earn 30"):
        scores(TABLE, 30, 20)


def test_over_tasks_runs_are_redrawn_within_their_task():
    # Tasks far apart, runs of one task close together: only the latter make the interval.
    tables = {
        "easy": [np.full((3, 2), value) for value in (89.0, 90.0, 91.0)],
        "hard": [np.full((5, 2), value) for value in (9.0, 10.0, 11.0)],
    }
    summary = summarise_tasks(tables)["mean"]
    assert (summary.mean, summary.count) == (50, 6)
    assert 48.9 < summary.low < summary.mean < summary.high < 51.1
    generator, means = np.random.default_rng(1), []
    for _ in range(4000):
        drawn = [tables[task][generator.integers(3)].mean() for task in tables for _ in range(3)]
        means.append(np.mean(drawn))
    low, high = np.percentile(means, [2.5, 97.5])
    assert (summary.low, summary.high) == (
        pytest.approx(low, abs=0.2),
        pytest.approx(high, abs=0.2),
    )
    assert math.isnan(summarise_tasks({t: runs[:1] for t, runs in tables.items()})["mean"].low)
    with pytest.raises(AgenticError, match="the tasks have 2, 3 training runs"):
        summarise_tasks({**tables, "hard": tables["hard"][:2]})


def test_the_interquartile_mean_has_an_interval_of_its_own():
    table = np.random.default_rng(0).normal(300, 20, (40, 3))
    table[0] = 5000
    mean = summarise(table)["mean"]
    assert mean.iqm_low < mean.iqm < mean.iqm_high < 320
    assert mean.iqm_high - mean.iqm_low < (mean.high - mean.low) / 3


@settings(deadline=None)
@given(TABLES)
def test_with_one_episode_all_protocols_agree(table):
    summaries = summarise(table[:, :1])
    assert len({repr(summaries[name]) for name in PROTOCOLS}) == 1
    assert summaries["improvement"].mean == 0


def test_interval_holds_the_mean_and_narrows_with_contexts():
    generator = np.random.default_rng(0)
    widths = []
    for contexts in (10, 1000):
        summary = summarise(generator.normal(300, 50, (contexts, 4)))["mean"]
        assert summary.low < summary.mean < summary.high and summary.count == contexts
        widths.append(summary.high - summary.low)
    assert widths[1] < widths[0] / 5


def test_same_seed_same_summary_whatever_the_order_of_contexts():
    table = np.random.default_rng(0).normal(300, 50, (12, 4)).round()
    assert summarise(table, seed=1) == summarise(table[::-1], seed=1)
    assert summarise(table, seed=1) != summarise(table, seed=2)


def test_several_runs_count_runs_and_not_contexts():
    # Contexts without spread, runs far apart: only the runs make the interval.
    tables = [np.full((50, 4), value) for value in (100.0, 200.0, 600.0)]
    summary = summarise_runs(tables)["mean"]
    assert (summary.mean, summary.count) == (300, 3)
    assert summary.low < 150 and summary.high > 450
    assert summarise_runs(tables)["improvement"].high == 0


def test_a_run_with_more_contexts_weighs_no_more():
    tables = [np.full((1, 2), 0.0), np.full((99, 2), 100.0)]
    assert all(summarise_runs(tables)[name].mean == 50 for name in PROTOCOLS)


def test_a_difference_of_runs_redraws_either_side_by_itself():
    sides = [np.full((2, 3), level) for level in (10.0, 14.0, 15.0)], [np.full((2, 3), 4.0)] * 2
    between = difference_runs(*sides)
    assert between.mean == 13 - 4 and between.count == 5
    # The other side has no spread: the interval is that of the first side's mean, moved.
    alone = summarise_runs(sides[0])["mean"]
    assert between.low == pytest.approx(alone.low - 4) and between.high == pytest.approx(
        alone.high - 4
    )
    back = difference_runs(*sides[::-1])
    assert (back.mean, back.iqm) == (-between.mean, -between.iqm)


def test_a_difference_from_a_single_run_has_no_interval():
    runs = [np.full((2, 3), level) for level in (1.0, 2.0)]
    assert math.isnan(difference_runs(runs, runs[:1]).low)
    same = difference_runs(runs, runs)
    assert same.low < same.mean == 0 < same.high


def test_one_value_has_no_interval():
    for summaries in (summarise(TABLE[:1]), summarise_runs([TABLE])):
        for s in summaries.values():
            assert all(map(math.isnan, (s.low, s.high, s.iqm_low, s.iqm_high)))
        assert all(s.count == 1 for s in summaries.values())


def test_curve_runs_from_first_to_last():
    table = np.random.default_rng(0).normal(300, 50, (12, 4))
    curve, summaries = episode_curve(table), summarise(table)
    for index, name in ((0, "first"), (-1, "last")):
        whole = (summaries[name].mean, summaries[name].low, summaries[name].high)
        assert tuple(float(part[index]) for part in curve) == whole
    of_runs = episode_curve_runs([table, table + 10])
    np.testing.assert_allclose(of_runs.mean, curve.mean + 5)
    np.testing.assert_allclose((of_runs.low, of_runs.high), (curve.mean, curve.mean + 10))


def test_every_reduction_gives_one_value_a_context():
    assert all(reduce(TABLE).shape == (2,) for reduce in REDUCTIONS.values())


@pytest.mark.parametrize(
    ("table", "rule"),
    [
        (np.zeros(3), "two axes"),
        (np.zeros((0, 3)), "at least one"),
        (np.array([[1.0, np.nan]]), "context 0, episode 1 is nan"),
    ],
)
def test_a_bad_table_is_met_with_the_rule(table, rule):
    with pytest.raises(AgenticError, match=rule):
        summarise(table)


@pytest.mark.parametrize("n", [0, 4])
def test_a_best_of_more_than_there_are_is_refused(n):
    with pytest.raises(AgenticError, match=f"best of {n} was asked for and contexts have 3"):
        summarise(TABLE, best_of=n)


@pytest.mark.parametrize("tables", [[], [np.zeros((2, 3)), np.zeros((2, 4))]])
def test_runs_need_the_same_number_of_episodes(tables):
    with pytest.raises(AgenticError, match="same number"):
        summarise_runs(tables)
