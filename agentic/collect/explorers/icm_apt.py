"""Active pre-training on curiosity's features: be where few states of the past are near."""

from dataclasses import dataclass

import jax

from agentic.collect.entropy import particle_entropy
from agentic.collect.explorers.explorer import Transitions
from agentic.collect.explorers.icm import ICM
from agentic.methods.networks import Learner


@dataclass(frozen=True)
class ICMAPT(ICM):
    """Reward is the particle entropy of the states reached, in features phi that ICM learns:

        r(s') = log(1 + (1/k) sum_j |phi(s') - phi(s'_j)|),  j over k neighbours in the batch

    Liu & Abbeel 2021, arXiv 2103.04551 (the reward, with c = 1); learning phi with ICM instead of
    contrasts is URLB's choice (arXiv 2110.15191), as are k = 12 and the mean over neighbours. URLB
    divides distances by their running mean; here the agent standardises the reward.
    """

    neighbours: int = 12

    def intrinsic_reward(self, state: Learner, transitions: Transitions) -> jax.Array:
        phi = self.network.bind(state.parameters).features(transitions.next_observations)
        return particle_entropy(phi, self.neighbours)
