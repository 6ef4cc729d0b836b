"""Training on a mesh: chains dealt to devices, and the step that the devices take together.

    host      Chain [B, n, T, ...] --flatten, weigh, pad, permute--> Share [B, N, ...]
    devices   B over (data, fsdp), N over sequence; parameters and optimiser state over fsdp

Chunks are permuted once, on the host, so that each device of the axis `sequence` gets an early and
a late piece of every row: what is causal to do is then the same for all (`zigzag`).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from agentic.attention import zigzag
from agentic.network.config import NetworkConfig
from agentic.network.stack import Parameters, Remat, run_layers
from agentic.network.tokens import Inputs, flatten
from agentic.training.gradient import gather, mesh_gradient
from agentic.training.loop import (
    Loss,
    Metrics,
    TrainingConfig,
    TrainState,
    loss_weight,
    make_step,
    squared_error,
)
from agentic.training.mesh import FSDP, LAYERS, ROWS, SEQUENCE, parameter_specs, place_batch
from agentic.trajectory import Chain, Window

SHARE_SPEC = PartitionSpec(ROWS, SEQUENCE)


class Share(NamedTuple):
    """A batch laid flat: inputs [B, N, ...], and how much each step counts, weight [B, N, c]."""

    inputs: Inputs
    weight: jax.Array


def deal(config: NetworkConfig, loss: Loss, mesh: Mesh) -> Callable[[Chain | Window], Share]:
    """Return what makes host arrays in the order of the mesh of a batch on the host.

    Rows are filled up with absent chunks until every device gets as many.
    """
    devices = mesh.shape[SEQUENCE]
    # Arrays go to their devices one by one afterwards; here they would only be in the way.
    host = _host()

    @jax.jit
    def flat(chain: Chain | Window) -> Share:
        inputs = flatten(config, chain)
        share = Share(inputs, loss_weight(inputs, loss))
        rows, count = inputs.mask.shape[:2]
        whole = -(-count // (2 * devices)) * 2 * devices
        order = zigzag(devices, whole)

        def put(x: jax.Array, absent: int = 0) -> jax.Array:
            x = jnp.broadcast_to(x, (rows, *x.shape[1:]))
            padding = [(0, 0), (0, whole - count)] + [(0, 0)] * (x.ndim - 2)
            return jnp.pad(x, padding, constant_values=absent)[:, order]

        place = put(share.inputs.place, -1)
        share = jax.tree.map(put, share)
        return share._replace(inputs=share.inputs._replace(place=place))

    def dealt(chain: Chain | Window) -> Share:
        return jax.device_get(flat(jax.device_put(chain, host)))

    return dealt


def _host() -> jax.Device:
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS leaves it out
        return jax.local_devices()[0]


def place_share(share: Share, mesh: Mesh) -> Share:
    """Return this process's share as part of a global batch on the mesh."""
    return place_batch(share, SHARE_SPEC, mesh)


def make_mesh_step(
    policy: NetworkConfig, config: TrainingConfig, mesh: Mesh
) -> Callable[[TrainState, Share], tuple[TrainState, Metrics]]:
    """Return the jitted training step of a mesh, for batches as `place_share` returns them."""
    sequence = SEQUENCE if mesh.shape[SEQUENCE] > 1 else None

    def gradient(parameters: Parameters, share: Share, key: jax.Array | None):
        specs = parameter_specs(mesh, parameters)
        parts = {
            "frame": {name: tree for name, tree in specs.items() if name != LAYERS},
            "layer": jax.tree.map(lambda spec: PartitionSpec(*spec[1:]), specs[LAYERS]),
        }

        def whole(part: str, shares: Any) -> Any:
            return gather(shares, parts[part])

        gathering = whole if mesh.shape[FSDP] > 1 else None
        error = partial(
            share_error, policy, sequence=sequence, gather=gathering, remat=config.remat
        )
        return mesh_gradient(error, config.accumulate, mesh, SHARE_SPEC, parameters, share, key)

    return make_step(policy, config, gradient, mesh)


def share_error(
    config: NetworkConfig,
    parameters: Parameters,
    share: Share,
    key: jax.Array | None,
    sequence: str | None,
    gather: Callable[[str, Any], Any] | None,
    remat: Remat = "block",
) -> tuple[jax.Array, jax.Array]:
    """Return what `agentic.training.loop.chain_error` does, for the chunks of one device.

    Args:
        config, parameters: the network, and this device's share of it.
        share: this device's chunks.
        key: turns dropout on.
        sequence: the mesh axis over which N is split, or None.
        gather, remat: as in `agentic.network.stack.run_layers`.
    """
    inputs, weight = share
    network, latents = run_layers(config, parameters, inputs, key, remat, sequence, gather)
    error = squared_error(network, latents, inputs.observations, inputs.actions, weight)
    return error, jnp.sum(weight)
