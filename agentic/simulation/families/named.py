"""A list of named tasks as a family: walker_stand,walker_walk,walker_run,walker_flip."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from agentic.simulation.families.family import Array, TaskFamily
from agentic.simulation.tasks import Task, listed_tasks


@dataclass(frozen=True, kw_only=True)
class NamedTasks(TaskFamily):
    """The features are the rewards of the tasks, and a code has a 1 at its task's place.

    There are no other tasks to hold out, so evaluation draws the same codes as training.
    """

    tasks: tuple[Task, ...]

    def measure(self, domain: Any) -> np.ndarray:
        return np.stack([domain.reward(task.goal) for task in self.tasks], axis=1)

    def reward(self, features: Array, code: Array) -> Array:
        return sum(features[..., place] * code[..., place] for place in range(self.code_size))

    def code_of(self, features: Array) -> None:
        return None

    def draw(
        self, generator: np.random.Generator, count: int, held_out: bool = False
    ) -> np.ndarray:
        codes = np.eye(self.code_size, dtype=np.float32)
        return codes[generator.integers(self.code_size, size=count)]

    def describe_code(self, code: np.ndarray) -> str:
        return self.tasks[int(np.argmax(code))].name


def named_tasks(names: str) -> NamedTasks:
    """Return the family of a list such as "walker_stand,walker_walk"."""
    tasks = listed_tasks(names)
    return NamedTasks(names, tuple(task.name for task in tasks), len(tasks), tasks=tasks)
