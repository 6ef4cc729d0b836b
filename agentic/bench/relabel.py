"""Relabelling: the rewards of stored states, in a batch and in dm_control's own loop.

The loop is ExoRL's way of relabelling: `reset_context`, `set_state`, `get_reward`, one state at a
time. Both compute the same states, of a short rollout with random actions, and must agree.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from agentic.bench import Row
from agentic.bench.problem import at_least_one, random_episodes
from agentic.bench.timing import fastest
from agentic.errors import AgenticError
from agentic.simulation import dm_environment, make_simulation, rewards
from agentic.simulation.tasks import get_task

# Rewards are compared in float64; the two ways round differently in the last places.
TOLERANCE = 1e-9
ROLLOUT_ROWS = 16


@dataclass(frozen=True)
class Options:
    """Measure how fast stored states get their rewards.

    Attributes:
        tasks: tasks of dm_control's own suite.
        states: how many the batch computes.
        loop_states: how many the loop computes, the first ones of them.
        threads: numbers of threads for the batch.
        repeats: counts, of which the fastest is reported.
        seed: of the rollout.
    """

    tasks: tuple[str, ...] = ("walker_run", "quadruped_run", "cartpole_swingup")
    states: int = 8192
    loop_states: int = 512
    threads: tuple[int, ...] = (1, 2)
    repeats: int = 5
    seed: int = 0

    def __post_init__(self):
        at_least_one(self, "states", "loop_states", "threads", "repeats")


def run(options: Options, say: Callable[[str], None]) -> list[Row]:
    """Return a row per task and number of threads: microseconds per state, and their ratio.

    The minutes for ten million states are extrapolated.
    """
    rows = []
    for task in options.tasks:
        say(f"{task}: recording {options.states} states")
        physics, actions = record(task, options.states, options.seed)
        few = physics[: options.loop_states]
        say(f"{task}: relabelling")
        loop = dm_control_loop(task)
        error = np.abs(rewards(task, few) - loop(few)).max()
        if not error <= TOLERANCE:
            raise AgenticError(f"{task}: the two ways differ by {error}; they must agree.")
        slow = fastest(lambda: loop(few), options.repeats) / len(few)  # noqa: B023
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


def record(task: str, states: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return physics [K, P] of random episodes, and the actions [K, A] that led to each state."""
    simulation = make_simulation(task, num=ROLLOUT_ROWS)
    length, steps = simulation.task.episode_length, -(-states // ROLLOUT_ROWS)
    parts = [
        random_episodes(simulation, min(length, steps - first), seed + first)
        for first in range(0, steps, length)
    ]
    physics, actions = (
        np.concatenate([part[:, 1:].reshape(-1, part.shape[-1]) for part in arrays])
        for arrays in zip(*((each.physics, each.actions) for each in parts), strict=True)
    )
    return physics[:states], actions[:states]


def dm_control_loop(task: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return ExoRL's way to relabel: physics [K, P] -> rewards [K], with actuators at zero."""
    spec = get_task(task)
    if spec.suite_task != spec.goal:
        raise AgenticError(f"{task} is not in dm_control's suite, so there is no loop to race.")
    env = dm_environment.load(spec)

    def loop(states: np.ndarray) -> np.ndarray:
        found = np.empty(len(states))
        for row, state in enumerate(states):
            with env.physics.reset_context():
                env.physics.set_state(state)
            found[row] = env.task.get_reward(env.physics)
        return found

    return loop
