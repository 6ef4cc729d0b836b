"""Random network distillation: a state is new if a network cannot imitate another one on it yet."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agentic.collect.explorers.explorer import Explorer, Transitions
from agentic.methods.networks import MLP, Network, Optimized, Parameters, descend, optimized


class RNDState(NamedTuple):
    """The predictor that learns and the random target that does not."""

    predictor: Optimized
    target: Parameters


@dataclass(frozen=True)
class RND(Explorer):
    """The reward is the error of a predictor of a frozen random network:

        r(s') = mean_F (f_hat(s') - f(s'))^2

    Burda et al. 2018, arXiv 1810.12894, section 2.2. Section 2.4 normalises and clips observations
    and divides the reward by a running standard deviation; the agent does both for every explorer.
    Both networks have two hidden layers, as in URLB; URLB has 512 features.
    """

    features: int = 64

    @cached_property
    def network(self) -> Network:
        sizes = (self.observation_size, self.width, self.width, self.features)
        return Network(lambda rngs: MLP(sizes, rngs))

    def init(self, generator: np.random.Generator) -> RNDState:
        predictor = optimized(self.network.init(generator), self.learning_rate)
        return RNDState(predictor, target=self.network.init(generator))

    def intrinsic_reward(self, state: RNDState, transitions: Transitions) -> jax.Array:
        return self._error(state.predictor.parameters, state.target, transitions)

    def update(self, state: RNDState, transitions: Transitions, key: jax.Array):
        predictor, loss = descend(
            state.predictor,
            self.learning_rate,
            lambda parameters: self._error(parameters, state.target, transitions).mean(),
        )
        return state._replace(predictor=predictor), {"rnd_loss": loss}

    def _error(self, predictor: Parameters, target: Parameters, transitions: Transitions):
        seen = transitions.next_observations
        gap = self.network(predictor, seen) - self.network(target, seen)
        return jnp.square(gap).mean(axis=-1)
