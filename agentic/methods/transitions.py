"""Batches of transitions as a pure function of (seed, step).

    steps         s_0 s_1 s_2 s_3      an episode of 4 steps has 3 transitions: what follows its
    transitions   0-->1-->2-->3        last step is not stored

Episodes end by the time limit alone, so a transition carries no mark of an end. Axis letters: N
episodes, T steps, K updates, B batch, O, A.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from agentic.dataset.dataset import Dataset
from agentic.errors import AgenticError


class Transitions(NamedTuple):
    """A batch of them: observations [..., B, O], actions [..., B, A], rewards [..., B] and
    next_observations [..., B, O], float32."""

    observations: jax.Array
    actions: jax.Array
    rewards: jax.Array
    next_observations: jax.Array


class TransitionSampler:
    """Draws transitions uniformly over all steps of all episodes that have a next step.

    `sampler(first, count)` returns the batches of the updates from `first` on, each a function of
    (seed, its update): how many are asked for at a time changes nothing, nor does where the data
    lies, on the device or in a file.
    """

    def __init__(
        self,
        data: Dataset,
        batch_size: int,
        seed: int,
        mean: ArrayLike = 0.0,
        deviation: ArrayLike = 1.0,
        reward_scale: float = 1.0,
        resident: int = 10**9,
    ):
        """Draw from `data`, of which up to `resident` bytes are put on the device.

        `mean` [O] is taken off observations, which are then divided by `deviation` [O]; rewards are
        multiplied by `reward_scale`. Raises AgenticError for data without transitions.
        """
        self._batch_size, self._seed = batch_size, seed
        # Multiplied, not divided: XLA would turn the division into that, and NumPy would not.
        inverse = 1 / np.asarray(deviation, np.float32)
        self._scales = np.float32(mean), inverse, np.float32(reward_scale)
        self._ends = np.cumsum(np.maximum(data.lengths.astype(np.int64) - 1, 0))
        if not self._ends[-1]:
            raise AgenticError(
                f"{data.source} has no episode of more than one step, and learning values takes "
                "two in a row; take longer episodes."
            )
        self._arrays = tuple(
            np.asarray(array) for array in (data.observations, data.actions, data.rewards)
        )
        self.resident = sum(array.nbytes for array in self._arrays) <= resident
        if self.resident:
            self._arrays = tuple(map(jnp.asarray, self._arrays))

    def draw(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the batch of an update as episodes [B] and steps within them [B]."""
        generator = np.random.default_rng([self._seed, step])
        places = generator.integers(self._ends[-1], size=self._batch_size)
        episodes = np.searchsorted(self._ends, places, side="right")
        # Counted back from the episode's last transition.
        before = np.where(episodes > 0, self._ends[episodes - 1], 0)
        return episodes, places - before

    def __call__(self, first: int, count: int, room: int | None = None) -> Transitions:
        """Return the batches of updates first, ..., first + count - 1: axes [K, B].

        With `room`, K is that many and the batches past `count` repeat the last one, so that
        every call has one shape.
        """
        drawn = [self.draw(step) for step in range(first, first + count)]
        drawn += [drawn[-1]] * ((room or count) - count)
        episodes, steps = (np.stack(part) for part in zip(*drawn, strict=True))
        gather = _on_device if self.resident else _gather
        return gather(*self._arrays, episodes, steps, *self._scales)


def _gather(observations, actions, rewards, episodes, steps, mean, inverse, scale) -> Transitions:
    """Return the transitions at (episodes, steps), both [...]; NumPy's arrays or JAX's."""
    return Transitions(
        (observations[episodes, steps] - mean) * inverse,
        actions[episodes, steps],
        rewards[episodes, steps] * scale,
        (observations[episodes, steps + 1] - mean) * inverse,
    )


_on_device = jax.jit(_gather)
