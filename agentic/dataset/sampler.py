"""Batches of hindsight chains as a pure function of (seed, step).

The sampler draws trajectories, and where windows start; `agentic.hindsight.chain_of_hindsight`
sorts and labels them and copies their steps out of the data set. Axis letters as in
`agentic.trajectory`.
"""

from dataclasses import InitVar, dataclass, replace
from typing import Literal

import numpy as np

from agentic.dataset.dataset import Dataset
from agentic.errors import AgenticError, closest
from agentic.hindsight import COMPLETIONS, Completion, Cut, chain_of_hindsight
from agentic.trajectory import Chain, Window

Count = Literal["fixed", "uniform"]
COUNTS: tuple[Count, ...] = ("fixed", "uniform")


# Trajectories a batch where no one says how many chains.
TRAJECTORIES = 8


@dataclass(frozen=True)
class DrawOptions:
    """What is drawn from a data set, whatever the length of a chain.

    Attributes:
        batch_size: chains a batch; by default as many as have 8 trajectories together.
        top_fraction: use only this best part of the data set, by return (0.1: the best 10 %).
        window: cut all trajectories of a chain to the same this many kept steps, drawn anew for
            every chain; a policy acts with whole episodes. By default episodes stay whole.
        stride: learn from every this many-th step, with the rewards up to the next kept step added
            up; while acting, an action is held for as many steps.
        completion: completion token where the "target" is met, or at every end ("done").
    """

    batch_size: int | None = None
    top_fraction: float = 1.0
    window: int | None = None
    stride: int = 1
    completion: Completion = "target"

    def __post_init__(self):
        _check_counts(self, "stride", "batch_size", "window")
        _check_fractions(self, "top_fraction")
        _check_choice("completion", self.completion, COMPLETIONS)

    @property
    def chains(self) -> int:
        """Chains a batch, of one trajectory each."""
        return TRAJECTORIES if self.batch_size is None else self.batch_size


@dataclass(frozen=True)
class ChainOptions(DrawOptions):
    """How chains of several trajectories are drawn.

    Attributes:
        trajectories: most trajectories in a chain.
        count: number of trajectories in a chain: "fixed", or "uniform", drawn from 1 to
            `trajectories`.
        best_fraction: draw one trajectory of each chain from this best part of the data, and the
            others from all. Sorted, it nearly always comes last. 1 draws all alike.
        batch_trajectories: trajectories a batch, in place of batch_size: what --batch-size counted
            in earlier versions.
    """

    trajectories: int = 4
    count: Count = "fixed"
    best_fraction: float = 0.3
    batch_trajectories: InitVar[int | None] = None

    def __post_init__(self, batch_trajectories: int | None):
        super().__post_init__()
        _check_counts(self, "trajectories")
        _check_fractions(self, "best_fraction")
        _check_choice("count", self.count, COUNTS)
        if batch_trajectories is not None:
            object.__setattr__(self, "batch_size", self._in_chains(batch_trajectories))

    def _in_chains(self, batch_trajectories: int) -> int:
        if self.batch_size is not None:
            raise AgenticError(
                f"batch_size is {self.batch_size} and batch_trajectories {batch_trajectories}; "
                "both say how large a batch is, so leave one of them out."
            )
        chains, rest = divmod(batch_trajectories, self.trajectories)
        if rest or not chains:
            raise AgenticError(
                f"batch_trajectories is {batch_trajectories}, in chains of {self.trajectories}; "
                f"take a multiple of {self.trajectories}."
            )
        return chains

    @property
    def chains(self) -> int:
        """Chains a batch."""
        several = max(1, TRAJECTORIES // self.trajectories)
        return several if self.batch_size is None else self.batch_size


@dataclass(frozen=True)
class SamplerConfig(ChainOptions):
    """How one run draws its chains.

    Attributes:
        seed: with the step, it determines the batch.
        align: windows start at multiples of this, the steps that one token covers.
    """

    seed: int = 0
    align: int = 1

    def __post_init__(self, batch_trajectories: int | None):
        super().__post_init__(batch_trajectories)
        object.__setattr__(self, "batch_size", self.chains)
        _check_counts(self, "align")
        if self.seed < 0:
            raise AgenticError(f"seed is {self.seed}; it must be at least 0.")
        check_window(self.window, self.align)


def check_window(window: int | None, align: int, steps: int | None = None) -> None:
    """Raise AgenticError unless a window is whole tokens and fits into episodes of `steps`."""
    if window is None:
        return
    if window < 1 or window % align:
        down = window // align * align
        raise AgenticError(
            f"window is {window}; it must be a multiple of the {align} steps of a token, such as "
            f"{max(down, align)}."
        )
    if steps is not None and window > steps:
        raise AgenticError(
            f"window is {window}; episodes have {steps} steps, so it can be at most {steps} or "
            "None for whole episodes."
        )


def share_of_batch(batch_size: int, index: int, count: int) -> slice:
    """Return which chains of a batch are those of process `index` of `count`.

    Raises:
        AgenticError: there is no such process, or the batch cannot be shared evenly.
    """
    if not 0 <= index < count:
        raise AgenticError(
            f"process_index is {index}; with process_count {count} it must lie in 0..{count - 1}."
        )
    size, rest = divmod(batch_size, count)
    if rest:
        raise AgenticError(
            f"batch_size is {batch_size} chains, to be shared by {count} processes; take a "
            f"multiple of {count}, such as {(size + 1) * count}."
        )
    return slice(index * size, (index + 1) * size)


def _check_counts(options: DrawOptions, *names: str) -> None:
    for name in names:
        value = getattr(options, name)
        if value is not None and value < 1:
            raise AgenticError(f"{name} is {value}; it must be at least 1.")


def _check_fractions(options: DrawOptions, *names: str) -> None:
    for name in names:
        if not 0 < getattr(options, name) <= 1:
            raise AgenticError(f"{name} is {getattr(options, name)}; it must lie in (0, 1].")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise AgenticError(f"{name} is {value!r}; {closest(str(value), choices)}.")


def draw_starts(
    generator: np.random.Generator, lengths: np.ndarray, steps: int, align: int
) -> np.ndarray:
    """Return where the window of each chain starts: lengths [B, n] (0: absent) -> [B] int32.

    All multiples of `align` are equally likely, up to the first from which the window holds the end
    of the chain's shortest trajectory: every trajectory has a step in the window, and ends are
    drawn like all else.
    """
    shortest = np.where(lengths > 0, lengths, lengths.max()).min(axis=1)
    last = -(-np.maximum(shortest - steps, 0) // align)
    return (align * generator.integers(last, endpoint=True)).astype(np.int32)


class ChainSampler:
    """Draws batches of chains: `sampler(step)` is the same in every process and on every run.

    Whole trajectories are drawn without replacement, sorted ascending by return (ties by their
    index in the data set) and relabelled by `agentic.hindsight`; a window is cut out after that.
    """

    def __init__(
        self, data: Dataset, config: SamplerConfig | None = None, *,
        process_index: int = 0, process_count: int = 1, **options,
    ):  # fmt: skip
        """Draw from `data` as `config` says; keywords replace single fields of it.

        Of `process_count` processes that train together each draws every batch and gathers its
        share alone: the batch_size / process_count chains from process_index times that many on.
        """
        self.config = replace(config or SamplerConfig(), **options)
        self.data = data = data.every(self.config.stride)
        self._share = share_of_batch(self.config.batch_size, process_index, process_count)
        check_window(self.config.window, self.config.align, data.rewards.shape[1])
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
        """Return the batch's episode indices [B, n] in the data's order, and which exist [B, n]."""
        config, generator = self.config, np.random.default_rng([self.config.seed, step])
        n, rows = config.trajectories, np.arange(config.batch_size)
        keys = generator.random((len(rows), len(self.pool)))
        if config.best_fraction < 1:
            best = self.best[generator.integers(len(self.best), size=len(rows))]
            keys[rows, best] = -1.0
        rows = rows[:, None]
        places = np.argpartition(keys, n - 1, axis=1)[:, :n]
        present = np.ones(places.shape, bool)
        if config.count == "uniform":
            # In the order of their keys, so that those which are left out are drawn, too.
            places = places[rows, np.argsort(keys[rows, places], axis=1)]
            counts = generator.integers(1, n, size=len(rows), endpoint=True)
            present = np.arange(n) < counts[:, None]
        # Equal returns keep the data's order under hindsight's stable sort. The absent stand last.
        by_index = np.argsort(np.where(present, places, len(self.pool)), axis=1, kind="stable")
        return self.pool[places[rows, by_index]], present

    def __call__(self, step: int) -> Chain | Window:
        """Return the batch of a training step, or this process's share of it: axes [B, n]."""
        config, data, share = self.config, self.data, self._share
        drawn, present = self.draw(step)
        cut = None
        if config.window is not None:
            # A generator of its own: which trajectories are drawn does not depend on the window.
            generator = np.random.default_rng([config.seed, step, 1])
            lengths = np.where(present, data.lengths[drawn], 0)
            starts = draw_starts(generator, lengths, config.window, config.align)
            cut = Cut(starts[share], config.window, config.align)
        return chain_of_hindsight(data, drawn[share], present[share], config.completion, cut=cut)
