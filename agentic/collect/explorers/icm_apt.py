"""Active pre-training on ICM's features: go where few other states are near."""

from dataclasses import dataclass

import jax

from agentic.collect.entropy import particle_entropy
from agentic.collect.explorers.explorer import Transitions
from agentic.collect.explorers.icm import ICM
from agentic.methods.networks import Optimized


@dataclass(frozen=True)
class ICMAPT(ICM):
    """The reward is the particle entropy of the next states, in features phi that ICM learns:

        r(s') = log(1 + (1/k) sum_j |phi(s') - phi(s'_j)|),  j over k neighbours in the batch

    The reward is that of Liu & Abbeel 2021, arXiv 2103.04551, with c = 1. URLB (arXiv 2110.15191)
    chose ICM instead of contrastive learning for phi, k = 12 and the mean over neighbours. URLB
    divides distances by their running mean; here the agent standardises the reward.
    """

    neighbours: int = 12

    def intrinsic_reward(self, state: Optimized, transitions: Transitions) -> jax.Array:
        phi = self.network.bind(state.parameters).features(transitions.next_observations)
        return particle_entropy(phi, self.neighbours)
