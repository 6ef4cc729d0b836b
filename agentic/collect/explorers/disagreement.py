"""Disagreement: several models of the world, trained alike, do not agree yet."""

from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from agentic.collect.explorers.explorer import Explorer, Transitions
from agentic.methods.networks import MLP, Network, Optimized, Parameters, descend, optimized


@dataclass(frozen=True)
class Disagreement(Explorer):
    """The reward is the variance of an ensemble of forward models, averaged over the observation:

        r(s, a) = mean_O Var_m f_m(s, a)

    Pathak et al. 2019, arXiv 1906.04161, equation 1. Unpredictable noise earns nothing, because
    models with a squared error all learn the same mean. As in URLB there are five models, which
    differ in their initial weights. URLB minimises the error's norm; the paper and this code
    minimise its square.
    """

    models: int = 5

    @cached_property
    def network(self) -> Network:
        sizes = (self.observation_size + self.action_size, self.width, self.observation_size)
        return Network(lambda rngs: MLP(sizes, rngs))

    def init(self, generator: np.random.Generator) -> Optimized:
        models = [self.network.init(generator) for _ in range(self.models)]
        ensemble = jax.tree.map(lambda *leaves: jnp.stack(leaves), *models)
        return optimized(ensemble, self.learning_rate)

    def intrinsic_reward(self, state: Optimized, transitions: Transitions) -> jax.Array:
        return self._predictions(state.parameters, transitions).var(axis=0, ddof=1).mean(axis=-1)

    def update(self, state: Optimized, transitions: Transitions, key: jax.Array):
        def loss(ensemble: Parameters) -> jax.Array:
            gap = self._predictions(ensemble, transitions) - transitions.next_observations
            # A sum over models, so that each has the gradient that it would have alone.
            return jnp.square(gap).mean(axis=(1, 2)).sum()

        state, value = descend(state, self.learning_rate, loss)
        return state, {"disagreement_loss": value / self.models}

    def _predictions(self, ensemble: Parameters, transitions: Transitions) -> jax.Array:
        """Return the next observation that each model predicts: [M, B, O]."""
        inputs = jnp.concatenate([transitions.observations, transitions.actions], axis=-1)
        return jax.vmap(self.network, in_axes=(0, None))(ensemble, inputs)
