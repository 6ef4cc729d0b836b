"""Chains of a hidden task: one task for each chain, drawn apart from its trajectories.

A chain's code is drawn from a family's training codes, and the rewards of its trajectories follow
from their features. The trajectories are drawn and ordered without a look at that code. Otherwise
behaviour would tell the task, and a policy could read the task off its own actions while acting.
Axis letters as in `agentic.trajectory`; K numbers of a code.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from agentic.dataset.family_dataset import FamilyDataset
from agentic.dataset.sampler import COUNTS, Count, check_window, draw_starts, share_of_batch
from agentic.errors import AgenticError, closest
from agentic.hindsight import Cut, gather, gather_chain, total_rewards
from agentic.trajectory import Chain, Window


@dataclass(frozen=True)
class HiddenTaskConfig:
    """How chains of a hidden task are drawn from the data set of a family.

    Attributes:
        trajectories: most trajectories in a chain (n_max).
        batch_size: chains a batch.
        seed: with the step, it determines the batch.
        count: "uniform" draws n from 1..n_max inclusive for every chain, "fixed" takes n_max.
        empty: share of the chains that have one trajectory, so that no other lies before it.
        wrong_belief: share of the chains whose trajectories are good for another, randomly drawn
            task of the family. They look like episodes of a policy that is mistaken about its task.
        candidates: a wrong belief takes the best of this many randomly drawn trajectories.
        window: cut all trajectories of a chain to the same this many steps, drawn anew for every
            chain; None keeps whole episodes.
        align: windows start at multiples of this, the steps that one token covers.
    """

    trajectories: int = 2
    batch_size: int = 8
    seed: int = 0
    count: Count = "fixed"
    empty: float = 0.0
    wrong_belief: float = 0.0
    candidates: int = 32
    window: int | None = None
    align: int = 1

    def __post_init__(self):
        for name in ("trajectories", "batch_size", "candidates", "align"):
            if getattr(self, name) < 1:
                raise AgenticError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if self.seed < 0:
            raise AgenticError(f"seed is {self.seed}; it must be at least 0.")
        for name in ("empty", "wrong_belief"):
            if not 0 <= getattr(self, name) <= 1:
                raise AgenticError(f"{name} is {getattr(self, name)}; it must lie in [0, 1].")
        if self.count not in COUNTS:
            raise AgenticError(f"count is {self.count!r}; {closest(str(self.count), COUNTS)}.")
        if self.wrong_belief and self.candidates < self.trajectories:
            raise AgenticError(
                f"candidates is {self.candidates}; the {self.trajectories} trajectories of a chain "
                f"are chosen from them, so it must be at least {self.trajectories}."
            )
        check_window(self.window, self.align)


class HiddenChains(NamedTuple):
    """Chains [B, n] and the code [B, K] of each one's task, which the policy is not told.

    Rewards are those of the task. Returns-to-go and completions are zero, since both would tell it.
    """

    chain: Chain | Window
    codes: np.ndarray


class HiddenTaskSampler:
    """Draws batches of chains of a hidden task: `sampler(step)` is a function of (seed, step).

    Trajectories are drawn without replacement and stand in random order.
    """

    def __init__(
        self, data: FamilyDataset, config: HiddenTaskConfig | None = None, *,
        process_index: int = 0, process_count: int = 1, **options,
    ):  # fmt: skip
        """Draw from `data` as `config` says; keywords replace single fields of it.

        Of `process_count` processes that train together each gathers its share of every batch: the
        batch_size / process_count chains from process_index times that many on.
        """
        self.config = config = replace(config or HiddenTaskConfig(), **options)
        self.data = data
        self._share = share_of_batch(config.batch_size, process_index, process_count)
        check_window(config.window, config.align, data.features.shape[1])
        if config.trajectories > len(data):
            raise AgenticError(
                f"trajectories is {config.trajectories}; a chain draws without replacement, so it "
                f"can be at most {len(data)}, the number of episodes."
            )

    def codes(self, step: int) -> np.ndarray:
        """Return the code of every chain of a batch: [B, K] float32."""
        generator = np.random.default_rng([self.config.seed, step, 0])
        return self.data.family.draw(generator, self.config.batch_size)

    def draw(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the batch's episode indices [B, n] and which of them exist [B, n]."""
        config, generator = self.config, np.random.default_rng([self.config.seed, step, 1])
        n, size = config.trajectories, config.batch_size
        keys = generator.random((size, len(self.data)))
        drawn = np.argpartition(keys, n - 1, axis=1)[:, :n]
        # Sorted by random keys, so that order means nothing.
        drawn = np.take_along_axis(drawn, np.take_along_axis(keys, drawn, 1).argsort(1), 1)
        counts = np.full(size, n)
        if config.count == "uniform":
            counts = generator.integers(1, n, size=size, endpoint=True)
        counts[generator.random(size) < config.empty] = 1
        mistaken = generator.random(size) < config.wrong_belief
        for row in np.flatnonzero(mistaken):
            drawn[row] = self._good_for_another_task(
                np.random.default_rng([config.seed, step, 2, row])
            )
        return drawn, np.arange(n) < counts[:, None]

    def _good_for_another_task(self, generator: np.random.Generator) -> np.ndarray:
        """Return n episodes [n], the best of some candidates for a task that is drawn for this."""
        data, n = self.data, self.config.trajectories
        code = data.family.draw(generator, 1)[0]
        candidates = generator.permutation(len(data))[: self.config.candidates]
        rewards = data.family.reward(np.asarray(data.features)[candidates], code)
        returns = total_rewards(rewards, data.mask(candidates))
        return generator.permutation(candidates[np.argsort(-returns, kind="stable")[:n]])

    def __call__(self, step: int, codes: np.ndarray | None = None) -> HiddenChains:
        """Return the batch of a training step, or this process's share of it.

        `codes` [B, K] of the whole batch replace those that are drawn; nothing but the rewards
        depends on them.
        """
        config, data, share = self.config, self.data, self._share
        drawn, present = self.draw(step)
        codes = (self.codes(step) if codes is None else codes)[share]
        lengths = np.where(present, data.lengths[drawn], 0)
        cut = None
        if config.window is not None:
            generator = np.random.default_rng([config.seed, step, 3])
            starts = draw_starts(generator, lengths, config.window, config.align)
            cut = Cut(starts[share], config.window, config.align)
        drawn, lengths = drawn[share], lengths[share]
        longest = data.features.shape[1]
        features = gather(data.features, drawn, np.zeros_like(lengths), lengths, longest)
        rewards = data.family.reward(features, codes[:, None, None])
        rewards[np.arange(longest) >= lengths[..., None]] = 0
        untold = np.zeros_like(rewards)
        return HiddenChains(gather_chain(data, drawn, lengths, rewards, untold, untold, cut), codes)
