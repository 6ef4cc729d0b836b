"""Laws of the interquartile mean and of the bootstrap of one or several samples."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentic.errors import AgenticError
from agentic.evaluation.protocol import bootstrap_interval, interquartile_mean

RETURNS = st.lists(st.floats(0, 1000), min_size=1, max_size=40)


def slow_interquartile_mean(values):
    """Drop the smallest and the largest value, a quarter of the count times over."""
    rest = list(values)
    for _ in range(len(values) // 4):
        rest.remove(min(rest))
        rest.remove(max(rest))
    return sum(rest) / len(rest)


@settings(deadline=None)
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


def slow_bootstrap(samples, statistic, generator, resamples=4000):
    """Redraw value after value; return the values that 2.5 and 97.5 % of the redraws lie below."""
    found = []
    for _ in range(resamples):
        drawn = [[sample[generator.integers(len(sample))] for _ in sample] for sample in samples]
        found.append(statistic(*drawn))
    found.sort()
    return found[round(0.025 * resamples)], found[round(0.975 * resamples)]


def pooled_mean(*samples, axis=-1):
    return np.concatenate(samples, axis=axis).mean(axis=axis)


@settings(deadline=None)
@given(RETURNS, st.randoms(use_true_random=False))
def test_same_seed_same_interval_in_any_order(values, random):
    shuffled = random.sample(values, len(values))
    first = bootstrap_interval([values], np.mean, np.random.default_rng(3), resamples=50)
    second = bootstrap_interval([shuffled], np.mean, np.random.default_rng(3), resamples=50)
    np.testing.assert_array_equal(first, second)
    if len(values) > 1:
        assert min(values) - 1e-9 <= first[0] <= first[1] + 1e-9 <= max(values) + 2e-9
    else:
        assert np.isnan(first).all()


def test_another_seed_gives_another_interval():
    values = np.random.default_rng(0).normal(size=20)
    intervals = {bootstrap_interval([values], np.mean, np.random.default_rng(s)) for s in range(3)}
    assert len(intervals) == 3


@settings(deadline=None)
@given(st.floats(-1000, 1000), st.integers(2, 30))
def test_constant_values_have_an_interval_without_width(value, count):
    low, high = bootstrap_interval(
        [[value] * count], interquartile_mean, np.random.default_rng(0), resamples=20
    )
    assert (low, high) == (pytest.approx(value), pytest.approx(value))


@pytest.mark.parametrize("statistic", [np.mean, interquartile_mean])
def test_one_sample_matches_a_slow_bootstrap(statistic):
    generator = np.random.default_rng(4)
    values = generator.gamma(4, 50, 11)
    slow = {np.mean: np.mean, interquartile_mean: slow_interquartile_mean}[statistic]
    expected = slow_bootstrap([values.tolist()], slow, generator)
    fast = bootstrap_interval([values], statistic, generator, resamples=4000)
    np.testing.assert_allclose(fast, expected, atol=6)
    assert expected[1] - expected[0] > 60


def test_values_are_redrawn_within_their_own_sample_only():
    # Two samples without spread: any redraw across them would move the mean.
    samples, generator = [[0.0] * 5, [100.0] * 5], np.random.default_rng(0)
    assert bootstrap_interval(samples, pooled_mean, generator) == (50.0, 50.0)
    low, high = bootstrap_interval([samples[0] + samples[1]], np.mean, generator)
    assert low < 40 and high > 60


def test_several_samples_match_a_slow_bootstrap():
    generator = np.random.default_rng(1)
    samples = [generator.normal(0, 1, 12), generator.normal(50, 9, 5)]
    expected = slow_bootstrap(samples, pooled_mean, generator)
    fast = bootstrap_interval(samples, pooled_mean, generator, resamples=4000)
    np.testing.assert_allclose(fast, expected, atol=0.25)


def test_lines_of_a_sample_share_their_redraws_and_nothing_else():
    values = np.random.default_rng(2).normal(size=(3, 9))
    low, high = bootstrap_interval([values], np.mean, np.random.default_rng(5))
    for line in range(3):
        alone = bootstrap_interval([values[line]], np.mean, np.random.default_rng(5))
        np.testing.assert_allclose((low[line], high[line]), alone, rtol=1e-12)


def test_interval_covers_the_true_mean_about_95_times_in_100():
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        low, high = bootstrap_interval(
            [generator.gamma(4, 50, 40)], np.mean, generator, resamples=400
        )
        hits += low <= 200 <= high
    assert 0.91 <= hits / 400 <= 0.98


@pytest.mark.parametrize(
    ("samples", "rule"),
    [
        ([[]], "at least 1 value"),
        ([[1.0, np.nan]], "must be finite"),
        ([[1.0, 2.0], [np.inf, 1.0]], "must be finite"),
    ],
)
def test_bad_input_is_met_with_the_rule(samples, rule):
    with pytest.raises(AgenticError, match=rule):
        bootstrap_interval(samples, pooled_mean, np.random.default_rng(0))
