"""The replay buffer: the newest episodes, in arrays that are allocated once.

Axes: C capacity in episodes, T steps, B batch, n steps of a window, O, A, Z as elsewhere.
"""

from typing import NamedTuple

import numpy as np

from agentic.errors import AgenticError


class Windows(NamedTuple):
    """Pieces of episodes: observations [n + 1, B, O], actions [n, B, A], and the skills [B, Z] of
    their first steps."""

    observations: np.ndarray
    actions: np.ndarray
    skills: np.ndarray


class Replay:
    """A ring of whole episodes of equal length; a batch is a pure function of (seed, number).

    It leaves out an episode's last observation. A stored episode is read back as T observations
    and T actions (`agentic.dataset.episodes.Episode`), and a buffer that is rebuilt from files must
    equal the one that wrote them.
    """

    def __init__(self, capacity: int, sizes: tuple[int, int, int, int], n_step: int, seed: int):
        """Allocate for `capacity` steps and episodes of `sizes` (T, O, A, Z)."""
        steps, observation, action, skill = sizes
        if n_step >= steps:
            raise AgenticError(
                f"n_step is {n_step} and an episode has {steps} steps; it must be less."
            )
        self.capacity = max(1, capacity // steps)
        self.count = 0  # episodes ever added
        self._seed, self._n_step = seed, n_step
        # The system provides these bytes only when episodes are written to them.
        self._observations = np.zeros((self.capacity, steps, observation), np.float32)
        self._actions = np.zeros((self.capacity, steps, action), np.float32)
        self._skills = np.zeros((self.capacity, steps, skill), np.float32)

    def add(self, observations: np.ndarray, actions: np.ndarray, skills: np.ndarray) -> None:
        """Add an episode: observations [T, O], actions [T, A], skills [T, Z].

        If the ring is full, it replaces the oldest.
        """
        place = self.count % self.capacity
        self._observations[place] = observations
        self._actions[place] = actions
        self._skills[place] = skills
        self.count += 1

    def skip(self, episodes: int) -> None:
        """Count episodes whose content was overwritten long ago."""
        self.count += episodes

    def sample(self, number: int, batch_size: int) -> Windows:
        """Return batch `number`, uniform over stored windows, drawn from (seed, number)."""
        held = min(self.count, self.capacity)
        steps = self._observations.shape[1]
        generator = np.random.default_rng((self._seed, number))
        places = generator.integers(held, size=batch_size)
        starts = generator.integers(steps - self._n_step, size=batch_size)
        times = starts + np.arange(self._n_step + 1)[:, None]
        return Windows(
            self._observations[places, times],
            self._actions[places, times[:-1]],
            self._skills[places, starts],
        )
