"""The gradient of a weighted mean, summed over micro-batches and over the devices of a mesh.

The mean is sum(w e) / sum(w) over everything, so parts that carry different weight are added up as
sums and divided once: a mean of the parts' means would be another loss. The sum of weights depends
on no parameter, so gradients of sums may be added up, too.

Every device of the mesh (`agentic.training.mesh`) computes its own part of the sums; one device
alone is a mesh. Parameters are kept in shards and gathered where they are used; the transpose of
that adds a gradient up over the devices of the axis and leaves each its shard (ZeRO-3, arXiv
1910.02054; FSDP, arXiv 2304.11277).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from agentic.training.mesh import AXES, FSDP, batch_specs, parameter_specs

# (parameters, batch, key) -> sum of weighted errors, sum of weights: float32 scalars
ErrorSums = Callable[[Any, Any, jax.Array | None], tuple[jax.Array, jax.Array]]


def mean_gradient(
    sums: ErrorSums,
    parameters: Any,
    batch: Any,
    key: jax.Array | None,
    mesh: Mesh,
    accumulate: int = 1,
) -> tuple[jax.Array, Any]:
    """Return the mean error over a batch and its gradient, computed by all devices of a mesh.

    Args:
        sums: those of one device: it is given that one's share of the parameters and of the batch,
            and makes the former whole with `gather` where it uses them.
        parameters: a pytree of global arrays, cut as `agentic.training.mesh.parameter_spec` says.
        batch: a pytree of global arrays, cut as `agentic.training.mesh.batch_specs` says.
        key: the same for all devices and micro-batches, or None.
        mesh: the devices.
        accumulate: micro-batches, one after another; memory for activations is that of one. It
            divides each device's rows.

    Returns:
        The mean error, on every device, and the gradient, cut as the parameters are.
    """
    specs, everywhere = parameter_specs(mesh, parameters), PartitionSpec()

    def of_device(parameters: Any, batch: Any, key: jax.Array | None) -> tuple[jax.Array, Any]:
        # What varies over an axis is not summed over it until we say so: once, in the end.
        apart = jax.tree.map(
            lambda x, spec: lax.pcast(x, _axes_not_in(spec), to="varying"), parameters, specs
        )
        total, weight, gradient = _accumulated(sums, apart, batch, key, accumulate)
        gradient = jax.tree.map(lambda x, spec: lax.psum(x, _axes_not_in(spec)), gradient, specs)
        total, weight = lax.psum((total, weight), AXES)
        weight = jnp.maximum(weight, 1.0)
        return total / weight, jax.tree.map(lambda x: x / weight, gradient)

    return jax.shard_map(
        of_device,
        mesh=mesh,
        in_specs=(specs, batch_specs(batch), everywhere),
        out_specs=(everywhere, specs),
        check_vma=True,
    )(parameters, batch, key)


def gather(shares: Any, specs: Any) -> Any:
    """Return whole arrays from the shards on the devices of the axis `fsdp`, inside shard_map."""

    def whole(share: jax.Array, spec: PartitionSpec) -> jax.Array:
        if FSDP not in spec:
            return share
        return lax.all_gather(share, FSDP, axis=tuple(spec).index(FSDP), tiled=True)

    return jax.tree.map(whole, shares, specs)


def _axes_not_in(spec: PartitionSpec) -> tuple[str, ...]:
    """Return the axes that an array is not cut along."""
    return tuple(axis for axis in AXES if axis not in spec)


def _accumulated(
    sums: ErrorSums, parameters: Any, batch: Any, key: jax.Array | None, accumulate: int
) -> tuple:
    """Return one device's sums of errors and of weights, and the gradient of the first."""

    def part(batch: Any) -> tuple:
        value = jax.value_and_grad(lambda p: sums(p, batch, key), has_aux=True)(parameters)
        (total, weight), gradient = value
        return total, weight, gradient

    if accumulate == 1:
        return part(batch)

    def split(x: jax.Array) -> jax.Array:
        return x.reshape(accumulate, x.shape[0] // accumulate, *x.shape[1:])

    def add(totals: tuple, batch: Any) -> tuple:
        return jax.tree.map(jnp.add, totals, part(batch)), None

    # Another zero on every device, as far as the compiler knows: all that is added up varies.
    zero = jnp.zeros((), jnp.float32) * lax.axis_index(AXES).astype(jnp.float32)
    nothing = zero, zero, jax.tree.map(lambda x: lax.full_like(x, 0), parameters)
    return lax.scan(add, nothing, jax.tree.map(split, batch))[0]
