"""TD3 and TD3+BC: one algorithm, without and with a pull towards the data's actions.

Fujimoto et al. 2018, arXiv 1802.09477 (algorithm 1); Fujimoto & Gu 2021, arXiv 2106.06860. The
equations are functions of values and actions, whatever network gave them. Axes: B batch, O
observation, A action.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from agentic.methods.method import RunConfig
from agentic.methods.networks import (
    Actor,
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
class TD3Options(ValueOptions):
    """TD3 (Fujimoto et al. 2018, arXiv 1802.09477) with ExoRL's figures for learning offline.

    Raw observations, layer norm and tanh after each network's first layer, an actor that learns at
    every update, and the figures below are ExoRL's (Yarats et al. 2022, arXiv 2201.13425, and its
    public code); rates and widths are smaller than its 1e-4 and 1024, for CPUs. The target actor,
    an actor that climbs the first critic, and noise in the target alone are the TD3 paper's.

    Attributes:
        noise: standard deviation of the noise in the target's actions.
        noise_clip: largest such noise.
        actor_every: critic updates for each update of the actor and of the slow copies.
    """

    target_rate: float = 0.01
    noise: float = 0.2
    noise_clip: float = 0.3
    actor_every: int = 1

    trunk: ClassVar[bool] = True
    alpha: ClassVar[float | None] = None

    def __post_init__(self):
        super().__post_init__()
        self._at_least(1, "actor_every")
        self._at_least(0, "noise", "noise_clip")


@dataclass(frozen=True)
class TD3BCOptions(TD3Options):
    """TD3+BC (Fujimoto & Gu 2021, arXiv 2106.06860): TD3 whose actor also imitates the data.

    Figures of the paper's table 3: alpha 2.5, normalised observations, noise 0.2 clipped at 0.5,
    an actor update for every second of the critics, target rate 0.005.

    Attributes:
        alpha: weight of the value against imitation; 0 is behaviour cloning.
    """

    normalize: bool = True
    target_rate: float = ValueOptions.target_rate
    noise_clip: float = 0.5
    actor_every: int = 2
    alpha: float = 2.5

    trunk: ClassVar[bool] = False

    def __post_init__(self):
        super().__post_init__()
        self._at_least(0, "alpha")


def smoothed(actions: jax.Array, key: jax.Array, deviation: float, clip: float) -> jax.Array:
    """Return actions [..., A] with clipped Gaussian noise, within [-1, 1]."""
    noise = jnp.clip(deviation * jax.random.normal(key, actions.shape), -clip, clip)
    return jnp.clip(actions + noise, -1.0, 1.0)


def twin_target(rewards: jax.Array, discount: float, values: jax.Array) -> jax.Array:
    """Return what both critics aim at, r + discount min_i Q'_i(s', a'): [...].

    `values` [2, ...] are those of the slow critics. No terminal term: episodes end by the time
    limit alone.
    """
    return rewards + discount * values.min(axis=0)


def twin_error(values: jax.Array, target: jax.Array) -> jax.Array:
    """Return the critics' loss: the mean squared error of values [2, B], summed over the two."""
    return jnp.square(values - target).mean(axis=-1).sum()


def climbing(values: jax.Array) -> jax.Array:
    """Return TD3's loss of an actor whose actions have these values: - mean Q_1(s, pi(s))."""
    return -values.mean()


def climbing_by_size(values: jax.Array, weight: float) -> jax.Array:
    """Return TD3+BC's: - weight mean Q_1(s, pi(s)) / mean |Q_1(s, pi(s))|.

    The divisor carries no gradient. It makes `weight` one against an imitation's error, whatever
    the size of the values.
    """
    scale = jax.lax.stop_gradient(jnp.maximum(jnp.abs(values).mean(), 1e-8))
    return -(weight * values.mean() / scale)


class TD3State(NamedTuple):
    """Actor, critics, the slow copies of both, and the updates so far."""

    actor: Optimized
    critic: Optimized
    slow_actor: Parameters
    slow_critic: Parameters
    step: jax.Array


@dataclass(frozen=True)
class TD3:
    """Pure functions of a `TD3State`; the actor also imitates where the options have alpha."""

    config: RunConfig
    observation_size: int
    action_size: int

    @property
    def options(self) -> TD3Options:
        """The method's own."""
        return self.config.options

    @cached_property
    def actor(self) -> Network:
        """The policy: [B, O] -> [B, A]."""
        width = self.options.width
        sizes = (self.observation_size, width, width, self.action_size)
        return Network(lambda rngs: Actor(sizes, self.options.trunk, rngs))

    @cached_property
    def critic(self) -> Network:
        """The value of actions: `TwinCritic`."""
        width = self.options.width
        sizes = (self.observation_size + self.action_size, width, width, 1)
        return Network(lambda rngs: TwinCritic(sizes, self.options.trunk, rngs))

    def init(self) -> TD3State:
        """Return the state before the first update, drawn from the seed."""
        generator = np.random.default_rng(self.config.seed)
        actor, critic = self.actor.init(generator), self.critic.init(generator)
        rate = self.options.learning_rate
        slow = jax.tree.map(jnp.copy, (actor, critic))
        step = jnp.zeros((), jnp.int32)
        return TD3State(optimized(actor, rate), optimized(critic, rate), *slow, step)

    def update(self, state: TD3State, batch: Transitions) -> tuple[TD3State, dict[str, jax.Array]]:
        """Return the state after one update, and its metrics.

        An actor that waits has loss 0 and, when it learns, as many times its loss as critics
        learn: the mean over updates is its loss.
        """
        options = self.options
        target = self.target(state, batch)

        def critic_loss(critic: Parameters) -> jax.Array:
            return twin_error(self.critic(critic, batch.observations, batch.actions), target)

        critic, loss = descend(state.critic, options.learning_rate, critic_loss)
        state = state._replace(critic=critic, step=state.step + 1)
        metrics = {"critic_loss": loss, "target_value": target.mean()}
        if options.actor_every == 1:
            state, actor_loss = self._improve(state, batch)
        else:
            state, actor_loss = jax.lax.cond(
                state.step % options.actor_every == 0,
                lambda: self._improve(state, batch),
                lambda: (state, jnp.zeros(())),
            )
        return state, metrics | {"actor_loss": options.actor_every * actor_loss}

    def target(self, state: TD3State, batch: Transitions) -> jax.Array:
        """Return what both critics aim at: [B].

            r + discount min_i Q'_i(s', clip(pi'(s') + clip(noise)))

        with the slow copies Q' and pi'.
        """
        options = self.options
        key = jax.random.fold_in(jax.random.key(self.config.seed), state.step)
        actions = self.actor(state.slow_actor, batch.next_observations)
        actions = smoothed(actions, key, options.noise, options.noise_clip)
        values = self.critic(state.slow_critic, batch.next_observations, actions)
        return twin_target(batch.rewards, options.discount, values)

    def actor_loss(self, actor: Parameters, critic: Parameters, batch: Transitions) -> jax.Array:
        """Return what the actor descends: a scalar.

        TD3      - mean Q_1(s, pi(s))
        TD3+BC   - alpha mean Q_1(s, pi(s)) / mean |Q_1(s, pi(s))| + mean (pi(s) - a)^2
        """
        actions = self.actor(actor, batch.observations)
        values = self.critic.bind(critic).first(batch.observations, actions)
        if self.options.alpha is None:
            return climbing(values)
        imitation = jnp.square(actions - batch.actions).mean()
        return imitation + climbing_by_size(values, self.options.alpha)

    def _improve(self, state: TD3State, batch: Transitions) -> tuple[TD3State, jax.Array]:
        """Return the state after one step of the actor and of all slow copies, and its loss."""
        critic = state.critic.parameters
        actor, loss = descend(
            state.actor,
            self.options.learning_rate,
            lambda actor: self.actor_loss(actor, critic, batch),
        )
        slow_actor, slow_critic = optax.incremental_update(
            (actor.parameters, critic),
            (state.slow_actor, state.slow_critic),
            self.options.target_rate,
        )
        state = state._replace(actor=actor, slow_actor=slow_actor, slow_critic=slow_critic)
        return state, loss


METHODS = {
    "td3": ValueMethod("TD3", TD3Options, TD3),
    "td3_bc": ValueMethod("TD3+BC", TD3BCOptions, TD3),
}
