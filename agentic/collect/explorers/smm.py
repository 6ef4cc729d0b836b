"""State marginal matching: a mixture of skills should visit all states equally often."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from agentic.collect.explorers.explorer import Explorer, Transitions, one_hot_skill
from agentic.methods.networks import MLP, Network, Optimized, Parameters, descend, optimized


class Density(nnx.Module):
    """A variational autoencoder of states given a skill, with a unit-variance decoder."""

    def __init__(self, observation_size, skill_size, width, code, rngs):
        self.encoder = MLP((observation_size + skill_size, width, width, 2 * code), rngs)
        self.decoder = MLP((code + skill_size, width, width, observation_size), rngs)

    def bound(self, states, skills, noise, beta) -> jax.Array:
        """Return the evidence lower bound on log rho(s | z) without constants: [B].

        -1/2 |s - s_hat|^2 - beta KL(q(c | s, z) || N(0, 1)),   c = mean + deviation noise
        """
        joint = self.encoder(jnp.concatenate([states, skills], axis=-1))
        mean, log_variance = jnp.split(joint, 2, axis=-1)
        log_variance = jnp.clip(log_variance, -10.0, 10.0)
        code = mean + jnp.exp(log_variance / 2) * noise
        decoded = self.decoder(jnp.concatenate([code, skills], axis=-1))
        divergence = (jnp.square(mean) + jnp.exp(log_variance) - 1 - log_variance).sum(-1) / 2
        return -jnp.square(states - decoded).sum(axis=-1) / 2 - beta * divergence


class SMMState(NamedTuple):
    """The density model and the skill discriminator."""

    density: Optimized
    discriminator: Optimized


@dataclass(frozen=True)
class SMM(Explorer):
    """The reward is high in states that are rare under the skill and that reveal the skill:

        r(s', z) = -log rho(s' | z) + log q(z | s') - log p(z)

    Lee et al. 2019, arXiv 1906.05274 (the mixture of policies), for a uniform target p*(s), whose
    constant is dropped. The bound of a VAE, at the mean of its code, replaces log rho. As in URLB,
    beta = 0.5, there are four skills, one per episode, and the learning rates of discriminator and
    VAE are 10 and 100 times URLB's 1e-4 for the rest, because densities must follow the policy.
    (URLB adds the discriminator's loss, -log q, with the wrong sign; here the sign is the paper's.)
    """

    skill_size: ClassVar[int] = 4
    code: int = 16
    beta: float = 0.5
    density_rate: float = 1e-2
    discriminator_rate: float = 1e-3

    @cached_property
    def density(self) -> Network:
        sizes = (self.observation_size, self.skill_size, self.width, self.code)
        return Network(lambda rngs: Density(*sizes, rngs))

    @cached_property
    def discriminator(self) -> Network:
        hidden = (self.observation_size, self.width, self.width, self.skill_size)
        return Network(lambda rngs: MLP(hidden, rngs))

    def init(self, generator: np.random.Generator) -> SMMState:
        return SMMState(
            optimized(self.density.init(generator), self.density_rate),
            optimized(self.discriminator.init(generator), self.discriminator_rate),
        )

    def sample_skill(self, key: jax.Array) -> jax.Array:
        return one_hot_skill(key, self.skill_size)

    def intrinsic_reward(self, state: SMMState, transitions: Transitions) -> jax.Array:
        noise = jnp.zeros((len(transitions.skills), self.code))
        log_density = self._log_density(state.density.parameters, transitions, noise)
        log_q = self.log_q(state.discriminator.parameters, transitions)
        return -log_density + log_q + math.log(self.skill_size)

    def update(self, state: SMMState, transitions: Transitions, key: jax.Array):
        noise = jax.random.normal(key, (len(transitions.skills), self.code))
        density, density_loss = descend(
            state.density,
            self.density_rate,
            lambda parameters: -self._log_density(parameters, transitions, noise).mean(),
        )
        discriminator, discriminator_loss = descend(
            state.discriminator,
            self.discriminator_rate,
            lambda parameters: -self.log_q(parameters, transitions).mean(),
        )
        losses = {"density_loss": density_loss, "discriminator_loss": discriminator_loss}
        return SMMState(density, discriminator), losses

    def _log_density(self, parameters: Parameters, transitions: Transitions, noise: jax.Array):
        model = self.density.bind(parameters)
        return model.bound(transitions.next_observations, transitions.skills, noise, self.beta)

    def log_q(self, parameters: Parameters, transitions: Transitions) -> jax.Array:
        """Return the discriminator's log q(z | s') of the skill that the policy followed: [B]."""
        logits = self.discriminator(parameters, transitions.next_observations)
        return (jax.nn.log_softmax(logits) * transitions.skills).sum(axis=-1)
