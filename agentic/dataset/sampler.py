"""Batches of hindsight chains as a pure function of (seed, step)."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from agentic.dataset.dataset import Dataset
from agentic.errors import AgenticError, closest
from agentic.hindsight import COMPLETIONS, Completion, hindsight_order, relabel
from agentic.trajectory import Chain

Count = Literal["fixed", "uniform"]
COUNTS: tuple[Count, ...] = ("fixed", "uniform")


@dataclass(frozen=True)
class SamplerConfig:
    """How chains are drawn from a data set.

    Attributes:
        trajectories: most trajectories in a chain (n_max).
        batch_size: chains a batch.
        seed: with the step, it determines the batch.
        count: "uniform" draws n from 1..n_max inclusive for every chain, "fixed" takes n_max.
        top_fraction: use only this best part of the data set, by return (0.1: the best 10 %).
        best_fraction: draw one trajectory of every chain from this best part, the others from all;
            sorted, it nearly always comes last. 1 draws all alike.
        completion: where the completion token is 1, "target" or "done".
    """

    trajectories: int = 4
    batch_size: int = 2
    seed: int = 0
    count: Count = "fixed"
    top_fraction: float = 1.0
    best_fraction: float = 0.3
    completion: Completion = "target"

    def __post_init__(self):
        for name in ("trajectories", "batch_size"):
            if getattr(self, name) < 1:
                raise AgenticError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if self.seed < 0:
            raise AgenticError(f"seed is {self.seed}; it must be at least 0.")
        for name in ("top_fraction", "best_fraction"):
            if not 0 < getattr(self, name) <= 1:
                raise AgenticError(f"{name} is {getattr(self, name)}; it must lie in (0, 1].")
        for name, choices in {"count": COUNTS, "completion": COMPLETIONS}.items():
            value = getattr(self, name)
            if value not in choices:
                raise AgenticError(f"{name} is {value!r}; {closest(str(value), choices)}.")


class ChainSampler:
    """Draws batches of chains: `sampler(step)` is the same in every process and on every run.

    Whole trajectories are drawn without replacement, sorted ascending by return (ties by their
    index in the data set) and relabelled by `agentic.hindsight`.
    """

    def __init__(self, data: Dataset, config: SamplerConfig | None = None, **options):
        """Draw from `data` as `config` says; keywords replace single fields of it."""
        self.data = data
        self.config = replace(config or SamplerConfig(), **options)
        ranking = np.argsort(-data.returns, kind="stable")
        self.pool = np.sort(ranking[: self._part(self.config.top_fraction)])
        best = ranking[: self._part(self.config.best_fraction)]
        self.best = np.flatnonzero(np.isin(self.pool, best))
        if self.config.trajectories > len(self.pool):
            raise AgenticError(
                f"trajectories is {self.config.trajectories}; a chain draws without replacement, "
                f"so it can be at most {len(self.pool)}, the number of episodes to draw from."
            )

    def _part(self, fraction: float) -> int:
        return max(1, round(fraction * len(self.data)))

    def draw(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the batch's episode indices [B, n] in hindsight order, and which exist [B, n]."""
        config, generator = self.config, np.random.default_rng([self.config.seed, step])
        batch, n = config.batch_size, config.trajectories
        keys = generator.random((batch, len(self.pool)))
        if config.best_fraction < 1:
            rows = np.arange(batch)
            keys[rows, self.best[generator.integers(len(self.best), size=batch)]] = -1.0
        places = np.argpartition(keys, n - 1, axis=1)[:, :n]
        places = np.take_along_axis(
            places, np.argsort(np.take_along_axis(keys, places, 1), axis=1), axis=1
        )
        counts = np.full(batch, n)
        if config.count == "uniform":
            counts = generator.integers(1, n, size=batch, endpoint=True)
        present = np.arange(n) < counts[:, None]
        # By index first, so that equal returns keep the data set's order under the stable sort.
        by_index = np.argsort(np.where(present, places, len(self.pool)), axis=1, kind="stable")
        indices = self.pool[np.take_along_axis(places, by_index, axis=1)]
        # The absent stand last before and after the sort, so `present` needs no reordering.
        order = hindsight_order(self.data.returns[indices], present)
        return np.take_along_axis(indices, order, axis=1), present

    def __call__(self, step: int) -> Chain:
        """Return the batch of a training step: a Chain with leading axes [B, n]."""
        indices, present = self.draw(step)
        data = self.data
        mask = data.mask(indices) & present[..., None]
        return relabel(
            data.observations[indices], data.actions[indices], data.rewards[indices],
            mask, self.config.completion,
        )  # fmt: skip
