"""A generator of steps across episodes: contexts act side by side in a batched simulation."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from agentic.acting.policy import Policy
from agentic.simulation.interface import Simulation


class Transition(NamedTuple):
    """One step of B contexts.

    observations [B, O] that the policy acted on; actions [B, A] that were executed; rewards [B]
    float64; done [B]; episode [B], the index within the context; active [B], False in a context
    whose episodes are all over, and which goes on only because the others do.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    done: np.ndarray
    episode: np.ndarray
    active: np.ndarray


def rollout(
    policy: Policy, simulation: Simulation, episodes: int, seeds: Sequence[int]
) -> Iterator[Transition]:
    """Let a policy live `episodes` episodes in each of len(seeds) contexts; yield every step.

    Episode k of a context starts in the state drawn from (its seed, k). The policy is reset once,
    at the start. It observes the last step of an episode before the first action of the next one.
    While a step is in the caller's hands, the simulation shows the state that it led to.
    """
    rows = np.arange(len(seeds))
    episode = np.zeros(len(seeds), np.int64)
    observations = simulation.reset(rows, [(seed, 0) for seed in seeds])
    policy.reset(len(seeds))
    while (episode < episodes).any():
        actions = policy.act(observations)
        following, rewards, done = simulation.step(actions)
        policy.observe(rewards, done)
        yield Transition(observations, actions, rewards, done, episode.copy(), episode < episodes)
        episode += done
        observations = following.copy()
        if done.any():
            ended = rows[done]
            fresh = simulation.reset(ended, [(seeds[row], int(episode[row])) for row in ended])
            observations[ended] = fresh
