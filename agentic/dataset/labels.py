"""The labels of a task or a family, computed from the simulator states that were recorded.

    physics   p_0     p_1     p_2    ...   p_T
    actions       a_0     a_1    ...  a_T-1
    rewards       r_0     r_1    ...  r_T-1

The reward of step t is the task's reward in the state it led to: r_t = reward(p_t+1, a_t). A task
family has features in place of rewards: F numbers, from which the reward follows for every code.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from agentic import simulation
from agentic.dataset.episodes import Episode
from agentic.errors import AgenticError, closest
from agentic.simulation.tasks import Task, get_task, is_family

Control = Literal["action", "zero"]
CONTROLS: tuple[Control, ...] = ("action", "zero")


def check_control(control: str) -> None:
    """Raise AgenticError unless `control` is one of CONTROLS."""
    if control not in CONTROLS:
        raise AgenticError(f"control is {control!r}; {closest(str(control), CONTROLS)}.")


def check_tasks(tasks: Sequence[str]) -> list[Task]:
    """Return the tasks of these names; AgenticError unless they share a simulator.

    Each is there once, and of families that share their features the first one.
    """
    places: dict[str, Task] = {}
    for name in tasks:
        task = get_task(name)
        places.setdefault(label_place(name), task)
    specs = list(places.values())

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
    """Return the task's reward of every step of one episode, or the features of a task family.

    Args:
        task: name, such as "cartpole_swingup" or "point_mass_goal".
        physics: [T + 1, P] float64 simulator states, row 0 the reset.
        actions: [T, A] in [-1, 1]; actions[t] led from physics[t] to physics[t + 1].
        control: "action" writes each step's action as the control, which gives the environment's
            reward; "zero" leaves the control at zero, as ExoRL's own relabelling does. They differ
            for tasks whose reward reads the control (cartpole, point_mass).
        threads: how many compute; the result is the same bit for bit.

    Returns:
        [T] float32, of a family [T, F] float32.
    """
    check_control(control)
    if len(physics) != len(actions) + 1:
        raise AgenticError(
            f"physics has {len(physics)} rows and actions {len(actions)}; physics needs one more."
        )
    labels = labels_of_states(task, physics[1:], actions, control, threads)
    if not np.isfinite(labels).all():
        step = int(np.argwhere(~np.isfinite(labels))[0][0])
        raise AgenticError(f"the {task} reward of step {step} is not finite; its physics are odd.")
    return labels


def labels_of_states(
    task: str, states: np.ndarray, actions: np.ndarray, control: Control, threads: int
) -> np.ndarray:
    """Return the rewards [K] float32 of states [K, P] and the actions [K, A] that led to them.

    Of a task family these are features [K, F] float32.
    """
    compute = simulation.features if is_family(task) else simulation.rewards
    labels = compute(task, states, actions if control == "action" else None, threads)
    return np.asarray(labels, np.float32)


def label_shape(task: str) -> tuple[int, ...]:
    """Return the shape of one step's label: () for a reward, (F,) for a family's features."""
    return (len(simulation.get_family(task).feature_names),) if is_family(task) else ()


def label_place(task: str) -> str:
    """Return the name of the array that holds the labels in a store."""
    if is_family(task):
        return f"features/{simulation.get_family(task).features_name}"
    return f"rewards/{task}"


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
