"""One simulated task as a gymnasium environment."""

from typing import Any

import gymnasium
import numpy as np

from agentic.errors import AgenticError
from agentic.simulation.choice import make_simulation

RENDER_SIZE = (240, 320)  # height and width in pixels


class TaskEnv(gymnasium.Env):
    """A task with flat float32 spaces; episodes are truncated at the time limit, never terminated.

    Without a seed, `reset` goes on with the generator that the last seed started.
    """

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012  gymnasium's own declaration

    def __init__(self, task: str, render_mode: str | None = None):
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise AgenticError(f"render_mode is {render_mode!r}: it must be None or 'rgb_array'")
        self._simulation = make_simulation(task, num=1, threads=1)
        spec = self._simulation.task
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_fps": round(1 / spec.control_timestep)}
        self.observation_space = gymnasium.spaces.Box(
            -np.inf, np.inf, (spec.observation_size,), np.float32
        )
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (spec.action_size,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode; return its first observation [O] float32 and an empty dictionary."""
        super().reset(seed=seed)
        if options:
            raise AgenticError(f"options {sorted(options)} are unknown: a task takes none")
        episode_seed = int(self.np_random.integers(2**63))
        [observation] = self._simulation.reset(np.array([0]), [(episode_seed,)])
        return observation, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take one control step with `action` [A] in [-1, 1]."""
        observations, rewards, done = self._simulation.step(np.asarray(action)[None])
        return observations[0], float(rewards[0]), False, bool(done[0]), {}

    def render(self) -> np.ndarray | None:
        """Return a picture, uint8 [240, 320, 3], or None without a render mode."""
        if self.render_mode is None:
            return None
        return self._simulation.render(0, *RENDER_SIZE)

    def close(self) -> None:
        """Free what rendering holds."""
        self._simulation.close()
