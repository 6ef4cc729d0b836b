"""From returns to reported numbers: named reductions over a table of contexts and episodes.

    table [C, E]   raw return of episode e in context c (one evaluation seed, one memory)

A reduction maps each context to one number. `best` is the largest of n rollouts, the first n of
each context: for equal policies it grows with n alone, so never set it beside a mean or beside a
best of another n. Every reported number is a mean over contexts or over training runs, and carries
a bootstrap interval. The same seed gives the same interval everywhere.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

# scipy.stats takes a second to import; naming it below imports it at its first use.
import scipy

from agentic.errors import AgenticError

RESAMPLES = 2000


def interquartile_mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the mean of the middle half: floor(N / 4) values are dropped at either end.

    values has N > 0 entries along `axis`; the result lacks that axis. Less noisy than the mean,
    less wasteful than the median (Agarwal et al. 2021, arXiv 2108.13264, section 4.3).
    """
    return scipy.stats.trim_mean(values, 0.25, axis=axis)


def bootstrap_interval(
    samples: Sequence[np.ndarray],
    statistic: Callable[..., np.ndarray],
    generator: np.random.Generator,
    resamples: int = RESAMPLES,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % percentile bootstrap interval (low, high) of a statistic of samples.

    Each sample [..., N] holds N independent measurements, which are redrawn with replacement within
    their own sample. So one sample gives the plain bootstrap, and one sample a task gives the
    bootstrap that arXiv 2108.13264 stratifies by task. Intervals of fewer than about ten values are
    too narrow: two or three values give little more than their own range.

    Args:
        samples: arrays whose leading axes agree; the same redraw serves every leading index.
        statistic: called as statistic(*samples, axis=-1); takes away the last axis.
        generator: what redraws; the order of the values within a sample has no influence.
        resamples: how many times all samples are redrawn.

    Returns:
        Two arrays of the statistic's shape, nan where a sample has a single value: it says nothing
        about its spread.

    Raises:
        AgenticError: a sample without values, or with one that is not finite.
    """
    samples = [np.sort(np.asarray(sample, dtype=np.float64), axis=-1) for sample in samples]
    for sample in samples:
        if sample.size == 0 or not np.isfinite(sample).all():
            raise AgenticError(
                f"a bootstrap over values of shape {sample.shape} was asked for; "
                "it needs at least 1 value, and every value must be finite."
            )
    if min(sample.shape[-1] for sample in samples) == 1:
        nothing = np.full_like(statistic(*samples, axis=-1), np.nan)
        return nothing, nothing
    found = scipy.stats.bootstrap(
        samples, statistic, n_resamples=resamples, vectorized=True, axis=-1, method="percentile",
        rng=generator,
    )  # fmt: skip
    return found.confidence_interval.low, found.confidence_interval.high


Reduction = Callable[[np.ndarray], np.ndarray]
PROTOCOLS: dict[str, Reduction] = {
    "first": lambda table: table[:, 0],
    "last": lambda table: table[:, -1],
    "mean": lambda table: table.mean(axis=1),
    "best": lambda table: table.max(axis=1),
}
# Summarised with the protocols, but a difference of two of them rather than a return.
REDUCTIONS = {**PROTOCOLS, "improvement": lambda table: table[:, -1] - table[:, 0]}


def reductions(best_of: int | None = None) -> dict[str, Reduction]:
    """Return REDUCTIONS with `best` over the first `best_of` episodes, by default over all."""
    if best_of is None:
        return REDUCTIONS
    return REDUCTIONS | {"best": lambda table: table[:, :best_of].max(axis=1)}


@dataclass(frozen=True)
class Summary:
    """Mean and interquartile mean of `count` values, each with its 95 % interval.

    low and high are of the mean, iqm_low and iqm_high of the interquartile mean; all four are nan
    where count is 1: a single value says nothing about its spread.
    """

    count: int
    mean: float
    low: float
    high: float
    iqm: float
    iqm_low: float
    iqm_high: float


class Curve(NamedTuple):
    """Mean return at each episode index with its 95 % interval, [E] each."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def summarise(table: np.ndarray, seed: int = 0, best_of: int | None = None) -> dict[str, Summary]:
    """Return first, last, mean, best and improvement, with intervals over contexts.

    table [C, E] returns; `seed` seeds the bootstrap, and the same seed gives the same interval;
    `best` is over the first `best_of` episodes of each context, by default over all.
    """
    table = _checked(table, best_of)
    return _by_name([np.stack([r(table) for r in reductions(best_of).values()])], seed)


def summarise_runs(
    tables: Sequence[np.ndarray], seed: int = 0, best_of: int | None = None
) -> dict[str, Summary]:
    """Return the same for several training runs, with intervals over training runs.

    tables holds one [C, E] table per run (C may differ, E not). Each run counts once, with its
    mean over contexts: contexts of one run share its weights and are not independent evidence.
    """
    return _by_name([_means(_checked_runs(tables, best_of), best_of)], seed)


def difference_runs(
    tables: Sequence[np.ndarray], others: Sequence[np.ndarray], seed: int = 0
) -> Summary:
    """Return how far the mean return of some training runs lies above that of others.

    Each run counts once, with its mean over contexts and episodes. The interval of the mean is a
    bootstrap that redraws the runs of either side among themselves; iqm is the difference of the
    interquartile means. Both intervals are nan where a side has a single run.
    """
    sides = [
        np.array([[table.mean() for table in _checked_runs(side)]]) for side in (tables, others)
    ]
    (summary,) = _summaries(sides, seed, _difference)
    return summary


def summarise_tasks(
    tables: Mapping[str, Sequence[np.ndarray]], seed: int = 0, best_of: int | None = None
) -> dict[str, Summary]:
    """Return the same over several tasks, with intervals of a bootstrap stratified by task.

    tables holds for each task one [C, E] table of normalised scores per training run. Runs are
    redrawn within their own task (Agarwal et al. 2021, arXiv 2108.13264, section 4.1), so that
    the interval tells the spread of training and not that tasks differ. Raises AgenticError where
    tasks have different numbers of runs: the average would weigh them unequally.
    """
    checked = {task: _checked_runs(runs, best_of) for task, runs in tables.items()}
    counts = {len(runs) for runs in checked.values()}
    if len(counts) != 1:
        raise AgenticError(
            f"the tasks have {', '.join(map(str, sorted(counts))) or 'no'} training runs; an "
            "average over tasks needs the same number of each, at least one."
        )
    return _by_name([_means(runs, best_of) for runs in checked.values()], seed)


def scores(returns: np.ndarray, random: float, best: float) -> np.ndarray:
    """Return returns as scores: 0 is the mean of random actions, 100 the data's best episode.

    score = 100 (return - random) / (best - random), as D4RL normalises with an expert in place of
    the data's best (Fu et al. 2020, arXiv 2004.07219, section 4). Raises AgenticError where the
    data hold nothing better than random actions.
    """
    if not best > random:
        raise AgenticError(
            f"the data's best return is {best:g} and random actions earn {random:g}; scores need "
            "data with something better than random actions."
        )
    return 100 * (np.asarray(returns, dtype=np.float64) - random) / (best - random)


def episode_curve(table: np.ndarray, seed: int = 0) -> Curve:
    """Return the mean return at each episode index, with intervals over contexts; table [C, E]."""
    return _curve(_checked(table), seed)


def episode_curve_runs(tables: Sequence[np.ndarray], seed: int = 0) -> Curve:
    """Return the mean return at each episode index, with intervals over training runs."""
    return _curve(np.stack([table.mean(axis=0) for table in _checked_runs(tables)]), seed)


def _means(tables: Sequence[np.ndarray], best_of: int | None) -> np.ndarray:
    """Return each run's mean over contexts of every reduction: [reductions, runs]."""
    return np.array([[r(table).mean() for table in tables] for r in reductions(best_of).values()])


def _mean_and_iqm(*samples: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return mean and interquartile mean of all samples together, one above the other."""
    values = np.concatenate(samples, axis)
    return np.stack([values.mean(axis), interquartile_mean(values, axis)])


def _difference(one: np.ndarray, other: np.ndarray, axis: int = -1) -> np.ndarray:
    return _mean_and_iqm(one, axis=axis) - _mean_and_iqm(other, axis=axis)


def _by_name(samples: Sequence[np.ndarray], seed: int) -> dict[str, Summary]:
    """Return the Summary of every reduction; each sample is [reductions, N]."""
    return dict(zip(REDUCTIONS, _summaries(samples, seed), strict=True))


def _summaries(
    samples: Sequence[np.ndarray], seed: int, statistic: Callable[..., np.ndarray] = _mean_and_iqm
) -> list[Summary]:
    """Return a Summary for each of the P lines of samples [P, N]."""
    low, high = bootstrap_interval(samples, statistic, np.random.default_rng(seed))
    # [mean or interquartile mean, value or low or high, P]
    found = np.stack([statistic(*samples), low, high], axis=1)
    count = sum(sample.shape[-1] for sample in samples)
    return [Summary(count, *line) for line in found.reshape(6, -1).T.tolist()]


def _curve(rows: np.ndarray, seed: int) -> Curve:
    # Contiguous, so that its sums are those of the other reductions, to the last bit.
    columns = _summaries([np.ascontiguousarray(rows.T)], seed)
    return Curve(*(np.array([getattr(s, f) for s in columns]) for f in Curve._fields))


def _checked(table: np.ndarray, best_of: int | None = None) -> np.ndarray:
    table = np.asarray(table, dtype=np.float64)
    if table.ndim != 2 or table.size == 0:
        raise AgenticError(
            f"the table of returns has shape {table.shape}; it needs two axes, [contexts, "
            "episodes], with at least one of each."
        )
    if not np.isfinite(table).all():
        context, episode = np.argwhere(~np.isfinite(table))[0]
        raise AgenticError(
            f"the return of context {context}, episode {episode} is {table[context, episode]}; "
            "every return must be finite."
        )
    if best_of is not None and not 1 <= best_of <= table.shape[1]:
        raise AgenticError(
            f"the best of {best_of} was asked for and contexts have {table.shape[1]} episodes; "
            f"it is the best of 1 to {table.shape[1]}."
        )
    return table


def _checked_runs(tables: Sequence[np.ndarray], best_of: int | None = None) -> list[np.ndarray]:
    tables = [_checked(table, best_of) for table in tables]
    lengths = sorted({table.shape[1] for table in tables})
    if len(lengths) != 1:
        raise AgenticError(
            f"the training runs have {lengths or 'no'} episodes a context; "
            "there is at least one run, and every run needs the same number."
        )
    return tables
