"""Implicit Q-learning: no action outside of the data is ever valued.

Kostrikov, Nair & Levine 2021, arXiv 2110.06169 (algorithm 1, in the order of its public code: the
state's value, the actor, the critics, their slow copy). Axes: B batch, O observation, A action.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from agentic.errors import AgenticError
from agentic.methods.method import RunConfig
from agentic.methods.networks import (
    MLP,
    GaussianActor,
    Network,
    Optimized,
    Parameters,
    TwinCritic,
    descend,
    optimized,
)
from agentic.methods.transitions import Transitions
from agentic.methods.value import ValueMethod, ValueOptions


@dataclass(frozen=True)
class IQLOptions(ValueOptions):
    """Implicit Q-learning (Kostrikov et al. 2021, arXiv 2110.06169): values of the data's actions.

    Figures of the paper for its locomotion tasks: expectile 0.7, temperature 3, weights clipped at
    100, target rate 0.005, a cosine schedule for the actor, rewards scaled.

    Attributes:
        expectile: a state's value is this expectile of its recorded actions' values: 0.5 is their
            mean, and towards 1 it becomes their maximum.
        temperature: inverse temperature of imitation: 0 imitates all actions alike, and the larger
            it is, the more it prefers those of high advantage.
        weight_clip: largest weight of an imitated action.
        scale_rewards: multiply rewards so that returns of the data span 1000.
    """

    expectile: float = 0.7
    temperature: float = 3.0
    weight_clip: float = 100.0
    scale_rewards: bool = True

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.expectile < 1:
            raise AgenticError(f"expectile is {self.expectile}; it must lie between 0 and 1.")
        self._at_least(0, "temperature")
        self._positive("weight_clip")


def expectile_loss(error: jax.Array, expectile: float) -> jax.Array:
    """Return |expectile - 1(u < 0)| u^2 of errors u = target - estimate (equation 5).

    The estimate that minimises its mean is that expectile of the targets; 0.5 gives their mean.
    """
    weight = jnp.where(error < 0, 1 - expectile, expectile)
    return weight * jnp.square(error)


class IQLState(NamedTuple):
    """Actor, critics, the state's value, the critics' slow copy, and the updates so far."""

    actor: Optimized
    critic: Optimized
    value: Optimized
    slow_critic: Parameters
    step: jax.Array


@dataclass(frozen=True)
class IQL:
    """Pure functions of an `IQLState`."""

    config: RunConfig
    observation_size: int
    action_size: int

    @property
    def options(self) -> IQLOptions:
        """The method's own."""
        return self.config.options

    @cached_property
    def actor(self) -> Network:
        """The policy, whose mean acts: [B, O] -> [B, A]."""
        width = self.options.width
        sizes = (self.observation_size, width, width, self.action_size)
        return Network(lambda rngs: GaussianActor(sizes, rngs))

    @cached_property
    def critic(self) -> Network:
        """The value of actions: `TwinCritic`."""
        width = self.options.width
        sizes = (self.observation_size + self.action_size, width, width, 1)
        return Network(lambda rngs: TwinCritic(sizes, False, rngs))

    @cached_property
    def value(self) -> Network:
        """The value of states: [B, O] -> [B, 1]."""
        width = self.options.width
        return Network(lambda rngs: MLP((self.observation_size, width, width, 1), rngs))

    @cached_property
    def actor_rate(self) -> optax.Schedule:
        """The actor's learning rate: a cosine from the critics' to zero at the last update."""
        return optax.cosine_decay_schedule(self.options.learning_rate, self.config.steps)

    def init(self) -> IQLState:
        """Return the state before the first update, drawn from the seed."""
        generator = np.random.default_rng(self.config.seed)
        rate = self.options.learning_rate
        actor, critic, value = (
            network.init(generator) for network in (self.actor, self.critic, self.value)
        )
        slow = jax.tree.map(jnp.copy, critic)
        return IQLState(
            optimized(actor, self.actor_rate), optimized(critic, rate), optimized(value, rate),
            slow, jnp.zeros((), jnp.int32),
        )  # fmt: skip

    def update(self, state: IQLState, batch: Transitions) -> tuple[IQLState, dict[str, jax.Array]]:
        """Return the state after one update, and its metrics."""
        options = self.options
        recorded = self.critic(state.slow_critic, batch.observations, batch.actions).min(axis=0)

        def value_loss(value: Parameters) -> jax.Array:
            estimate = self.value(value, batch.observations)[:, 0]
            return expectile_loss(recorded - estimate, options.expectile).mean()

        value, lost_value = descend(state.value, options.learning_rate, value_loss)
        advantages = recorded - self.value(value.parameters, batch.observations)[:, 0]
        weights = self.weights(advantages)

        def actor_loss(actor: Parameters) -> jax.Array:
            policy = self.actor.bind(actor)
            return -(weights * policy.log_density(batch.observations, batch.actions)).mean()

        actor, lost_actor = descend(state.actor, self.actor_rate, actor_loss)
        following = self.value(value.parameters, batch.next_observations)[:, 0]
        aim = batch.rewards + options.discount * following

        def critic_loss(critic: Parameters) -> jax.Array:
            values = self.critic(critic, batch.observations, batch.actions)
            return jnp.square(values - aim).mean(axis=-1).sum()

        critic, lost_critic = descend(state.critic, options.learning_rate, critic_loss)
        slow = optax.incremental_update(critic.parameters, state.slow_critic, options.target_rate)
        metrics = {
            "critic_loss": lost_critic, "target_value": aim.mean(), "actor_loss": lost_actor,
            "value_loss": lost_value, "weight": weights.mean(),
        }  # fmt: skip
        return IQLState(actor, critic, value, slow, state.step + 1), metrics

    def weights(self, advantages: jax.Array) -> jax.Array:
        """Return how much each recorded action is imitated (equation 7): [B].

        min(exp(temperature (min_i Q'_i(s, a) - V(s))), weight_clip)
        """
        return jnp.minimum(jnp.exp(self.options.temperature * advantages), self.options.weight_clip)


METHODS = {"iql": ValueMethod("IQL", IQLOptions, IQL)}
