"""Are data that others recorded those of the task? Wrappers tell by name, steps by simulation.

Where an episode has states, its steps are compared with them: observations, rewards, and the states
that the actions lead to. Where it has none but the seed of its reset, it is begun again from that.
"""

import json

import numpy as np

from agentic import simulation
from agentic.dataset.episodes import Episode
from agentic.dataset.labels import Control, labels_of_states
from agentic.dataset.replay import TOLERANCE, recorded_steps, replay
from agentic.errors import AgenticError

# Wrappers of gymnasium that leave observations, actions and rewards as they are. Actions outside
# [-1, 1], which ClipAction would change, are refused anyway.
HARMLESS = {
    "Autoreset", "ClipAction", "DtypeObservation", "HumanRendering", "OrderEnforcing",
    "PassiveEnvChecker", "RecordEpisodeStatistics", "RecordVideo", "RenderCollection", "TimeLimit",
}  # fmt: skip
# Steps of an episode that are compared.
STEPS = 16


def check_wrappers(env_spec: str | None, name: str) -> None:
    """Raise AgenticError if data were recorded through wrappers that may have changed them.

    Args:
        env_spec: gymnasium's description of the environment, as JSON; None tells nothing.
        name: of the data, for the sentence.
    """
    try:
        wrappers = json.loads(env_spec or "{}").get("additional_wrappers") or []
        names = [wrapper["name"] for wrapper in wrappers]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise AgenticError(
            f"{name} has an environment that cannot be read ({env_spec!r:.80}); its metadata are "
            "damaged."
        ) from None
    changing = [wrapper for wrapper in names if wrapper not in HARMLESS]
    if changing:
        raise AgenticError(
            f"{name} was recorded through {', '.join(changing)}, which may change observations, "
            f"actions or rewards; record it without, or with {', '.join(sorted(HARMLESS))} alone."
        )


def check_states(
    name: str, task: str, control: Control, episode: Episode, rewards: np.ndarray
) -> None:
    """Raise AgenticError if an episode is not what its states show."""
    at = np.unique(np.linspace(0, len(rewards) - 1, STEPS).round().astype(int))
    if task != "quadruped_escape":  # whose terrain is in no state
        shown = simulation.observations(task, episode.physics[at])
        _check_observations(name, task, episode.observations[at], shown)
    given = labels_of_states(task, episode.physics[at + 1], episode.actions[at], control, 1)
    _check_rewards(name, task, rewards[at], given)
    replayed = replay([recorded_steps(name, episode.physics, episode.actions)], [task])
    if replayed is not None and replayed.problems:
        raise AgenticError(replayed.problems[0])


def check_from_seed(
    name: str, task: str, seed: int, episode: Episode, rewards: np.ndarray, ours: bool
) -> bool:
    """Raise AgenticError if our own environment, begun from `seed`, shows another episode.

    Returns whether it could be compared: an environment that is not `ours` has seeds of its own, if
    it does not begin as ours does.
    """
    environment = simulation.TaskEnv(task)
    shown, given = [environment.reset(seed=seed)[0]], []
    if not ours and np.abs(shown[0] - episode.observations[0]).max() > 1e-4:
        return False
    for action in episode.actions[:STEPS]:
        observation, reward, *_ = environment.step(action)
        shown.append(observation)
        given.append(reward)
    steps = len(given)
    _check_observations(name, task, episode.observations[:steps], np.stack(shown[:steps]))
    _check_rewards(name, task, rewards[:steps], np.array(given))
    return True


def _check_observations(name: str, task: str, found: np.ndarray, shown: np.ndarray) -> None:
    """Compare observations [n, O], in units of each column's spread.

    Half of the columns may differ: sensors of force and acceleration, and targets, are in no state.
    """
    unit = np.maximum(shown.std(axis=0), 1e-2)
    off = float(np.median(np.median(np.abs(found - shown), axis=0) / unit))
    if off > TOLERANCE:
        largest = float(np.abs(found - shown).max())
        raise AgenticError(
            f"{name} has observations that {task} does not show: they are off by up to "
            f"{largest:.2g}, by {off:.2g} of a column's spread in the median, and {TOLERANCE} is "
            "allowed; take data of the plain environment."
        )


def _check_rewards(name: str, task: str, found: np.ndarray, given: np.ndarray) -> None:
    off = float(np.median(np.abs(found - given)) / max(np.sqrt(np.mean(given**2)), 1e-3))
    if off > TOLERANCE:
        step = int(np.argmax(np.abs(found - given)))
        raise AgenticError(
            f"{name} has rewards that {task} does not give, such as {found[step]:.3g} in place of "
            f"{given[step]:.3g}; take data of the plain environment, or name their --task."
        )
