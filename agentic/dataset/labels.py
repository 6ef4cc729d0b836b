"""The rewards of a task, computed from the simulator states that were recorded.

    physics   p_0     p_1     p_2    ...   p_T
    actions       a_0     a_1    ...  a_T-1
    rewards       r_0     r_1    ...  r_T-1

The reward of step t is the task's reward in the state it led to: r_t = reward(p_t+1, a_t).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from agentic import simulation
from agentic.dataset.episodes import Episode
from agentic.errors import AgenticError, closest
from agentic.simulation.tasks import Task, get_task

Control = Literal["action", "zero"]
CONTROLS: tuple[Control, ...] = ("action", "zero")


def check_control(control: str) -> None:
    """Raise AgenticError unless `control` is one of CONTROLS."""
    if control not in CONTROLS:
        raise AgenticError(f"control is {control!r}; {closest(str(control), CONTROLS)}.")


def check_tasks(tasks: Sequence[str]) -> list[Task]:
    """Return the tasks of these names, each once; AgenticError unless they share a simulator."""
    specs = [get_task(name) for name in dict.fromkeys(tasks)]

    def simulator(spec: Task) -> tuple:
        return spec.domain, spec.observation_size, spec.action_size, spec.physics_size

    for spec in specs[1:]:
        if simulator(spec) != simulator(specs[0]):
            raise AgenticError(
                f"{spec.name} and {specs[0].name} do not share a simulator; "
                "the tasks of one store need the same observations, actions and physics."
            )
    return specs


def label(
    task: str,
    physics: np.ndarray,
    actions: np.ndarray,
    control: Control = "action",
    threads: int = 1,
) -> np.ndarray:
    """Return the task's reward of every step of one episode.

    Args:
        task: name, such as "cartpole_swingup".
        physics: [T + 1, P] float64 simulator states, row 0 the reset.
        actions: [T, A] in [-1, 1]; actions[t] led from physics[t] to physics[t + 1].
        control: "action" writes each step's action as the control, which gives the environment's
            reward; "zero" leaves the control at zero, as ExoRL's own relabelling does. They differ
            for tasks whose reward reads the control (cartpole, point_mass).
        threads: how many compute; the result is the same bit for bit.

    Returns:
        [T] float32.
    """
    check_control(control)
    if len(physics) != len(actions) + 1:
        raise AgenticError(
            f"physics has {len(physics)} rows and actions {len(actions)}; physics needs one more."
        )
    rewards = rewards_of_states(task, physics[1:], actions, control, threads)
    if not np.isfinite(rewards).all():
        step = int(np.argmin(np.isfinite(rewards)))
        raise AgenticError(f"the {task} reward of step {step} is not finite; its physics are odd.")
    return rewards


def rewards_of_states(
    task: str, states: np.ndarray, actions: np.ndarray, control: Control, threads: int
) -> np.ndarray:
    """Return the rewards [K] float32 of states [K, P] and the actions [K, A] that led to them."""
    rewards = simulation.rewards(task, states, actions if control == "action" else None, threads)
    return np.asarray(rewards, np.float32)


def label_episode(
    path: Path, episode: Episode, tasks: Sequence[str], control: Control, threads: int
) -> dict[str, np.ndarray]:
    """Return every task's rewards [T] of the episode read from `path`; errors name the file."""
    try:
        return {t: label(t, episode.physics, episode.actions, control, threads) for t in tasks}
    except AgenticError as error:
        raise AgenticError(f"{path} could not be labelled: {error}") from error


def observe_again(path: Path, episode: Episode, task: str, threads: int) -> Episode:
    """Return the episode with observations computed from its physics; errors name the file.

    Equal to those of the simulator, but for sensors of force and acceleration (quadruped), which
    within an episode show a moment that a state does not record.
    """
    try:
        seen = simulation.observations(task, episode.physics, threads)
    except AgenticError as error:
        raise AgenticError(f"{path} could not be observed again: {error}") from error
    return episode._replace(observations=seen[:-1], last_observation=seen[-1])
