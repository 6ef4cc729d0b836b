"""What a training step learns from: chains laid flat, and what the loss compares and counts.

    host      Chain or Window [B, n, T, ...] --flatten, weigh, share out--> Batch [B, N, ...]
    devices   B over (data, fsdp), N and M over sequence

Batches are made on the host, alike for one device and for a mesh. Where every row is shared out
among several devices, each gets an early and a late piece of it: what is causal to do is then the
same for all (`agentic.attention.zigzag`). Axis letters: B rows (chains) of a batch, N chunks of a
row, M chunks of a row that are decoded, c steps of a chunk, O observation, A action.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from agentic.attention import zigzag
from agentic.network.config import NetworkConfig
from agentic.network.tokens import Inputs, by_chunks, flatten
from agentic.training.mesh import SEQUENCE, process_share
from agentic.trajectory import Chain, Window

Loss = Literal["all", "last"]


class Batch(NamedTuple):
    """Chunks, and the steps that the loss is taken over.

    inputs [B, N, ...]; decoded int32 [B, M], which of its chunks of a row a device decodes, or None
    for all of them in their order; observations [B, M, c, O] raw, actions [B, M, c, A] and weight
    [B, M, c] float32 are those of the decoded chunks' steps. A step of weight 0 is not learned
    from.
    """

    inputs: Inputs
    decoded: jax.Array | None
    observations: jax.Array
    actions: jax.Array
    weight: jax.Array


def batch_maker(config: NetworkConfig, loss: Loss, mesh: Mesh) -> Callable[[Chain | Window], Batch]:
    """Return what makes a batch, as host arrays, of the chains that this process draws.

    `agentic.training.mesh.place_batch` then puts it onto the devices.
    """
    index, _ = process_share(mesh)
    host, flat = _host(), jax.jit(partial(make_batch, config, loss, mesh.shape[SEQUENCE]))

    def made(chain: Chain | Window) -> Batch:
        batch = jax.device_get(flat(jax.device_put(chain, host)))
        rows = batch.inputs.row
        return batch._replace(inputs=batch.inputs._replace(row=rows + len(rows) * index))

    return made


def _host() -> jax.Device:
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS leaves it out
        return jax.local_devices()[0]


def make_batch(config: NetworkConfig, loss: Loss, devices: int, chain: Chain | Window) -> Batch:
    """Return the batch of whole rows [B, n, T, ...], each shared out among so many devices.

    Rows are filled up with absent chunks until every device gets as many.
    """
    observations, actions = (by_chunks(config, x) for x in (chain.observations, chain.actions))
    weight = loss_weight(config, loss, chain.mask)
    batch = Batch(flatten(config, chain), None, observations, actions, weight)
    if devices > 1:
        batch = _share_out(batch, devices)
    # The last trajectory's chunks may all be one device's; no device has more to decode.
    most = weight.shape[1] // chain.mask.shape[1]
    return _decode_few(batch, devices, most) if loss == "last" else batch


def loss_weight(config: NetworkConfig, loss: Loss, mask: jax.Array) -> jax.Array:
    """Return how much each step of chains [B, n, T] counts: 1 or 0, float32 [B, N, c].

    Existing steps count; with loss "last" those of the last trajectory that has any, the best.
    """
    if loss == "last":
        present = mask.any(axis=-1)
        last = jnp.maximum(present.sum(axis=-1) - 1, 0)
        mask = mask & (jnp.arange(mask.shape[1]) == last[:, None])[..., None]
    return by_chunks(config, mask).astype(jnp.float32)


def _share_out(batch: Batch, devices: int) -> Batch:
    """Fill rows up and put their chunks in the order of the devices that get them."""
    count = batch.weight.shape[1]
    whole = -(-count // (2 * devices)) * 2 * devices
    order = zigzag(devices, whole)

    def put(x: jax.Array, absent: int = 0) -> jax.Array:
        padding = [(0, 0), (0, whole - count)] + [(0, 0)] * (x.ndim - 2)
        return jnp.pad(x, padding, constant_values=absent)[:, order]

    inputs = batch.inputs
    placed = inputs._replace(
        values=jax.tree.map(put, inputs.values),
        trajectory=put(inputs.trajectory),
        chunk=put(inputs.chunk),
        place=put(inputs.place, absent=-1),
    )
    rest = (put(x) for x in (batch.observations, batch.actions, batch.weight))
    return Batch(placed, None, *rest)


def _decode_few(batch: Batch, devices: int, most: int) -> Batch:
    """Let every device decode only `most` of its chunks of a row: those that count, then others."""
    rows, count = batch.weight.shape[:2]
    if most >= count // devices:
        return batch
    counts = batch.weight.any(axis=-1).reshape(rows, devices, -1)
    decoded = jnp.argsort(~counts, axis=-1, stable=True)[..., :most].astype(jnp.int32)

    def pick(x: jax.Array) -> jax.Array:
        x = x.reshape(rows, devices, -1, *x.shape[2:])
        index = decoded.reshape(*decoded.shape, *(1,) * (x.ndim - 3))
        return jnp.take_along_axis(x, index, axis=2).reshape(rows, -1, *x.shape[3:])

    steps = map(pick, (batch.observations, batch.actions, batch.weight))
    return Batch(batch.inputs, decoded.reshape(rows, -1), *steps)
