"""Random actions: the floor of every comparison."""

from collections.abc import Sequence

import numpy as np

from agentic.acting.policy import Policy
from agentic.errors import AgenticError
from agentic.simulation.tasks import Task


class RandomPolicy(Policy):
    """Uniform actions in [-1, 1]."""

    method = "random"

    def __init__(self, action_size: int, seeds: Sequence[int] = (0,)):
        """Draw the actions of each context from a generator of its own, which its seed begins."""
        self.action_size = action_size
        self.seeds = tuple(seeds)
        self.reset()

    def reset(self, batch: int | None = None) -> None:
        """Start the generators again."""
        self._generators = [np.random.default_rng([seed, 1]) for seed in self.seeds]

    def act(self, observation: np.ndarray) -> np.ndarray:
        """Return a random action for each context."""
        draws = [generator.uniform(-1, 1, self.action_size) for generator in self._generators]
        actions = np.asarray(draws, np.float32)
        return actions[0] if np.ndim(observation) == 1 else actions

    def observe(
        self, reward: np.ndarray, done: np.ndarray, action: np.ndarray | None = None
    ) -> None:
        """Learn nothing."""

    def check_fits(self, task: Task) -> None:
        """Raise AgenticError for actions of another size than the task's."""
        if task.action_size != self.action_size:
            raise AgenticError(
                f"the random policy draws actions of {self.action_size} values and {task.name} "
                f"takes {task.action_size}."
            )

    def side_by_side(self, seeds: Sequence[int]) -> "RandomPolicy":
        """Return a random policy with these seeds."""
        return RandomPolicy(self.action_size, seeds)
