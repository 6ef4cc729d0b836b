"""An explorer and DDPG as one learner: normalise, update the explorer, reward windows, update DDPG.

Axes: N environments, B batch, n steps of a window, T steps of an episode, O, A, Z as elsewhere.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agentic.collect import moments
from agentic.collect.config import DDPGConfig
from agentic.collect.ddpg import DDPG, Batch, DDPGState
from agentic.collect.explorers.explorer import Explorer, Transitions
from agentic.collect.moments import Moments
from agentic.collect.replay import Windows

# Normalised observations are clipped to so many standard deviations, as in RND (arXiv 1810.12894).
CLIP = 5.0
# Lower bounds of standard deviations. An observation that never changes carries no signal, while
# intrinsic rewards may become tiny and still be ordered.
LEAST_OBSERVATION_STD, LEAST_REWARD_STD = 1e-3, 1e-8
# Observation statistics start to forget after so many samples. Rewards fall as states become
# familiar, so their statistics forget after so many batches. Both numbers are ours.
OBSERVATION_HORIZON = 1e6
REWARD_BATCHES = 100


class AgentState(NamedTuple):
    """Everything that learning changes; `updates` counts the updates."""

    ddpg: DDPGState
    explorer: Any
    observations: Moments
    rewards: Moments
    updates: jax.Array


class Agent:
    """The jitted functions of one explorer on one task; the caller keeps the state.

    Three things are ours, not URLB's. All networks see observations that are normalised by their
    running mean and standard deviation and clipped; URLB does so for RND alone. The intrinsic
    reward of every explorer is standardised by its running mean and standard deviation. This
    changes no explorer's best policy, because episodes end only at the time limit. The return of n
    steps sums the intrinsic rewards of all n; URLB takes one reward for the n.
    """

    def __init__(self, explorer: Explorer, config: DDPGConfig, seed: int):
        self.explorer, self.config, self.seed = explorer, config, seed
        skills = explorer.skill_size
        self.ddpg = DDPG(
            config,
            explorer.observation_size + skills,
            explorer.action_size,
            skills if explorer.successor_features else 0,
        )
        self.learn = jax.jit(self._learn, donate_argnums=0)
        self.act = jax.jit(self._act)
        self._skills = jax.jit(self._draw_skills, static_argnums=1)

    def init(self) -> AgentState:
        """Return the state before the first update, drawn from the seed."""
        generator = np.random.default_rng(self.seed)
        return AgentState(
            self.ddpg.init(generator),
            self.explorer.init(generator),
            moments.empty((self.explorer.observation_size,)),
            moments.empty(),
            jnp.zeros((), jnp.int32),
        )

    def skills(self, episodes: np.ndarray, steps: int) -> np.ndarray:
        """Return the skill of every step of each episode, [N, T, Z].

        It depends on the seed and the episode's index alone.
        """
        return np.asarray(self._skills(jnp.asarray(episodes), steps))

    def _draw_skills(self, episodes: jax.Array, steps: int) -> jax.Array:
        period = self.explorer.skill_period or steps

        def draw(episode: jax.Array) -> jax.Array:
            key = jax.random.fold_in(self._key(0), episode)
            keys = jax.random.split(key, -(-steps // period))
            skills = jax.vmap(self.explorer.sample_skill)(keys)
            return jnp.repeat(skills, period, axis=0)[:steps]

        return jax.vmap(draw)(episodes)

    def _act(
        self, state: AgentState, observations: jax.Array, skills: jax.Array, step: jax.Array
    ) -> jax.Array:
        """Return noisy actions [N, A] for observations [N, O] and skills [N, Z].

        The number `step` decides which noise is drawn.
        """
        inputs = _join(_normalise(state.observations, observations), skills)
        key = jax.random.fold_in(self._key(1), step)
        return self.ddpg.act(state.ddpg.actor.parameters, inputs, key)

    def _learn(
        self, state: AgentState, windows: Windows
    ) -> tuple[AgentState, dict[str, jax.Array]]:
        """Return the state after one update on windows, and its metrics as scalars."""
        keys = jax.random.split(jax.random.fold_in(self._key(2), state.updates))
        observations = moments.updated(
            state.observations, windows.observations[0], OBSERVATION_HORIZON
        )
        seen = _normalise(observations, windows.observations)
        skills = windows.skills

        def step(now: jax.Array, action: jax.Array, after: jax.Array) -> Transitions:
            return Transitions(now, action, after, skills)

        first = step(seen[0], windows.actions[0], seen[1])
        explorer, losses = self.explorer.update(state.explorer, first, keys[0])
        # One step of the window at a time, so that a batch of particles has one state per window.
        reward = partial(self.explorer.intrinsic_reward, explorer)
        raw = jax.vmap(lambda *parts: reward(step(*parts)))(seen[:-1], windows.actions, seen[1:])
        rewards = moments.updated(state.rewards, raw[0], REWARD_BATCHES * float(raw.shape[1]))
        fades = jnp.power(self.config.discount, jnp.arange(len(raw), dtype=jnp.float32))
        batch = Batch(
            _join(seen[0], skills),
            windows.actions[0],
            fades @ ((raw - rewards.mean) / rewards.std(LEAST_REWARD_STD)),
            _join(seen[-1], skills),
            skills,
        )
        ddpg, ddpg_losses = self.ddpg.update(state.ddpg, batch, keys[1])
        metrics = {"intrinsic_reward": raw.mean(), **losses, **ddpg_losses}
        return AgentState(ddpg, explorer, observations, rewards, state.updates + 1), metrics

    def _key(self, purpose: int) -> jax.Array:
        return jax.random.fold_in(jax.random.key(self.seed), purpose)


def _normalise(statistics: Moments, observations: jax.Array) -> jax.Array:
    return jnp.clip(
        (observations - statistics.mean) / statistics.std(LEAST_OBSERVATION_STD), -CLIP, CLIP
    )


def _join(observations: jax.Array, skills: jax.Array) -> jax.Array:
    return jnp.concatenate([observations, skills], axis=-1)
