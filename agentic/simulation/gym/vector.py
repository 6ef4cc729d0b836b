"""Many episodes of one task as a gymnasium vector environment, stepped as one batch.

    envs = gymnasium.make_vec("agentic/walker_run-v0", num_envs=8, threads=2)

Environment i equals a `TaskEnv` with the same seed and actions, bit for bit. All episodes have the
same length, so with autoreset they all end at the same step:

    mode         step T                               step T + 1
    next step    truncated, last observation          action ignored, reward 0, first observation
    same step    truncated, first observation;        an ordinary step
                 the last one in info["final_obs"]
    disabled     truncated, last observation          reset first, all of them or by "reset_mask"
"""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from agentic.errors import AgenticError, closest
from agentic.simulation.gym.environment import (
    RENDER_MODES,
    RENDER_SIZE,
    check_render_mode,
    episode_seed,
    metadata,
    spaces,
)
from agentic.simulation.make import make_simulation

Step = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]


class TaskVectorEnv(gymnasium.vector.VectorEnv):
    """Episodes of one task side by side; truncated at the time limit, never terminated.

    Args:
      task: a task name, for example "walker_run".
      num_envs: how many episodes side by side, at least 1.
      threads: number of threads; 0 picks a number that suits the amount of work, at most one per
        CPU. The results are the same bit for bit.
      render_mode: None, or "rgb_array" for one picture per environment.
      autoreset_mode: how the next episode starts: a gymnasium AutoresetMode or its value, also
        found in `metadata`.
      max_episode_steps: episodes are truncated after so many steps, and at the time limit anyway.

    Raises:
      AgenticError: an unknown task or mode, or a number out of range.
    """

    metadata = {  # noqa: RUF012  gymnasium's own declaration
        "render_modes": RENDER_MODES,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        task: str,
        num_envs: int = 1,
        threads: int = 0,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        max_episode_steps: int | None = None,
    ):
        check_render_mode(render_mode)
        if max_episode_steps is not None and max_episode_steps < 1:
            raise AgenticError(f"max_episode_steps is {max_episode_steps}; it must be at least 1")
        self._simulation = make_simulation(task, num_envs, threads)
        spec = self._simulation.task
        self.num_envs = num_envs
        self.render_mode = render_mode
        self._autoreset = _autoreset_mode(autoreset_mode)
        self.metadata = {**metadata(spec), "autoreset_mode": self._autoreset}
        self.single_observation_space, self.single_action_space = spaces(spec)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._generators: list[np.random.Generator | None] = [None] * num_envs
        self._seeds: list[int | None] = [None] * num_envs
        self._observations = np.zeros(self.observation_space.shape, np.float32)
        self._ended = False  # with autoreset: whether the last step ended all the episodes
        self._limit = max_episode_steps or spec.episode_length
        self._ages = np.zeros(num_envs, np.int64)  # steps of the present episodes

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode in every environment, or in those of a mask.

        Args:
          seed: environment i gets seed + i, or the i-th of a sequence. With None, an environment
            keeps drawing from the generator that its last seed started.
          options: where autoreset is disabled, "reset_mask" [num_envs] bool leaves the others as
            they are. For a task family, "task" [num_envs, K], or [K] for all environments, is their
            codes. Without it each environment's generator draws one.

        Returns:
          The observations [num_envs, O] float32 and a dictionary. For a task family it holds "task"
          [num_envs, K] float32 and "_task" [num_envs] bool, which environments were reset.

        Raises:
          AgenticError: the number of seeds, the mask or the codes do not fit, or an option is
            unknown.
        """
        options = dict(options or {})
        codes = options.pop("task", None)
        rows = self._rows_to_reset(options)
        if np.ndim(codes) == 2 and len(codes) == self.num_envs:
            codes = np.asarray(codes)[rows]
        for row, row_seed in zip(rows, self._seeds_of(seed)[rows], strict=True):
            if row_seed is not None or self._generators[row] is None:
                generator, used = gymnasium.utils.seeding.np_random(row_seed)
                self._generators[row], self._seeds[row] = generator, used
        self._start(rows, codes)
        return self._observations.copy(), self._infos(rows)

    def step(self, actions: np.ndarray) -> Step:
        """Take one step with `actions` [num_envs, A] in [-1, 1].

        Returns:
          observations [num_envs, O] float32, rewards [num_envs] float64, terminations and
          truncations [num_envs] bool, and a dictionary. It holds "task" as `reset` does, and
          "final_obs" and "final_info" where new episodes start in the step that ends the old ones.

        Raises:
          AgenticError: the actions do not fit, or an environment must be reset first.
        """
        none, rows = np.zeros(self.num_envs, dtype=bool), np.arange(self.num_envs)
        if self._ended:  # only in next-step mode
            self._start(rows)
            rewards = np.zeros(self.num_envs)
            return self._observations.copy(), rewards, none, none.copy(), self._infos(rows)
        over = np.flatnonzero(self._ages >= self._limit).tolist()
        if over:
            raise AgenticError(f"environments {over} have ended; reset them before the next step")
        self._observations, rewards, done = self._simulation.step(np.asarray(actions))
        self._ages += 1
        done |= self._ages >= self._limit
        infos: dict[str, Any] = {}
        if done.any() and self._autoreset is AutoresetMode.SAME_STEP:
            infos = self._final()
            self._start(rows)
        self._ended = self._autoreset is AutoresetMode.NEXT_STEP and bool(done.any())
        return self._observations.copy(), rewards, none, done, infos | self._infos(rows)

    def render(self) -> tuple[np.ndarray, ...] | None:
        """Return one picture per environment, uint8 [240, 320, 3], or None without a mode."""
        if self.render_mode is None:
            return None
        return tuple(self._simulation.render(row, *RENDER_SIZE) for row in range(self.num_envs))

    def close_extras(self, **kwargs: Any) -> None:
        """Free the OpenGL contexts of `render`."""
        self._simulation.close()

    @property
    def np_random(self) -> tuple[np.random.Generator | None, ...]:
        """The generator of each environment, None before its first reset."""
        return tuple(self._generators)

    @property
    def np_random_seed(self) -> tuple[int | None, ...]:
        """The last seed of each environment, None before its first reset."""
        return tuple(self._seeds)

    def _start(self, rows: np.ndarray, codes: np.ndarray | None = None) -> None:
        seeds = [episode_seed(self._generators[row]) for row in rows]
        self._observations[rows] = self._simulation.reset(rows, seeds, codes)
        self._ages[rows] = 0
        self._ended = False

    def _infos(self, rows: np.ndarray) -> dict[str, Any]:
        """Return gymnasium's information on the tasks of `rows`."""
        if self._simulation.codes is None:
            return {}
        codes = np.zeros_like(self._simulation.codes)
        codes[rows] = self._simulation.codes[rows]
        present = np.zeros(self.num_envs, dtype=bool)
        present[rows] = True
        return {"task": codes, "_task": present}

    def _final(self) -> dict[str, Any]:
        """Return gymnasium's information on episodes that ended and were replaced at once."""
        final = np.full(self.num_envs, None, dtype=object)
        final[:] = list(self._observations.copy())
        every, infos = np.ones(self.num_envs, dtype=bool), self._infos(np.arange(self.num_envs))
        return {"final_obs": final, "_final_obs": every, "final_info": infos, "_final_info": every}

    def _seeds_of(self, seed: int | Sequence[int | None] | None) -> np.ndarray:
        """Return one seed or None per environment, as an array of objects."""
        if seed is None or isinstance(seed, int | np.integer):
            seed = [None if seed is None else int(seed) + row for row in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise AgenticError(
                f"{len(seed)} seeds for {self.num_envs} environments; give one number, or one per "
                "environment"
            )
        return np.array([None if each is None else int(each) for each in seed], dtype=object)

    def _rows_to_reset(self, options: dict[str, Any]) -> np.ndarray:
        mask = options.pop("reset_mask", None)
        if options:
            raise AgenticError(f"options {sorted(options)} are unknown; valid: reset_mask, task")
        if mask is None:
            return np.arange(self.num_envs)
        if self._autoreset is not AutoresetMode.DISABLED:
            raise AgenticError(
                f"reset_mask would put episodes out of step, which {self._autoreset.value} "
                "autoreset does not allow; make the environments with autoreset_mode='Disabled'"
            )
        mask = np.asarray(mask)
        if mask.shape != (self.num_envs,) or mask.dtype != bool or not mask.any():
            raise AgenticError(
                f"reset_mask has shape {mask.shape} and type {mask.dtype}: it needs "
                f"({self.num_envs},) bool with at least one True"
            )
        return np.flatnonzero(mask)


def _autoreset_mode(mode: AutoresetMode | str) -> AutoresetMode:
    try:
        return AutoresetMode(mode)
    except ValueError as error:
        modes = [each.value for each in AutoresetMode]
        raise AgenticError(f"autoreset_mode is {mode!r}; {closest(str(mode), modes)}") from error
