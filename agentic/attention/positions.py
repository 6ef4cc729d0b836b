"""Which query sees which key. Every mask compares int32 positions; a negative one means absent.

Axes: B batch, T queries, S keys, H query heads, K key heads, D head size.
"""

import jax
import jax.numpy as jnp
from jax import lax

from agentic.errors import AgenticError

ABSENT = -1


def check_operands(q, k, v, lengths, q_positions, kv_positions) -> None:
    """Raise `AgenticError` unless the shapes and dtypes of one attention call fit together."""
    for name, array in (("q", q), ("k", k), ("v", v)):
        if array.ndim != 4:
            raise AgenticError(
                f"{name} has shape {array.shape}: attention needs 4 axes, q [B, T, H, D] and "
                "k, v [B, S, K, D]"
            )
        if not jnp.issubdtype(array.dtype, jnp.floating) or array.dtype != q.dtype:
            raise AgenticError(
                f"{name} is {array.dtype} and q is {q.dtype}: q, k and v share one floating "
                f"dtype, so cast all three to the same one, such as float32"
            )
    if k.shape != v.shape:
        raise AgenticError(
            f"k has shape {k.shape} and v {v.shape}: keys and values share one shape [B, S, K, D]"
        )
    (batch, queries, heads, size), (k_batch, keys, k_heads, k_size) = q.shape, k.shape
    if (k_batch, k_size) != (batch, size):
        raise AgenticError(
            f"q has shape {q.shape} and k {k.shape}: batch and head size must agree, so k needs "
            f"shape {(batch, keys, k_heads, size)}"
        )
    if k_heads == 0 or heads % k_heads:
        divisors = [n for n in range(1, heads + 1) if heads % n == 0]
        nearest = min(divisors, key=lambda n: abs(n - k_heads), default=1)
        raise AgenticError(
            f"{heads} query heads cannot share {k_heads} key heads: the first must be a multiple "
            f"of the second, the nearest is {nearest} key heads"
        )
    if (q_positions is None) != (kv_positions is None):
        given = "kv_positions" if q_positions is None else "q_positions"
        raise AgenticError(f"{given} came alone: give both q_positions and kv_positions, or none")
    for name, array, shape in (
        ("lengths", lengths, (batch,)),
        ("q_positions", q_positions, (batch, queries)),
        ("kv_positions", kv_positions, (batch, keys)),
    ):
        if array is None:
            continue
        if jnp.shape(array) != shape:
            raise AgenticError(f"{name} has shape {jnp.shape(array)}: it must be {shape}")
        if not jnp.issubdtype(jnp.asarray(array).dtype, jnp.integer):
            raise AgenticError(f"{name} is {jnp.asarray(array).dtype}: it must be int32")


def resolve_scale(scale: float | None, size: int) -> float:
    """Return the factor on the scores as a number, by default 1 / sqrt(D)."""
    scale = float(size**-0.5 if scale is None else scale)
    if not scale > 0:
        raise AgenticError(f"scale is {scale}: it must be positive, such as {size**-0.5:g}")
    return scale


def default_offset(queries: int, keys: int) -> int:
    """Return the position of query 0: fewer queries than keys are the last ones of the keys."""
    return max(keys - queries, 0)


def resolve_positions(
    queries: int, keys: int, lengths, q_positions, kv_positions, q_start=0, kv_start=0, offset=None
) -> tuple[jax.Array, jax.Array]:
    """Return q_positions [B or 1, T] and kv_positions [B or 1, S] in which negative means absent.

    Args:
      queries, keys: T and S, the rows held here.
      lengths: None, or the valid prefix [B] of the keys, and also of the queries if T equals S.
      q_positions, kv_positions: None, or int32 [B, T] and [B, S].
      q_start, kv_start: index of the first row held here within the whole sequence.
      offset: position of the whole sequence's query 0 when no positions are given.
    """
    q_rows = q_start + jnp.arange(queries, dtype=jnp.int32)[None]
    kv_rows = kv_start + jnp.arange(keys, dtype=jnp.int32)[None]
    if q_positions is None:
        offset = default_offset(queries, keys) if offset is None else offset
        q_positions, kv_positions = q_rows + offset, kv_rows
    q_positions = jnp.asarray(q_positions).astype(jnp.int32)
    kv_positions = jnp.asarray(kv_positions).astype(jnp.int32)
    if lengths is not None:
        valid = jnp.asarray(lengths).astype(jnp.int32)[:, None]
        kv_positions = jnp.where(kv_rows < valid, kv_positions, ABSENT)
        if queries == keys:
            q_positions = jnp.where(q_rows < valid, q_positions, ABSENT)
    return q_positions, kv_positions


def share_positions(
    axis_name, queries: int, keys: int, lengths, q_positions, kv_positions
) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
    """Return the positions of this device's rows, inside shard_map, and its index on the axis.

    Arguments are `resolve_positions`'; rows without positions are numbered through the sequence.
    """
    device = lax.axis_index(axis_name)
    positions = resolve_positions(
        queries,
        keys,
        lengths,
        q_positions,
        kv_positions,
        q_start=device * queries,
        kv_start=device * keys,
        offset=lax.axis_size(axis_name) * default_offset(queries, keys),
    )
    return positions, device


def visible(q_positions: jax.Array, kv_positions: jax.Array, causal: bool) -> jax.Array:
    """Return bool [..., T, S]: query and key both present and, if causal, the key not later."""
    q_positions, kv_positions = q_positions[..., :, None], kv_positions[..., None, :]
    seen = (q_positions >= 0) & (kv_positions >= 0)
    return seen & (kv_positions <= q_positions) if causal else seen
