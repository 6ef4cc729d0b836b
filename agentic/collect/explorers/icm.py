"""Intrinsic curiosity: the agent cannot predict the features that its actions influence."""

from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from agentic.collect.explorers.explorer import Explorer, Transitions
from agentic.methods.networks import MLP, Network, Optimized, Parameters, descend, optimized


class Curiosity(nnx.Module):
    """Features phi, a forward model phi(s), a -> phi(s') and an inverse model phi, phi' -> a."""

    def __init__(self, observation_size, action_size, width, features, rngs):
        self.phi = MLP((observation_size, width, features), rngs, trunk=True)
        self.forward = MLP((features + action_size, width, features), rngs)
        self.inverse = MLP((2 * features, width, action_size), rngs)

    def features(self, observations: jax.Array) -> jax.Array:
        """Return phi: [B, O] -> [B, F]; it is bounded, so that no direction outgrows the others."""
        return jnp.tanh(self.phi(observations))

    def errors(self, transitions: Transitions) -> tuple[jax.Array, jax.Array]:
        """Return the squared errors of the forward and of the inverse model: [B] each."""
        before = self.features(transitions.observations)
        after = self.features(transitions.next_observations)
        foreseen = self.forward(jnp.concatenate([before, transitions.actions], axis=-1))
        action = jnp.tanh(self.inverse(jnp.concatenate([before, after], axis=-1)))
        return (
            jnp.square(foreseen - after).sum(axis=-1) / 2,
            jnp.square(action - transitions.actions).sum(axis=-1),
        )


@dataclass(frozen=True)
class ICM(Explorer):
    """The reward is the forward model's error in features that an inverse model learns:

        r(s, a, s') = 1/2 |phi_hat(s, a) - phi(s')|^2
        loss        = (1 - beta) |a_hat(s, s') - a|^2 + beta/2 |phi_hat(s, a) - phi(s')|^2

    Pathak et al. 2017, arXiv 1705.05363, equations 2 to 7, with its beta of 0.2. URLB predicts raw
    states, which the inverse model cannot influence, and takes log(1 + |error|). Here the features
    are the paper's, and the agent standardises the reward, so no logarithm is needed.
    """

    features: int = 64
    beta: float = 0.2

    @cached_property
    def network(self) -> Network:
        sizes = (self.observation_size, self.action_size, self.width, self.features)
        return Network(lambda rngs: Curiosity(*sizes, rngs))

    def init(self, generator: np.random.Generator) -> Optimized:
        return optimized(self.network.init(generator), self.learning_rate)

    def intrinsic_reward(self, state: Optimized, transitions: Transitions) -> jax.Array:
        return self.network.bind(state.parameters).errors(transitions)[0]

    def update(self, state: Optimized, transitions: Transitions, key: jax.Array):
        def loss(parameters: Parameters) -> jax.Array:
            forward, inverse = self.network.bind(parameters).errors(transitions)
            return (self.beta * forward + (1 - self.beta) * inverse).mean()

        state, value = descend(state, self.learning_rate, loss)
        return state, {"icm_loss": value}
