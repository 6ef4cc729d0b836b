"""The loss: squared errors of actions, summed over the steps that count.

Axis letters as in `agentic.training.batch`; W width.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from agentic.network.config import NetworkConfig
from agentic.network.parameters import LAYERS, Parameters, bind, initialize
from agentic.network.stack import Attention, Remat
from agentic.network.transformer import AgenticTransformer
from agentic.training.batch import Batch
from agentic.training.gradient import ErrorSums, gather
from agentic.training.mesh import FSDP, SEQUENCE, parameter_specs

# Steps decoded at once: the default recipe's fit, chains of many whole trajectories do not.
STEPS_AT_ONCE = 16384


def error_sums(
    network: AgenticTransformer, batch: Batch, key: jax.Array | None = None, **how: Any
) -> tuple[jax.Array, jax.Array]:
    """Return the sum of squared errors over the steps that count, and how many these are.

    Args:
        network: the network, with its layers stacked.
        batch: chunks, all of them or one device's.
        key: turns dropout on.
        how: how the layers are computed, as in `AgenticTransformer.__call__`.

    Returns:
        Two float32 scalars. Errors are means over action components; the loss is the one sum over
        the other, so that padding neither carries loss nor changes its scale.
    """
    latents = network(batch.inputs, key, **how)
    if batch.decoded is not None:
        latents = jnp.take_along_axis(latents, batch.decoded[..., None], axis=1)
    error = squared_error(network, latents, batch.observations, batch.actions, batch.weight)
    return error, jnp.sum(batch.weight)


def squared_error(
    network: AgenticTransformer,
    latents: jax.Array,
    observations: jax.Array,
    actions: jax.Array,
    weight: jax.Array,
    at_once: int = STEPS_AT_ONCE,
) -> jax.Array:
    """Return the weighted sum over steps of the squared error's mean over action components.

    latents [B, M, W], observations [B, M, c, O], actions [B, M, c, A], weight [B, M, c]. More steps
    of a row than `at_once` are decoded a block at a time and again in the backward pass, so that
    the head's insides exist for one block of steps.
    """

    def error(latents, observations, actions, weight) -> jax.Array:
        error = jnp.square(network.decode(latents, observations) - actions).mean(axis=-1)
        return jnp.sum(error * weight)

    steps = latents, observations, actions, weight
    count = -(-latents.shape[1] * weight.shape[-1] // at_once)
    if count == 1:
        return error(*steps)
    rows = -(-latents.shape[1] // count)

    def cut(x: jax.Array) -> jax.Array:
        x = jnp.pad(x, [(0, 0), (0, count * rows - x.shape[1])] + [(0, 0)] * (x.ndim - 2))
        return x.reshape(x.shape[0], count, rows, *x.shape[2:]).swapaxes(0, 1)

    return jax.lax.map(jax.checkpoint(lambda part: error(*part)), tuple(map(cut, steps))).sum()


def device_sums(
    config: NetworkConfig, mesh: Mesh, remat: Remat = "block", attention: Attention | None = None
) -> ErrorSums:
    """Return `error_sums` of what one device of the mesh holds, for `mean_gradient`.

    Every device holds its shards of the parameters. All but the layers is made whole for the step;
    a layer is made whole where it is used.
    """
    specs = parameter_specs(mesh, jax.eval_shape(partial(initialize, config), jax.random.key(0)))
    sequence = SEQUENCE if mesh.shape[SEQUENCE] > 1 else None
    how = {"remat": remat, "attention": attention, "sequence": sequence}
    if mesh.shape[FSDP] > 1:
        cut = jax.tree.map(lambda spec: PartitionSpec(*spec[1:]), specs[LAYERS])
        layer = bind(config, specs | {LAYERS: cut}).blocks
        how["gather"] = lambda shares: gather(shares, layer)

    def sums(shares: Parameters, batch: Batch, key: jax.Array | None):
        around = {name: gather(own, specs[name]) for name, own in shares.items() if name != LAYERS}
        return error_sums(bind(config, shares | around), batch, key, **how)

    return sums
