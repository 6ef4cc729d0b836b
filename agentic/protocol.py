"""From returns to reported numbers: named reductions over a table of contexts and episodes.

    table [C, E]   raw return of episode e in context c (one evaluation seed, one memory)

A reduction maps each context to one number. `best` is the largest of E rollouts: for equal
policies it grows with E alone, so it is never to be set beside a mean or a best of another E.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from agentic.errors import AgenticError
from agentic.stats import bootstrap_interval, interquartile_mean

PROTOCOLS = {
    "first": lambda table: table[:, 0],
    "last": lambda table: table[:, -1],
    "mean": lambda table: table.mean(axis=1),
    "best": lambda table: table.max(axis=1),
}
# Summarised with the protocols, but a difference of two of them rather than a return.
REDUCTIONS = {**PROTOCOLS, "improvement": lambda table: table[:, -1] - table[:, 0]}


@dataclass(frozen=True)
class Summary:
    """Mean and interquartile mean of `count` values, and the 95 % interval of the mean.

    low and high are nan where count is 1: a single value says nothing about its spread.
    """

    mean: float
    iqm: float
    low: float
    high: float
    count: int


class Curve(NamedTuple):
    """Mean return at each episode index with its 95 % interval, [E] each."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def summarise(table: np.ndarray, seed: int = 0) -> dict[str, Summary]:
    """Return first, last, mean, best and improvement, with intervals over contexts.

    table [C, E] returns; `seed` seeds the bootstrap, and the same seed gives the same interval.
    """
    table = _checked(table)
    return {name: _summary(reduce(table), seed) for name, reduce in REDUCTIONS.items()}


def summarise_runs(tables: Sequence[np.ndarray], seed: int = 0) -> dict[str, Summary]:
    """Return the same for several training runs, with intervals over training runs.

    tables holds one [C, E] table per run (C may differ, E not). Each run counts once, with its
    mean over contexts: contexts of one run share its weights and are not independent evidence.
    """
    tables = _checked_runs(tables)
    return {
        name: _summary(np.array([reduce(table).mean() for table in tables]), seed)
        for name, reduce in REDUCTIONS.items()
    }


def episode_curve(table: np.ndarray, seed: int = 0) -> Curve:
    """Return the mean return at each episode index, with intervals over contexts; table [C, E]."""
    return _curve(_checked(table), seed)


def episode_curve_runs(tables: Sequence[np.ndarray], seed: int = 0) -> Curve:
    """Return the mean return at each episode index, with intervals over training runs."""
    return _curve(np.stack([table.mean(axis=0) for table in _checked_runs(tables)]), seed)


def _summary(values: np.ndarray, seed: int) -> Summary:
    low = high = float("nan")
    if len(values) > 1:
        low, high = bootstrap_interval(values, np.mean, np.random.default_rng(seed))
    return Summary(float(values.mean()), float(interquartile_mean(values)), low, high, len(values))


def _curve(rows: np.ndarray, seed: int) -> Curve:
    columns = [_summary(column, seed) for column in rows.T]
    return Curve(*(np.array([getattr(s, f) for s in columns]) for f in Curve._fields))


def _checked(table: np.ndarray) -> np.ndarray:
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
    return table


def _checked_runs(tables: Sequence[np.ndarray]) -> list[np.ndarray]:
    tables = [_checked(table) for table in tables]
    lengths = sorted({table.shape[1] for table in tables})
    if len(lengths) != 1:
        raise AgenticError(
            f"the training runs have {lengths or 'no'} episodes a context; "
            "there is at least one run, and every run needs the same number."
        )
    return tables
