"""Memories: what a policy keeps between episodes. Five of them, each described in one class.

Normally the context stays. The other memories take something away, and so show what it is worth. A
new memory is a subclass of `Memory` that is added to MEMORIES: evaluation, command line and
reports read it there.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from agentic.acting.policy import Policy, PolicyAround
from agentic.dataset.dataset import Dataset
from agentic.errors import AgenticError, closest
from agentic.hindsight import chain_of_hindsight, relabel
from agentic.trajectory import Chain


class Trial(NamedTuple):
    """A policy that is being measured: what a memory, or another condition, can refer to.

    policy is the policy itself; contexts acts for it, in one context for each of `seeds`; data is
    the data set that it was trained on, or None where none was given.
    """

    policy: Policy
    contexts: Any
    seeds: tuple[int, ...]
    data: Dataset | None


class Memory(PolicyAround):
    """The contexts of a policy, and what is changed in them whenever an episode ends.

    A subclass says in words what it keeps, what it needs, and defines `between_episodes`.

    Attributes:
        name: what it is called on the command line and in records.
        title: what labels call it.
        description: the explanation on the command line.
        needs_context: whether the policy has to have a context.
        needs_data: whether the data set has to be there.
        needs_equal_lengths: whether the episodes of all contexts have to end together.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    description: ClassVar[str]
    needs_context: ClassVar[bool] = True
    needs_data: ClassVar[bool] = False
    needs_equal_lengths: ClassVar[bool] = False

    def __init__(self, inner: Policy, trial: Trial):
        """Act by `inner`; raise AgenticError where the trial lacks what this memory needs."""
        super().__init__(inner)
        if self.needs_context and not trial.policy.keeps_context:
            raise AgenticError(
                f"memory {self.name!r} changes the context between episodes, and this policy keeps "
                "none; leave it out."
            )
        if self.needs_data and trial.data is None:
            raise AgenticError(f"memory {self.name!r} needs the data set; pass data=.")
        self._trial = trial

    def reset(self, batch: int | None = None) -> None:
        """Begin new contexts."""
        self._lived = np.zeros(len(self._trial.seeds), np.int64)
        super().reset(batch)

    def observe(
        self, reward: np.ndarray, done: np.ndarray, action: np.ndarray | None = None
    ) -> None:
        """Pass on what the last action brought; where episodes end, change the contexts."""
        super().observe(reward, done, action)
        self._lived += done
        if not done.any():
            return
        if self.needs_equal_lengths and not done.all():
            raise AgenticError(
                f"memory {self.name!r} needs episodes of one length; use 'cleared' or 'index' here."
            )
        self.between_episodes(done)

    def between_episodes(self, ended: np.ndarray) -> None:
        """Change the contexts whose episode has `ended`, [B] bool; by default none."""


class Kept(Memory):
    """Everything is kept: the policy as it is."""

    name = "kept"
    title = "context kept"
    description = "the context stays across episodes, which is the normal case"
    needs_context = False


class Cleared(Memory):
    """Nothing is kept."""

    name = "cleared"
    title = "context emptied before each episode"
    description = "the context is emptied before each episode"

    def between_episodes(self, ended: np.ndarray) -> None:
        """Empty the contexts."""
        self._trial.contexts.clear(ended)


class OnlyIndex(Memory):
    """The number of ended episodes is kept, and nothing that happened in them."""

    name = "index"
    title = "only the episode index kept"
    description = (
        "the context is emptied, but the model is told which episode of the context it is in"
    )

    def between_episodes(self, ended: np.ndarray) -> None:
        """Empty the contexts, but go on counting their episodes."""
        self._trial.contexts.clear(ended, keep_index=True)


class Shuffled(Memory):
    """The context's own trajectories are kept, in another order before each episode."""

    name = "shuffled"
    title = "own episodes in random order"
    description = "before each episode the context's own trajectories change places"
    needs_equal_lengths = True

    def __init__(self, inner: Policy, trial: Trial):
        super().__init__(inner, trial)
        self._steps: list[tuple[np.ndarray, ...]] = []
        # A full context keeps one place for the episode to come.
        self._episodes: deque[tuple[np.ndarray, ...]] = deque(maxlen=trial.policy.episodes - 1)

    def act(self, observation: np.ndarray) -> np.ndarray:
        """Return the inner policy's actions, and note what they were for."""
        self._seen, self._acted = observation, super().act(observation)
        return self._acted

    def observe(
        self, reward: np.ndarray, done: np.ndarray, action: np.ndarray | None = None
    ) -> None:
        """Note the step that was executed, and pass it on."""
        self._steps.append((self._seen, self._acted if action is None else action, reward))
        super().observe(reward, done, action)

    def between_episodes(self, ended: np.ndarray) -> None:
        """Fill the contexts with their last episodes in another order."""
        self._episodes.append(
            tuple(np.stack(arrays, axis=1) for arrays in zip(*self._steps, strict=True))
        )
        self._steps.clear()
        # A policy without room for another trajectory has nothing to shuffle.
        if self._episodes:
            order = self.order(len(self._episodes), int(self._lived[0]), self._trial.seeds)
            chain = lived_context(self._trial.policy, self._episodes, order)
            self._trial.contexts.prefill(chain)

    @staticmethod
    def order(count: int, lived: int, seeds: Sequence[int]) -> np.ndarray:
        """Return the order [C, count] in which each context's last `count` trajectories stand."""
        return np.stack([np.random.default_rng([seed, lived]).permutation(count) for seed in seeds])


class RandomData(Memory):
    """As many random trajectories of the data take the place of the context's own."""

    name = "random"
    title = "context of random data episodes"
    description = "before each episode as many random trajectories of the data replace the context"
    needs_data = True
    needs_equal_lengths = True

    def between_episodes(self, ended: np.ndarray) -> None:
        """Fill the contexts with random trajectories."""
        policy, contexts, seeds, data = self._trial
        contexts.prefill(random_context(policy, data, int(self._lived[0]), seeds))


MEMORIES: dict[str, type[Memory]] = {
    memory.name: memory for memory in (Kept, Cleared, OnlyIndex, Shuffled, RandomData)
}


def memory_named(name: str) -> type[Memory]:
    """Return the memory of this name, or raise AgenticError with the closest name."""
    if name not in MEMORIES:
        raise AgenticError(f"memory is {name!r}; {closest(str(name), MEMORIES)}.")
    return MEMORIES[name]


def random_context(policy: Any, data: Dataset, lived: int, seeds: Sequence[int]) -> Chain:
    """Return chains [C, n, T, ...] of random trajectories, as if `lived` episodes lay behind.

    They stand in hindsight order with the labels of the ContextPolicy. The last places stay empty
    so that every call has one shape; a full context keeps one place for the episode to come.
    """
    data = data.every(policy.stride)
    n = policy.episodes
    count = min(lived, n - 1, len(data))
    draws = np.stack(
        [np.random.default_rng([seed, lived]).permutation(len(data))[:n] for seed in seeds]
    )
    draws = np.pad(draws, ((0, 0), (0, n - draws.shape[1])))
    present = np.broadcast_to(np.arange(n) < count, draws.shape)
    return chain_of_hindsight(data, draws, present, *policy.labels(len(draws)))


def lived_context(
    policy: Any, episodes: Sequence[tuple[np.ndarray, ...]], order: np.ndarray
) -> Chain:
    """Return chains [C, n, T, ...] of the contexts' own trajectories in another order.

    Args:
        policy: the ContextPolicy; it gives labels, stride and n.
        episodes: the last ones, oldest first, fewer than n: observations [C, T, O], actions
            [C, T, A] and rewards [C, T] of each.
        order: [C, len(episodes)]; episode order[c, k] takes place k of context c.
    """
    count, n, contexts = len(episodes), policy.episodes, len(order)
    observations, actions, rewards = (
        np.concatenate(parts).astype(np.float32) for parts in zip(*episodes, strict=True)
    )
    data = Dataset(
        "", observations, actions, rewards, np.full(len(rewards), rewards.shape[1], np.int32),
        physics=None, control="action", source="lived", fingerprint="",
    ).every(policy.stride)  # fmt: skip
    rows = order * contexts + np.arange(contexts)[:, None]
    draws = np.pad(rows, ((0, 0), (0, n - count)))
    mask = data.mask(draws) & (np.arange(n) < count)[:, None]
    return relabel(
        data.observations[draws], data.actions[draws], data.rewards[draws], mask,
        *policy.labels(contexts),
    )  # fmt: skip
