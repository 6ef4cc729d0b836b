"""Relabelling: rewards of stored states, in a batch and in dm_control's own loop.

The loop is how ExoRL relabels: `reset_context`, `set_state`, `get_reward`, one state at a time.
Both see the same states, of a short random rollout, and must give the same rewards.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from agentic.bench import Row, fastest
from agentic.errors import AgenticError
from agentic.simulation import dm_environment, make_simulation, rewards
from agentic.simulation.tasks import get_task

# Rewards are compared in float64; the two ways round differently in the last places.
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Options:
    """What is relabelled, and how often.

    Attributes:
        tasks: tasks that dm_control's suite has itself.
        states: states for the batch.
        loop_states: states for the loop, the first ones.
        threads: numbers of threads for the batch.
        repeats: the fastest of this many counts.
        seed: of the rollout.
    """

    tasks: tuple[str, ...] = ("walker_run", "quadruped_run", "cartpole_swingup")
    states: int = 8192
    loop_states: int = 512
    threads: tuple[int, ...] = (1, 2)
    repeats: int = 5
    seed: int = 0


def run(options: Options, say: Callable[[str], None]) -> list[Row]:
    """Return a row per task and number of threads: microseconds a state, and their ratio.

    The minutes that ten million states would take are extrapolated from that.
    """
    rows = []
    for task in options.tasks:
        say(f"{task}: recording {options.states} states")
        physics, actions = record(task, options.states, options.seed)
        count = min(options.loop_states, len(physics))
        say(f"{task}: relabelling")
        loop = dm_control_loop(task)
        expected = loop(physics[:count])
        error = np.abs(rewards(task, physics[:count]) - expected).max()
        if not error <= TOLERANCE:
            raise AgenticError(f"{task}: the two ways differ by {error}; they must agree.")
        slow = fastest(lambda: loop(physics[:count]), options.repeats) / count  # noqa: B023
        for threads in options.threads:
            rewards(task, physics[:1], actions[:1], threads)  # loads the model
            fast = fastest(
                lambda: rewards(task, physics, actions, threads),  # noqa: B023
                options.repeats,
            ) / len(physics)
            rows.append(
                {
                    "task": task,
                    "threads": threads,
                    "us/state": 1e6 * fast,
                    "loop us/state": 1e6 * slow,
                    "times faster": slow / fast,
                    "10M states, min": fast * 1e7 / 60,
                    "max difference": float(error),
                }
            )
    return rows


def record(task: str, states: int, seed: int, rows: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Return physics [K, P] and the actions [K, A] that led there, of uniformly random actions."""
    simulation, rng = make_simulation(task, num=rows), np.random.default_rng(seed)
    steps, length = -(-states // rows), simulation.task.episode_length
    physics, actions = [], []
    for step in range(steps):
        if step % length == 0:
            seeds = [(seed, step, row) for row in range(rows)]
            simulation.reset(np.arange(rows), seeds)
        actions.append(rng.uniform(-1, 1, (rows, simulation.task.action_size)))
        simulation.step(actions[-1])
        physics.append(simulation.physics)
    return np.concatenate(physics)[:states], np.concatenate(actions)[:states]


def dm_control_loop(task: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return ExoRL's way to relabel: physics [K, P] -> rewards [K], control at zero."""
    spec = get_task(task)
    if spec.suite_task != spec.goal:
        raise AgenticError(f"{task} is not in dm_control's suite, which alone has a loop to race.")
    env = dm_environment.load(spec)

    def loop(states: np.ndarray) -> np.ndarray:
        found = np.empty(len(states))
        for row, state in enumerate(states):
            with env.physics.reset_context():
                env.physics.set_state(state)
            found[row] = env.task.get_reward(env.physics)
        return found

    return loop
