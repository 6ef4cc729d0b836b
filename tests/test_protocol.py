"""Laws of the reductions from returns to reported numbers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from agentic.errors import AgenticError
from agentic.protocol import (
    PROTOCOLS,
    REDUCTIONS,
    episode_curve,
    episode_curve_runs,
    summarise,
    summarise_runs,
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


def test_one_value_has_no_interval():
    for summaries in (summarise(TABLE[:1]), summarise_runs([TABLE])):
        assert all(math.isnan(s.low) and math.isnan(s.high) for s in summaries.values())
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


@pytest.mark.parametrize("tables", [[], [np.zeros((2, 3)), np.zeros((2, 4))]])
def test_runs_need_the_same_number_of_episodes(tables):
    with pytest.raises(AgenticError, match="same number"):
        summarise_runs(tables)
