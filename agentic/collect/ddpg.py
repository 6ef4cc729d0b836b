"""DDPG, the one agent behind every explorer.

Lillicrap et al. 2015, arXiv 1509.02971, in URLB's form for states (Laskin et al. 2021, arXiv
2110.15191): the minimum of two critics, n-step returns, noise with a fixed standard deviation, no
target actor, a trunk of layer norm and tanh. Axes: B batch, I observation and skill together,
A action, Z skill.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from agentic.collect.config import DDPGConfig
from agentic.methods.networks import MLP, Network, Optimized, Parameters, descend, optimized


class Critic(nnx.Module):
    """Two estimates of an action's value on one trunk."""

    def __init__(self, inputs: int, width: int, outputs: int, rngs: nnx.Rngs):
        self.trunk = MLP((inputs, width), rngs, trunk=True)
        self.heads = nnx.List([MLP((width, width, outputs), rngs) for _ in range(2)])

    def __call__(self, inputs: jax.Array, actions: jax.Array, weights: jax.Array) -> jax.Array:
        """Return both estimates [2, B]: psi.weights, with weights [B, Z] or ones [B, 1]."""
        hidden = self.trunk(jnp.concatenate([inputs, actions], axis=-1))
        return jnp.stack([(head(hidden) * weights).sum(axis=-1) for head in self.heads])


class Batch(NamedTuple):
    """The data of one update.

    Inputs and next_inputs [B, I] lie n steps apart; returns [B] sum the n rewards between them.
    Actions are [B, A], skills [B, Z].
    """

    inputs: jax.Array
    actions: jax.Array
    returns: jax.Array
    next_inputs: jax.Array
    skills: jax.Array


class DDPGState(NamedTuple):
    """Actor, critic, and the critic's slow copy."""

    actor: Optimized
    critic: Optimized
    target: Parameters


@dataclass(frozen=True)
class DDPG:
    """Pure functions of a `DDPGState`.

    Attributes:
        config: its options.
        input_size: I, observation and skill together.
        action_size: A.
        features: Z if Q = psi(s, a, z).z (successor features; Barreto et al. 2017, arXiv
            1606.05312), or 0 if the critic estimates Q itself.
    """

    config: DDPGConfig
    input_size: int
    action_size: int
    features: int = 0

    @cached_property
    def actor(self) -> Network:
        """The policy without noise: [B, I] -> [B, A] before tanh."""
        width = self.config.width
        sizes = (self.input_size, width, width, self.action_size)
        return Network(lambda rngs: MLP(sizes, rngs, trunk=True))

    @cached_property
    def critic(self) -> Network:
        """The network that estimates the value of actions: `Critic`."""
        sizes = (self.input_size + self.action_size, self.config.width, max(self.features, 1))
        return Network(lambda rngs: Critic(*sizes, rngs))

    def init(self, generator: np.random.Generator) -> DDPGState:
        """Return the untrained agent."""
        actor, critic = self.actor.init(generator), self.critic.init(generator)
        rate = self.config.learning_rate
        target = jax.tree.map(jnp.copy, critic)
        return DDPGState(optimized(actor, rate), optimized(critic, rate), target)

    def act(self, actor: Parameters, inputs: jax.Array, key: jax.Array, clip: float | None = None):
        """Return tanh of the actor plus noise, in [-1, 1]: [B, I] -> [B, A].

        The gradient passes through the limits at -1 and 1, as in URLB.
        """
        action = jnp.tanh(self.actor(actor, inputs))
        noise = self.config.noise * jax.random.normal(key, action.shape)
        if clip is not None:
            noise = jnp.clip(noise, -clip, clip)
        noisy = action + noise
        return noisy + jax.lax.stop_gradient(jnp.clip(noisy, -1.0, 1.0) - noisy)

    def update(
        self, state: DDPGState, batch: Batch, key: jax.Array
    ) -> tuple[DDPGState, dict[str, jax.Array]]:
        """Return the agent after one step of critic, actor and target, and its losses."""
        config = self.config
        critic_key, actor_key = jax.random.split(key)
        weights = batch.skills if self.features else jnp.ones((len(batch.returns), 1))
        aim = self.critic_target(state, batch, weights, critic_key)

        def critic_loss(critic: Parameters) -> jax.Array:
            return (
                jnp.square(self.critic(critic, batch.inputs, batch.actions, weights) - aim)
                .mean(axis=-1)
                .sum()
            )

        critic, critic_value = descend(state.critic, config.learning_rate, critic_loss)

        def actor_loss(actor: Parameters) -> jax.Array:
            actions = self.act(actor, batch.inputs, actor_key, config.noise_clip)
            return -self.critic(critic.parameters, batch.inputs, actions, weights).min(0).mean()

        actor, actor_value = descend(state.actor, config.learning_rate, actor_loss)
        target = optax.incremental_update(critic.parameters, state.target, config.target_rate)
        losses = {"critic_loss": critic_value, "actor_loss": actor_value}
        return DDPGState(actor, critic, target), losses

    def critic_target(
        self, state: DDPGState, batch: Batch, weights: jax.Array, key: jax.Array
    ) -> jax.Array:
        """Return the critics' target: [B].

            sum_{k<n} g^k r_{t+k} + g^n min_i Q_i(s_{t+n}, pi(s_{t+n}) + clipped noise)

        There is no terminal term, because episodes end only at the time limit.
        """
        actor = state.actor.parameters
        actions = self.act(actor, batch.next_inputs, key, self.config.noise_clip)
        values = self.critic(state.target, batch.next_inputs, actions, weights).min(axis=0)
        return batch.returns + self.config.discount**self.config.n_step * values
