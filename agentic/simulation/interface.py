"""The interface of simulations: a row is one episode, reset by seed; all rows step together.

    sim = make_simulation("walker_run", num=4)
    observations = sim.reset(rows=np.arange(4), seeds=[(7, row) for row in range(4)])
    observations, rewards, done = sim.step(actions)

Legend: N rows, O observation size, A action size, P physics size, K size of a family's code.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np

from agentic.errors import AgenticError
from agentic.simulation.tasks import Task
from agentic.simulation.video import Renderer


class Simulation(ABC):
    """`num` independent episodes of one task, one per row.

    A copy or a pickle holds the state of every row and goes on with the same bits. It holds no
    OpenGL contexts.
    """

    def __init__(self, task: Task, num: int):
        self.task = task
        self.num = num
        # A copy is made with these.
        self._arguments: tuple[Any, ...] = (task, num)
        # A row may step only after its reset and before its time limit.
        self._running = np.zeros(num, dtype=bool)
        self._steps = np.zeros(num, dtype=np.int64)
        self._renderers: dict[tuple[int, int, int], Renderer] = {}

    @property
    def codes(self) -> np.ndarray | None:
        """The code of every row's task, [num, K] float32 (a copy), or None without a family."""
        return None

    def reset(
        self,
        rows: np.ndarray,
        seeds: Sequence[tuple[int, ...]],
        codes: np.ndarray | None = None,
    ) -> np.ndarray:
        """Start a new episode in each of `rows` and leave the other rows as they are.

        Args:
          rows: [n] indices, each row at most once.
          seeds: n tuples of non-negative integers. The seed alone determines the initial state of
            its row: the task draws it from a generator that is seeded with the tuple.
          codes: the task of each episode where the simulation is of a task family: [n, K], or [K]
            for all rows. None draws a code of training from each row's seed.

        Returns:
          The first observations of these rows, [n, O] float32.

        Raises:
          AgenticError: a row is out of range or named twice, rows and seeds differ in number, or
            codes do not fit.
        """
        rows = np.asarray(rows, dtype=np.int64).reshape(-1)
        outside = rows[(rows < 0) | (rows >= self.num)]
        if outside.size:
            raise AgenticError(f"row {outside[0]} is not in this simulation: 0 to {self.num - 1}")
        if np.unique(rows).size != rows.size:
            raise AgenticError(f"rows {rows.tolist()} name a row twice: name each row once")
        if len(seeds) != rows.size:
            raise AgenticError(
                f"{len(seeds)} seeds for {rows.size} rows: give one tuple of integers per row"
            )
        self._set_codes(rows, seeds, codes)
        observations = np.empty((rows.size, self.task.observation_size), dtype=np.float32)
        for index, (row, seed) in enumerate(zip(rows.tolist(), seeds, strict=True)):
            observations[index] = self._reset_row(row, tuple(seed))
        self._running[rows] = True
        self._steps[rows] = 0
        return observations

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Advance every row by one step of the task.

        Args:
          actions: [num, A]; clipped to [-1, 1], then scaled to the range of the actuators.

        Returns:
          observations [num, O] float32, rewards [num] float64, and done [num] bool, true at the
          time limit. Episodes end only there, so done is always a truncation.

        Raises:
          AgenticError: actions have another shape or are not finite; a row was not reset, at first
            or since it was done; the simulation diverged.
        """
        actions = np.asarray(actions)
        expected = (self.num, self.task.action_size)
        if actions.shape != expected:
            raise AgenticError(f"actions have shape {actions.shape}: {self.task.name} needs "
                               f"{expected}, one action per row")  # fmt: skip
        if not np.isfinite(actions).all():
            raise AgenticError(
                "actions hold a value that is not finite; every value must be finite"
            )
        if not self._running.all():
            waiting = np.flatnonzero(~self._running).tolist()
            raise AgenticError(f"rows {waiting} are not in an episode: reset them before stepping")
        observations, rewards = self._step_rows(actions)
        self._steps += 1
        done = self._steps >= self.task.episode_length
        self._running &= ~done
        return observations, rewards, done

    def render(self, row: int, height: int = 240, width: int = 320) -> np.ndarray:
        """Return a picture of `row`, uint8 [height, width, 3].

        Raises:
          AgenticError: neither EGL nor OSMesa can draw on this machine.
        """
        model, data = self._scene(row)
        # Rows may have different models, and an OpenGL context holds the meshes of only one.
        key = (id(model), height, width)
        if key not in self._renderers:
            # Camera 2 shows a quadruped from the side; the first camera suits every other domain.
            camera = 2 if self.task.domain == "quadruped" else 0
            self._renderers[key] = Renderer(model, height, width, camera)
        return self._renderers[key](data)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._arguments, self._snapshot()

    def __setstate__(self, snapshot: dict[str, Any]) -> None:
        self._restore(snapshot)

    def _snapshot(self) -> dict[str, Any]:
        """Return what distinguishes this simulation from a new one."""
        return {"running": self._running.copy(), "steps": self._steps.copy()}

    def _restore(self, snapshot: dict[str, Any]) -> None:
        """Bring the rows of a new simulation into the state of a snapshot."""
        self._running[:] = snapshot["running"]
        self._steps[:] = snapshot["steps"]

    def close(self) -> None:
        """Free the OpenGL contexts of `render`; the simulation itself may go on."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()

    def _set_codes(
        self, rows: np.ndarray, seeds: Sequence[tuple[int, ...]], codes: np.ndarray | None
    ) -> None:
        """Give each of `rows` its task's code; a simulation of one task takes none."""
        if codes is not None:
            raise AgenticError(f"{self.task.name} is one task and takes no codes; a task family "
                               "such as point_mass_goal does")  # fmt: skip

    @property
    @abstractmethod
    def physics(self) -> np.ndarray:
        """The current states, [num, P] float64: positions, velocities, activations (a copy)."""

    @abstractmethod
    def _reset_row(self, row: int, seed: tuple[int, ...]) -> np.ndarray:
        """Start an episode in `row` and return its observation [O]."""

    @abstractmethod
    def _step_rows(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Step every row and return observations [num, O] and rewards [num]."""

    @abstractmethod
    def _scene(self, row: int) -> tuple[mujoco.MjModel, mujoco.MjData]:
        """Return the model of `row` and a copy of its data with up-to-date positions."""
