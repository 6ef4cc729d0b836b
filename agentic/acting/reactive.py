"""A baseline's policy: the action is a function of the observation, and nothing is remembered."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from agentic.errors import AgenticError
from agentic.network.config import Normalization

# Contexts that act together. Always so many, the rest of the last block made up: a program of one
# shape gives an observation the same bits whatever the number of contexts beside it.
BLOCK = 8


class BaselinePolicy:
    """The actor that a method learned, without noise; episodes are all alike to it."""

    def __init__(
        self,
        method: str,
        actor: Callable[[Any, np.ndarray], jax.Array],
        parameters: Any,
        normalization: Normalization,
        target_return: float,
    ):
        """Act by `actor(parameters, observations [BLOCK, O]) -> [BLOCK, A]`, jitted.

        `method` is the name of what learned it; observations are normalised as in training.
        """
        self.method = method
        self.parameters = parameters
        self._mean = np.asarray(normalization.observation_mean, np.float32)
        self._inverse = 1 / np.asarray(normalization.observation_std, np.float32)
        self._target_return = float(target_return)
        self._actor = actor
        self._batch: int | None = None

    @property
    def target_return(self) -> float:
        """The data's best return, which results are set beside; a baseline aims at no return."""
        return self._target_return

    @target_return.setter
    def target_return(self, value: float) -> None:
        if value != self._target_return:
            raise AgenticError(
                f"target return {value:g} was asked for and {self.method} aims at "
                "none; leave it out, or take a method that is told its return, such as at or dt."
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
        blocks = np.zeros((-(-self._batch // BLOCK), BLOCK, len(self._mean)), np.float32)
        blocks.reshape(-1, len(self._mean))[: self._batch] = scaled
        acted = [self._actor(self.parameters, block) for block in blocks]
        actions = np.concatenate([np.asarray(block) for block in acted])[: self._batch]
        return actions[0] if single else actions

    def observe(
        self, reward: np.ndarray, done: np.ndarray, action: np.ndarray | None = None
    ) -> None:
        """Remember nothing."""
