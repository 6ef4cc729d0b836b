"""Diversity is all you need: the states that a skill visits tell it from the other skills."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from agentic.collect.explorers.explorer import Explorer, Transitions, one_hot_skill
from agentic.methods.networks import MLP, Network, Optimized, Parameters, descend, optimized


@dataclass(frozen=True)
class DIAYN(Explorer):
    """The reward is how well a discriminator q infers the skill z from the state, beyond chance:

        r(s', z) = log q(z | s') - log p(z),   p uniform over 16 skills

    Eysenbach et al. 2018, arXiv 1802.06070, equation 3. As in URLB, 16 skills last 50 steps each.
    """

    skill_size: ClassVar[int] = 16
    skill_period: ClassVar[int | None] = 50

    @cached_property
    def network(self) -> Network:
        sizes = (self.observation_size, self.width, self.width, self.skill_size)
        return Network(lambda rngs: MLP(sizes, rngs))

    def init(self, generator: np.random.Generator) -> Optimized:
        return optimized(self.network.init(generator), self.learning_rate)

    def sample_skill(self, key: jax.Array) -> jax.Array:
        return one_hot_skill(key, self.skill_size)

    def intrinsic_reward(self, state: Optimized, transitions: Transitions) -> jax.Array:
        return self._log_q(state.parameters, transitions) + math.log(self.skill_size)

    def update(self, state: Optimized, transitions: Transitions, key: jax.Array):
        def loss(parameters: Parameters) -> jax.Array:
            return -self._log_q(parameters, transitions).mean()

        state, value = descend(state, self.learning_rate, loss)
        return state, {"discriminator_loss": value}

    def _log_q(self, parameters: Parameters, transitions: Transitions) -> jax.Array:
        """Return log q(z | s') of the skill that the policy followed: [B]."""
        logits = self.network(parameters, transitions.next_observations)
        return (jax.nn.log_softmax(logits) * jnp.asarray(transitions.skills)).sum(axis=-1)
