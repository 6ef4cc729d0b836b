"""Laws of the interquartile mean and of the stratified bootstrap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic.errors import AgenticError
from agentic.evaluation import protocol as stats
from agentic.evaluation.protocol import bootstrap_interval, interquartile_mean

RETURNS = st.lists(st.floats(0, 1000), min_size=1, max_size=40)


def slow_interquartile_mean(values):
    """Drop the smallest and the largest value, a quarter of the count times over."""
    rest = list(values)
    for _ in range(len(values) // 4):
        rest.remove(min(rest))
        rest.remove(max(rest))
    return sum(rest) / len(rest)


@given(RETURNS)
def test_interquartile_mean_equals_the_slow_one(values):
    assert interquartile_mean(values) == pytest.approx(slow_interquartile_mean(values))


def test_interquartile_mean_takes_any_axis():
    table = np.random.default_rng(0).normal(size=(9, 7))
    expected = [slow_interquartile_mean(column) for column in table.T]
    np.testing.assert_allclose(interquartile_mean(table, axis=0), expected)


def test_one_outlier_does_not_move_the_interquartile_mean():
    values = np.arange(8.0)
    spoiled = values.copy()
    spoiled[-1] = 1e6
    assert interquartile_mean(values) == interquartile_mean(spoiled)


@given(RETURNS, st.randoms(use_true_random=False))
def test_same_seed_same_interval_in_any_order(values, random):
    shuffled = random.sample(values, len(values))
    first = bootstrap_interval(values, np.mean, np.random.default_rng(3), resamples=50)
    second = bootstrap_interval(shuffled, np.mean, np.random.default_rng(3), resamples=50)
    assert first == second
    assert min(values) - 1e-9 <= first[0] <= first[1] <= max(values) + 1e-9


def test_another_seed_gives_another_interval():
    values = np.random.default_rng(0).normal(size=20)
    intervals = {bootstrap_interval(values, np.mean, np.random.default_rng(s)) for s in range(3)}
    assert len(intervals) == 3


@given(st.floats(-1000, 1000), st.integers(1, 30))
def test_constant_values_have_an_interval_without_width(value, count):
    low, high = bootstrap_interval(
        [value] * count, interquartile_mean, np.random.default_rng(0), resamples=20
    )
    assert low == high == pytest.approx(value)


def test_values_are_redrawn_within_their_stratum_only():
    # Two strata without spread: any redraw across them would move the mean.
    values, strata = [0.0] * 5 + [100.0] * 5, ["a"] * 5 + ["b"] * 5
    generator = np.random.default_rng(0)
    assert bootstrap_interval(values, np.mean, generator, strata=strata) == (50.0, 50.0)
    low, high = bootstrap_interval(values, np.mean, generator)
    assert low < 40 and high > 60


def test_strata_match_a_slow_bootstrap():
    generator = np.random.default_rng(1)
    values = np.concatenate([generator.normal(0, 1, 12), generator.normal(50, 9, 5)])
    strata = np.array([1] * 12 + [0] * 5)
    means = []
    for _ in range(4000):
        drawn = [generator.choice(values[strata == s], (strata == s).sum()) for s in (0, 1)]
        means.append(np.concatenate(drawn).mean())
    fast = bootstrap_interval(values, np.mean, generator, strata=strata, resamples=4000)
    np.testing.assert_allclose(fast, np.percentile(means, [2.5, 97.5]), atol=0.25)


def test_blocks_of_resamples_change_nothing(monkeypatch):
    values = np.random.default_rng(0).normal(size=30)
    whole = bootstrap_interval(values, np.mean, np.random.default_rng(5), resamples=999)
    monkeypatch.setattr(stats, "BLOCK_VALUES", 100)
    assert bootstrap_interval(values, np.mean, np.random.default_rng(5), resamples=999) == whole


def test_interval_covers_the_true_mean_about_95_times_in_100():
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        low, high = bootstrap_interval(
            generator.gamma(4, 50, 40), np.mean, generator, resamples=400
        )
        hits += low <= 200 <= high
    assert 0.91 <= hits / 400 <= 0.98


def test_wider_level_wider_interval():
    values = np.random.default_rng(0).normal(size=25)
    widths = []
    for level in (0.5, 0.8, 0.95):
        low, high = bootstrap_interval(values, np.mean, np.random.default_rng(0), level=level)
        widths.append(high - low)
    assert widths == sorted(widths) and widths[0] < widths[2] / 2


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"values": []}, "at least 1 value"),
        ({"values": [[1.0]]}, "one axis"),
        ({"values": [1.0, np.nan]}, "all finite"),
        ({"values": [1.0, 2.0], "strata": [0]}, "one label for each of 2"),
        ({"values": [1.0], "level": 95}, "between 0 and 1"),
        ({"values": [1.0], "resamples": 0}, "at least 1 resample"),
    ],
)
def test_bad_input_is_met_with_the_rule(arguments, rule):
    with pytest.raises(AgenticError, match=rule):
        bootstrap_interval(**arguments, statistic=np.mean, generator=np.random.default_rng(0))


def test_no_values_have_no_interquartile_mean():
    with pytest.raises(AgenticError, match="at least 1"):
        interquartile_mean([])
