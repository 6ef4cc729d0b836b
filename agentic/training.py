"""Training: configuration, loss, one jitted step, and the loop as a generator of metrics."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from agentic.errors import AgenticError, closest
from agentic.policy.config import PolicyConfig
from agentic.policy.inputs import Inputs, flatten
from agentic.policy.layers import Remat, run_layers
from agentic.policy.parameters import Parameters, initialize
from agentic.policy.transformer import AgenticTransformer
from agentic.trajectory import Chain, Window

Loss = Literal["all", "last"]
# Steps decoded at once: the default recipe's fit, chains of many whole trajectories do not.
DECODED = 16384


@dataclass(frozen=True)
class TrainingConfig:
    """How a policy is trained: AdamW, warm-up then cosine decay, clipping by global norm.

    Attributes:
        steps: optimiser steps.
        learning_rate: peak, reached after `warmup` steps, decaying to zero at the last step.
        warmup: steps of linear warm-up; at most a tenth of `steps` is used.
        weight_decay: decoupled, on weight matrices only.
        clip: largest global norm of the gradient.
        loss: mean squared error over the steps of "all" trajectories of a chain, or of the "last",
            its best.
        seed: draws the initial parameters and dropout; the sampler has its own.
        log_every: steps between logged metrics.
        checkpoint_every: steps between checkpoints; the last step always has one.
    """

    steps: int = 2500
    learning_rate: float = 2e-3
    warmup: int = 100
    weight_decay: float = 1e-4
    clip: float = 0.25
    loss: Loss = "last"
    seed: int = 0
    log_every: int = 20
    checkpoint_every: int = 500

    def __post_init__(self):
        for name in ("steps", "log_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise AgenticError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        for name in ("learning_rate", "clip"):
            if getattr(self, name) <= 0:
                raise AgenticError(f"{name} is {getattr(self, name)}; it must be positive.")
        if self.loss not in ("all", "last"):
            raise AgenticError(
                f"loss is {self.loss!r}; {closest(str(self.loss), ('all', 'last'))}."
            )


class TrainState(NamedTuple):
    """All that training carries from step to step; `step` counts the steps taken."""

    parameters: Parameters
    optimizer: Any
    step: jax.Array


class Metrics(NamedTuple):
    """Of one step, as scalars on the device."""

    loss: jax.Array
    gradient_norm: jax.Array


def chain_loss(
    config: PolicyConfig,
    parameters: Parameters,
    chain: Chain | Window,
    loss: Loss,
    key: jax.Array | None,
    remat: Remat = "block",
) -> jax.Array:
    """Return the mean squared error of the actions over the steps that count: a scalar float32.

    The mean is over existing steps and action components, so that padding neither carries loss
    nor changes its scale.
    """
    inputs = flatten(config, chain)
    network, latents = run_layers(config, parameters, inputs, key, remat)
    steps = latents, inputs.observations, inputs.actions, inputs.mask
    if loss == "last":
        # Decode only the trajectory that is learned from; the last present one is the best.
        mask = chain.mask
        last = jnp.maximum(mask.any(axis=-1).sum(axis=-1) - 1, 0)

        def pick(array: jax.Array) -> jax.Array:
            array = array.reshape(array.shape[0], mask.shape[1], -1, *array.shape[2:])
            index = last.reshape(-1, *(1,) * (array.ndim - 1))
            return jnp.take_along_axis(array, index, axis=1)[:, 0]

        steps = tuple(map(pick, steps))
    *decoded, mask = steps
    weight = mask.astype(jnp.float32)
    return squared_error(network, *decoded, weight) / jnp.maximum(jnp.sum(weight), 1.0)


def squared_error(
    network: AgenticTransformer,
    latents: jax.Array,
    observations: jax.Array,
    actions: jax.Array,
    weight: jax.Array,
) -> jax.Array:
    """Return the weighted sum over steps of the squared error's mean over action components.

    latents [B, N, W], observations [B, N, c, O], actions [B, N, c, A], weight [B, N, c]. Long
    sequences are decoded a block at a time and again in the backward pass, so that the head's
    insides exist for one block of steps.
    """

    def error(latents, observations, actions, weight) -> jax.Array:
        error = jnp.square(network.decode(latents, observations) - actions).mean(axis=-1)
        return jnp.sum(error * weight)

    steps = latents, observations, actions, weight
    count = -(-latents.shape[1] * weight.shape[-1] // DECODED)
    if count == 1:
        return error(*steps)
    rows = -(-latents.shape[1] // count)

    def cut(x: jax.Array) -> jax.Array:
        x = jnp.pad(x, [(0, 0), (0, count * rows - x.shape[1])] + [(0, 0)] * (x.ndim - 2))
        return x.reshape(x.shape[0], count, rows, *x.shape[2:]).swapaxes(0, 1)

    return jax.lax.map(jax.checkpoint(lambda part: error(*part)), tuple(map(cut, steps))).sum()


def loss_weight(inputs: Inputs, loss: Loss) -> jax.Array:
    """Return how much each step [B, N, c] of flat inputs counts: 1 or 0, float32.

    With loss "last" those of the last trajectory count that has any steps. Needs whole rows: on
    several devices it is computed before the inputs are split.
    """
    weight = inputs.mask.astype(jnp.float32)
    if loss == "all":
        return weight
    present = inputs.mask.any(axis=-1)
    index = jnp.broadcast_to(inputs.trajectory, present.shape)
    last = jnp.max(jnp.where(present, index, -1), axis=-1, keepdims=True)
    return weight * (index == last)[..., None].astype(jnp.float32)


def schedule(config: TrainingConfig) -> optax.Schedule:
    """Return the learning rate as a function of the step."""
    warmup = min(config.warmup, max(1, config.steps // 10))
    return optax.warmup_cosine_decay_schedule(
        0.0, config.learning_rate, warmup, max(config.steps, warmup + 1)
    )


def make_optimizer(config: TrainingConfig) -> optax.GradientTransformation:
    """Return clipping, then AdamW whose learning rate is the schedule."""

    def matrices(parameters: Parameters) -> Any:
        def decays(path: tuple, leaf: jax.Array) -> bool:
            return path[-1].key == "kernel"

        return jax.tree_util.tree_map_with_path(decays, parameters)

    return optax.chain(
        optax.clip_by_global_norm(config.clip),
        optax.adamw(schedule(config), weight_decay=config.weight_decay, mask=matrices),
    )


def initial_state(policy: PolicyConfig, config: TrainingConfig) -> TrainState:
    """Return the state before the first step."""
    parameters = initialize(policy, jax.random.key(config.seed))
    return TrainState(parameters, make_optimizer(config).init(parameters), jnp.zeros((), jnp.int32))


def make_step(
    policy: PolicyConfig, config: TrainingConfig
) -> Callable[[TrainState, Chain | Window], tuple[TrainState, Metrics]]:
    """Return the jitted training step; it takes over the buffers of the state it is given."""
    optimizer = make_optimizer(config)

    def step(state: TrainState, chain: Chain | Window) -> tuple[TrainState, Metrics]:
        key = None
        if policy.dropout:
            key = jax.random.fold_in(jax.random.key(config.seed), state.step)

        def objective(parameters: Parameters) -> jax.Array:
            return chain_loss(policy, parameters, chain, config.loss, key)

        loss, gradient = jax.value_and_grad(objective)(state.parameters)
        # optax counts steps in integers and relies on implicit promotion; our own code does not.
        with jax.numpy_dtype_promotion("standard"):
            updates, optimizer_state = optimizer.update(gradient, state.optimizer, state.parameters)
        parameters = optax.apply_updates(state.parameters, updates)
        metrics = Metrics(loss, optax.tree.norm(gradient))
        return TrainState(parameters, optimizer_state, state.step + 1), metrics

    return jax.jit(step, donate_argnums=0)


class NonFiniteLoss(AgenticError):
    """Raised when a loss or gradient stops being finite; carries the step."""


def fit(
    state: TrainState,
    step: Callable[[TrainState, Chain | Window], tuple[TrainState, Metrics]],
    sampler: Callable[[int], Chain | Window],
    config: TrainingConfig,
) -> Iterator[tuple[TrainState, dict[str, float]]]:
    """Train to `config.steps`, yielding the state and a metrics record at every logged step.

    A record holds step, loss (the mean since the last record), gradient_norm (the largest),
    learning_rate, seconds since the start and steps_per_second. A record comes at least at every
    `log_every`, every `checkpoint_every` and the last step, and only if all losses and gradients
    up to it are finite; else NonFiniteLoss is raised.
    """
    rate = schedule(config)
    first = done = int(state.step)
    start = last = time.perf_counter()
    pending: list[Metrics] = []
    logged = first
    while done < config.steps:
        state, metrics = step(state, sampler(done))
        pending.append(metrics)
        done += 1
        if done % config.log_every and done % config.checkpoint_every and done < config.steps:
            continue
        losses, norms = np.asarray(jax.device_get(pending), np.float64).T
        broken = ~(np.isfinite(losses) & np.isfinite(norms))
        if broken.any():
            at = logged + int(np.argmax(broken)) + 1
            raise NonFiniteLoss(
                f"the loss is {losses[np.argmax(broken)]} at step {at}; lower the learning rate "
                f"({config.learning_rate:g}) or look for outliers in the data."
            )
        now = time.perf_counter()
        yield (
            state,
            {
                "step": done,
                "loss": float(losses.mean()),
                "gradient_norm": float(norms.max()),
                "learning_rate": float(rate(done - 1)),
                "seconds": now - start,
                "steps_per_second": (done - logged) / max(now - last, 1e-9),
            },
        )
        last, logged, pending = now, done, []
