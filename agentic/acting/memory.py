"""What a policy keeps between episodes, and the controls that tell what its memory is worth."""

from collections import deque
from collections.abc import Sequence
from typing import Literal

import numpy as np

from agentic.acting.context import ContextPolicy, Policy
from agentic.acting.grouped import Grouped
from agentic.acting.rollout import Transition
from agentic.dataset.dataset import Dataset
from agentic.errors import AgenticError, closest
from agentic.hindsight import chain_of_hindsight, relabel
from agentic.trajectory import Chain

Memory = Literal["kept", "cleared", "index", "shuffled", "random"]
MEMORIES: dict[Memory, str] = {
    "kept": "the context stays across episodes",
    "cleared": "control: the context is emptied before each episode",
    "index": "control: emptied, but the model is told which episode of the context it is in",
    "shuffled": "control: before each episode the context's own trajectories change places",
    "random": "control: replaced by as many random trajectories of the data before each episode",
}


def check_memory(policy: Policy, memory: str, data: Dataset | None) -> None:
    """Raise AgenticError for a memory that does not exist or that a policy cannot be put to."""
    if memory not in MEMORIES:
        raise AgenticError(f"memory is {memory!r}; {closest(str(memory), MEMORIES)}.")
    if memory != "kept" and not isinstance(policy, ContextPolicy):
        raise AgenticError(f"memory {memory!r} is a control of policies that keep a context.")
    if memory == "random" and data is None:
        raise AgenticError("memory 'random' draws trajectories from the data; pass data=.")


class Control:
    """Puts contexts under a control whenever an episode ends; told every step of the rollout.

    Args:
        policy: whose contexts these are; it gives sizes, target and stride.
        acting: the same policy, over all contexts.
        memory: which control.
        seeds: of the contexts; a seed and the number of lived episodes determine every draw.
        data: what the "random" control draws from.
    """

    def __init__(
        self, policy: ContextPolicy, acting: Grouped, memory: Memory, seeds: Sequence[int],
        data: Dataset | None,
    ):  # fmt: skip
        self._policy, self._acting = policy, acting
        self._memory, self._seeds, self._data = memory, seeds, data
        self._steps: list[tuple[np.ndarray, ...]] = []
        # A full context keeps one place for the episode to come.
        self._episodes: deque[tuple[np.ndarray, ...]] = deque(maxlen=policy.config.trajectories - 1)

    def observe(self, step: Transition) -> None:
        """Take in a step; where it ends an episode, change what the contexts remember."""
        if self._memory == "kept":
            return
        if self._memory == "shuffled":
            self._steps.append((step.observations, step.actions, step.rewards))
        if not step.done.any():
            return
        if self._memory in ("cleared", "index"):
            self._acting.clear(step.done, keep_index=self._memory == "index")
            return
        if not step.done.all():
            raise AgenticError(
                f"memory {self._memory!r} needs episodes of one length; use 'cleared' or 'index' "
                "here."
            )
        lived = int(step.episode[0]) + 1
        if self._memory == "random":
            self._acting.prefill(random_context(self._policy, self._data, lived, self._seeds))
        else:
            self._episodes.append(
                tuple(np.stack(arrays, axis=1) for arrays in zip(*self._steps, strict=True))
            )
            self._steps.clear()
            # A policy without room for another trajectory has nothing to shuffle.
            if self._episodes:
                order = shuffled_order(len(self._episodes), lived, self._seeds)
                self._acting.prefill(lived_context(self._policy, self._episodes, order))


def random_context(policy: ContextPolicy, data: Dataset, lived: int, seeds: Sequence[int]) -> Chain:
    """Return chains [C, n, T, ...] of random trajectories, as if `lived` episodes lay behind.

    They stand in hindsight order with the policy's target return; the last places stay empty so
    that every call has one shape. A full context keeps one place for the episode to come.
    """
    data = data.every(policy.stride)
    n = policy.config.trajectories
    count = min(lived, n - 1, len(data))
    draws = np.stack(
        [np.random.default_rng([seed, lived]).permutation(len(data))[:n] for seed in seeds]
    )
    draws = np.pad(draws, ((0, 0), (0, n - draws.shape[1])))
    present = np.broadcast_to(np.arange(n) < count, draws.shape)
    target = np.full(len(draws), policy.target_return)
    return chain_of_hindsight(data, draws, present, policy.completion, target)


def shuffled_order(count: int, lived: int, seeds: Sequence[int]) -> np.ndarray:
    """Return in which order [C, count] each context's last `count` trajectories shall stand."""
    return np.stack([np.random.default_rng([seed, lived]).permutation(count) for seed in seeds])


def lived_context(
    policy: ContextPolicy, episodes: Sequence[tuple[np.ndarray, ...]], order: np.ndarray
) -> Chain:
    """Return chains [C, n, T, ...] of the contexts' own trajectories in another order.

    Args:
        policy: gives target, sizes and stride.
        episodes: the last ones, oldest first, fewer than n: observations [C, T, O], actions
            [C, T, A] and rewards [C, T] of each.
        order: [C, len(episodes)]; place k of context c is taken by episode order[c, k].
    """
    count, n, contexts = len(episodes), policy.config.trajectories, len(order)
    observations, actions, rewards = (
        np.concatenate(parts).astype(np.float32) for parts in zip(*episodes, strict=True)
    )
    data = Dataset(
        "", observations, actions, rewards, np.full(len(rewards), rewards.shape[1], np.int32),
        physics=None, control="action", source="lived", fingerprint="",
    ).every(policy.stride)  # fmt: skip
    rows = order * contexts + np.arange(contexts)[:, None]
    draws = np.pad(rows, ((0, 0), (0, n - count)))
    return _chain(policy, data, draws, np.broadcast_to(np.arange(n) < count, draws.shape))


def _chain(policy: ContextPolicy, data: Dataset, draws: np.ndarray, present: np.ndarray) -> Chain:
    """Label the trajectories `draws` [C, n] of the data that are `present`, as acting would."""
    return relabel(
        data.observations[draws], data.actions[draws], data.rewards[draws],
        data.mask(draws) & present[..., None], policy.completion,
        np.full(len(draws), policy.target_return),
    )  # fmt: skip
