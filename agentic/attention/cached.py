"""Attention of a few new tokens to a key/value cache, block of slots by block of slots.

Only the slots below `used` are read, each once, in the dtype they are stored in. Partial results of
caches that are split over devices are merged by their log-sum-exp, as in ring attention
(arXiv 2310.01889), with one `pmax` and two `psum`.
"""

import jax
import jax.numpy as jnp

from agentic.attention.positions import visible
from agentic.errors import AgenticError

# Limits of a block of keys: numbers (if it has 8 slots or more) and slots. A block is copied before
# it is multiplied. Copies of many rows and heads would not fit into a core's caches, and large
# copies of a single row would come from fresh memory in every step. Compared with 512 slots of any
# size, on two cores: a step of 8 contexts of 4,096 tokens with 16 heads of 64 is 1.2 to 1.5 times
# as fast, a step of one context of 32,768 tokens 1.1 to 1.3 times, and 32 contexts with one head
# are alike (bfloat16 0.8 to 1).
MOST_NUMBERS = 2**19
MOST_SLOTS = 1024


def cached_attention(
    q: jax.Array, keys: jax.Array, values: jax.Array, *, q_positions: jax.Array,
    kv_positions: jax.Array, used: jax.Array | int | None = None, axis_name: str | None = None,
    block: int | None = None,
) -> jax.Array:  # fmt: skip
    """Return causal attention of q [B, T, H, D] to a cache [B, K, S, D]: [B, T, H, D].

    Args:
      q: queries; scores, softmax and sums are float32 whatever the dtypes.
      keys, values: one cache, float32 or the bits of bfloat16 as uint16 (XLA on processors would
        widen bfloat16 as a whole, before the loop); H is a multiple of K.
      q_positions, kv_positions: int32 [B, T] and [B, S]; negative means absent, or empty.
      used: scalar, slots at and past it are empty in every row; None reads all S.
      axis_name: mesh axis over which the slots are split, inside `shard_map`; q is the same on all
        of its devices, and so is the result.
      block: slots read at a time; by default as many as MOST_NUMBERS and MOST_SLOTS allow.

    A query that sees no key gives 0. Raises AgenticError for shapes that do not fit.
    """
    batch, tokens, heads, size = q.shape
    groups, slots = keys.shape[1:3]
    if keys.shape != values.shape or (batch, size) != (keys.shape[0], keys.shape[3]):
        raise AgenticError(
            f"the cache has keys {keys.shape} and values {values.shape}; queries {q.shape} need "
            f"two of shape [{batch}, K, S, {size}]."
        )
    if heads % groups:
        raise AgenticError(f"{heads} query heads cannot share {groups} key heads; use a divisor.")
    share = heads // groups
    most = min(max(MOST_NUMBERS // (batch * groups * size), 8), MOST_SLOTS)
    block = min(most if block is None else block, slots)
    q = q.reshape(batch, tokens, groups, share, size).transpose(0, 2, 1, 3, 4)
    q = q.reshape(batch, groups, tokens * share, size).astype(jnp.float32) * size**-0.5

    def read(array: jax.Array, start: jax.Array) -> jax.Array:
        part = jax.lax.dynamic_slice_in_dim(array, start, block, axis=2)
        if part.dtype == jnp.uint16:
            part = jax.lax.bitcast_convert_type(part, jnp.bfloat16)
        return part.astype(jnp.float32)

    used = jnp.asarray(slots if used is None else used, jnp.int32)

    def add(i: jax.Array, partial: tuple) -> tuple:
        out, top, total = partial
        # The last block ends at the last slot and skips the slots that were read already.
        start = jnp.minimum(i * block, slots - block)
        k, v = read(keys, start), read(values, start)
        places = jax.lax.dynamic_slice_in_dim(kv_positions, start, block, axis=1)
        places = jnp.where(start + jnp.arange(block) >= i * block, places, -1)
        seen = jnp.repeat(visible(q_positions, places, True), share, axis=1)[:, None]
        s = jnp.einsum("bkrd,bksd->bkrs", q, k)
        s = jnp.where(seen, s, -jnp.inf)
        higher = jnp.maximum(top, s.max(-1))
        base = jnp.where(higher == -jnp.inf, 0.0, higher)
        p, old = jnp.exp(s - base[..., None]), jnp.exp(top - base)
        y = jnp.einsum("bkrs,bksd->bkrd", p, v)
        return out * old[..., None] + y, higher, total * old + p.sum(-1)

    shape = q.shape[:3]
    partial = (
        jnp.zeros((*shape, size), jnp.float32), jnp.full(shape, -jnp.inf), jnp.zeros(shape)
    )  # fmt: skip
    if axis_name is not None:
        q, q_positions = jax.lax.pcast((q, q_positions), axis_name, to="varying")
        partial = jax.lax.pcast(partial, axis_name, to="varying")
    out, top, total = jax.lax.fori_loop(0, -(-used // block), add, partial)
    if axis_name is not None:
        highest = jax.lax.pmax(top, axis_name)
        factor = jnp.exp(top - jnp.where(highest == -jnp.inf, 0.0, highest))
        out = jax.lax.psum(out * factor[..., None], axis_name)
        total = jax.lax.psum(total * factor, axis_name)
    out = out / jnp.where(total == 0.0, 1.0, total)[..., None]
    out = out.reshape(batch, groups, tokens, share, size).transpose(0, 2, 1, 3, 4)
    return out.reshape(batch, tokens, heads, size)
