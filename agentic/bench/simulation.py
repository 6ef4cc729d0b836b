"""Environment steps per second: the batched simulator against a loop of dm_control environments.

Both step as many environments with the same actions and give flat float32 observations and rewards.
The loop is one Python thread, because dm_control holds Python's lock between simulator steps.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np

from agentic.errors import AgenticError
from agentic.simulation import dm_environment, make_simulation
from agentic.simulation.tasks import TASKS, Task, get_task

_SUITE_TASKS = sorted(name for name, task in TASKS.items() if task.in_suite)


@dataclass(frozen=True)
class Options:
    """What is measured.

    Attributes:
        tasks: task names, each one of dm_control's own.
        num: environments that step side by side.
        threads: numbers of threads that the batched simulator is given.
        steps: control steps of one repetition, at most an episode.
        repeats: repetitions, of which the median counts; loop and batches take turns.
    """

    tasks: tuple[str, ...] = ("cartpole_swingup", "walker_run", "quadruped_run")
    num: int = 32
    threads: tuple[int, ...] = (1, 2)
    steps: int = 200
    repeats: int = 5

    def __post_init__(self) -> None:
        for task in map(get_task, self.tasks):
            if not task.in_suite:
                raise AgenticError(
                    f"dm_control has no {task.name} to compare with; "
                    f"valid: {', '.join(_SUITE_TASKS)}"
                )
            if not 1 <= self.steps <= task.episode_length:
                raise AgenticError(
                    f"steps is {self.steps}: an episode of {task.name} has 1 to "
                    f"{task.episode_length}"
                )
        smallest = min(len(self.tasks), len(self.threads), self.num, self.repeats, *self.threads)
        if smallest < 1:
            raise AgenticError(
                f"num {self.num}, repeats {self.repeats}, threads {self.threads}, tasks "
                f"{self.tasks}: each must be at least 1, and one task and one number of threads"
            )


def run(options: Options, say: Callable[[str], None]) -> list[dict[str, str | float]]:
    """Return one row per task and number of threads; `say` is told what is being measured."""
    return [row for task in options.tasks for row in _task_rows(get_task(task), options, say)]


def _task_rows(
    task: Task, options: Options, say: Callable[[str], None]
) -> list[dict[str, str | float]]:
    loop = _Loop(task, options.num)
    batches = [_Batched(task, options.num, threads) for threads in options.threads]
    rates: list[list[float]] = [[] for _ in (loop, *batches)]
    shape = (options.steps, options.num, task.action_size)
    for repeat in range(options.repeats):
        say(f"{task.name}: repetition {repeat + 1} of {options.repeats}")
        actions = np.random.default_rng(repeat).uniform(-1, 1, shape).astype(np.float32)
        for rate, contestant in zip(rates, (loop, *batches), strict=True):
            contestant.reset(repeat)
            start = time.perf_counter()
            for step_actions in actions:
                contestant.step(step_actions)
            rate.append(options.steps * options.num / (time.perf_counter() - start))
    reference, *batched = map(median, rates)
    return [
        {
            "task": task.name,
            "environments": options.num,
            "threads": threads,
            "batched steps/s": rate,
            "dm_control steps/s": reference,
            "ratio": rate / reference,
        }
        for threads, rate in zip(options.threads, batched, strict=True)
    ]


class _Loop:
    """A list of dm_control environments, stepped one after the other."""

    def __init__(self, task: Task, num: int):
        self._environments = [dm_environment.load(task) for _ in range(num)]
        self._controls = dm_environment.ActuatorScale(self._environments[0].physics.model.ptr)

    def reset(self, repeat: int) -> None:
        for row, each in enumerate(self._environments):
            dm_environment.reset(each, (repeat, row))

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        steps = [
            each.step(control)
            for each, control in zip(self._environments, self._controls(actions), strict=True)
        ]
        observations = np.stack(
            [dm_environment.flat_observation(step.observation) for step in steps]
        )
        return observations, np.array([step.reward for step in steps])


class _Batched:
    """The same environments as one batch."""

    def __init__(self, task: Task, num: int, threads: int):
        self._simulation = make_simulation(task.name, num, threads)

    def reset(self, repeat: int) -> None:
        rows = range(self._simulation.num)
        self._simulation.reset(np.array(rows), [(repeat, row) for row in rows])

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        observations, rewards, _ = self._simulation.step(actions)
        return observations, rewards
