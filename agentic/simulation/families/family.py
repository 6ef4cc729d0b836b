"""What a task family is: tasks of one domain that differ in their reward by a code.

    features   what the rewards read of a state that a step led to and of its action    [..., F]
    code       the numbers that tell one task of the family from another                [..., K]
    reward     a cheap function of both, in [0, 1]                                      [...]

Features are computed once for every stored state. Then a data set is labelled for any code with one
expression. Functions of arrays take numpy's and jax's, and their leading axes broadcast.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from agentic.errors import AgenticError
from agentic.simulation.tasks import Task, base_task, get_task

Array = Any  # numpy's or jax's


@dataclass(frozen=True)
class TaskFamily(ABC):
    """Tasks of one domain that differ in their reward by a code.

    Attributes:
      name: the family's name, for example "point_mass_goal".
      feature_names: F names.
      code_size: K.
      marker: the geom that pictures show where the code is, or None.
    """

    name: str
    feature_names: tuple[str, ...]
    code_size: int
    marker: str | None = None

    @property
    def task(self) -> Task:
        """The family as a task looks from outside: its name and sizes."""
        return get_task(self.name)

    @property
    def base(self) -> Task:
        """The task whose model and initial states the family has."""
        return base_task(self.name)

    @property
    def features_name(self) -> str:
        """The name of the features alone. Families of one domain that share it share features."""
        return ",".join(self.feature_names)

    @abstractmethod
    def measure(self, domain: Any) -> np.ndarray:
        """Return the features [N, F] float64 of the present states of a domain's batch."""

    @abstractmethod
    def reward(self, features: Array, code: Array) -> Array:
        """Return the rewards [...] of features [..., F] under codes [..., K]."""

    @abstractmethod
    def code_of(self, features: Array) -> Array | None:
        """Return the codes [..., K] under which features [..., F] earn the most they can.

        None where no code belongs to a state, as in a list of named tasks.
        """

    @abstractmethod
    def draw(
        self, generator: np.random.Generator, count: int, held_out: bool = False
    ) -> np.ndarray:
        """Return `count` codes, uniformly distributed over the family: [count, K] float32.

        Args:
          generator: the source of randomness.
          count: the number of codes.
          held_out: draw the codes that evaluation uses instead of those that training uses. The two
            never overlap, see `is_held_out`. A family that holds nothing out draws the same.
        """

    @abstractmethod
    def describe_code(self, code: np.ndarray) -> str:
        """Return in a few words which task `code` [K] stands for."""

    def is_held_out(self, code: Array) -> Array:
        """Return which codes [..., K] belong to evaluation: [...] bool.

        Training must not use them, nor codes from hindsight that lie among them.
        """
        return array_module(code).zeros(code.shape[:-1], dtype=bool)

    def checked_codes(self, codes: np.ndarray, count: int) -> np.ndarray:
        """Return one code for each of `count` episodes: [count, K] float32.

        Args:
          codes: [count, K], or [K] for all of them.
          count: the number of episodes.

        Raises:
          AgenticError: the shape is another one, or a value is not finite.
        """
        codes = np.asarray(codes, dtype=np.float32)
        if codes.shape not in ((self.code_size,), (count, self.code_size)):
            raise AgenticError(
                f"codes have shape {codes.shape}; {self.name} needs "
                f"({count}, {self.code_size}), or ({self.code_size},) for one code in all episodes"
            )
        if not np.isfinite(codes).all():
            raise AgenticError(f"codes of {self.name} hold a value that is not finite")
        return np.array(np.broadcast_to(codes, (count, self.code_size)))


def array_module(array: Array) -> Any:
    """Return numpy or jax.numpy, whichever `array` belongs to."""
    return array.__array_namespace__()


def code_from_seed(family: TaskFamily, seed: tuple[int, ...]) -> np.ndarray:
    """Return the code [K] of an episode that is given none: it depends on the episode's seed alone.

    It is one of those for training. Its random numbers are not those of the initial state.
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(0,))
    return family.draw(np.random.default_rng(sequence), 1)[0]
