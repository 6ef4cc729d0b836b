"""Training a Transformer: its configuration, its state, and one jitted step."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, PartitionSpec

from agentic.errors import AgenticError, closest
from agentic.network.config import NetworkConfig
from agentic.network.parameters import Parameters, initialize
from agentic.network.stack import REMATS, Attention, Remat
from agentic.training.batch import Batch, Loss
from agentic.training.gradient import mean_gradient
from agentic.training.learner import SAME_RESULT, Course
from agentic.training.loss import device_sums
from agentic.training.mesh import state_sharding


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


def initial_state(network: NetworkConfig, config: TrainingConfig, mesh: Mesh) -> TrainState:
    """Return the state before the first step; every array is made in its shards."""

    def draw(key: jax.Array) -> TrainState:
        parameters = initialize(network, key)
        optimizer = make_optimizer(config).init(parameters)
        return TrainState(parameters, optimizer, jnp.zeros((), jnp.int32))

    key = jax.random.key(config.seed)
    return jax.jit(draw, out_shardings=state_sharding(mesh, jax.eval_shape(draw, key)))(key)


def state_like(network: NetworkConfig, config: TrainingConfig, mesh: Mesh) -> TrainState:
    """Return the shapes, types and places of a state's arrays, with no array made."""
    like = jax.eval_shape(lambda: initial_state(network, config, mesh))

    def placed(x: jax.ShapeDtypeStruct, place: jax.sharding.Sharding) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place)

    return jax.tree.map(placed, like, state_sharding(mesh, like))


def make_step(
    network: NetworkConfig,
    config: TrainingConfig,
    mesh: Mesh,
    attention: Attention | None = None,
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """Return the jitted training step, which takes over the buffers of the state it is given.

    Args:
        network, config: what is trained, and how.
        mesh: the devices; the state lies on them as `initial_state` makes it, and a batch as
            `agentic.training.mesh.place_batch` puts it.
        attention: what attends in the layers; by default what the dispatcher picks.
    """
    optimizer, sums = make_optimizer(config), device_sums(network, mesh, config.remat, attention)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        key = None
        if network.dropout:
            key = jax.random.fold_in(jax.random.key(config.seed), state.step)
        loss, slope = mean_gradient(sums, state.parameters, batch, key, mesh, config.accumulate)
        # optax counts steps in integers and relies on implicit promotion; our own code does not.
        with jax.numpy_dtype_promotion("standard"):
            updates, optimizer_state = optimizer.update(slope, state.optimizer, state.parameters)
        parameters = optax.apply_updates(state.parameters, updates)
        metrics = Metrics(loss, optax.tree.norm(slope))
        return TrainState(parameters, optimizer_state, state.step + 1), metrics

    places = jax.tree.map(lambda x: x.sharding, state_like(network, config, mesh))
    everywhere = jax.NamedSharding(mesh, PartitionSpec())
    return jax.jit(step, donate_argnums=0, out_shardings=(places, Metrics(everywhere, everywhere)))
