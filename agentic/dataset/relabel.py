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
from agentic.dataset.exorl import Episode, read_episode
from agentic.errors import AgenticError, closest

Control = Literal["action", "zero"]
CONTROLS: tuple[Control, ...] = ("action", "zero")


def check_control(control: str) -> None:
    """Raise AgenticError unless `control` is one of CONTROLS."""
    if control not in CONTROLS:
        raise AgenticError(f"control is {control!r}; {closest(str(control), CONTROLS)}.")


def label(
    task: str, physics: np.ndarray, actions: np.ndarray, control: Control = "action"
) -> np.ndarray:
    """Return the task's reward of every step of one episode.

    Args:
        task: name, such as "cartpole_swingup".
        physics: [T + 1, P] float64 simulator states, row 0 the reset.
        actions: [T, A] in [-1, 1]; actions[t] led from physics[t] to physics[t + 1].
        control: "action" writes each step's action as the control, which gives the environment's
            reward; "zero" leaves the control at zero, as ExoRL's own relabelling does. They differ
            for tasks whose reward reads the control (cartpole, point_mass).

    Returns:
        [T] float32.
    """
    check_control(control)
    if len(physics) != len(actions) + 1:
        raise AgenticError(
            f"physics has {len(physics)} rows and actions {len(actions)}; physics needs one more."
        )
    rewards = simulation.rewards(task, physics[1:], actions if control == "action" else None)
    rewards = np.asarray(rewards, np.float32)
    if not np.isfinite(rewards).all():
        step = int(np.argmin(np.isfinite(rewards)))
        raise AgenticError(f"the {task} reward of step {step} is not finite; its physics are odd.")
    return rewards


def read_labelled(
    path: Path, tasks: Sequence[str], control: Control
) -> tuple[Episode, dict[str, np.ndarray]]:
    """Return the episode in `path` and every task's rewards [T]; errors name the file."""
    episode = read_episode(path, tasks[0])
    try:
        return episode, {t: label(t, episode.physics, episode.actions, control) for t in tasks}
    except AgenticError as error:
        raise AgenticError(f"{path} could not be labelled: {error}") from error
