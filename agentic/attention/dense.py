"""Attention with the whole [T, S] matrix of scores: the oracle, quadratic in memory."""

import jax
import jax.numpy as jnp

from agentic.attention.positions import check_operands, resolve_positions, resolve_scale, visible


def dense_attention(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    *,
    causal: bool = True,
    lengths: jax.Array | None = None,
    q_positions: jax.Array | None = None,
    kv_positions: jax.Array | None = None,
    scale: float | None = None,
) -> jax.Array:
    """Return softmax(scale q k^T) v, computed in float32 with all scores at once.

    Args:
      q: queries [B, T, H, D].
      k, v: keys and values [B, S, K, D]; H is a multiple of K, and query head h reads key head
        h // (H / K).
      causal: a query sees only keys whose position is not later than its own.
      lengths: int32 [B], the valid prefix of the keys, and also of the queries if T equals S.
      q_positions, kv_positions: int32 [B, T] and [B, S], both or neither. A negative position
        means that the row is absent: no query sees it as a key, and as a query it gives 0.
        Without them keys have positions 0..S-1 and queries 0..T-1, or the last T of S if S > T.
      scale: factor on the scores; 1 / sqrt(D) if None.

    Returns:
      [B, T, H, D] in q's dtype; a query that sees no key gives exactly 0 and no gradient.

    Raises:
      AgenticError: shapes or dtypes that do not fit.
    """
    check_operands(q, k, v, lengths, q_positions, kv_positions)
    batch, queries, heads, size = q.shape
    keys, k_heads = k.shape[1:3]
    scale = resolve_scale(scale, size)
    positions = resolve_positions(queries, keys, lengths, q_positions, kv_positions)
    seen = visible(*positions, causal)[:, None, None]  # [B or 1, 1, 1, T, S]
    grouped = q.reshape(batch, queries, k_heads, heads // k_heads, size).astype(jnp.float32)
    s = jnp.einsum("btkgd,bskd->bkgts", grouped, k.astype(jnp.float32)) * scale
    # Zero instead of -inf, because the gradient through a row that sees no key would be NaN.
    s = jnp.where(seen, s, 0.0)
    maximum = jnp.max(s, axis=-1, keepdims=True, where=seen, initial=-jnp.inf)
    maximum = jax.lax.stop_gradient(jnp.where(maximum == -jnp.inf, 0.0, maximum))
    p = jnp.where(seen, jnp.exp(jnp.where(seen, s - maximum, 0.0)), 0.0)
    total = p.sum(-1, keepdims=True)
    p = p / jnp.where(total == 0.0, 1.0, total)
    out = jnp.einsum("bkgts,bskd->btkgd", p, v.astype(jnp.float32))
    return out.reshape(q.shape).astype(q.dtype)
