"""The jitted functions that a context calls, and the mesh over which its cache is split."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from agentic.errors import AgenticError
from agentic.network import decoding
from agentic.network.cache import AXIS, Cache, LayerCache, empty_cache
from agentic.network.config import NetworkConfig
from agentic.network.decoding import Step
from agentic.network.parameters import Parameters, bind
from agentic.trajectory import Chain

P = jax.sharding.PartitionSpec


class Compiled(NamedTuple):
    """The jitted functions of one configuration, parameters (unstacked) first; caches are donated.

    extend (parameters, cache, latents, step) -> (cache, latents); act (parameters, latents,
    observations) -> actions; prefill (parameters, cache, chain) -> cache; empty (batch) -> cache.
    """

    extend: Callable
    act: Callable
    prefill: Callable
    empty: Callable


@lru_cache(maxsize=8)
def compiled(
    config: NetworkConfig, cache_dtype: str | None = None, mesh: jax.sharding.Mesh | None = None
) -> Compiled:
    """Return the functions that a context calls; with `mesh` its cache is split over "sequence"."""
    axis, shards = (None, 1) if mesh is None else (AXIS, mesh.shape[AXIS])
    layer = LayerCache(P(None, None, axis), P(None, None, axis))
    split = Cache((layer,) * config.layers, P(None, axis))

    def across(function: Callable, inputs: tuple, outputs: object) -> Callable:
        if mesh is None:
            return function
        return jax.shard_map(
            function, mesh=mesh, in_specs=inputs, out_specs=outputs, check_vma=True
        )

    def extend(parameters: Parameters, cache: Cache, latents: jax.Array, step: Step):
        cache, fresh = decoding.extend(bind(config, parameters), cache, step, axis)
        return cache, jnp.where(step.write[:, None], fresh, latents)

    def act(parameters: Parameters, latents: jax.Array, observations: jax.Array):
        return bind(config, parameters).act(latents, observations)

    def prefill(parameters: Parameters, cache: Cache, chain: Chain):
        return decoding.prefill(bind(config, parameters), chain, cache, axis)

    def shardings(spec: P) -> jax.sharding.NamedSharding:
        return jax.sharding.NamedSharding(mesh, spec)

    empty = partial(empty_cache, config, dtype=cache_dtype, shards=shards)
    placed = {} if mesh is None else {"out_shardings": jax.tree.map(shardings, split)}
    return Compiled(
        jax.jit(across(extend, (P(), split, P(), P()), (split, P())), donate_argnums=(1, 2)),
        jax.jit(act),
        jax.jit(across(prefill, (P(), split, P()), split), donate_argnums=1),
        jax.jit(empty, static_argnums=0, **placed),
    )


def cache_mesh(devices: int) -> jax.sharding.Mesh:
    """Return a mesh of the first `devices` devices over which a cache can be split."""
    present = len(jax.devices())
    if not 1 <= devices <= present:
        raise AgenticError(
            f"devices is {devices}; this process has 1 to {present} (--cpu-devices simulates more)."
        )
    kinds = (jax.sharding.AxisType.Auto,)
    return jax.make_mesh((devices,), (AXIS,), kinds, devices=jax.devices()[:devices])


def on_all(mesh: jax.sharding.Mesh) -> jax.sharding.NamedSharding:
    """Return the sharding of arrays that every device of a mesh holds whole."""
    return jax.sharding.NamedSharding(mesh, P())
