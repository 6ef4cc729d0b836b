"""A world's side of dm_control: how episodes start and what is observed, but no rewards."""

from abc import abstractmethod
from typing import Any

import numpy as np
from dm_control.rl import control


class InitialStates(control.Task):
    """A dm_control task without rewards; every draw comes from `random`."""

    def __init__(self) -> None:
        # `dm_environment.reset` sets its state from a seed before every episode.
        self.random = np.random.RandomState(0)

    @abstractmethod
    def initialize_episode(self, physics: Any) -> None:
        """Draw an initial state."""

    @abstractmethod
    def get_observation(self, physics: Any) -> dict[str, np.ndarray]:
        """Return the observation, part by part."""

    def before_step(self, action: np.ndarray, physics: Any) -> None:
        physics.set_control(action)

    def after_step(self, physics: Any) -> None:
        pass

    def action_spec(self, physics: Any) -> Any:
        from dm_control import mujoco

        return mujoco.action_spec(physics)

    def get_reward(self, physics: Any) -> float:
        return 0.0  # `agentic.simulation.domains` computes rewards
