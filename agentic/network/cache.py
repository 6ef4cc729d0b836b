"""The key/value cache of contexts: where a token's keys and values lie, and who is in there.

Axis letters: B contexts, T new tokens, K key heads, S slots, D head size. The cache may be split
over the devices of a mesh axis: of N devices, device d holds slots d, d + N, d + 2N, ..., so that
all hold the same share of a context that is not full yet.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from agentic.attention.cached import cached_attention
from agentic.errors import AgenticError, closest
from agentic.network.config import NetworkConfig

CACHE_DTYPES = ("float32", "bfloat16")
AXIS = "sequence"


class LayerCache(NamedTuple):
    """Keys and values that one layer has seen: [B, K, S, D] each, a head's slots side by side.

    float32, or bfloat16 kept as its bits in uint16, so that no compiler widens it as a whole.
    """

    keys: jax.Array
    values: jax.Array


class Cache(NamedTuple):
    """Keys and values of contexts, one array a layer; positions [B, S] int32, -1 where empty.

    Slot s holds a token of trajectory s // L modulo n (L tokens a trajectory, n of them), so that
    the trajectory that leaves a full context is overwritten in place by the one that comes.
    """

    layers: tuple[LayerCache, ...]
    positions: jax.Array


def empty_cache(
    config: NetworkConfig, batch: int, dtype: str | None = None, shards: int = 1
) -> Cache:
    """Return the cache of `batch` empty contexts; `dtype` None is that of the activations.

    The number of slots is the context's tokens, rounded up to a multiple of `shards`.
    """
    dtype = dtype or config.dtype
    if dtype not in CACHE_DTYPES:
        raise AgenticError(f"cache_dtype is {dtype!r}; {closest(dtype, CACHE_DTYPES)}.")
    slots = -(-config.trajectories * config.tokens_per_trajectory // shards) * shards
    dtype = "uint16" if dtype == "bfloat16" else dtype
    shape = (batch, config.groups, slots, config.head_size)
    layers = tuple(
        LayerCache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype)) for _ in range(config.layers)
    )
    return Cache(layers, jnp.full((batch, slots), -1, jnp.int32))


class Place(NamedTuple):
    """Where new tokens go and what is there with them, the same for every layer.

    places [B, T] of the new tokens in the context, -1 for absent; slots [B, T] of this device's
    cache, past its end for none; positions [B, S] with the new tokens; used, scalar: slots at and
    past it are empty.
    """

    places: jax.Array
    slots: jax.Array
    positions: jax.Array
    used: jax.Array
    axis_name: str | None


def own_slots(count: int, axis_name: str | None) -> jax.Array:
    """Return which slots of the whole cache this device's `count` are: int32 [count]."""
    local = jnp.arange(count, dtype=jnp.int32)
    if axis_name is None:
        return local
    return local * jax.lax.axis_size(axis_name) + jax.lax.axis_index(axis_name)


def settle(
    positions: jax.Array, places: jax.Array, slots: jax.Array, axis_name: str | None = None
) -> Place:
    """Enter tokens of `places` [B, T] into `positions` [B, S] at `slots` of the whole cache.

    A negative place enters nothing.
    """
    count = positions.shape[1]
    local, mine = slots, places >= 0
    if axis_name is not None:
        shards = jax.lax.axis_size(axis_name)
        mine &= slots % shards == jax.lax.axis_index(axis_name)
        local = slots // shards
    local = jnp.where(mine, local, count)
    rows = jnp.arange(len(positions))[:, None]
    positions = positions.at[rows, local].set(places, mode="drop")
    filled = (positions >= 0).any(axis=0)
    used = jnp.max(jnp.where(filled, jnp.arange(1, count + 1), 0))
    return Place(places, local, positions, used, axis_name)


def write(array: jax.Array, slots: jax.Array, new: jax.Array) -> jax.Array:
    """Write new [B, T, K, D] to `slots` [B, T] of array [B, K, S, D], in place where donated."""
    rows = jnp.arange(len(array))[:, None]
    if array.dtype == jnp.uint16:
        new = jax.lax.bitcast_convert_type(new.astype(jnp.bfloat16), jnp.uint16)
    new = new.astype(array.dtype)
    return array.at[rows, :, slots].set(new, mode="drop")


def remember(
    cache: LayerCache, q: jax.Array, k: jax.Array, v: jax.Array, place: Place
) -> tuple[LayerCache, jax.Array]:
    """Write k, v [B, T, K, D] and let q [B, T, H, D] see all that is then there: [B, T, H, D]."""
    cache = LayerCache(write(cache.keys, place.slots, k), write(cache.values, place.slots, v))
    y = cached_attention(
        q, cache.keys, cache.values, q_positions=place.places, kv_positions=place.positions,
        used=place.used, axis_name=place.axis_name,
    )  # fmt: skip
    return cache, y.astype(q.dtype)
