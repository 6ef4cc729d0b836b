"""One episode at a time of a task, as a gymnasium environment."""

from typing import Any

import gymnasium
import numpy as np

from agentic.errors import AgenticError
from agentic.simulation.make import make_simulation
from agentic.simulation.tasks import Task

RENDER_MODES = ["rgb_array"]
RENDER_SIZE = (240, 320)  # height and width in pixels


class TaskEnv(gymnasium.Env):
    """A task with flat float32 spaces; episodes are truncated at the time limit, never terminated.

    Without a seed, `reset` keeps drawing from the generator that the last seed started.
    """

    metadata = {"render_modes": RENDER_MODES}  # noqa: RUF012  gymnasium's own declaration

    def __init__(self, task: str, render_mode: str | None = None):
        check_render_mode(render_mode)
        self._simulation = make_simulation(task, num=1, threads=1)
        self.render_mode = render_mode
        self.metadata = metadata(self._simulation.task)
        self.observation_space, self.action_space = spaces(self._simulation.task)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode.

        Args:
          seed: starts a new generator, from which the initial state is drawn.
          options: for a task family {"task": code [K]}. Without it the generator draws a code.

        Returns:
          The first observation [O] float32 and a dictionary: {"task": code [K] float32} for a task
          family, otherwise empty.

        Raises:
          AgenticError: an option is unknown, or the code does not fit.
        """
        super().reset(seed=seed)
        options = dict(options or {})
        codes = options.pop("task", None)
        if options:
            raise AgenticError(
                f"options {sorted(options)} are unknown; a task takes none, a task family 'task'"
            )
        seeds = [episode_seed(self.np_random)]
        [observation] = self._simulation.reset(np.array([0]), seeds, codes)
        return observation, self._info()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take one step with `action` [A] in [-1, 1].

        Returns the observation [O] float32, the reward, terminated (always False), truncated, and
        the same dictionary as `reset`.
        """
        observations, rewards, done = self._simulation.step(np.asarray(action)[None])
        return observations[0], float(rewards[0]), False, bool(done[0]), self._info()

    def render(self) -> np.ndarray | None:
        """Return a picture, uint8 [240, 320, 3], or None without a render mode."""
        if self.render_mode is None:
            return None
        return self._simulation.render(0, *RENDER_SIZE)

    def close(self) -> None:
        """Free the OpenGL context of `render`."""
        self._simulation.close()

    def _info(self) -> dict[str, Any]:
        codes = self._simulation.codes
        return {} if codes is None else {"task": codes[0]}


def check_render_mode(render_mode: str | None) -> None:
    """Raise AgenticError unless `render_mode` is None or one of RENDER_MODES."""
    if render_mode == "human":
        raise AgenticError(
            "render_mode is 'human': a window needs gymnasium.make of a single environment, a "
            "display and pygame (pip install pygame); without a window use 'rgb_array'"
        )
    if render_mode not in (None, *RENDER_MODES):
        raise AgenticError(f"render_mode is {render_mode!r}: it must be None or 'rgb_array'")


def metadata(task: Task) -> dict[str, Any]:
    """Return gymnasium's metadata about rendering `task`."""
    return {"render_modes": RENDER_MODES, "render_fps": round(1 / task.control_timestep)}


def spaces(task: Task) -> tuple[gymnasium.spaces.Box, gymnasium.spaces.Box]:
    """Return the spaces of observations [O] and actions [A]."""
    return (
        gymnasium.spaces.Box(-np.inf, np.inf, (task.observation_size,), np.float32),
        gymnasium.spaces.Box(-1.0, 1.0, (task.action_size,), np.float32),
    )


def episode_seed(generator: np.random.Generator) -> tuple[int]:
    """Return the seed of an environment's next episode, drawn from its generator."""
    return (int(generator.integers(2**63)),)
