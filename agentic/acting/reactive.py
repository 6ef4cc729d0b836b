"""A policy without memory: the action is a function of the observation alone."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from agentic.acting.grouped import ROWS
from agentic.acting.policy import Policy
from agentic.errors import AgenticError
from agentic.network.config import Normalization
from agentic.simulation.tasks import Task


class ReactivePolicy(Policy):
    """The actor that a method learned, without noise; all episodes are alike to it.

    Observations are computed in groups of ROWS, the last one filled up. A program of one shape
    gives an observation the same bits whatever the number of contexts beside it.
    """

    def __init__(
        self,
        actor: Callable[[Any, np.ndarray], jax.Array],
        parameters: Any,
        normalization: Normalization,
    ):
        """Act by `actor(parameters, observations [ROWS, O]) -> [ROWS, A]`, jitted.

        Observations are normalised as in training.
        """
        self.parameters = parameters
        self._mean = np.asarray(normalization.observation_mean, np.float32)
        self._inverse = 1 / np.asarray(normalization.observation_std, np.float32)
        self._actor = actor
        self._batch: int | None = None

    def check_fits(self, task: Task) -> None:
        """Raise AgenticError for observations of another size than the task's."""
        if task.observation_size != len(self._mean):
            raise AgenticError(
                f"the policy has observation_size {len(self._mean)} and {task.name} has "
                f"{task.observation_size}; evaluate it on a task of the domain it was trained on."
            )

    def reset(self, batch: int | None = None) -> None:
        """Expect `batch` contexts side by side, or as many as `act` is shown next."""
        self._batch = batch

    def act(self, observation: np.ndarray) -> np.ndarray:
        """Return the action for an observation [O] or [B, O]: [A] or [B, A] float32 in [-1, 1]."""
        observation = np.asarray(observation, np.float32)
        single = observation.ndim == 1
        observations = observation[None] if single else observation
        if self._batch is None:
            self._batch = len(observations)
        if observations.shape != (self._batch, len(self._mean)):
            raise AgenticError(
                f"observation has shape {observation.shape}; this policy needs {len(self._mean)} "
                f"values for each of its {self._batch} contexts."
            )
        scaled = (observations - self._mean) * self._inverse
        groups = np.zeros((-(-self._batch // ROWS), ROWS, len(self._mean)), np.float32)
        groups.reshape(-1, len(self._mean))[: self._batch] = scaled
        acted = [self._actor(self.parameters, group) for group in groups]
        actions = np.concatenate([np.asarray(group) for group in acted])[: self._batch]
        return actions[0] if single else actions

    def observe(
        self, reward: np.ndarray, done: np.ndarray, action: np.ndarray | None = None
    ) -> None:
        """Remember nothing."""
