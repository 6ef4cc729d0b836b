"""Environment steps per second: the batched simulator against a loop of dm_control environments.

Both step the same number of environments with the same actions, and return flat float32
observations and rewards. The loop runs in one Python thread, because dm_control holds Python's lock
between simulator steps.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np

from agentic.bench import Row
from agentic.bench.problem import at_least_one
from agentic.bench.timing import by_turns, timed
from agentic.errors import AgenticError
from agentic.simulation import Simulation
from agentic.simulation.batched import BatchSimulation
from agentic.simulation.looped import LoopSimulation
from agentic.simulation.tasks import TASKS, Task, get_task

_SUITE_TASKS = sorted(name for name, task in TASKS.items() if task.in_suite)


@dataclass(frozen=True)
class Options:
    """Measure how fast environments step.

    Attributes:
        tasks: tasks of dm_control's own suite.
        num: environments that step side by side.
        threads: numbers of threads for the batched simulator.
        steps: steps in one turn, at most an episode.
        repeats: turns of the loop and the batches; medians are reported.
    """

    tasks: tuple[str, ...] = ("cartpole_swingup", "walker_run", "quadruped_run")
    num: int = 32
    threads: tuple[int, ...] = (1, 2)
    steps: int = 200
    repeats: int = 5

    def __post_init__(self) -> None:
        at_least_one(self, "num", "threads", "steps", "repeats")
        if not self.tasks:
            raise AgenticError("tasks is empty; give one task at least.")
        for task in map(get_task, self.tasks):
            if not task.in_suite:
                raise AgenticError(
                    f"dm_control has no {task.name} to compare with; "
                    f"valid: {', '.join(_SUITE_TASKS)}"
                )
            if self.steps > task.episode_length:
                raise AgenticError(
                    f"steps is {self.steps}; an episode of {task.name} has {task.episode_length}."
                )


def run(options: Options, say: Callable[[str], None]) -> list[Row]:
    """Return a row per task and number of threads."""
    return [row for task in options.tasks for row in _task_rows(get_task(task), options, say)]


def _task_rows(task: Task, options: Options, say: Callable[[str], None]) -> list[Row]:
    contestants = [LoopSimulation(task, options.num)]
    contestants += [BatchSimulation(task, options.num, threads) for threads in options.threads]
    shape = (options.steps, options.num, task.action_size)
    rows = np.arange(options.num)

    def rate(simulation: Simulation, turn: int) -> float:
        say(f"{task.name}: repetition {turn + 1} of {options.repeats}")
        actions = np.random.default_rng(turn).uniform(-1, 1, shape).astype(np.float32)
        simulation.reset(rows, [(turn, row) for row in rows.tolist()])
        seconds = timed(lambda: [simulation.step(step) for step in actions]).clock
        return options.steps * options.num / seconds

    rates = by_turns([partial(rate, each) for each in contestants], options.repeats)
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
