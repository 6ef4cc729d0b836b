"""From returns to reported numbers: named reductions over a table of contexts and episodes.

    table [C, E]   raw return of episode e in context c (one evaluation seed, one memory)

A reduction maps each context to one number. `best` is the largest of n rollouts, the first n of
each context: for equal policies it grows with n alone, so it is never to be set beside a mean or
a best of another n.

Robust means and bootstrap intervals: what every reported number passes through.

The generator is always an argument, so that the same seed gives the same interval everywhere.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from agentic.errors import AgenticError

# Resamples are drawn in blocks of this many values (8 MiB of float64), whatever their number.
BLOCK_VALUES = 2**20


def interquartile_mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return the mean of the middle half: floor(N / 4) values dropped at either end.

    values has N > 0 entries along `axis`; the result lacks that axis. Less noisy than the mean,
    less wasteful than the median (Agarwal et al. 2021, arXiv 2108.13264, section 4.3).
    """
    values = np.moveaxis(np.asarray(values, dtype=np.float64), axis, -1)
    count = values.shape[-1]
    if count == 0:
        raise AgenticError("an interquartile mean of 0 values was asked for; it needs at least 1.")
    drop = count // 4
    return np.sort(values, axis=-1)[..., drop : count - drop].mean(axis=-1)


def bootstrap_interval(
    values: np.ndarray,
    statistic: Callable[..., np.ndarray],
    generator: np.random.Generator,
    strata: np.ndarray | None = None,
    resamples: int = 2000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval (low, high) of `statistic`.

    values [N] are independent measurements. statistic(samples, axis=-1) maps [R, N] to [R], as
    np.mean and interquartile_mean do. strata [N] labels each value's stratum: values are redrawn
    with replacement within their own stratum and the statistic is taken over the pooled redraw.
    That is the stratified bootstrap of arXiv 2108.13264, whose scores [runs, tasks] have one
    stratum per task. The order of the values has no influence. Intervals of fewer than about ten
    values are too narrow: two or three values give no more than their own range.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
        raise AgenticError(
            f"a bootstrap over values of shape {values.shape} was asked for; "
            "it needs one axis with at least 1 value, all finite."
        )
    if not 0 < level < 1 or resamples < 1:
        raise AgenticError(
            f"a bootstrap with level {level} and {resamples} resamples was asked for; "
            "the level lies between 0 and 1 and there is at least 1 resample."
        )
    strata = np.zeros(len(values), int) if strata is None else np.asarray(strata)
    if strata.shape != values.shape:
        raise AgenticError(
            f"strata has shape {strata.shape}; there is one label for each of {len(values)} values."
        )
    order = np.lexsort((values, strata))
    values, strata = values[order], strata[order]
    _, start, size = np.unique(strata, return_index=True, return_counts=True)
    start, size = np.repeat(start, size), np.repeat(size, size)  # each value's own stratum, [N]
    block = max(1, BLOCK_VALUES // len(values))
    results = []
    for done in range(0, resamples, block):
        rows = min(block, resamples - done)
        index = start + generator.integers(0, size, size=(rows, len(values)))
        results.append(statistic(values[index], axis=-1))
    tail = 50 * (1 - level)
    low, high = np.percentile(np.concatenate(results), [tail, 100 - tail])
    return float(low), float(high)


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

    low and high are of the mean, iqm_low and iqm_high of the interquartile mean; all are nan where
    count is 1: a single value says nothing about its spread.
    """

    mean: float
    iqm: float
    low: float
    high: float
    count: int
    iqm_low: float = float("nan")
    iqm_high: float = float("nan")


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
    return {name: _summary(r(table), seed) for name, r in reductions(best_of).items()}


def summarise_runs(
    tables: Sequence[np.ndarray], seed: int = 0, best_of: int | None = None
) -> dict[str, Summary]:
    """Return the same for several training runs, with intervals over training runs.

    tables holds one [C, E] table per run (C may differ, E not). Each run counts once, with its
    mean over contexts: contexts of one run share its weights and are not independent evidence.
    """
    tables = _checked_runs(tables, best_of)
    return {
        name: _summary(np.array([r(table).mean() for table in tables]), seed)
        for name, r in reductions(best_of).items()
    }


def difference_runs(
    tables: Sequence[np.ndarray], others: Sequence[np.ndarray], seed: int = 0
) -> Summary:
    """Return how far the mean return of some training runs lies above that of others.

    Each run counts once, with its mean over contexts and episodes. The interval of the mean is a
    bootstrap that redraws the runs of either side among themselves; iqm is the difference of the
    interquartile means. Both intervals are nan where a side has a single run.
    """
    sides = [np.array([table.mean() for table in _checked_runs(side)]) for side in (tables, others)]
    first, nan = len(sides[0]), float("nan")
    limits, statistics = [], (np.mean, interquartile_mean)
    for statistic in statistics:
        # Redraws keep the order of their strata.
        def between(x: np.ndarray, axis: int = -1, statistic=statistic) -> np.ndarray:
            return statistic(x[..., :first], axis=axis) - statistic(x[..., first:], axis=axis)

        limits.append((nan, nan))
        if min(map(len, sides)) > 1:
            strata = np.repeat([0, 1], [len(side) for side in sides])
            generator = np.random.default_rng(seed)
            limits[-1] = bootstrap_interval(np.concatenate(sides), between, generator, strata)
    mean, iqm = (float(s(sides[0]) - s(sides[1])) for s in statistics)
    return Summary(mean, iqm, *limits[0], first + len(sides[1]), *limits[1])


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
    strata = np.repeat(np.arange(len(checked)), counts.pop())
    return {
        name: _summary(
            np.array([r(table).mean() for runs in checked.values() for table in runs]), seed, strata
        )
        for name, r in reductions(best_of).items()
    }


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


def _summary(values: np.ndarray, seed: int, strata: np.ndarray | None = None) -> Summary:
    nan = float("nan")
    mean, iqm = (nan, nan), (nan, nan)
    # A stratum of one value would be redrawn as itself: there is no spread to tell of.
    if len(values) > (1 if strata is None else len(np.unique(strata))):
        mean, iqm = (
            bootstrap_interval(values, statistic, np.random.default_rng(seed), strata)
            for statistic in (np.mean, interquartile_mean)
        )
    return Summary(
        float(values.mean()), float(interquartile_mean(values)), *mean, len(values), *iqm
    )


def _curve(rows: np.ndarray, seed: int) -> Curve:
    columns = [_summary(column, seed) for column in rows.T]
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
