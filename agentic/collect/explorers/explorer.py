"""The interface of an explorer: an intrinsic reward, how it learns, and perhaps skills.

Axes: B batch, O observation, A action, Z skill, F features. Observations arrive normalised.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Transitions(NamedTuple):
    """Single steps: observations [B, O], actions [B, A] and next_observations [B, O].

    The policy followed the skills [B, Z]; Z is 0 for an explorer without skills.
    """

    observations: jax.Array
    actions: jax.Array
    next_observations: jax.Array
    skills: jax.Array


@dataclass(frozen=True)
class Explorer(ABC):
    """Pure functions of a state; a subclass is one explorer, and its fields are its own options.

    Attributes:
        observation_size, action_size: O and A.
        width: hidden units of every network; URLB has 1024.
        learning_rate: of the explorer's networks.
    """

    observation_size: int
    action_size: int
    width: int
    learning_rate: float
    # Z, and the number of steps that a skill lasts (None: the whole episode).
    skill_size: ClassVar[int] = 0
    skill_period: ClassVar[int | None] = None
    # Whether the critic predicts successor features and values an action by psi(s, a, z).z.
    successor_features: ClassVar[bool] = False

    @abstractmethod
    def init(self, generator: np.random.Generator) -> Any:
        """Return the state before the first update: a pytree of arrays."""

    @abstractmethod
    def intrinsic_reward(self, state: Any, transitions: Transitions) -> jax.Array:
        """Return the reward [B] that replaces the task's."""

    @abstractmethod
    def update(
        self, state: Any, transitions: Transitions, key: jax.Array
    ) -> tuple[Any, dict[str, jax.Array]]:
        """Return the state after learning from a batch, and the losses by name."""

    def sample_skill(self, key: jax.Array) -> jax.Array:
        """Return a skill [Z] drawn from the explorer's prior; empty for one without skills."""
        return jnp.zeros(0)


def one_hot_skill(key: jax.Array, size: int) -> jax.Array:
    """Return a one-hot vector [Z], drawn uniformly from the `size` skills."""
    return jax.nn.one_hot(jax.random.randint(key, (), 0, size), size)
