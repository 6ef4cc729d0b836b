"""TD3 and TD3+BC: one algorithm, without and with a pull towards the data's actions.

Fujimoto et al. 2018, arXiv 1802.09477 (algorithm 1); Fujimoto & Gu 2021, arXiv 2106.06860. Axes: B
batch, O observation, A action.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from agentic.methods.networks import (
    Actor,
    Learner,
    Network,
    Parameters,
    TwinCritic,
    descend,
    learner,
)
from agentic.methods.options import TD3Config
from agentic.methods.transitions import Batch


class TD3State(NamedTuple):
    """Actor, critics, the slow copies of both, and the updates so far."""

    actor: Learner
    critic: Learner
    slow_actor: Parameters
    slow_critic: Parameters
    step: jax.Array


@dataclass(frozen=True)
class TD3:
    """Pure functions of a `TD3State`; the actor also imitates where the configuration has alpha."""

    config: TD3Config
    observation_size: int
    action_size: int

    @cached_property
    def actor(self) -> Network:
        """The policy: [B, O] -> [B, A]."""
        width = self.config.width
        sizes = (self.observation_size, width, width, self.action_size)
        return Network(lambda rngs: Actor(sizes, self.config.trunk, rngs))

    @cached_property
    def critic(self) -> Network:
        """The value of actions: `TwinCritic`."""
        width = self.config.width
        sizes = (self.observation_size + self.action_size, width, width, 1)
        return Network(lambda rngs: TwinCritic(sizes, self.config.trunk, rngs))

    def init(self) -> TD3State:
        """Return the state before the first update, drawn from the seed."""
        generator = np.random.default_rng(self.config.seed)
        actor, critic = self.actor.init(generator), self.critic.init(generator)
        rate = self.config.learning_rate
        slow = jax.tree.map(jnp.copy, (actor, critic))
        step = jnp.zeros((), jnp.int32)
        return TD3State(learner(actor, rate), learner(critic, rate), *slow, step)

    def update(self, state: TD3State, batch: Batch) -> tuple[TD3State, dict[str, jax.Array]]:
        """Return the state after one update, and its metrics.

        An actor that waits has loss 0 and, when it learns, as many times its loss as critics
        learn: the mean over updates is its loss.
        """
        config = self.config
        aim = self.target(state, batch)

        def critic_loss(critic: Parameters) -> jax.Array:
            values = self.critic(critic, batch.observations, batch.actions)
            return jnp.square(values - aim).mean(axis=-1).sum()

        critic, loss = descend(state.critic, config.learning_rate, critic_loss)
        state = state._replace(critic=critic, step=state.step + 1)
        metrics = {"critic_loss": loss, "target_value": aim.mean()}
        if config.actor_every == 1:
            state, actor_loss = self._improve(state, batch)
        else:
            state, actor_loss = jax.lax.cond(
                state.step % config.actor_every == 0,
                lambda: self._improve(state, batch),
                lambda: (state, jnp.zeros(())),
            )
        return state, metrics | {"actor_loss": config.actor_every * actor_loss}

    def target(self, state: TD3State, batch: Batch) -> jax.Array:
        """Return what both critics aim at: [B].

            r + discount min_i Q'_i(s', clip(pi'(s') + clip(noise)))

        with the slow copies Q' and pi'. No terminal term: episodes end by the time limit alone.
        """
        config = self.config
        key = jax.random.fold_in(jax.random.key(config.seed), state.step)
        noise = config.noise * jax.random.normal(key, batch.actions.shape)
        noise = jnp.clip(noise, -config.noise_clip, config.noise_clip)
        actions = self.actor(state.slow_actor, batch.next_observations) + noise
        actions = jnp.clip(actions, -1.0, 1.0)
        values = self.critic(state.slow_critic, batch.next_observations, actions)
        return batch.rewards + config.discount * values.min(axis=0)

    def actor_loss(self, actor: Parameters, critic: Parameters, batch: Batch) -> jax.Array:
        """Return what the actor descends: a scalar.

        TD3      - mean Q_1(s, pi(s))
        TD3+BC   - alpha mean Q_1(s, pi(s)) / mean |Q_1(s, pi(s))| + mean (pi(s) - a)^2
        """
        actions = self.actor(actor, batch.observations)
        values = self.critic.bind(critic).first(batch.observations, actions)
        if self.config.alpha is None:
            return -values.mean()
        scale = jax.lax.stop_gradient(jnp.maximum(jnp.abs(values).mean(), 1e-8))
        imitation = jnp.square(actions - batch.actions).mean()
        return imitation - self.config.alpha * values.mean() / scale

    def _improve(self, state: TD3State, batch: Batch) -> tuple[TD3State, jax.Array]:
        """Return the state after one step of the actor and of all slow copies, and its loss."""
        critic = state.critic.parameters
        actor, loss = descend(
            state.actor,
            self.config.learning_rate,
            lambda actor: self.actor_loss(actor, critic, batch),
        )
        slow_actor, slow_critic = optax.incremental_update(
            (actor.parameters, critic),
            (state.slow_actor, state.slow_critic),
            self.config.target_rate,
        )
        state = state._replace(actor=actor, slow_actor=slow_actor, slow_critic=slow_critic)
        return state, loss
