"""Training a Transformer: configuration, loss, and one jitted step."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, PartitionSpec

from agentic.errors import AgenticError, closest
from agentic.network.config import NetworkConfig
from agentic.network.stack import REMATS, Parameters, Remat, initialize, run_layers
from agentic.network.tokens import Inputs, flatten
from agentic.network.transformer import AgenticTransformer
from agentic.training.gradient import Gradient, mean_gradient
from agentic.training.learner import SAME_RESULT, Course
from agentic.training.mesh import state_sharding
from agentic.trajectory import Chain, Window

Loss = Literal["all", "last"]
# Steps decoded at once: the default recipe's fit, chains of many whole trajectories do not.
DECODED = 16384


@dataclass(frozen=True)
class TrainingOptions:
    """How a Transformer is trained: AdamW, warm-up then cosine decay, clipping by global norm.

    Attributes:
        learning_rate: AdamW's peak, reached after `warmup` steps, decaying to zero at the last.
        warmup: steps of linear warm-up; at most a tenth of all is used.
        weight_decay: decoupled, on weight matrices only.
        clip: largest global norm of the gradient.
        loss: mean squared error over the steps of "all" trajectories of a chain, or of the "last",
            its best.
        accumulate: parts that a batch is cut into, one after another, to save memory; the step is
            that of the whole batch.
        remat: what the backward pass keeps and what it computes again, to the same result: "none"
            keeps all, "block" all but the feed-forward network's insides, "attention" the layers'
            inputs and attention's output, "layer" the layers' inputs, "offload" those in the
            host's memory.
    """

    learning_rate: float = 2e-3
    warmup: int = 100
    weight_decay: float = 1e-4
    clip: float = 0.25
    loss: Loss = "last"
    accumulate: int = field(default=1, metadata=SAME_RESULT)
    remat: Remat = field(default="block", metadata=SAME_RESULT)

    def __post_init__(self):
        if self.accumulate < 1:
            raise AgenticError(f"accumulate is {self.accumulate}; it must be at least 1.")
        for name in ("learning_rate", "clip"):
            if getattr(self, name) <= 0:
                raise AgenticError(f"{name} is {getattr(self, name)}; it must be positive.")
        if self.loss not in ("all", "last"):
            raise AgenticError(
                f"loss is {self.loss!r}; {closest(str(self.loss), ('all', 'last'))}."
            )
        if self.remat not in REMATS:
            raise AgenticError(f"remat is {self.remat!r}; {closest(str(self.remat), REMATS)}.")


@dataclass(frozen=True)
class TrainingConfig(Course, TrainingOptions):
    """How one Transformer is trained.

    Attributes:
        seed: draws the initial parameters and dropout; the sampler has its own.
    """

    seed: int = 0

    def __post_init__(self):
        Course.__post_init__(self)
        TrainingOptions.__post_init__(self)


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
    config: NetworkConfig,
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
    total, weight = chain_error(config, parameters, chain, loss, key, remat)
    return total / jnp.maximum(weight, 1.0)


def chain_error(
    config: NetworkConfig,
    parameters: Parameters,
    chain: Chain | Window,
    loss: Loss,
    key: jax.Array | None,
    remat: Remat = "block",
) -> tuple[jax.Array, jax.Array]:
    """Return the sum of squared errors over the steps that count, and how many these are.

    Errors are means over action components; `chain_loss` is the one over the other.
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
    return squared_error(network, *decoded, weight), jnp.sum(weight)


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


def initial_state(
    policy: NetworkConfig, config: TrainingConfig, mesh: Mesh | None = None
) -> TrainState:
    """Return the state before the first step; on a mesh every array is made in its shards."""

    def draw(key: jax.Array) -> TrainState:
        parameters = initialize(policy, key)
        optimizer = make_optimizer(config).init(parameters)
        return TrainState(parameters, optimizer, jnp.zeros((), jnp.int32))

    key = jax.random.key(config.seed)
    if mesh is None:
        return draw(key)
    return jax.jit(draw, out_shardings=state_sharding(mesh, jax.eval_shape(draw, key)))(key)


def state_like(
    policy: NetworkConfig, config: TrainingConfig, mesh: Mesh | None = None
) -> TrainState:
    """Return the shapes, types and places of a state's arrays, with no array made."""
    like = jax.eval_shape(lambda: initial_state(policy, config))
    if mesh is None:
        place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        places = jax.tree.map(lambda _: place, like)
    else:
        places = state_sharding(mesh, like)

    def placed(x: jax.ShapeDtypeStruct, place: jax.sharding.Sharding) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place)

    return jax.tree.map(placed, like, places)


def make_step(
    policy: NetworkConfig,
    config: TrainingConfig,
    gradient: Gradient | None = None,
    mesh: Mesh | None = None,
) -> Callable[[TrainState, Any], tuple[TrainState, Metrics]]:
    """Return the jitted training step; it takes over the buffers of the state it is given.

    By default a batch is a Chain or Window on one device. With `gradient` it is what that takes
    (`agentic.training.sharded`), and the state lies on the mesh as `initial_state` makes it.
    """
    optimizer, gradient = make_optimizer(config), gradient or _chain_gradient(policy, config)

    def step(state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
        key = None
        if policy.dropout:
            key = jax.random.fold_in(jax.random.key(config.seed), state.step)
        loss, slope = gradient(state.parameters, batch, key)
        # optax counts steps in integers and relies on implicit promotion; our own code does not.
        with jax.numpy_dtype_promotion("standard"):
            updates, optimizer_state = optimizer.update(slope, state.optimizer, state.parameters)
        parameters = optax.apply_updates(state.parameters, updates)
        metrics = Metrics(loss, optax.tree.norm(slope))
        return TrainState(parameters, optimizer_state, state.step + 1), metrics

    if mesh is None:
        return jax.jit(step, donate_argnums=0)
    places = jax.tree.map(lambda x: x.sharding, state_like(policy, config, mesh))
    everywhere = jax.NamedSharding(mesh, PartitionSpec())
    return jax.jit(step, donate_argnums=0, out_shardings=(places, Metrics(everywhere, everywhere)))


def _chain_gradient(policy: NetworkConfig, config: TrainingConfig) -> Gradient:
    """Return the loss and its gradient for chains on one device."""

    def error(parameters: Parameters, chain: Chain | Window, key: jax.Array | None):
        return chain_error(policy, parameters, chain, config.loss, key, config.remat)

    def whole(parameters: Parameters, chain: Chain | Window, key: jax.Array | None):
        def objective(parameters: Parameters) -> jax.Array:
            return chain_loss(policy, parameters, chain, config.loss, key, config.remat)

        return jax.value_and_grad(objective)(parameters)

    if config.accumulate == 1:
        return whole
    return partial(mean_gradient, error, config.accumulate)
