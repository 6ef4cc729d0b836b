"""Gaussian noise on the actions of a policy, which is told what was executed."""

from collections.abc import Sequence

import numpy as np

from agentic.acting.policy import Policy, PolicyAround
from agentic.errors import AgenticError

# Sets the noise of a seed apart from its random actions and its initial states.
NOISE_STREAM = 2


class ActionNoise(PolicyAround):
    """Adds Gaussian noise to every action, clips the sum to [-1, 1], and tells the inner policy.

    Args:
        inner: acts in one context for each of `seeds`.
        deviation: standard deviation of the noise; actions lie in [-1, 1].
        seeds: of the contexts; the noise of a context depends on its seed alone.
    """

    def __init__(self, inner: Policy, deviation: float, seeds: Sequence[int]):
        super().__init__(inner)
        if not 0 <= deviation < float("inf"):
            raise AgenticError(
                f"action_noise is {deviation}; it is a standard deviation, 0 or more, of actions "
                "in [-1, 1]."
            )
        self._deviation, self._seeds = deviation, tuple(seeds)

    def reset(self, batch: int | None = None) -> None:
        """Begin new contexts, and the noise of each anew."""
        self._generators = [np.random.default_rng([seed, NOISE_STREAM]) for seed in self._seeds]
        super().reset(batch)

    def act(self, observation: np.ndarray) -> np.ndarray:
        """Return the inner policy's actions [B, A] with noise."""
        actions = super().act(observation)
        size = actions.shape[1]
        draws = np.stack([g.normal(0, self._deviation, size) for g in self._generators])
        self._executed = np.clip(actions + draws.astype(np.float32), -1, 1)
        return self._executed

    def observe(
        self, reward: np.ndarray, done: np.ndarray, action: np.ndarray | None = None
    ) -> None:
        """Tell the inner policy what was executed, and what it brought."""
        super().observe(reward, done, self._executed if action is None else action)
