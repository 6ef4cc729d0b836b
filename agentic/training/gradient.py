"""The gradient of a weighted mean, summed over micro-batches and over the devices of a mesh.

The mean is sum(w e) / sum(w) over everything, so parts that carry different weight are added up as
sums and divided once: a mean of the parts' means would be another loss. The sum of weights depends
on no parameter, so gradients of sums may be added up, too.

On a mesh (`agentic.training.mesh`) every device computes its own part of the sums. Parameters are
kept in shards and gathered where they are used; the transpose of that adds a gradient up over the
devices of the axis and leaves each its shard (ZeRO-3, arXiv 1910.02054; FSDP, arXiv 2304.11277).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from agentic.training.mesh import AXES, FSDP, parameter_specs

# (parameters, batch, key) -> sum of weighted errors, sum of weights: float32 scalars
Error = Callable[[Any, Any, jax.Array | None], tuple[jax.Array, jax.Array]]
# (parameters, batch, key) -> mean error, its gradient
Gradient = Callable[[Any, Any, jax.Array | None], tuple[jax.Array, Any]]


def mean_gradient(
    error: Error, accumulate: int, parameters: Any, batch: Any, key: jax.Array | None
) -> tuple[jax.Array, Any]:
    """Return the mean error and its gradient, `accumulate` micro-batches one after another.

    Args:
        error: the sums over a part of the batch.
        accumulate: micro-batches; memory for activations is that of one.
        parameters: a pytree of arrays.
        batch: a pytree of arrays [B, ...]; `accumulate` divides B.
        key: drawn from anew in every micro-batch, or None.
    """
    zero = jnp.zeros((), jnp.float32)
    total, weight, gradient = _sums(error, parameters, batch, key, accumulate, zero)
    return _divide(total, weight, gradient)


def mesh_gradient(
    error: Error,
    accumulate: int,
    mesh: Mesh,
    batch_spec: PartitionSpec,
    parameters: Any,
    batch: Any,
    key: jax.Array | None,
) -> tuple[jax.Array, Any]:
    """Return what `mean_gradient` returns, computed by all devices of a mesh.

    Args:
        error: as there, of one device: it is given that one's share of the parameters and of the
            batch, and makes the former whole with `gather` where it uses them.
        accumulate: micro-batches.
        mesh: the devices.
        batch_spec: how all arrays of the batch are cut.
        parameters: global arrays, cut as `agentic.training.mesh.parameter_spec` says.
        batch: global arrays; `accumulate` divides each device's rows.
        key: every device draws its own from it: with dropout, another mesh drops other things out.

    Returns:
        The mean error, on every device, and the gradient, cut as the parameters are.
    """
    specs = parameter_specs(mesh, parameters)

    def of_device(parameters: Any, batch: Any, key: jax.Array | None) -> tuple[jax.Array, Any]:
        if key is not None:
            key = jax.random.fold_in(key, lax.axis_index(AXES))
        # What varies over an axis is not summed over it until we say so: once, in the end.
        apart = jax.tree.map(
            lambda x, spec: lax.pcast(x, _rest(spec), to="varying"), parameters, specs
        )
        # Another zero on every device, as far as the compiler knows.
        zero = jnp.zeros((), jnp.float32) * lax.axis_index(AXES).astype(jnp.float32)
        total, weight, gradient = _sums(error, apart, batch, key, accumulate, zero)
        gradient = jax.tree.map(lambda x, spec: lax.psum(x, _rest(spec)), gradient, specs)
        total, weight = lax.psum((total, weight), AXES)
        return _divide(total, weight, gradient)

    everywhere = PartitionSpec()
    return jax.shard_map(
        of_device,
        mesh=mesh,
        in_specs=(specs, batch_spec, everywhere),
        out_specs=(everywhere, specs),
        check_vma=True,
    )(parameters, batch, key)


def _rest(spec: PartitionSpec) -> tuple[str, ...]:
    """Return the axes that an array is not cut along."""
    return tuple(axis for axis in AXES if axis not in spec)


def gather(shares: Any, specs: Any) -> Any:
    """Return whole arrays from the shards on the devices of the axis `fsdp`, inside shard_map."""

    def whole(share: jax.Array, spec: PartitionSpec) -> jax.Array:
        if FSDP not in spec:
            return share
        return lax.all_gather(share, FSDP, axis=tuple(spec).index(FSDP), tiled=True)

    return jax.tree.map(whole, shares, specs)


def _sums(error: Error, parameters: Any, batch: Any, key, accumulate: int, zero) -> tuple:
    """Return the sums of errors and of weights, and the gradient of the first.

    Inside shard_map all that is added up, `zero` too, varies over all axes.
    """

    def part(batch: Any, key: jax.Array | None) -> tuple:
        value = jax.value_and_grad(lambda p: error(p, batch, key), has_aux=True)(parameters)
        (total, weight), gradient = value
        return zero + total, zero + weight, gradient

    if accumulate == 1:
        return part(batch, key)

    def split(x: jax.Array) -> jax.Array:
        return x.reshape(accumulate, x.shape[0] // accumulate, *x.shape[1:])

    def add(sums: tuple, step: tuple) -> tuple:
        index, batch = step
        own = None if key is None else jax.random.fold_in(key, index)
        return jax.tree.map(jnp.add, sums, part(batch, own)), None

    parts = jnp.arange(accumulate), jax.tree.map(split, batch)
    nothing = zero, zero, jax.tree.map(lambda x: lax.full_like(x, 0), parameters)
    return lax.scan(add, nothing, parts)[0]


def _divide(total: jax.Array, weight: jax.Array, gradient: Any) -> tuple[jax.Array, Any]:
    weight = jnp.maximum(weight, 1.0)
    return total / weight, jax.tree.map(lambda x: x / weight, gradient)
