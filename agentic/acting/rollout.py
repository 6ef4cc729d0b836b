"""A generator of steps across episodes: contexts act side by side in a batched simulation."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from agentic.acting.context import Policy
from agentic.simulation.interface import Simulation

# Sets the noise of a seed apart from its random actions and its initial states.
NOISE_STREAM = 2


class Transition(NamedTuple):
    """One step of B contexts: observations [B, O] that were acted on, actions [B, A] that were
    executed, rewards [B] float64, done [B], episode [B] (index within the context), active [B]
    (False: the context has lived all its episodes and only keeps the others company)."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    done: np.ndarray
    episode: np.ndarray
    active: np.ndarray


def rollout(
    policy: Policy,
    simulation: Simulation,
    episodes: int,
    seeds: Sequence[int],
    action_noise: float = 0.0,
) -> Iterator[Transition]:
    """Live `episodes` episodes in each of len(seeds) contexts, and yield every step.

    Episode k of a context starts in the state drawn from (its seed, k). The policy is reset once,
    at the start; each last step is observed before the next episode's first action. Gaussian noise
    of standard deviation `action_noise` is added to every action, which is then clipped to
    [-1, 1]; the policy is told what was executed.
    """
    rows = np.arange(len(seeds))
    episode = np.zeros(len(seeds), np.int64)
    noise = [np.random.default_rng([seed, NOISE_STREAM]) for seed in seeds]
    observations = simulation.reset(rows, [(seed, 0) for seed in seeds])
    policy.reset(len(seeds))
    while (episode < episodes).any():
        actions = policy.act(observations)
        if action_noise:
            actions = _disturbed(actions, action_noise, noise)
        following, rewards, done = simulation.step(actions)
        policy.observe(rewards, done, actions if action_noise else None)
        yield Transition(observations, actions, rewards, done, episode.copy(), episode < episodes)
        episode += done
        observations = following.copy()
        if done.any():
            ended = rows[done]
            fresh = simulation.reset(ended, [(seeds[row], int(episode[row])) for row in ended])
            observations[ended] = fresh


def _disturbed(
    actions: np.ndarray, deviation: float, generators: Sequence[np.random.Generator]
) -> np.ndarray:
    """Return actions [B, A] with noise from each context's own generator, within [-1, 1]."""
    size = actions.shape[1]
    draws = np.stack([generator.normal(0, deviation, size) for generator in generators])
    return np.clip(actions + draws.astype(np.float32), -1, 1)
