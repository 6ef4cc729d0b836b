"""Point mass maze: a ball among walls that form a cross (Yarats et al. 2022, arXiv 2201.13425)."""

from importlib.resources import files
from typing import Any

import numpy as np

from agentic.simulation.worlds.initial_states import InitialStates

# x, y and z of each goal's target in metres.
TARGETS = {
    "reach_top_left": (-0.15, 0.15, 0.01),
    "reach_top_right": (0.15, 0.15, 0.01),
    "reach_bottom_left": (-0.15, -0.15, 0.01),
    "reach_bottom_right": (0.15, -0.15, 0.01),
}
_START = (0.15, 0.29)  # least and largest distance of the start to the left and above the centre


class TopLeft(InitialStates):
    """The ball at rest, anywhere in the top left corner."""

    def initialize_episode(self, physics: Any) -> None:
        left, up = self.random.uniform(*_START, size=2)
        physics.named.data.qpos["x"] = -left
        physics.named.data.qpos["y"] = up

    def get_observation(self, physics: Any) -> dict[str, np.ndarray]:
        return {"position": physics.position(), "velocity": physics.velocity()}


def make(goal: str) -> tuple[Any, TopLeft]:
    """Return the physics, with the target of `goal` in its place, and the initial states."""
    from dm_control import mujoco

    model = files(__package__).joinpath("point_mass_maze.xml").read_text()
    physics = mujoco.Physics.from_xml_string(model)
    physics.named.model.geom_pos["target"] = TARGETS[goal]
    return physics, TopLeft()
