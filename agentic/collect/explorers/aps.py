"""Active pre-training with successor features: explore, and learn skills, in one feature space."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import jax
import numpy as np

from agentic.collect.entropy import particle_entropy
from agentic.collect.explorers.explorer import Explorer, Transitions
from agentic.methods.networks import MLP, Network, Optimized, Parameters, descend, optimized, unit


@dataclass(frozen=True)
class APS(Explorer):
    """The reward is that of a task whose weights are the skill w, plus a particle entropy:

        r(s', w) = f . w + log(1 + (1/k) sum_j |f - f_j|),   f = phi(s')/|phi(s')|
        loss     = -mean f . w

    Liu & Abbeel 2021, arXiv 2108.13956 (exploitation plus exploration): the first term is the von
    Mises-Fisher log-likelihood of w, the second APT's. The critic's last layer is psi(s, a, w), and
    Q = psi . w is fitted to the return of the whole reward. As in URLB, skills have ten dimensions,
    are uniform on the sphere and last 5 steps, and k = 12. URLB measures distances between phi and
    divides them by their running mean; here features of unit length keep both terms comparable.
    """

    skill_size: ClassVar[int] = 10
    skill_period: ClassVar[int | None] = 5
    successor_features: ClassVar[bool] = True
    neighbours: int = 12

    @cached_property
    def network(self) -> Network:
        sizes = (self.observation_size, self.width, self.width, self.skill_size)
        return Network(lambda rngs: MLP(sizes, rngs))

    def init(self, generator: np.random.Generator) -> Optimized:
        return optimized(self.network.init(generator), self.learning_rate)

    def sample_skill(self, key: jax.Array) -> jax.Array:
        return unit(jax.random.normal(key, (self.skill_size,)))

    def intrinsic_reward(self, state: Optimized, transitions: Transitions) -> jax.Array:
        return sum(self.reward_terms(state, transitions))

    def reward_terms(
        self, state: Optimized, transitions: Transitions
    ) -> tuple[jax.Array, jax.Array]:
        """Return the two terms of the reward, task and entropy: [B] each."""
        features = unit(self.network(state.parameters, transitions.next_observations))
        task = (features * transitions.skills).sum(-1)
        return task, particle_entropy(features, self.neighbours)

    def update(self, state: Optimized, transitions: Transitions, key: jax.Array):
        def loss(parameters: Parameters) -> jax.Array:
            phi = self.network(parameters, transitions.next_observations)
            return -(unit(phi) * transitions.skills).sum(axis=-1).mean()

        state, value = descend(state, self.learning_rate, loss)
        return state, {"aps_loss": value}
